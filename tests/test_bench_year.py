from datetime import date

import numpy as np
import pytest

from tests.bench._year.known import build_known
from tests.bench._year.regimes import ByPolicy, FixedReserve, NoTerms, draw_points, find_suspended
from tests.bench._year.trade import DISPUTE_DAYS, RunnerPlan, Trade, build_trade, state_flow
from tests.bench._year.year import YearResult, find_run_cases, run_year
from tests.bench.year import policy_named
from training.market.simulate import simulate

DAYS = 500


@pytest.fixture(scope="module")
def trade() -> Trade:
    return build_trade(simulate(60, DAYS, date(2024, 1, 1), 3), 3, RunnerPlan(runners=12, build_days=(60, 90)))


@pytest.fixture(scope="module")
def results(trade: Trade) -> dict[str, YearResult]:
    market, general = simulate(60, DAYS, date(2024, 1, 1), 3), policy_named("general")
    known = build_known(market, trade, general.standing)
    regimes = (ByPolicy(general), ByPolicy(general, with_caution=False), FixedReserve(), NoTerms())
    return {regime.name: run_year(trade, known, regime) for regime in regimes}


def test_a_runner_builds_trust_and_ships_nothing_in_its_run(trade: Trade) -> None:
    runners = np.flatnonzero(trade.run_day >= 0)
    assert len(runners) == 12
    for seller in runners.tolist():
        run, join = int(trade.run_day[seller]), int(trade.join_day[seller])
        assert 60 <= run - join <= 90
        assert not trade.lost[seller, :run].any()
        assert (trade.lost[seller, run:] == trade.orders[seller, run:]).all()
        assert trade.orders[seller, run : run + 14].mean() > 10 * trade.orders[seller, join + 1 : run].mean()
        assert not trade.orders[seller, run + 14 :].any()
    assert not trade.is_clean[runners].any()


def test_every_order_arrives_or_is_disputed_unless_faked(trade: Trade) -> None:
    flow = state_flow(trade, np.ones(trade.orders.shape))
    assert (flow.captured == trade.orders).all()
    done = slice(0, DAYS - DISPUTE_DAYS)
    others = trade.run_day < 0
    sent = trade.orders[others, done] - trade.lost[others, done]
    assert flow.delivered[others].sum() == pytest.approx(
        trade.orders[others].sum() - trade.lost[others].sum(), rel=0.02
    )
    assert flow.delivered[others].sum() >= sent.sum()
    assert flow.refunded[others].sum() == trade.lost[others, done].sum()
    for seller in np.flatnonzero(trade.run_day >= 0).tolist():
        arrived = trade.orders[seller].sum() - trade.lost[seller].sum() * (not trade.is_faking[seller])
        assert flow.delivered[seller].sum() == arrived
        assert flow.disputed[seller].sum() == trade.lost[seller].sum()
        assert not flow.refunded[seller].any()


def test_a_suspension_begins_when_its_length_rises() -> None:
    assert find_suspended([0, 7, *([7] * 9)]) == [False, *([True] * 7), *([False] * 3)]
    assert find_suspended([0, 2, 2, 2, 3, 3, 3, 3]) == [False, True, True, False, True, True, True, False]
    assert find_suspended([0, 10**6, 0]) == [False, True, True]


def test_the_stand_in_for_points_falls_with_incidents() -> None:
    incidents, orders = np.array([0.0, 0.0, 1.0, 5.0]), np.array([10_000.0, 0.0, 10_000.0, 10_000.0])
    points = draw_points(incidents, orders)
    assert points[0] == 839
    assert points[0] > points[1] > points[2] > points[3]


def test_without_terms_a_runner_takes_everything(results: dict[str, YearResult]) -> None:
    general, careless, fixed, none = results.values()
    assert none.taken_minor == none.run_minor == none.buyers_loss_minor > 0
    assert general.taken_minor <= careless.taken_minor < fixed.taken_minor < none.taken_minor
    assert general.run_minor < careless.run_minor
    assert general.days_until_stopped < careless.days_until_stopped
    assert general.clean_caution_days >= careless.clean_caution_days == 0
    assert (none.refused, none.newcomers_month, none.early_value_share) == (0, 1, 1)
    assert 3 <= careless.paid_days[0] <= 13
    assert careless.deposit_share == 0
    assert general.buyers_loss_minor <= general.taken_minor


@pytest.mark.long
def test_the_cases_of_a_year_are_its_runners_with_their_stops(trade: Trade, results: dict[str, YearResult]) -> None:
    market, general = simulate(60, DAYS, date(2024, 1, 1), 3), policy_named("general")
    found = find_run_cases(trade, build_known(market, trade, general.standing), ByPolicy(general))
    assert [case.start_day for case in found] == trade.run_day[trade.run_day >= 0].tolist()
    days = [case.days_by(0) - 1 for case in found]
    assert np.mean(days) == results["general"].days_until_stopped

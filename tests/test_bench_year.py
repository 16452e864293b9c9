from datetime import date

import numpy as np
import pytest

from scoring.policy.measures import UNTIL_PLAN
from scoring.policy.rules import FailureRate, Ladder, Quantity
from tests.bench._year.known import build_known
from tests.bench._year.paid import SETTLED_DAYS
from tests.bench._year.regimes import PLAN_DAYS, ByPolicy, FixedReserve, NoTerms, find_suspended
from tests.bench._year.trade import RunnerPlan, Trade, build_trade
from tests.bench._year.year import YearResult, find_run_cases, run_year
from tests.bench.year import flat, policy_named
from training.market.simulate import simulate

DAYS = 500


@pytest.fixture(scope="module")
def trade() -> Trade:
    return build_trade(simulate(60, DAYS, date(2024, 1, 1), 3), 3, RunnerPlan(runners=12, build_days=(60, 90)))


@pytest.fixture(scope="module")
def results(trade: Trade) -> dict[str, YearResult]:
    market, general = simulate(60, DAYS, date(2024, 1, 1), 3), policy_named("general")
    known = build_known(market, trade, general)
    regimes = (ByPolicy(general), ByPolicy(general, with_caution=False), FixedReserve(), NoTerms())
    return {regime.name: run_year(trade, known, regime) for regime in regimes}


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


def test_figures_state_what_terms_avoid(results: dict[str, YearResult]) -> None:
    found = flat(results)
    assert found["general.avoided_minor"] > found["fixed_reserve.avoided_minor"] > found["none.avoided_minor"] == 0


def test_rates_ladders_and_good_orders_are_known_by_day(trade: Trade) -> None:
    market, health = simulate(60, DAYS, date(2024, 1, 1), 3), policy_named("health")
    known = build_known(market, trade, health)
    asked = {operand for operand in health.rule_book.operands if isinstance(operand, FailureRate | Ladder)}
    assert known.facts.keys() >= asked | {Quantity.GOOD_ORDERS}
    late = next(one for one in asked if isinstance(one, FailureRate) and one.of == ("late",))
    seller = int(trade.orders.sum(axis=1).argmax())
    for day in (31, 100, DAYS - 1):
        window = slice(max(day - SETTLED_DAYS - late.days, 0), day - SETTLED_DAYS)
        orders, failed = int(trade.orders[seller, window].sum()), int(trade.late[seller, window].sum())
        expected = failed * 1_000_000 // orders if orders >= late.orders else 0
        assert known.facts[late][seller, day] == expected
    assert known.facts[late].max() > 0
    [ladder] = (one for one in asked if isinstance(one, Ladder))
    assert (known.facts[ladder] <= known.standing).all()
    assert known.facts[ladder].max() > 0
    without = known.facts[Quantity.GOOD_ORDERS][seller, DAYS - 1]
    assert 0 <= without <= trade.orders[seller, : DAYS - 1 - SETTLED_DAYS].sum()
    assert find_suspended([UNTIL_PLAN] * 20) == [True] * PLAN_DAYS + [False] * (20 - PLAN_DAYS)
    assert run_year(trade, known, ByPolicy(health)).clean_hit > 0


@pytest.mark.long
def test_the_cases_of_a_year_are_its_runners_with_their_stops(trade: Trade, results: dict[str, YearResult]) -> None:
    market, general = simulate(60, DAYS, date(2024, 1, 1), 3), policy_named("general")
    found = find_run_cases(trade, build_known(market, trade, general), ByPolicy(general))
    assert [case.start_day for case in found] == trade.run_day[trade.run_day >= 0].tolist()
    days = [case.days_by(0) - 1 for case in found]
    assert np.mean(days) == results["general"].days_until_stopped

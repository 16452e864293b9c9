"""The terms of the exact posterior, one by one, against what the simulated marketplace draws."""

from __future__ import annotations

import dataclasses
from datetime import date

import numpy as np
import polars as pl
import pytest

from training.market.attainable import attainable_probability, serious_pairs
from training.market.evidence import MarketEvidence, beta_binomial_log, gather, pose, recorded_outcome, status_at
from training.market.parameters import BetaRate, MarketParameters
from training.market.records import CONFIRM, DISMISS, OVERTURN, Market
from training.market.simulate import simulate
from training.market.tables import Flags, Floats

START = date(2024, 11, 24)
OBSERVE, WINDOW, MATURITY = 300, 120, 60
READ = OBSERVE + WINDOW + MATURITY
BAD = serious_pairs(MarketParameters())
SERIOUS = (2, 3)


@pytest.fixture(scope="module")
def market() -> Market:
    return simulate(12_000, 600, START, seed=19)


@pytest.fixture(scope="module")
def evidence(market: Market) -> MarketEvidence:
    return gather(market, pose(market, OBSERVE, WINDOW, MATURITY, BAD), notifier_known=False)


def intensity(market: Market) -> Floats:
    """Hazard times regime by seller and month [n, M]: what only the truth knows."""
    multiplier = np.array([[1.0, c.spree_multiplier] for c in market.parameters.classes])
    seller_class = market.truth["seller_class"].to_numpy()
    regime = multiplier[seller_class[:, None], market.truth["spree"].to_numpy()]
    return np.asarray(market.truth["hazard_per_1000"].to_numpy()[:, None] * regime)


def expected(market: Market, mass: Floats) -> float:
    """Expected number of violations on a mass [n, M, C], hazards, regimes and classes known."""
    own = mass[np.arange(market.sellers), :, market.truth["seller_class"].to_numpy()]
    return float((intensity(market) * own).sum())


def test_service_failures_weigh_as_the_worked_number_says() -> None:
    log = beta_binomial_log(np.array([1, 0]), np.array([2, 0]), BetaRate(0.5, 2))

    assert log == pytest.approx([-1.791759, 0.0], abs=1e-6)


def test_as_many_true_violations_are_reported_as_the_mass_says(market: Market, evidence: MarketEvidence) -> None:
    true = market.violations.filter(~pl.col("bad_faith") & ~pl.col("echo"))
    count = true.filter(pl.col("report_day") < OBSERVE).height
    mean = expected(market, evidence.reported_mass)

    assert count > 5_000
    assert abs(count - mean) < 3 * np.sqrt(mean)


def test_as_many_bad_violations_are_confirmed_in_time_as_the_mass_says(
    market: Market, evidence: MarketEvidence
) -> None:
    inside = pl.col("occur_day").is_between(OBSERVE, OBSERVE + WINDOW, closed="left")
    rows = market.violations.with_columns(status=pl.Series(status_at(market, READ)))
    bad = rows.filter(inside & pl.col("harm").is_in(SERIOUS) & (pl.col("status") == CONFIRM) & ~pl.col("echo"))
    true = bad.filter(~pl.col("bad_faith") & (pl.col("report_day") < READ)).height
    mean = expected(market, evidence.window_mass)

    assert true > 1_500
    assert abs(true - mean) < 3 * np.sqrt(mean)


@pytest.mark.parametrize("later_days", [0, 400])
def test_as_many_complaints_in_bad_faith_stand_as_the_false_mass_says(market: Market, later_days: int) -> None:
    everything = [(t.name, harm) for t in market.parameters.types for harm in ("low", "medium", "high", "extreme")]
    question = pose(market, 1, 599, 0, everything, 600 + later_days)
    mass = gather(market, question, notifier_known=True).false_mass.sum()
    wrongly = market.violations["bad_faith"].to_numpy() & (status_at(market, 600) == CONFIRM)
    standing = wrongly & (status_at(market, 600 + later_days) != OVERTURN)
    standing &= market.violations["occur_day"].to_numpy() >= 1

    assert standing.sum() > 50
    assert abs(standing.sum() - mass) < 3 * np.sqrt(mass)


def test_class_is_foretold_by_level_failures_and_cohort_without_bias(market: Market, evidence: MarketEvidence) -> None:
    weight = np.exp(evidence.log_prior - evidence.log_prior.max(axis=1, keepdims=True))
    chance = weight / weight.sum(axis=1, keepdims=True)
    seller_class = market.truth["seller_class"].to_numpy()
    level, veteran = market.identity["level"].to_numpy(), market.identity["join_day"].to_numpy() < 0
    joined = market.identity["join_day"].to_numpy() < OBSERVE
    groups: list[Flags] = [joined & (level == k) for k in range(3)] + [veteran, joined & ~veteran, ~joined]
    for c in range(3):
        tenths = np.array_split(np.argsort(chance[:, c], kind="stable"), 10)
        for group in (*groups, *tenths):
            p, is_class = chance[group, c], seller_class[group] == c
            assert abs(is_class.sum() - p.sum()) < 3.5 * np.sqrt((p * (1 - p)).sum())
    assert chance[np.arange(len(chance)), seller_class].mean() > 0.67, "it tells more than the prior, 0.64"


def test_an_allegation_is_in_bad_faith_as_often_as_its_weights_say(market: Market, evidence: MarketEvidence) -> None:
    a = evidence.allegations
    seller_class = market.truth["seller_class"].to_numpy()[a.seller]
    true = intensity(market)[a.seller, a.month] * a.true_weight[np.arange(len(a.seller)), seller_class]
    chance = a.false_weight / (true + a.false_weight)
    bad_faith = market.violations["bad_faith"].to_numpy()[a.row]
    status = status_at(market, OBSERVE)[a.row]

    for group in (status == CONFIRM, status == DISMISS, status < 0, chance < 0.2, chance > 0.8):
        p = chance[group]
        assert abs(bad_faith[group].sum() - p.sum()) < 3 * np.sqrt((p * (1 - p)).sum())
    assert bad_faith.sum() > 500
    assert not bad_faith[chance == 0.0].any()


@pytest.mark.long
def test_for_one_who_knows_the_notifiers_complaints_in_bad_faith_do_not_exist(market: Market) -> None:
    some = market.cut(0, 1_500)
    honest = ~some.violations["bad_faith"].to_numpy()
    position = np.cumsum(honest) - 1
    decisions = some.decisions.filter(pl.Series(honest[some.decisions["violation"].to_numpy()]))
    kept = pl.Series(position[decisions["violation"].to_numpy()])
    clean = dataclasses.replace(
        some,
        violations=some.violations.filter(pl.Series(honest)),
        decisions=decisions.with_columns(violation=kept),
    )
    question = (OBSERVE, WINDOW, MATURITY, BAD)

    known = attainable_probability(some, *question, notifier_known=True)
    assert np.array_equal(attainable_probability(clean, *question, notifier_known=True), known)
    assert not np.array_equal(attainable_probability(some, *question), known)


@pytest.mark.long
def test_the_outcome_is_read_from_violations_confirmed_in_time_and_not_overturned(market: Market) -> None:
    rows = market.violations.with_row_index("row").filter(
        pl.col("occur_day").is_between(OBSERVE, OBSERVE + WINDOW, closed="left") & pl.col("harm").is_in(SERIOUS)
    )
    bad: set[int] = set()
    taken_back = 0
    first: dict[int, list[tuple[int, int]]] = {}
    for violation, day, action in market.decisions.select("violation", "day", "action").iter_rows():
        first.setdefault(violation, []).append((day, action))
    for row in rows.iter_rows(named=True):
        confirmed = row["final"] and row["identifier_verified"] and row["report_day"] < READ
        for day, action in first.get(row["row"], []):
            if day < READ:
                confirmed = action == CONFIRM
                taken_back += action == OVERTURN
        if confirmed:
            bad.add(row["seller"])

    outcome = recorded_outcome(market, OBSERVE, WINDOW, MATURITY, BAD)
    assert set(np.nonzero(outcome)[0].tolist()) == bad
    assert taken_back > 3

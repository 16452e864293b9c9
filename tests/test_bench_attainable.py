"""The simulated market's posterior is exact: closed form, enumeration, calibration."""

import itertools
import math
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from scoring.base.arrays import Floats
from tests.bench._attainable import (
    Evidence,
    attainable_probability,
    beta_binomial_log,
    posterior_probability,
    status_at,
)
from training.market.parameters import MarketParameters
from training.market.records import CONFIRM, Market
from training.market.simulate import simulate

START = date(2024, 11, 24)
OBSERVE, WINDOW, MATURITY = 370, 180, 120


def test_service_failures_weigh_as_the_worked_number_says() -> None:
    log = beta_binomial_log(np.array([1, 0]), np.array([2, 0]), 0.5, 2)
    assert log == pytest.approx([-1.791759, 0.0], abs=1e-6)


def enumerated(evidence: Evidence, parameters: MarketParameters, seller: int) -> float:
    """Return P(bad) as a sum over class and every path of regimes; the hazard integrates to a Gamma function."""
    months = evidence.window_mass.shape[1]
    mine = evidence.seller == seller
    when, weights = evidence.month[mine], evidence.true_weight[mine]
    total, clean = 0.0, 0.0
    for c, of_class in enumerate(parameters.classes):
        shape, rate = of_class.hazard_shape, of_class.hazard_shape / of_class.hazard_mean
        long_run = of_class.spree_start / (of_class.spree_start + of_class.spree_end)
        for path in itertools.product((0, 1), repeat=months):
            chance = long_run if path[0] else 1.0 - long_run
            for before, after in itertools.pairwise(path):
                to_spree = 1.0 - of_class.spree_end if before else of_class.spree_start
                chance *= to_spree if after else 1.0 - to_spree
            factor = np.array([of_class.spree_multiplier if state else 1.0 for state in path])
            past = float(factor @ evidence.reported_mass[seller, :, c])
            window = float(factor @ evidence.window_mass[seller, :, c])
            count = len(when)
            weight = math.exp(
                float(evidence.log_prior[seller, c])
                + float(np.log(weights[:, c] * factor[when]).sum())
                + math.lgamma(shape + count)
                - math.lgamma(shape)
                + shape * math.log(rate)
                - (shape + count) * math.log(rate + past)
            )
            total += chance * weight
            clean += chance * weight * ((rate + past) / (rate + past + window)) ** (shape + count)
    return 1.0 - clean / total


def test_it_equals_the_sum_over_all_paths_of_regimes() -> None:
    rng, parameters = np.random.default_rng(8), MarketParameters()
    counts = np.array([0, 1, 4, 60, 0, 400])
    thousands = np.array([0.01, 0.02, 0.5, 3.0, 40.0, 150.0])
    seller, k = np.repeat(np.arange(6), counts), int(counts.sum())
    month = rng.integers(0, 4, k)
    order = np.lexsort((seller, month))
    shape = (6, 7, 3)
    mass = rng.random(shape) * thousands[:, None, None]
    evidence = Evidence(
        log_prior=np.log(rng.dirichlet(np.ones(3), 6)),
        reported_mass=np.where(np.arange(7)[:, None] <= 3, mass, 0.0),
        window_mass=np.where(np.arange(7)[:, None] >= 3, 0.02 * rng.random(shape), 0.0),
        false_mass=np.zeros(6),
        observe_month=3,
        month=month[order],
        seller=seller[order],
        true_weight=np.exp(0.3 * rng.standard_normal((k, 3))),
        false_weight=np.zeros(k),
    )
    expected = [enumerated(evidence, parameters, s) for s in range(6)]
    assert posterior_probability(evidence, parameters) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def outcome_of(market: Market) -> Floats:
    read = OBSERVE + WINDOW + MATURITY
    v = market.violations.with_columns(status=pl.Series(status_at(market, read)))
    inside = pl.col("occur_day").is_between(OBSERVE, OBSERVE + WINDOW, closed="left") & (pl.col("harm") >= 2)
    bad = v.filter(inside & (pl.col("status") == CONFIRM) & (pl.col("report_day") < read))
    outcome = np.zeros(market.sellers)
    outcome[bad["seller"].to_numpy()] = 1.0
    return outcome


def test_it_is_calibrated_in_every_tenth_of_the_sellers() -> None:
    market = simulate(12_000, 730, START, seed=11)
    inside = market.exposure.filter(pl.col("day").is_between(OBSERVE, OBSERVE + WINDOW, closed="left"))
    sells = np.isin(np.arange(market.sellers), inside["seller"].to_numpy())
    sellers = sells & (market.identity["join_day"].to_numpy() < OBSERVE)
    outcome = outcome_of(market)[sellers]
    probability = attainable_probability(market, OBSERVE, WINDOW, MATURITY)[sellers]

    assert 0.03 < outcome.mean() < 0.10
    variance = probability * (1 - probability)
    everybody = np.arange(len(outcome))
    for part in (everybody, *np.array_split(np.argsort(probability, kind="stable"), 10)):
        assert abs((outcome - probability)[part].sum()) < 3 * np.sqrt(variance[part].sum())
    certain = np.clip(probability, 1e-12, 1.0 - 1e-12)
    log_odds = np.log(certain / (1.0 - certain))
    slope = (log_odds * (outcome - probability)).sum() / math.sqrt((log_odds**2 * variance).sum())
    assert abs(slope) < 2.5, "too bold or too timid"


@pytest.mark.long
def test_it_knows_nothing_of_the_future_but_the_windows_exposure() -> None:
    market = simulate(1_000, 730, START, seed=21)
    late = market.violations["report_day"].to_numpy() >= OBSERVE
    position = np.cumsum(~late) - 1
    decisions = market.decisions.filter(pl.Series(~late[market.decisions["violation"].to_numpy()]))
    kept = position[decisions["violation"].to_numpy()]
    future = pl.col("day") >= OBSERVE
    blind = replace(
        market,
        violations=market.violations.filter(pl.Series(~late)),
        decisions=decisions.with_columns(violation=pl.Series(kept)).filter(~future),
        exposure=market.exposure.with_columns(
            pl.when(future).then(0).otherwise(pl.col(kind)).alias(kind)
            for kind in ("late", "cancelled", "not_received", "returned")
        ),
        truth=market.truth.with_columns(seller_class=pl.lit(0), hazard_per_1000=pl.lit(0.0)),
    )
    question = (OBSERVE, WINDOW, MATURITY)
    assert np.array_equal(attainable_probability(blind, *question), attainable_probability(market, *question))

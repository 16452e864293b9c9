"""The exact posterior of the simulated marketplace is exact: closed forms, enumeration, calibration."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
import pytest

from training.market.attainable import attainable_probability, hazard_probability, posterior_probability, serious_pairs
from training.market.evidence import Allegations, MarketEvidence, recorded_outcome, window_orders
from training.market.parameters import MarketParameters
from training.market.records import Market
from training.market.simulate import simulate
from training.market.tables import Flags, Floats

START = date(2024, 11, 24)
DAYS = 730
OBSERVE, WINDOW, MATURITY = 370, 180, 120
BAD = serious_pairs(MarketParameters())
QUESTION = (OBSERVE, WINDOW, MATURITY, BAD)


@dataclass(frozen=True)
class Study:
    """A market, the sellers that had joined at the observation and sell in the window, and what became of them."""

    market: Market
    sellers: Flags
    outcome: Flags
    posterior: Floats
    hazard: Floats


@pytest.fixture(scope="module")
def study() -> Study:
    """Enough sellers for a tenth of them to say something about a probability of one in a hundred."""
    market = simulate(12_000, DAYS, START, seed=11)
    joined = market.identity["join_day"].to_numpy() < OBSERVE
    sellers = joined & (window_orders(market, OBSERVE, WINDOW) > 0)
    return Study(
        market,
        sellers,
        recorded_outcome(market, *QUESTION)[sellers],
        attainable_probability(market, *QUESTION)[sellers],
        hazard_probability(market, *QUESTION)[sellers],
    )


def auc(outcome: np.ndarray, score: Floats) -> float:
    """The chance that a bad seller scores higher than a good one; ties count half."""
    bad, good = score[outcome], np.sort(score[~outcome])
    below, up_to = np.searchsorted(good, bad), np.searchsorted(good, bad, side="right")
    return float((below + up_to).sum() / (2 * len(bad) * len(good)))


def one_class(parameters: MarketParameters, shape: float, mean: float) -> MarketParameters:
    only = dataclasses.replace(
        parameters.classes[0],
        share_veteran=1.0,
        share_newcomer=1.0,
        hazard_shape=shape,
        hazard_mean=mean,
        spree_multiplier=1.0,
    )
    return dataclasses.replace(parameters, classes=(only,))


def test_the_posterior_without_classes_and_sprees_is_the_negative_binomial() -> None:
    parameters = one_class(MarketParameters(), shape=1.0, mean=2.0)
    evidence = MarketEvidence(
        log_prior=np.zeros((1, 1)),
        reported_mass=np.array([[[0.25], [0.75], [0.0]]]),
        window_mass=np.array([[[0.0], [0.2], [0.3]]]),
        false_mass=np.zeros(1),
        allegations=Allegations(
            np.array([0, 1, 1]), np.zeros(3, dtype=np.int64), np.ones((3, 1)), np.zeros(3), np.arange(3)
        ),
        observe_month=1,
    )

    assert posterior_probability(evidence, parameters) == pytest.approx([0.683594], abs=1e-6)


def enumerated(evidence: MarketEvidence, parameters: MarketParameters, seller: int) -> float:
    """P(bad) by summing over class and every path of regimes; the hazard integrates to a Gamma function."""
    months = evidence.window_mass.shape[1]
    mine = evidence.allegations.seller == seller
    when, weights = evidence.allegations.month[mine], evidence.allegations.true_weight[mine]
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


def test_the_posterior_equals_the_sum_over_all_paths_of_regimes() -> None:
    rng, parameters = np.random.default_rng(8), MarketParameters()
    counts = np.array([0, 1, 4, 60, 0, 400])
    thousands = np.array([0.01, 0.02, 0.5, 3.0, 40.0, 150.0])
    seller, k = np.repeat(np.arange(6), counts), int(counts.sum())
    month = rng.integers(0, 4, k)
    order = np.lexsort((seller, month))
    shape = (6, 7, 3)
    mass = rng.random(shape) * thousands[:, None, None]
    future = np.arange(7)[:, None] >= 3
    evidence = MarketEvidence(
        log_prior=np.log(rng.dirichlet(np.ones(3), 6)),
        reported_mass=np.where(np.arange(7)[:, None] <= 3, mass, 0.0),
        window_mass=np.where(future, 0.02 * rng.random(shape), 0.0),
        false_mass=np.zeros(6),
        allegations=Allegations(
            month[order], seller[order], np.exp(0.3 * rng.standard_normal((k, 3))), np.zeros(k), np.arange(k)
        ),
        observe_month=3,
    )

    expected = [enumerated(evidence, parameters, s) for s in range(6)]
    assert posterior_probability(evidence, parameters) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def deviation(outcome: np.ndarray, probability: Floats) -> float:
    """Observed minus predicted number of bad sellers, in standard deviations."""
    return float((outcome.sum() - probability.sum()) / np.sqrt((probability * (1 - probability)).sum()))


def calibrated(outcome: Flags, probability: Floats) -> None:
    """Asserts that predicted and observed agree in all, in every tenth by prediction, and in slope."""
    assert abs(deviation(outcome, probability)) < 2.5
    tenths = np.array_split(np.argsort(probability, kind="stable"), 10)
    assert max(abs(deviation(outcome[tenth], probability[tenth])) for tenth in tenths) < 3.0
    certain = np.clip(probability, 1e-12, 1.0 - 1e-12)
    log_odds = np.log(certain / (1.0 - certain))
    spread = math.sqrt(float((log_odds**2 * probability * (1.0 - probability)).sum()))
    assert abs(float((log_odds * (outcome - probability)).sum()) / spread) < 2.5, "too bold or too timid"


def test_the_posterior_is_calibrated_in_every_tenth_of_the_sellers(study: Study) -> None:
    assert 0.03 < study.outcome.mean() < 0.10
    calibrated(study.outcome, study.posterior)


@pytest.mark.long
def test_the_posterior_stays_calibrated_for_one_who_knows_the_notifiers(study: Study) -> None:
    known = attainable_probability(study.market, *QUESTION, notifier_known=True)[study.sellers]

    calibrated(study.outcome, known)
    assert not np.array_equal(known, study.posterior)


def test_the_posterior_ranks_below_the_true_hazard_and_above_what_a_rule_can(study: Study) -> None:
    reported = study.market.violations.filter(pl.col("report_day") < OBSERVE)
    count = np.bincount(reported["seller"].to_numpy(), minlength=study.market.sellers)[study.sellers]
    orders = window_orders(study.market, OBSERVE, WINDOW)[study.sellers]
    posterior = auc(study.outcome, study.posterior)

    assert auc(study.outcome, study.hazard) - 0.08 < posterior < auc(study.outcome, study.hazard) - 0.005
    assert posterior > auc(study.outcome, count.astype(np.float64)) + 0.02
    assert posterior > auc(study.outcome, orders.astype(np.float64)) + 0.05


@pytest.mark.long
def test_what_is_overturned_after_the_label_was_read_is_taken_back_and_foreseen(study: Study) -> None:
    known_day = OBSERVE + WINDOW + MATURITY + 300
    outcome = recorded_outcome(study.market, *QUESTION, known_day)[study.sellers]

    assert (outcome <= study.outcome).all()
    assert outcome.sum() < study.outcome.sum()
    calibrated(outcome, attainable_probability(study.market, *QUESTION, known_day=known_day)[study.sellers])
    hazard = hazard_probability(study.market, *QUESTION, known_day=known_day)[study.sellers]
    assert abs(deviation(outcome, hazard)) < 2.5
    assert abs(deviation(study.outcome, study.hazard)) < 2.5


@pytest.mark.long
def test_the_posterior_knows_nothing_of_the_future_but_the_exposure_of_the_window() -> None:
    market = simulate(1_000, DAYS, START, seed=21)
    late = market.violations["report_day"].to_numpy() >= OBSERVE
    position = np.cumsum(~late) - 1
    decisions = market.decisions.filter(pl.Series(~late[market.decisions["violation"].to_numpy()]))
    kept = position[decisions["violation"].to_numpy()]
    future = pl.col("day") >= OBSERVE
    blind = dataclasses.replace(
        market,
        violations=market.violations.filter(pl.Series(~late)),
        decisions=decisions.with_columns(violation=pl.Series(kept)).filter(~future),
        exposure=market.exposure.with_columns(
            pl.when(future).then(0).otherwise(pl.col(kind)).alias(kind)
            for kind in ("late", "cancelled", "not_received", "returned")
        ),
        truth=market.truth.with_columns(seller_class=pl.lit(0), hazard_per_1000=pl.lit(0.0)),
    )
    seeing = attainable_probability(market, *QUESTION)

    assert np.array_equal(attainable_probability(blind, *QUESTION), seeing)


@pytest.mark.long
def test_echoes_change_neither_the_outcome_nor_the_posterior() -> None:
    market = simulate(2_000, DAYS, START, seed=7)
    echo = market.violations["echo"].to_numpy()
    position = np.cumsum(~echo) - 1
    decisions = market.decisions.filter(pl.Series(~echo[market.decisions["violation"].to_numpy()]))
    kept = pl.Series(position[decisions["violation"].to_numpy()])
    plain = dataclasses.replace(
        market,
        violations=market.violations.filter(pl.Series(~echo)),
        decisions=decisions.with_columns(violation=kept),
    )
    question = (OBSERVE, WINDOW, 10, BAD)

    assert np.array_equal(recorded_outcome(plain, *question), recorded_outcome(market, *question))
    assert np.array_equal(attainable_probability(plain, *question), attainable_probability(market, *question))


def test_a_question_that_cannot_be_answered_exactly_is_refused() -> None:
    market = simulate(10, 100, START, seed=1)

    with pytest.raises(ValueError, match="lie within the market"):
        recorded_outcome(market, 50, 51, 0, BAD)
    with pytest.raises(ValueError, match="not a violation type"):
        attainable_probability(market, 50, 50, 0, [("counterfeit", "high")])
    with pytest.raises(ValueError, match="customs_seizure and its echo counterfeit_goods"):
        attainable_probability(market, 50, 50, 0, [("counterfeit_goods", "high")])
    with pytest.raises(ValueError, match="neither may precede"):
        attainable_probability(market, 50, 50, 10, BAD, known_day=80)
    with pytest.raises(ValueError, match="at least one"):
        simulate(0, 100, START, seed=1)
    honest = dataclasses.replace(MarketParameters().classes[0], types=(0.5,) * 13)
    with pytest.raises(ValueError, match="types of class honest add up"):
        MarketParameters(classes=(honest, *MarketParameters().classes[1:]))

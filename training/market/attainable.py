"""The best that any scorer can do in the simulated market: the exact posterior of a bad performance window.

The latent state of a seller is (class, hazard, regime of each month). Given class and hazard, the regimes are
a two-state Markov chain, and violations are Poisson: those reported by the observation form a thinned Poisson
process (Poisson thinning), so a forward pass over the months gives the likelihood exactly, and its
continuation through the window gives the probability of no bad violation. The hazard is integrated
numerically over its logarithm, on a grid that closes in on each seller's posterior; class is summed. Forward
algorithm: Rabiner 1989, Proceedings of the IEEE 77(2); thinning: Kingman 1993, Poisson Processes, section
5.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from training.market.evidence import Allegations, MarketEvidence, gather, pose
from training.market.parameters import HARMS, MarketParameters
from training.market.records import Market
from training.market.tables import Floats

# Grid points of the hazard in each closing-in; the trapezoid rule on a smooth peak errs below 1e-6 with steps
# of one standard deviation, which 64 points over the last interval keep up to some thousand violations of one
# seller.
COARSE_POINTS, FINE_POINTS, CLOSING_IN = 48, 64, 2
# Grid points whose log weight lies this far below the best carry less than 1e-10 of the posterior.
NEGLIGIBLE_LOG = 25.0
# Sellers at a time: the working arrays of [sellers, classes, points] then fit into a processor's cache.
SELLERS_AT_ONCE = 250


def serious_pairs(parameters: MarketParameters, harms: Iterable[str] = HARMS[2:]) -> frozenset[tuple[str, str]]:
    """Return each violation type paired with each of `harms`, by default high and extreme.

    The usual definition of bad. All pairs (type, harm), whether or not they can occur.
    """
    return frozenset((t.name, harm) for t in parameters.types for harm in harms)


def attainable_probability(
    market: Market,
    observe_day: int,
    window_days: int,
    maturity_days: int,
    bad: Iterable[tuple[str, str]],
    *,
    known_day: int | None = None,
    notifier_known: bool = False,
) -> Floats:
    """Return P(bad by the record in the window | the record at observation): float64 [sellers].

    Day `observe_day` is the first not yet known; the window is [observe_day, observe_day + window_days). The event is
    that of `recorded_outcome`: a (type, harm) of `bad` occurred in the window, was confirmed less than `maturity_days`
    after it, and not overturned before `known_day`. The seller's exposure in the window is given. With `notifier_known`,
    who acts in bad faith is known too: a bound for scorers that learn notifiers across sellers; without it, for scorers
    that see one seller's record alone. Raises ValueError for a window outside the market, an unknown name in `bad`, or an
    echo that is bad where its primary is not.

    Worked number: one class with shape 1 and mean 2 (rate 0.5), no sprees, no bad faith, 3 violations on a reported mass
    of 1 and a window mass of 0.5 give 1 - ((0.5 + 1) / (0.5 + 1 + 0.5))^(1 + 3) = 0.683594.
    """
    question = pose(market, observe_day, window_days, maturity_days, bad, known_day)
    parts = [
        posterior_probability(
            gather(market.cut(first, first + SELLERS_AT_ONCE), question, notifier_known), market.parameters
        )
        for first in range(0, market.sellers, SELLERS_AT_ONCE)
    ]
    return np.concatenate(parts)


def hazard_probability(
    market: Market,
    observe_day: int,
    window_days: int,
    maturity_days: int,
    bad: Iterable[tuple[str, str]],
    *,
    known_day: int | None = None,
) -> Floats:
    """Return P(bad in the window) of each seller for one who knows class, hazard and regimes.

    Float64 [sellers]; event and parameters are those of `attainable_probability`, regimes those of past and future. No
    scorer can know these; the gap between the two probabilities is what the record does not show.
    """
    question = pose(market, observe_day, window_days, maturity_days, bad, known_day)
    parts = []
    for first in range(0, market.sellers, SELLERS_AT_ONCE):
        part = market.cut(first, first + SELLERS_AT_ONCE)
        evidence = gather(part, question, notifier_known=True)
        seller_class = part.truth["seller_class"].to_numpy()
        spree = np.stack(part.truth["spree"].to_list())
        multiplier = np.array([[1.0, c.spree_multiplier] for c in market.parameters.classes])
        regime = multiplier[seller_class[:, None], spree]
        mass = evidence.window_mass[np.arange(part.sellers), :, seller_class]
        expected = part.truth["hazard_per_1000"].to_numpy() * (regime * mass).sum(axis=1) + evidence.false_mass
        parts.append(-np.expm1(-expected))
    return np.concatenate(parts)


def posterior_probability(evidence: MarketEvidence, parameters: MarketParameters) -> Floats:
    """Return P(bad in the window | evidence) of each seller: float64 [n].

    By numerical integration over the hazard; see `attainable_probability` for the worked number.
    """
    low, high = _hazard_range(evidence, parameters)
    for _ in range(CLOSING_IN):
        log_hazard = _grid(low, high, COARSE_POINTS)
        likelihood, _ = _forward(log_hazard, evidence, parameters)
        low, high = _close_in(log_hazard, likelihood + _log_hazard_density(log_hazard, parameters))
    log_hazard = _grid(low, high, FINE_POINTS)
    likelihood, spree = _forward(log_hazard, evidence, parameters)
    # The trapezoid rule but for the ends, where the integrand is negligible: each class has its own step.
    step = (log_hazard[..., 1] - log_hazard[..., 0])[..., None]
    log_weight = likelihood + _log_hazard_density(log_hazard, parameters) + np.log(step) + evidence.log_prior[..., None]
    weight = np.exp(log_weight - log_weight.max(axis=(1, 2), keepdims=True))
    clean = _clean_probability(np.exp(log_hazard), spree, evidence, parameters)
    none = (weight * clean).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
    return np.asarray(1.0 - none * np.exp(-evidence.false_mass))


def _grid(low: Floats, high: Floats, points: int) -> Floats:
    """Return `points` evenly spaced values from `low` to `high` [n, C]: float64 [n, C, points]."""
    return np.asarray(low[..., None] + (high - low)[..., None] * (np.arange(points) / (points - 1)))


def _hazard_range(evidence: MarketEvidence, parameters: MarketParameters) -> tuple[Floats, Floats]:
    """Return the logarithms of the hazards between which the whole posterior lies.

    Two of shape [n, C].
    """
    shape = np.array([c.hazard_shape for c in parameters.classes])
    rate = shape / np.array([c.hazard_mean for c in parameters.classes])
    spree = np.array([max(c.spree_multiplier, 1.0) for c in parameters.classes])
    mass = evidence.reported_mass.sum(axis=1)
    count = np.bincount(evidence.allegations.seller, minlength=len(mass))[:, None]
    # Below the peak the density in the logarithm falls like hazard^shape, above it like exp(-rate x hazard).
    return np.log(shape / (rate + spree * mass)) - NEGLIGIBLE_LOG / shape, np.log((shape + count + 60.0) / rate)


def _close_in(log_hazard: Floats, log_weight: Floats) -> tuple[Floats, Floats]:
    """Return the interval of the points that matter, one point wider at either side.

    Two of shape [n, C]. One point wider, because a peak narrower than the step lies between the best point and a
    neighbour.
    """
    last = log_hazard.shape[2] - 1
    matters = log_weight > log_weight.max(axis=2, keepdims=True) - NEGLIGIBLE_LOG
    first = np.maximum(matters.argmax(axis=2) - 1, 0)
    final = np.minimum(last - matters[..., ::-1].argmax(axis=2) + 1, last)
    return (
        np.take_along_axis(log_hazard, first[..., None], axis=2)[..., 0],
        np.take_along_axis(log_hazard, final[..., None], axis=2)[..., 0],
    )


def _log_hazard_density(log_hazard: Floats, parameters: MarketParameters) -> Floats:
    """Return the log density of the logarithm of a Gamma hazard in each class.

    float64 [n, C, points].
    """
    shape = np.array([c.hazard_shape for c in parameters.classes])
    rate = shape / np.array([c.hazard_mean for c in parameters.classes])
    constant = shape * np.log(rate) - np.array([math.lgamma(s) for s in shape])
    return np.asarray(shape[:, None] * log_hazard - rate[:, None] * np.exp(log_hazard) + constant[:, None])


def _chain(parameters: MarketParameters) -> tuple[Floats, Floats, Floats, Floats]:
    """Return four numbers of the chain of sprees by class, each [C, 1].

    P(a spree starts), P(it ends), P(spree) in the long run, its multiplier.
    """
    starts = np.array([[c.spree_start] for c in parameters.classes])
    ends = np.array([[c.spree_end] for c in parameters.classes])
    multiplier = np.array([[c.spree_multiplier] for c in parameters.classes])
    return starts, ends, starts / (starts + ends), multiplier


def _forward(log_hazard: Floats, evidence: MarketEvidence, parameters: MarketParameters) -> tuple[Floats, Floats]:
    """Return the log likelihood of the record and P(spree in the observation month | record).

    Both [n, C, points].
    """
    starts, ends, stationary, multiplier = _chain(parameters)
    hazard = np.exp(log_hazard)
    spree = np.broadcast_to(stationary, hazard.shape)
    total = np.zeros_like(hazard)
    for month in range(evidence.observe_month + 1):
        if month:
            spree = spree * (1.0 - ends) + (1.0 - spree) * starts
        quiet = hazard * evidence.reported_mass[:, month, :, None]
        calm_log, spree_log = -quiet, -quiet * multiplier
        _add_allegations(calm_log, spree_log, hazard, multiplier, allegations=evidence.allegations, month=month)
        # Of the two likelihoods the larger is taken out, so that neither sum nor posterior can vanish.
        best = np.maximum(calm_log, spree_log)
        in_spree = spree * np.exp(spree_log - best)
        either = in_spree + (1.0 - spree) * np.exp(calm_log - best)
        total += best + np.log(either)
        spree = in_spree / either
    return total, spree


def _add_allegations(
    calm_log: Floats,
    spree_log: Floats,
    hazard: Floats,
    multiplier: Floats,
    *,
    allegations: Allegations,
    month: int,
) -> None:
    """Add each allegation of `month` to the two log likelihoods [n, C, points], in place."""
    first, stop = np.searchsorted(allegations.month, [month, month + 1])
    if first == stop:
        return
    seller = allegations.seller[first:stop]
    true_rate = hazard[seller] * allegations.true_weight[first:stop, :, None]
    false_rate = allegations.false_weight[first:stop, None, None]
    starts = np.nonzero(np.concatenate([[True], seller[1:] != seller[:-1]]))[0]
    calm_log[seller[starts]] += np.add.reduceat(np.log(true_rate + false_rate), starts, axis=0)
    spree_log[seller[starts]] += np.add.reduceat(np.log(true_rate * multiplier + false_rate), starts, axis=0)


def _clean_probability(hazard: Floats, spree: Floats, evidence: MarketEvidence, parameters: MarketParameters) -> Floats:
    """Return P(no true bad violation in the window | class, hazard, record).

    float64 [n, C, points]. `spree` is P(spree) in the month of observation, whose remaining days share its state.
    """
    starts, ends, _, multiplier = _chain(parameters)
    calm_clean, spree_clean = 1.0 - spree, spree
    for month in range(evidence.observe_month, evidence.window_mass.shape[1]):
        if month > evidence.observe_month:
            calm_clean, spree_clean = (
                calm_clean * (1.0 - starts) + spree_clean * ends,
                spree_clean * (1.0 - ends) + calm_clean * starts,
            )
        expected = hazard * evidence.window_mass[:, month, :, None]
        calm_clean = calm_clean * np.exp(-expected)
        spree_clean = spree_clean * np.exp(-expected * multiplier)
    return calm_clean + spree_clean

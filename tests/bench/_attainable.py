"""The best possible scorer of the simulated market: the exact posterior of a bad performance window.

Given class and hazard, a seller's monthly regimes are a two-state Markov chain, and its reported violations a thinned
Poisson process (Kingman 1993, section 5.1). A forward pass (Rabiner 1989) gives the exact likelihood. The hazard is
integrated numerically over its logarithm; class is summed. Only entries dated before the observation, and the seller's
own exposure in the window, enter.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from training.market.parameters import HARMS, DelayDays, MarketParameters
from training.market.records import CONFIRM, DISMISS, OVERTURN, WITHDRAW, Market
from training.market.tables import (
    Calendar,
    Flags,
    Floats,
    Ints,
    Tables,
    build_calendar,
    build_tables,
)

COARSE_POINTS, FINE_POINTS, CLOSING_IN = 48, 64, 2
"""Grid points of the hazard in each narrowing.

The trapezoid rule on a smooth peak errs below 1e-6 with steps of one standard deviation.
"""
NEGLIGIBLE_LOG = 25.0
"""Log weight below the best at which grid points carry less than 1e-10 of the posterior."""
SELLERS_AT_ONCE = 250
SERIOUS = slice(HARMS.index("high"), None)


@dataclass(frozen=True)
class Evidence:
    """The facts about n sellers in C classes over M months."""

    log_prior: Floats
    """Logarithm of each class's prior probability: [n, C]."""
    reported_mass: Floats
    """Thousands of season-weighted orders before the observation: [n, M, C].

    Each times the probability that a violation on it would have been reported by then.
    """
    window_mass: Floats
    """Thousands of season-weighted orders in the window: [n, M, C].

    Each times the probability that a violation on it is bad, reported and confirmed when the label is read.
    """
    false_mass: Floats
    """Expected complaints in bad faith that the label takes for bad: [n]."""
    observe_month: int
    month: Ints
    """Each allegation's month, 0 for the month of the start: [k]. Sorted by month and seller."""
    seller: Ints
    true_weight: Floats
    """By class: [k, C]; the intensity is hazard x regime x true_weight + false_weight."""
    false_weight: Floats


def attainable_probability(market: Market, observe_day: int, window_days: int, maturity_days: int) -> Floats:
    """Return P(bad by the record in the window | the record at observation): float64 [sellers].

    The window is [observe_day, observe_day + window_days). Bad: a violation of high or extreme harm occurred in the
    window, was confirmed less than `maturity_days` after it, and was not overturned by then.

    Worked number: one class with shape 1 and mean 2 (rate 0.5), and neither sprees nor bad faith. Then 3 violations on
    a reported mass of 1 and a window mass of 0.5 give 1 - ((0.5 + 1) / (0.5 + 1 + 0.5))^(1 + 3) = 0.683594.
    """
    parts = [
        posterior_probability(
            gather(cut_market(market, first), observe_day, window_days, maturity_days),
            market.parameters,
        )
        for first in range(0, market.sellers, SELLERS_AT_ONCE)
    ]
    return np.concatenate(parts)


def cut_market(market: Market, first: int) -> Market:
    """Return the market of at most SELLERS_AT_ONCE sellers from `first` on, numbered from 0."""
    mine = pl.col("seller").is_between(first, first + SELLERS_AT_ONCE, closed="left")
    rows = market.violations.select(mine).to_series()
    before, count = int(rows.arg_max() or 0), int(rows.sum())
    kept = pl.col("violation").is_between(before, before + count, closed="left")
    frames = {
        name: getattr(market, name).filter(mine).with_columns(pl.col("seller") - first)
        for name in ("identity", "truth", "exposure", "violations")
    }
    return replace(market, decisions=market.decisions.filter(kept).with_columns(pl.col("violation") - before), **frames)


def status_at(market: Market, day: int) -> Ints:
    """Return the last action on each violation decided before `day`, or -1: indices into ACTIONS, shape [k].

    A final violation with a verified identifier is CONFIRM without a decision. A violation reported after `day` also
    has a status.
    """
    violations = market.violations
    arrived = violations["final"].to_numpy() & violations["identifier_verified"].to_numpy()
    status = np.where(arrived, CONFIRM, -1).astype(np.int64)
    known = market.decisions.filter(pl.col("day") < day)
    status[known["violation"].to_numpy()] = known["action"].to_numpy()
    return status


def gather(market: Market, observe_day: int, window_days: int, maturity_days: int) -> Evidence:
    tables = build_tables(market.parameters)
    calendar = build_calendar(market.start, market.days, market.parameters)
    length = window_days + maturity_days
    e = market.exposure
    seller, day = e["seller"].to_numpy(), e["day"].to_numpy()
    thousands = e["settled_orders"].to_numpy() / 1000.0
    mass = thousands * calendar.hazard_season[day]
    past, inside = day < observe_day, (day >= observe_day) & (day < observe_day + window_days)
    shape = (market.sellers, calendar.months, len(market.parameters.classes))
    reported_mass, window_mass, false_mass = np.zeros(shape), np.zeros(shape), np.zeros(market.sellers)
    reported = _reported_share(market.parameters, tables, observe_day)
    at = seller[past], calendar.month[day[past]]
    np.add.at(reported_mass, at, mass[past, None] * reported[observe_day - 1 - day[past]])
    ages = observe_day + length - 1 - day[inside]
    true_bad, false_bad = _bad_shares(market.parameters, tables, length)
    np.add.at(window_mass, (seller[inside], calendar.month[day[inside]]), mass[inside, None] * true_bad[ages])
    bad = market.parameters.bad_faith
    false_rate = bad.per_thousand_orders * thousands[inside] + bad.per_active_day
    np.add.at(false_mass, seller[inside], false_rate * false_bad[ages])
    return Evidence(
        _log_prior(market, seller[past], past, observe_day),
        *(reported_mass, window_mass, false_mass, int(calendar.month[observe_day])),
        *_allegations(market, tables, calendar, observe_day),
    )


def _reported_share(parameters: MarketParameters, tables: Tables, length: int) -> Floats:
    by_source = np.stack([np.cumsum(delay_probabilities(s.report, length)) for s in parameters.sources])
    return np.asarray((tables.type_share @ tables.source_share @ by_source).T)


def _bad_shares(parameters: MarketParameters, tables: Tables, length: int) -> tuple[Floats, Floats]:
    faith = parameters.bad_faith
    overturned = np.cumsum(np.concatenate([[0.0], delay_probabilities(faith.appeal, length)]))[:length]
    true, false = [], []
    for source in parameters.sources:
        report = delay_probabilities(source.report, length)
        decided = np.convolve(report, delay_probabilities(source.decision, length))[:length]
        arrives = source.final_share * source.verified_share
        true.append(np.cumsum(arrives * report + (1.0 - arrives) * parameters.true_confirmed_share * decided))
        taken_back = faith.overturned_share * np.convolve(decided, overturned)[:length]
        false.append(faith.confirmed_share * (np.cumsum(decided) - taken_back))
    bad_type = tables.type_share * tables.harm_share[..., SERIOUS].sum(axis=2)
    false_bad_type = tables.false_type * tables.false_harm[SERIOUS].sum()
    return (bad_type @ tables.source_share @ np.stack(true)).T, false_bad_type @ tables.false_source @ np.stack(false)


def _log_prior(market: Market, past_seller: Ints, past: Flags, observe_day: int) -> Floats:
    classes = market.parameters.classes
    joined = market.identity["join_day"].to_numpy()
    prior = np.log([[c.share_newcomer for c in classes], [c.share_veteran for c in classes]])
    levels = np.log([c.levels for c in classes]).T
    level = np.where((joined < observe_day)[:, None], levels[market.identity["level"].to_numpy()], 0.0)
    total = prior[(joined < 0).astype(np.int64)] + level

    def sum_by_seller(column: str) -> Ints:
        found = np.zeros(market.sellers, dtype=np.int64)
        np.add.at(found, past_seller, market.exposure[column].to_numpy()[past])
        return found

    left = sum_by_seller("settled_orders")
    for kind in ("cancelled", "not_received", "late", "returned"):
        failed = sum_by_seller(kind)
        rates = [getattr(c, kind) for c in classes]
        total += np.stack([beta_binomial_log(failed, left, rate.mean, rate.concentration) for rate in rates], axis=1)
        left = left - failed
    return total


def beta_binomial_log(failed: Ints, orders: Ints, mean: float, concentration: float) -> Floats:
    """Return the log-probability of each seller's sequence of service failures: float64 [n].

    The log of B(a + failed, b + orders - failed) / B(a, b), with a = mean x concentration, b the rest of the
    concentration. For 1 failure in 2 orders at mean 0.5 and concentration 2: B(2, 2) / B(1, 1) = 1/6, log -1.791759.
    """
    a, b = mean * concentration, (1.0 - mean) * concentration
    constant = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    counts, place = np.unique(np.stack([failed, orders]), axis=1, return_inverse=True)
    logs = [
        math.lgamma(a + k) + math.lgamma(b + t - k) - math.lgamma(a + b + t) + constant for k, t in counts.T.tolist()
    ]
    return np.array(logs)[place]


def _allegations(
    market: Market, tables: Tables, calendar: Calendar, observe_day: int
) -> tuple[Ints, Ints, Floats, Floats]:
    """Return month, seller and both weights of the informative allegations: no echo, possibly true."""
    v, p = market.violations, market.parameters
    status = status_at(market, observe_day)
    keep = (v["report_day"].to_numpy() < observe_day) & ~v["echo"].to_numpy()
    keep &= (status != WITHDRAW) & (status != OVERTURN)
    seller, day, types, harm, source = (
        v[name].to_numpy()[keep] for name in ("seller", "occur_day", "type", "harm", "source")
    )
    status, month = status[keep], calendar.month[day]
    is_decided = [status == CONFIRM, status == DISMISS]
    true_fate = np.select(is_decided, [p.true_confirmed_share, 1.0 - p.true_confirmed_share], 1.0)
    true_weight = (tables.type_share[:, types] * tables.harm_share[:, types, harm]).T * (
        tables.source_share[types, source] * true_fate
    )[:, None]
    e = market.exposure
    key = (e["seller"].to_numpy()) * market.days + e["day"].to_numpy()
    thousands = e["settled_orders"].to_numpy()[np.searchsorted(key, seller * market.days + day)] / 1000.0
    rate = p.bad_faith.per_thousand_orders * thousands + p.bad_faith.per_active_day
    standing = _standing_in_bad_faith(market, observe_day, keep)
    false_fate = np.select(is_decided, [standing, np.float64(p.bad_faith.dismissed_share)], 1.0)
    false_weight = rate / (thousands * calendar.hazard_season[day]) * false_fate
    false_weight *= tables.false_type[types] * tables.false_harm[harm] * tables.false_source[types, source]
    order = np.lexsort((seller, month))
    return month[order], seller[order], true_weight[order], false_weight[order]


def _standing_in_bad_faith(market: Market, observe_day: int, keep: Flags) -> Floats:
    """Return P(confirmed, and not overturned by the observation | bad faith, the day of the decision): float64 [k]."""
    bad = market.parameters.bad_faith
    first = np.full(market.violations.height, observe_day, dtype=np.int64)
    decided = market.decisions.filter((pl.col("action") == CONFIRM) & (pl.col("day") < observe_day))
    first[decided["violation"].to_numpy()] = decided["day"].to_numpy()
    overturned = np.cumsum(np.concatenate([[0.0], delay_probabilities(bad.appeal, observe_day)]))
    age = np.maximum(observe_day - 1 - first[keep], 0)
    return np.asarray(bad.confirmed_share * (1.0 - bad.overturned_share * overturned[age]))


def posterior_probability(evidence: Evidence, parameters: MarketParameters) -> Floats:
    """Return P(bad in the window | evidence) of each seller: float64 [n], by numerical integration over the hazard."""
    low, high = _hazard_range(evidence, parameters)
    for _ in range(CLOSING_IN):
        log_hazard = _grid(low, high, COARSE_POINTS)
        likelihood, _ = _forward(log_hazard, evidence, parameters)
        low, high = _close_in(log_hazard, likelihood + _log_hazard_density(log_hazard, parameters))
    log_hazard = _grid(low, high, FINE_POINTS)
    likelihood, spree = _forward(log_hazard, evidence, parameters)
    step = (log_hazard[..., 1] - log_hazard[..., 0])[..., None]
    log_weight = likelihood + _log_hazard_density(log_hazard, parameters) + np.log(step) + evidence.log_prior[..., None]
    weight = np.exp(log_weight - log_weight.max(axis=(1, 2), keepdims=True))
    clean = _clean_probability(np.exp(log_hazard), spree, evidence, parameters)
    none = (weight * clean).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
    return np.asarray(1.0 - none * np.exp(-evidence.false_mass))


def _grid(low: Floats, high: Floats, points: int) -> Floats:
    return np.asarray(low[..., None] + (high - low)[..., None] * (np.arange(points) / (points - 1)))


def _gamma(parameters: MarketParameters) -> tuple[Floats, Floats]:
    shape = np.array([c.hazard_shape for c in parameters.classes])
    return shape, shape / np.array([c.hazard_mean for c in parameters.classes])


def _hazard_range(evidence: Evidence, parameters: MarketParameters) -> tuple[Floats, Floats]:
    shape, rate = _gamma(parameters)
    spree = np.array([max(c.spree_multiplier, 1.0) for c in parameters.classes])
    mass = evidence.reported_mass.sum(axis=1)
    count = np.bincount(evidence.seller, minlength=len(mass))[:, None]
    # Below the peak the density in the logarithm falls like hazard^shape, above it like exp(-rate x hazard).
    return np.log(shape / (rate + spree * mass)) - NEGLIGIBLE_LOG / shape, np.log((shape + count + 60.0) / rate)


def _close_in(log_hazard: Floats, log_weight: Floats) -> tuple[Floats, Floats]:
    last = log_hazard.shape[2] - 1
    matters = log_weight > log_weight.max(axis=2, keepdims=True) - NEGLIGIBLE_LOG
    ends = (
        np.maximum(matters.argmax(axis=2) - 1, 0),
        np.minimum(last - matters[..., ::-1].argmax(axis=2) + 1, last),
    )
    first, final = (np.take_along_axis(log_hazard, end[..., None], axis=2)[..., 0] for end in ends)
    return first, final


def _log_hazard_density(log_hazard: Floats, parameters: MarketParameters) -> Floats:
    shape, rate = _gamma(parameters)
    constant = shape * np.log(rate) - np.array([math.lgamma(s) for s in shape])
    return np.asarray(shape[:, None] * log_hazard - rate[:, None] * np.exp(log_hazard) + constant[:, None])


def _chain(parameters: MarketParameters) -> tuple[Floats, Floats, Floats]:
    names = ("spree_start", "spree_end", "spree_multiplier")
    starts, ends, multiplier = (np.array([[getattr(c, name)] for c in parameters.classes]) for name in names)
    return starts, ends, multiplier


def _forward(log_hazard: Floats, evidence: Evidence, parameters: MarketParameters) -> tuple[Floats, Floats]:
    starts, ends, multiplier = _chain(parameters)
    hazard = np.exp(log_hazard)
    spree = np.broadcast_to(starts / (starts + ends), hazard.shape)
    total = np.zeros_like(hazard)
    for month in range(evidence.observe_month + 1):
        if month:
            spree = spree * (1.0 - ends) + (1.0 - spree) * starts
        quiet = hazard * evidence.reported_mass[:, month, :, None]
        calm_log, spree_log = -quiet, -quiet * multiplier
        first, stop = np.searchsorted(evidence.month, [month, month + 1])
        if first < stop:
            seller = evidence.seller[first:stop]
            true_rate = hazard[seller] * evidence.true_weight[first:stop, :, None]
            false_rate = evidence.false_weight[first:stop, None, None]
            begins = np.nonzero(np.concatenate([[True], seller[1:] != seller[:-1]]))[0]
            calm_log[seller[begins]] += np.add.reduceat(np.log(true_rate + false_rate), begins, axis=0)
            spree_log[seller[begins]] += np.add.reduceat(np.log(true_rate * multiplier + false_rate), begins, axis=0)
        best = np.maximum(calm_log, spree_log)
        in_spree = spree * np.exp(spree_log - best)
        either = in_spree + (1.0 - spree) * np.exp(calm_log - best)
        total += best + np.log(either)
        spree = in_spree / either
    return total, spree


def _clean_probability(hazard: Floats, spree: Floats, evidence: Evidence, parameters: MarketParameters) -> Floats:
    """Return P(no true bad violation in the window | class, hazard, record): float64 [n, C, points]."""
    starts, ends, multiplier = _chain(parameters)
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


def delay_probabilities(delay: DelayDays, length: int) -> Floats:
    """Return P(delay = k days) for k in [0, length): float64, summing to P(delay < length).

    P(k) = N((ln(k+1) - ln median) / sigma) - N((ln k - ln median) / sigma), N the normal distribution function. For a
    median of 9 days and sigma 0.8: P(0) = N(-2.746531) = 0.003012.
    """
    edges = [0.0] + [
        0.5 * math.erfc(-(math.log(k / delay.median_days)) / (delay.sigma * math.sqrt(2.0)))
        for k in range(1, length + 1)
    ]
    return np.diff(np.array(edges))

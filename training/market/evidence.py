"""What the record holds of each seller at an observation, and what its window holds, as arrays.

Only recorded facts enter: entries whose day lies before the observation. Of the window, only the seller's own
exposure enters. Truth enters `recorded_outcome` (what is to be predicted) and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from training.market.parameters import BetaRate
from training.market.records import CONFIRM, DISMISS, OVERTURN, WITHDRAW, Market
from training.market.tables import (
    Calendar,
    Flags,
    Floats,
    Ints,
    Tables,
    bad_table,
    build_calendar,
    build_tables,
    convolve,
    delay_probabilities,
)

OPEN = -1
"""The status of a violation without a decision."""


@dataclass(frozen=True)
class Allegations:
    """Allegations on the record [k], by month and seller.

    The intensity of such an allegation with such a status is hazard x regime x true_weight + false_weight, up
    to a factor that neither class, hazard nor regime changes (the densities of the delays: a source's delays
    are the same for complaints made in bad faith).
    """

    month: Ints
    """The month in which it occurred, 0 for that of the start."""
    seller: Ints
    """The position of its seller in the market."""
    true_weight: Floats
    """Its weight if it is true, by class: [k, C]."""
    false_weight: Floats
    """Its weight if it was made in bad faith: [k]."""
    row: Ints
    """Its row in the market's violations."""


@dataclass(frozen=True)
class MarketEvidence:
    """The facts about n sellers in C classes over M months."""

    log_prior: Floats
    """Class prior by cohort, identity level and service failures, as a logarithm: [n, C]."""
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
    allegations: Allegations
    observe_month: int
    """The month that the observation falls in; the days before and after the observation share its state."""


@dataclass(frozen=True)
class Question:
    """What is to be predicted, and when. Days since the start."""

    observe_day: int
    """The first day not yet known."""
    window_days: int
    """The length of the window, which begins at `observe_day`."""
    read_day: int
    """The first day that the label no longer sees."""
    known_day: int
    """The first day of which an overturning no longer counts."""
    bad: Flags
    """Which (type, harm) are bad: [V, H]."""


def pose(
    market: Market,
    observe_day: int,
    window_days: int,
    maturity_days: int,
    bad: Iterable[tuple[str, str]],
    known_day: int | None = None,
) -> Question:
    """Check the parameters of `attainable_probability`, and return them as a question.

    ValueError if the window leaves the market, the days are not in order, or `bad` is wrong (`bad_table`).
    """
    end = observe_day + window_days
    if observe_day < 1 or window_days < 1 or end > market.days:
        raise ValueError(
            f"the window [{observe_day}, {end}) must hold a day and lie within the market's days 1 to {market.days}"
        )
    read_day = end + maturity_days
    known_day = read_day if known_day is None else known_day
    if maturity_days < 0 or known_day < read_day:
        raise ValueError(f"the label is read on day {read_day}, known on {known_day}: neither may precede the other")
    return Question(
        observe_day,
        window_days,
        read_day,
        known_day,
        bad_table(build_tables(market.parameters), bad, market.parameters),
    )


def status_at(market: Market, day: int) -> Ints:
    """Return the last action on each violation decided before `day`, or OPEN.

    Shape [k], indices into ACTIONS. A final violation with a verified identifier is CONFIRM without a decision. Reports
    are not looked at: a violation that is reported only after `day` has a status, too, and may be CONFIRM.
    """
    violations = market.violations
    arrived = violations["final"].to_numpy() & violations["identifier_verified"].to_numpy()
    status = np.where(arrived, CONFIRM, OPEN).astype(np.int64)
    known = market.decisions.filter(pl.col("day") < day)
    # Decisions are in time order, and of a repeated index the last assignment stays.
    status[known["violation"].to_numpy()] = known["action"].to_numpy()
    return status


def recorded_outcome(
    market: Market,
    observe_day: int,
    window_days: int,
    maturity_days: int,
    bad: Iterable[tuple[str, str]],
    known_day: int | None = None,
) -> Flags:
    """Return whether the record holds a bad violation in the window: bool [sellers].

    It occurred in [observe_day, observe_day + window_days), is one of `bad` (type, harm), was confirmed before
    `maturity_days` after the window, and was not overturned before `known_day` (default: when the label is read).
    """
    question = pose(market, observe_day, window_days, maturity_days, bad, known_day)
    v = market.violations
    day, types, harm = (v[name].to_numpy() for name in ("occur_day", "type", "harm"))
    arrived = v["final"].to_numpy() & v["identifier_verified"].to_numpy()
    standing = np.where(
        arrived,
        v["report_day"].to_numpy() < question.read_day,
        status_at(market, question.read_day) == CONFIRM,
    )
    standing &= status_at(market, question.known_day) != OVERTURN
    standing &= (day >= observe_day) & (day < observe_day + window_days) & question.bad[types, harm]
    outcome = np.zeros(market.sellers, dtype=np.bool_)
    outcome[v["seller"].to_numpy()[standing] - market.first_seller] = True
    return outcome


def window_orders(market: Market, observe_day: int, window_days: int) -> Ints:
    """Count the settled orders of each seller in the window: int64 [sellers].

    The window is [observe_day, observe_day + window_days).
    """
    inside = market.exposure.filter(pl.col("day").is_between(observe_day, observe_day + window_days, closed="left"))
    total = np.zeros(market.sellers, dtype=np.int64)
    np.add.at(total, inside["seller"].to_numpy() - market.first_seller, inside["settled_orders"].to_numpy())
    return total


def gather(market: Market, question: Question, notifier_known: bool) -> MarketEvidence:
    """Collect for each seller what the exact posterior needs to answer a question.

    The log prior and the allegations are of the record before the observation day. The rest is expected from orders: of
    the days before it the reports (`reported_mass`), of the window from it on the bad events (`window_mass`) and the
    false ones (`false_mass`). `notifier_known`: whether it is known which notifiers act in bad faith.
    """
    tables = build_tables(market.parameters)
    calendar = build_calendar(market.start, market.days, market.parameters)
    reported, window = reported_share(market, tables, question), bad_share(market, tables, question)
    e = market.exposure
    seller, day = e["seller"].to_numpy() - market.first_seller, e["day"].to_numpy()
    thousands = e["settled_orders"].to_numpy() / 1000.0
    mass = thousands * calendar.hazard_season[day]
    past, inside = (
        day < question.observe_day,
        (day >= question.observe_day) & (day < question.observe_day + question.window_days),
    )
    shape = (market.sellers, calendar.months, len(market.parameters.classes))
    reported_mass, window_mass, false_mass = np.zeros(shape), np.zeros(shape), np.zeros(market.sellers)
    np.add.at(
        reported_mass,
        (seller[past], calendar.month[day[past]]),
        mass[past, None] * reported[question.observe_day - 1 - day[past]],
    )
    ages = question.read_day - 1 - day[inside]
    np.add.at(window_mass, (seller[inside], calendar.month[day[inside]]), mass[inside, None] * window[ages])
    bad = market.parameters.bad_faith
    false_rate = bad.per_thousand_orders * thousands[inside] + bad.per_active_day
    np.add.at(false_mass, seller[inside], false_rate * probability_false_bad(market, tables, question)[ages])
    return MarketEvidence(
        log_prior=_log_prior(market, seller[past], past, question.observe_day),
        reported_mass=reported_mass,
        window_mass=window_mass,
        false_mass=false_mass,
        allegations=_allegations(market, tables, calendar, question.observe_day, notifier_known),
        observe_month=int(calendar.month[question.observe_day]),
    )


def reported_share(market: Market, tables: Tables, question: Question) -> Floats:
    """Return P(a violation is reported at most `age` days after it occurred | class).

    Float64 [observe_day, C], the row by age.
    """
    by_source = np.stack(
        [np.cumsum(delay_probabilities(s.report, question.observe_day)) for s in market.parameters.sources]
    )
    return np.asarray((tables.type_share @ tables.source_share @ by_source).T)


def bad_share(market: Market, tables: Tables, question: Question) -> Floats:
    """Return P(a true violation is bad, and confirmed within `age` days | class).

    Days after it occurred. Float64 [ages, C].
    """
    length = question.read_day - question.observe_day
    by_source = []
    for source in market.parameters.sources:
        report = delay_probabilities(source.report, length)
        decided = convolve(report, delay_probabilities(source.decision, length))
        arrives = source.final_share * source.verified_share
        confirmed = (1.0 - arrives) * market.parameters.true_confirmed_share
        by_source.append(np.cumsum(arrives * report + confirmed * decided))
    bad_type = tables.type_share * (tables.harm_share * question.bad).sum(axis=2)
    return np.asarray((bad_type @ tables.source_share @ np.stack(by_source)).T)


def probability_false_bad(market: Market, tables: Tables, question: Question) -> Floats:
    """Return P(a complaint in bad faith is labelled bad | age when the label is read).

    Float64 of shape (ages,). That its type and harm are among `question.bad`, that it is wrongly confirmed by then, and
    that it is not overturned by `question.known_day`. Age: days from the event to the reading of the label.
    """
    length, gap = question.read_day - question.observe_day, question.known_day - question.read_day
    bad = market.parameters.bad_faith
    appeal = np.concatenate([[0.0], delay_probabilities(bad.appeal, length + gap)])
    overturned_later = np.cumsum(appeal)[gap : gap + length]
    by_source = []
    for source in market.parameters.sources:
        decided = convolve(delay_probabilities(source.report, length), delay_probabilities(source.decision, length))
        by_source.append(
            bad.confirmed_share * (np.cumsum(decided) - bad.overturned_share * convolve(decided, overturned_later))
        )
    bad_type = tables.false_type * (tables.false_harm * question.bad).sum(axis=1)
    return np.asarray(bad_type @ tables.false_source @ np.stack(by_source))


def _log_prior(market: Market, past_seller: Ints, past: Flags, observe_day: int) -> Floats:
    """Return the log of the prior of each class, given what is not dated: float64 [n, C].

    Cohort prior x P(identity level | class) x P(service failures | class).
    """
    classes = market.parameters.classes
    joined = market.identity["join_day"].to_numpy()
    prior = np.log([[c.share_newcomer for c in classes], [c.share_veteran for c in classes]])
    levels = np.log([c.levels for c in classes]).T
    # Before a seller has joined nothing is known of it but that it will be a newcomer.
    level = np.where((joined < observe_day)[:, None], levels[market.identity["level"].to_numpy()], 0.0)
    total = prior[(joined < 0).astype(np.int64)] + level
    left = _sum_by_seller(market, "settled_orders", past_seller, past)
    for kind in ("cancelled", "not_received", "late", "returned"):
        failed = _sum_by_seller(market, kind, past_seller, past)
        rates: list[BetaRate] = [getattr(c, kind) for c in classes]
        total += np.stack([beta_binomial_log(failed, left, rate) for rate in rates], axis=1)
        left = left - failed
    return total


def _sum_by_seller(market: Market, column: str, past_seller: Ints, past: Flags) -> Ints:
    """Return the sum of an exposure column over the `past` rows, by seller: int64 [n]."""
    total = np.zeros(market.sellers, dtype=np.int64)
    np.add.at(total, past_seller, market.exposure[column].to_numpy()[past])
    return total


def beta_binomial_log(failed: Ints, trials: Ints, rate: BetaRate) -> Floats:
    """Return the log-probability of each seller's sequence of service failures: float64 [n].

    The log of B(a + failed, b + trials - failed) / B(a, b), with a = mean x concentration, b the rest of the
    concentration (the binomial coefficient is the same in every class). For 1 failure in 2 trials at mean 0.5 and
    concentration 2: B(2, 2) / B(1, 1) = 1/6, log -1.791759.
    """
    a, b = rate.mean * rate.concentration, (1.0 - rate.mean) * rate.concentration
    constant = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    counts, place = np.unique(np.stack([failed, trials]), axis=1, return_inverse=True)
    logs = [
        math.lgamma(a + k) + math.lgamma(b + t - k) - math.lgamma(a + b + t) + constant for k, t in counts.T.tolist()
    ]
    return np.array(logs)[place]


def _allegations(
    market: Market, tables: Tables, calendar: Calendar, observe_day: int, notifier_known: bool
) -> Allegations:
    """Return the allegations that carry information.

    Reported before the observation, no echo, possibly true.
    """
    v, p = market.violations, market.parameters
    status = status_at(market, observe_day)
    keep = (v["report_day"].to_numpy() < observe_day) & ~v["echo"].to_numpy()
    # Only complaints made in bad faith are withdrawn or overturned: those say nothing about the seller.
    keep &= (status != WITHDRAW) & (status != OVERTURN)
    if notifier_known:
        keep &= ~v["bad_faith"].to_numpy()
    seller, day, types, harm, source = (
        v[name].to_numpy()[keep] for name in ("seller", "occur_day", "type", "harm", "source")
    )
    seller, status = seller - market.first_seller, status[keep]
    true_fate = np.select(
        [status == CONFIRM, status == DISMISS], [p.true_confirmed_share, 1.0 - p.true_confirmed_share], 1.0
    )
    # The tables of final acts are the same in every class and never in bad faith, so a common factor
    # suffices.
    true_weight = (tables.type_share[:, types] * tables.harm_share[:, types, harm]).T * (
        tables.source_share[types, source] * true_fate
    )[:, None]
    thousands = _orders_of(market, seller, day) / 1000.0
    rate = p.bad_faith.per_thousand_orders * thousands + p.bad_faith.per_active_day
    false_weight = (
        rate
        / (thousands * calendar.hazard_season[day])
        * tables.false_type[types]
        * tables.false_harm[harm]
        * tables.false_source[types, source]
        * _false_fate(market, observe_day, keep, status)
    )
    if notifier_known:
        false_weight = np.zeros_like(false_weight)
    order = np.lexsort((seller, calendar.month[day]))
    return Allegations(
        calendar.month[day][order],
        seller[order],
        true_weight[order],
        false_weight[order],
        np.nonzero(keep)[0][order],
    )


def _false_fate(market: Market, observe_day: int, keep: Flags, status: Ints) -> Floats:
    """Return P(such a status | bad faith, the days of report and decision): float64 [k].

    For the allegations kept.
    """
    bad = market.parameters.bad_faith
    first = np.full(market.violations.height, observe_day, dtype=np.int64)
    decided = market.decisions.filter((pl.col("action") == CONFIRM) & (pl.col("day") < observe_day))
    first[decided["violation"].to_numpy()] = decided["day"].to_numpy()
    # An appeal is decided a day after the decision at the earliest.
    overturned = np.cumsum(np.concatenate([[0.0], delay_probabilities(bad.appeal, observe_day)]))
    # The decision lies before the observation in the confirmed cases; others read an entry that is not used.
    age = np.maximum(observe_day - 1 - first[keep], 0)
    standing = bad.confirmed_share * (1.0 - bad.overturned_share * overturned[age.clip(max=observe_day)])
    return np.select([status == CONFIRM, status == DISMISS], [standing, np.float64(bad.dismissed_share)], 1.0)


def _orders_of(market: Market, seller: Ints, day: Ints) -> Ints:
    """Return the settled orders of each (seller, day): int64 [k].

    Violations occur on days with exposure only.
    """
    e = market.exposure
    key = (e["seller"].to_numpy() - market.first_seller) * market.days + e["day"].to_numpy()
    return np.asarray(e["settled_orders"].to_numpy()[np.searchsorted(key, seller * market.days + day)])

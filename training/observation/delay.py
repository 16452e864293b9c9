"""How long the truth takes: from report to decision, and from what happened to what is known of it.

Closed cases alone flatter the delay, since those that take long are still open. Labels read at a fixed maturity miss
what is confirmed later: the development triangle says how much, and by how much calibration has to be lifted.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.enums import Category, Kind, Status
from scoring.features.columns import EntryColumns, Ints
from scoring.features.facts import Facts
from scoring.time import DAY
from training.observation.export import LedgerTable
from training.observation.labels import NEVER, final_facts, matches
from training.observation.survival import kaplan_meier
from training.study.definition import Study

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

MONTH_DAYS = 365.25 / 12
MAX_AGE_MONTHS = 36
"""Months after which nothing is taken to develop any more."""
LEAST_COHORT = 20
"""Incidents that an age must rest on to be developed to the next; further ones are taken as they are."""

FIRST_DAYS = 32
"""Whole days from 0 to the end of a month, the longest of which has 31."""

_CLOSING = (Status.CONFIRMED, Status.DISMISSED, Status.WITHDRAWN)


@dataclass(frozen=True, slots=True)
class Delay:
    """Days from report to decision (confirmed or dismissed) of violations that needed one. None: so many are open that it
    cannot be told. `..._closed_only_days`: of decided cases alone, which flatters. `decided`, `open` and `withdrawn`
    (by who reported them, undecided) are numbers of violations.
    """

    median_days: float | None
    p95_days: float | None
    median_closed_only_days: float | None
    p95_closed_only_days: float | None
    decided: int
    open: int
    withdrawn: int

    def as_dict(self) -> dict[str, float | int | None]:
        """The figures by name."""
        return asdict(self)


def decision_delay(table: LedgerTable, as_of: int | None = None) -> Delay:
    """Of all violations by Kaplan and Meier, open ones censored at the day `as_of` (default: the table's).

    What was confirmed on arrival needed no decision and is not among them.
    """
    _, days, status = _cases(table, as_of)
    return _delay(days, status)


def delay_by_category(table: LedgerTable, as_of: int | None = None) -> Mapping[str, Delay]:
    """The same by category of violation, of those that have any."""
    category, days, status = _cases(table, as_of)
    found = {c.name.lower(): category == c for c in Category}
    return {name: _delay(days[of], status[of]) for name, of in found.items() if of.any()}


def _delay(days: Floats, status: Ints) -> Delay:
    is_decided = np.isin(status, (Status.CONFIRMED, Status.DISMISSED))
    curve = kaplan_meier(days, is_decided)
    closed = kaplan_meier(days[is_decided], np.ones(int(is_decided.sum()), dtype=bool))
    return Delay(
        median_days=curve.quantile(0.5),
        p95_days=curve.quantile(0.95),
        median_closed_only_days=closed.quantile(0.5),
        p95_closed_only_days=closed.quantile(0.95),
        decided=int(is_decided.sum()),
        open=int((status == 0).sum()),
        withdrawn=int((status == Status.WITHDRAWN).sum()),
    )


def _cases(table: LedgerTable, as_of: int | None) -> tuple[Ints, Floats, Ints]:
    """Of each violation that was alleged: category, days from its report until it was closed (or the as-of), and the
    status that closed it (0: none).
    """
    columns, end = table.columns, (table.as_of if as_of is None else as_of) * DAY
    columns = columns.take(columns.report_time < end)
    reports = columns.take((columns.kind == Kind.VIOLATION) & (columns.status != Status.CONFIRMED))
    decisions = columns.take((columns.kind == Kind.STATUS) & np.isin(columns.status, _CLOSING))
    decisions = decisions.take(np.lexsort((decisions.sequence, decisions.violation)))
    closed_by = _first(decisions, reports.violation)
    is_closed = closed_by >= 0
    closed_at, status = np.full(len(closed_by), end), np.zeros(len(closed_by), dtype=np.int64)
    closed_at[is_closed] = decisions.report_time[closed_by[is_closed]]
    status[is_closed] = decisions.status[closed_by[is_closed]]
    return reports.category, np.maximum(closed_at - reports.report_time, 0) / DAY, status


def _first(entries: EntryColumns, violation: Ints) -> Ints:
    """The place of the first of `entries` (in the order of violations) about each violation, or -1."""
    if not len(entries.violation):
        return np.full(len(violation), -1)
    place = np.minimum(np.searchsorted(entries.violation, violation), len(entries.violation) - 1)
    return np.where(entries.violation[place] == violation, place, -1)


@dataclass(frozen=True, slots=True)
class Development:
    """How the number of confirmed incidents that match a study's bad definition grows with time.

    `cohort`: months as days since 1970 of their first; `triangle`, shape (cohorts, ages + 1): incidents that happened
    in the month and were known to count within so many months of when each happened, NaN where that is still to come.
    `share`, shape (ages + 1,): the share of the ultimate number that is known at each age. `ultimate`, shape (cohorts,).
    `first_month`, shape (32,): of what is known within a month, the share that is known within so many whole days.
    """

    cohort: Ints
    triangle: Floats
    share: Floats
    ultimate: Floats
    first_month: Floats

    def known_share(self, days: Floats | float) -> Floats:
        """The share of what will ever be known that is known so many days after it happened."""
        if not len(self.share):
            return np.ones(np.shape(days))
        age = np.asarray(days, dtype=np.float64)
        by_month = np.interp(age / MONTH_DAYS, np.arange(len(self.share)), self.share)
        # Most of what is known within a month is known in its first days: a straight line would be far off.
        by_day = self.share[min(1, len(self.share) - 1)] * np.interp(age, np.arange(FIRST_DAYS), self.first_month)
        return np.where(age < MONTH_DAYS, by_day, by_month)


@dataclass(frozen=True, slots=True)
class Lift:
    """`factor`, at least 1: by what the odds of bad at the study's maturity are to be multiplied to be those of bad once
    everything is known; `text` says how it was computed.
    """

    factor: float
    text: str


def development(table: LedgerTable, study: Study, final: Facts | None = None) -> Development:
    """The triangle of a ledger by chain ladder: share[k] / share[k + 1] = sum of counts at age k over those at age k + 1, of
    the months seen to that age. Beyond the last age seen by LEAST_COHORT incidents nothing is taken to come.

    Incidents count that stand by today's knowledge; each from when its first violation was known to count.
    """
    happened, days = _known_incidents(table, study, final or final_facts(table))
    if not len(happened):
        nothing = np.empty(0)
        return Development(np.empty(0, dtype=np.int64), np.empty((0, 0)), nothing, nothing, nothing)
    month = happened.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    first, last = int(month.min()), int(month.max())
    ends = np.arange(first + 1, last + 2).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    most = int(np.clip((table.as_of - ends[0]) / MONTH_DAYS, 0, MAX_AGE_MONTHS))
    ages = np.arange(most + 1)
    at_age = np.ceil(np.maximum(days, 0) / MONTH_DAYS).astype(np.int64)
    counts = np.zeros((len(ends), most + 1))
    inside = at_age <= most
    np.add.at(counts, (month[inside] - first, at_age[inside]), 1)
    triangle = np.where(ends[:, None] + ages * MONTH_DAYS <= table.as_of, counts.cumsum(axis=1), np.nan)
    share = _shares(triangle)
    seen = np.maximum((~np.isnan(triangle)).sum(axis=1) - 1, 0)
    latest = np.nan_to_num(triangle[np.arange(len(ends)), seen])
    cohort = np.arange(first, last + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    soon = days[(days <= MONTH_DAYS) & (happened + MONTH_DAYS <= table.as_of)]
    return Development(cohort, triangle, share, latest / np.maximum(share[seen], 1e-9), _first_month(soon, share))


def _first_month(days: Ints, share: Floats) -> Floats:
    """The share of incidents known within a month that are known within each of its days; a straight line from what is known
    at once, if there are too few to tell.
    """
    if len(days) < LEAST_COHORT:
        at_once = float(share[0] / share[1]) if len(share) > 1 and share[1] > 0 else 1.0
        return np.linspace(at_once, 1.0, FIRST_DAYS)
    return np.asarray((days[:, None] <= np.arange(FIRST_DAYS)).mean(axis=0), dtype=np.float64)


def _shares(triangle: Floats) -> Floats:
    """The share of the ultimate number known at each age."""
    growth = np.ones(triangle.shape[1])
    for age in range(triangle.shape[1] - 1):
        both = ~np.isnan(triangle[:, age + 1])
        now, then = triangle[both, age].sum(), triangle[both, age + 1].sum()
        if then >= LEAST_COHORT:
            growth[age] = now / then
    return growth[::-1].cumprod()[::-1]


def lift(found: Development, study: Study) -> Lift:
    """The factor at a study's maturity: one over the share known, on average over the days of the window.

    Worked: a window of 180 days, 45 days of maturity, half of everything known at once and the other half after 400
    days: share 0.5 throughout, factor 2. For rare outcomes odds grow as the number of incidents does.
    """
    point = study.observation(0)
    ages = np.arange(point.window_end, dtype=np.float64) + study.maturity_days + 0.5
    share = float(found.known_share(ages).mean())
    incidents = float(np.nansum(found.ultimate))
    if incidents < LEAST_COHORT or share <= 0:
        return Lift(1.0, f"1: {incidents:.0f} incidents are too few to tell how labels develop")
    return Lift(
        1 / share,
        f"{1 / share:.3f} = 1 / {share:.3f}, the share of all incidents ever known that is known {study.maturity_days} days"
        f" after a window of {point.window_end} days, on average over its days; by chain ladder over"
        f" {len(found.cohort)} months and {len(found.share) - 1} months of age, nothing after those",
    )


def _known_incidents(table: LedgerTable, study: Study, final: Facts) -> tuple[Ints, Ints]:
    """Of each incident that matches the bad definition and stands today: the day it happened, and the whole days until it was
    known to count.
    """
    v = final.violations
    v = v.take(matches(v, study.bad, table))
    columns = table.columns
    by_row = np.zeros(len(table.harm), dtype=np.int64)
    by_row[columns.row] = columns.violation
    counting = columns.take(np.isin(columns.kind, (Kind.VIOLATION, Kind.STATUS)) & (columns.status == Status.CONFIRMED))
    counting = counting.take(np.lexsort((counting.report_time, counting.violation)))
    place = _first(counting, by_row[v.row])
    reported = np.zeros(len(table.harm), dtype=np.int64)
    reported[columns.row] = columns.report_time
    known = np.where(place >= 0, np.maximum(counting.report_time[place], reported[v.row]), NEVER)
    known_day = known // DAY
    new = np.append(True, (v.case[1:] != v.case[:-1]) | (v.incident[1:] != v.incident[:-1]))[: len(v.case)]
    starts = np.flatnonzero(new)
    if not len(starts):
        return v.day, known_day
    day = np.minimum.reduceat(v.day, starts)
    return day, np.minimum.reduceat(known_day, starts) - day

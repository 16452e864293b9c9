"""How labels grow: of the sellers that are bad by a study's rule, how many are known to be so at the maturity.

Labels read at a fixed maturity miss what is confirmed later: the development triangle says how much, and by how much
calibration has to be lifted. It counts sellers and not incidents: who needs two incidents to be bad is known only with the
second, so far less of the bad ones are known than of the incidents; who had five is known with the first.
"""

from dataclasses import dataclass, replace

import numpy as np

from scoring.arrays import NEVER, Floats, Ints, first_of_runs, last_of_runs
from scoring.enums import Kind, Status
from scoring.features.facts import Facts
from scoring.time import DAY
from training.observation.badness import (
    Counted,
    amounts,
    bad_days,
    count_failures,
    count_incidents,
    market_cut,
    matches,
    needed,
)
from training.observation.delay import first_about
from training.observation.export import LedgerTable
from training.observation.labels import final_facts, suspensions_for
from training.study.definition import Study

MONTH_DAYS = 365.25 / 12
MAX_AGE_MONTHS = 36
"""Months after which nothing is taken to develop any more."""
LEAST_COHORT = 20
"""Bad sellers that an age must rest on to be developed to the next; further ones are taken as they are."""
FIRST_DAYS = 32
"""Whole days from 0 to the end of a month, the longest of which has 31."""


@dataclass(frozen=True, slots=True)
class Development:
    """How the number of sellers that are known to be bad by a study's rule grows after the end of their window.

    Windows are as long as the study's and begin with each month; of shorter ones, as many as find room in it. `cohort`:
    months as days since 1970 of their first; `triangle`, shape (cohorts, ages + 1): sellers bad in a window that begins in
    the month, known to be so within so many months of its end, NaN where that is still to come. `share`, shape (ages + 1,):
    the share of the ultimate number that is known at each age. `ultimate`, shape (cohorts,). `first_month`, shape (32,): of
    what is known within a month, the share that is known within so many whole days. `overlap`: windows that a day is in.
    """

    cohort: Ints
    triangle: Floats
    share: Floats
    ultimate: Floats
    first_month: Floats
    overlap: float

    def known_share(self, days: float) -> float:
        """The share of bad sellers ever known that is known so many days after the window."""
        if not len(self.share):
            return 1.0
        if days >= MONTH_DAYS:
            return float(np.interp(days / MONTH_DAYS, np.arange(len(self.share)), self.share))
        # Most of what is known within a month is known in its first days: a straight line would be far off.
        within = self.share[min(1, len(self.share) - 1)]
        return float(within * np.interp(days, np.arange(FIRST_DAYS), self.first_month))


@dataclass(frozen=True, slots=True)
class Lift:
    """`factor`, at least 1: by what the odds of bad at the study's maturity are to be multiplied to be those of bad once
    everything is known; `text` says how it was computed.
    """

    factor: float
    text: str


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows that begin one after the other, days of shape (n,), and the month (since 1970) in which each begins."""

    start: Ints
    end: Ints
    month: Ints

    def holding(self, day: Ints) -> tuple[Ints, Ints]:
        """Each pair of a day and a window that holds it: the place of both."""
        first = np.searchsorted(self.end, day, side="right")
        count = np.maximum(np.searchsorted(self.start, day, side="right") - first, 0)
        entry = np.repeat(np.arange(len(day)), count)
        return entry, np.arange(len(entry)) - np.repeat(np.cumsum(count) - count - first, count)


def development(table: LedgerTable, study: Study, final: Facts | None = None) -> Development:
    """The triangle of a ledger by chain ladder: share[k] / share[k + 1] = sum of counts at age k over those at age k + 1, of
    the months seen to that age. Beyond the last age seen by LEAST_COHORT bad sellers nothing is taken to come.

    Sellers count that are bad by today's knowledge; each from when its window was over and enough was known to count.
    """
    windows = _windows(table, study)
    place, days = _known_sellers(table, study, windows, final or final_facts(table))
    overlap = max(1.0, float((windows.end - windows.start).mean()) / MONTH_DAYS) if len(windows.start) else 1.0
    if not len(place):
        nothing = np.empty(0)
        return Development(np.empty(0, dtype=np.int64), np.empty((0, 0)), nothing, nothing, nothing, overlap)
    first, last = int(windows.month[0]), int(windows.month[-1])
    ends = np.zeros(last - first + 1, dtype=np.int64)
    np.maximum.at(ends, windows.month - first, windows.end)
    most = int(np.clip((table.as_of - ends[0]) / MONTH_DAYS, 0, MAX_AGE_MONTHS))
    ages = np.arange(most + 1)
    at_age = np.ceil(days / MONTH_DAYS).astype(np.int64)
    counts = np.zeros((len(ends), most + 1))
    inside = at_age <= most
    np.add.at(counts, (windows.month[place[inside]] - first, at_age[inside]), 1)
    triangle = np.where(ends[:, None] + ages * MONTH_DAYS <= table.as_of, counts.cumsum(axis=1), np.nan)
    share = _shares(triangle, LEAST_COHORT * overlap)
    seen = np.maximum((~np.isnan(triangle)).sum(axis=1) - 1, 0)
    latest = np.nan_to_num(triangle[np.arange(len(ends)), seen])
    cohort = np.arange(first, last + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    soon = days[(days <= MONTH_DAYS) & (windows.end[place] + MONTH_DAYS <= table.as_of)]
    early = _first_month(soon, share, LEAST_COHORT * overlap)
    return Development(cohort, triangle, share, latest / np.maximum(share[seen], 1e-9), early, overlap)


def lift(found: Development, study: Study, rate: float) -> Lift:
    """The factor at a study's maturity, of a share `rate` of rows that are known to be bad then: odds of rate / share known
    over odds of rate.

    Worked: 3 % known to be bad, 60 % of the bad ones known at the maturity: in the end 5 % are, and the odds 0.0526 are
    1.70 times 0.0309.
    """
    point = study.observation(0)
    share = found.known_share(study.maturity_days)
    sellers = float(np.nansum(found.ultimate)) / found.overlap
    if sellers < LEAST_COHORT or share <= 0 or not 0 < rate < 1:
        return Lift(1.0, f"1: {sellers:.0f} bad sellers are too few to tell how labels develop")
    # Of those that are good so far at most half are taken to turn out bad: no triangle of such a ledger can be trusted.
    ultimate = min(rate / share, (1 + rate) / 2)
    factor = max(ultimate / (1 - ultimate) / (rate / (1 - rate)), 1.0)
    return Lift(
        factor,
        f"{factor:.3f}: of the sellers ever known to be bad {share:.3f} are known {study.maturity_days} days after a window"
        f" of {point.window_end} days, so {rate:.2%} bad are {ultimate:.2%} in the end, and the odds that many times as"
        f" high; by chain ladder over {len(found.cohort)} months and {max(len(found.share) - 1, 0)} months of age, nothing"
        " after those",
    )


def _windows(table: LedgerTable, study: Study) -> _Windows:
    """Windows of the study from the first month in which anything happened, that are over by the table's end."""
    nothing = np.empty(0, dtype=np.int64)
    happened = table.columns.occur_time[table.columns.kind == Kind.VIOLATION] // DAY
    if not len(happened):
        return _Windows(nothing, nothing, nothing)
    month = int(happened.min().astype("datetime64[D]").astype("datetime64[M]").astype(np.int64))
    found: list[tuple[int, int, int]] = []
    day = _first_day(month)
    while (window_end := study.observation(day).window_end) <= table.as_of:
        found.append((day, window_end, month))
        day = window_end
        if day >= _first_day(month + 1):
            month += 1
            day = _first_day(month)
    start, end, months = np.array(found, dtype=np.int64).reshape(-1, 3).T
    return _Windows(start, end, months)


def _first_day(month: int) -> int:
    return int(np.datetime64(month, "M").astype("datetime64[D]").astype(np.int64))


def _known_sellers(table: LedgerTable, study: Study, windows: _Windows, final: Facts) -> tuple[Ints, Ints]:
    """Of each seller in each window, if it is bad there by what stands today: the place of the window, and the whole days
    from its end until enough was known to count (0: by its end).
    """
    known = _known_days(table, final)
    enough = _enough_counted(table, study, windows, final, known)
    if study.bad_suspended:
        imposed, entry, violation = suspensions_for(final.violations, table)
        known_day = np.maximum(imposed.report_time[entry] // DAY, known[violation])
        pair, place = windows.holding(imposed.occur_time[entry] // DAY)
        suspended = [imposed.case[entry][pair], place, known_day[pair]]
        enough = [np.concatenate(both) for both in zip(enough, suspended, strict=True)]
    case, place, day = enough
    order = np.lexsort((day, case, place))
    case, place, day = case[order], place[order], day[order]
    new = first_of_runs(case, place)
    place, day = place[new], day[new]
    return place, np.maximum(day + 1 - windows.end[place], 0)


def _enough_counted(table: LedgerTable, study: Study, windows: _Windows, final: Facts, known: Ints) -> list[Ints]:
    """Case, place of the window and day on which so much became known that the seller was bad in it."""
    matching = np.flatnonzero(matches(final.violations, study.bad, table))
    v, known = final.violations.take(matching), known[matching]
    amount = amounts(v, study, table)
    if study.bad_count == "service_failures":
        every, happened = _known_failures(table, study, final)
    least = study.orders_needed if study.is_rate or study.least_orders else 0
    found: list[tuple[Ints, Ints, Ints]] = []
    for place, (start, end) in enumerate(zip(windows.start.tolist(), windows.end.tolist(), strict=True)):
        if study.bad_count == "service_failures":
            inside = (happened >= start) & (happened < end)
            counted = Counted(*(getattr(every, name)[inside] for name in Counted.__dataclass_fields__))
        else:
            inside = (v.day >= start) & (v.day < end)
            counted = count_incidents(v.take(inside), known[inside], amount[inside], study)
        orders = _orders(final, study, start, end)
        cut = market_cut(study, counted.by_case(final.cases), orders)
        day = bad_days(counted, needed(study, orders, cut), study)
        # Who sells too little is no row, and its outcome no label.
        case = np.flatnonzero((day < NEVER // DAY) & (orders >= least))
        found.append((case, np.full(len(case), place), day[case]))
    return [np.concatenate([part[column] for part in found] or [_NOTHING]) for column in range(3)]


def _orders(final: Facts, study: Study, start: int, end: int) -> Ints:
    """Settled orders of each case in a window, if bad is a matter of them; else none, which nothing reads."""
    if not study.is_rate and not study.least_orders:
        return np.zeros(final.cases, dtype=np.int64)
    inside = (final.exposure_day >= start) & (final.exposure_day < end)
    sold = np.bincount(final.exposure_case[inside], weights=final.exposure_orders[inside], minlength=final.cases)
    return sold.astype(np.int64)


def _known_failures(table: LedgerTable, study: Study, final: Facts) -> tuple[Counted, Ints]:
    """The orders that failed by what stands today, each `day` the one on which so many were known; and the days that they
    were settled on.
    """
    counted = count_failures(final, final, study)
    said = table.columns.take((table.columns.kind == Kind.EXPOSURE) & (table.columns.failures > 0))
    if not len(said.day):
        return counted, counted.day
    first, span = int(said.day.min()), int(said.day.max() - said.day.min()) + 1
    key = said.case * span + said.day - first
    order = np.lexsort((said.report_time, key))
    last = last_of_runs(key[order])
    keys, reported = key[order][last], said.report_time[order][last] // DAY
    place = np.searchsorted(keys, counted.case * span + counted.day - first)
    known = reported[np.minimum(place, len(keys) - 1)]
    return replace(counted, day=known), counted.day


_NOTHING = np.empty(0, dtype=np.int64)


def _known_days(table: LedgerTable, final: Facts) -> Ints:
    """Of each violation that counts today, the day on which it was known to count."""
    v, columns = final.violations, table.columns
    by_row = np.zeros(len(table.harm), dtype=np.int64)
    by_row[columns.row] = columns.violation
    counting = columns.take(np.isin(columns.kind, (Kind.VIOLATION, Kind.STATUS)) & (columns.status == Status.CONFIRMED))
    counting = counting.take(np.lexsort((counting.report_time, counting.violation)))
    place = first_about(counting, by_row[v.row])
    reported = np.zeros(len(table.harm), dtype=np.int64)
    reported[columns.row] = columns.report_time
    if not len(counting.violation):
        return np.full(len(v.row), NEVER // DAY)
    known = np.where(place >= 0, np.maximum(counting.report_time[place], reported[v.row]), NEVER)
    return np.asarray(known // DAY, dtype=np.int64)


def _first_month(days: Ints, share: Floats, least: float) -> Floats:
    """The share of what is known within a month that is known within each of its days; a straight line from what is known
    at once, if that is too little to tell.
    """
    if len(days) < least:
        at_once = float(share[0] / share[1]) if len(share) > 1 and share[1] > 0 else 1.0
        return np.linspace(at_once, 1.0, FIRST_DAYS)
    return np.asarray((days[:, None] <= np.arange(FIRST_DAYS)).mean(axis=0), dtype=np.float64)


def _shares(triangle: Floats, least: float) -> Floats:
    """The share of the ultimate number known at each age; an age with fewer than `least` sellers does not grow."""
    growth = np.ones(triangle.shape[1])
    for age in range(triangle.shape[1] - 1):
        both = ~np.isnan(triangle[:, age + 1])
        now, then = triangle[both, age].sum(), triangle[both, age + 1].sum()
        if then >= least:
            growth[age] = now / then
    return growth[::-1].cumprod()[::-1]

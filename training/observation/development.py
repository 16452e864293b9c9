"""Growth of labels: the share of finally bad sellers that is known at the maturity."""

from dataclasses import replace

import numpy as np

from scoring.base.arrays import NEVER, Floats, Ints, first_of_runs, last_of_runs
from scoring.base.enums import Kind, Status
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.features.facts import Facts
from training.observation.badness import (
    CountedEvents,
    amounts,
    bad_days,
    count_failures,
    count_incidents,
    market_cut,
    match_rules,
    required_count,
)
from training.observation.export import LedgerTable
from training.observation.joining import find_places, list_ranges
from training.observation.labels import count_sales, final_facts, pair_suspensions_with_violations, windows_at
from training.study.definition import Observation, Study

MONTH_DAYS = 365.25 / 12
MAX_AGE_MONTHS = 36
MIN_COHORT = 20
"""The least bad sellers to develop an age to the next; with fewer it does not grow."""
FIRST_DAYS = 32


@frozen
class Development:
    """Growth of the number of sellers known to be bad after their windows end.

    Windows have the study's length and begin with each month; several shorter ones follow each other within a month.
    """

    cohort: Ints
    """First day of each month, in days since 1970, shape (cohorts,)."""
    triangle: Floats
    """Bad sellers known by age in months after their window, shape (cohorts, ages + 1); NaN in the future."""
    share: Floats
    """Share of the final number known at each age, shape (ages + 1,)."""
    ultimate: Floats
    first_month: Floats
    """Share of a first month's knowledge that is known within each whole day, shape (32,)."""
    overlap: float
    """Mean number of windows around a day, at least 1."""

    def known_share(self, days: float) -> float:
        """Return the share of finally bad sellers known `days` after the window; 1 without bad sellers."""
        if not len(self.share):
            return 1.0
        if days >= MONTH_DAYS:
            return float(np.interp(days / MONTH_DAYS, np.arange(len(self.share)), self.share))
        within = self.share[min(1, len(self.share) - 1)]
        return float(within * np.interp(days, np.arange(FIRST_DAYS), self.first_month))


@frozen
class Lift:
    factor: float
    """At least 1; turns odds at the maturity into final odds."""
    text: str


@frozen
class _Windows:
    start: Ints
    end: Ints
    month: Ints

    def find_around(self, day: Ints) -> tuple[Ints, Ints]:
        """Return each pair of a day and a window around it, as two index arrays."""
        first = np.searchsorted(self.end, day, side="right")
        count = np.maximum(np.searchsorted(self.start, day, side="right") - first, 0)
        return list_ranges(first, count)


def development(table: LedgerTable, study: Study, final: Facts | None = None) -> Development:
    """Compute by chain ladder which share of bad sellers is known by the age of a window.

    share[k] / share[k + 1] = sum of counts at age k over those at age k + 1, of the months seen to that age. Beyond the
    last age with MIN_COHORT bad sellers (times the windows around a day) no growth is assumed. Sellers are bad by
    today's knowledge, from the day when the window was over and enough was known.
    """
    windows = _list_windows(table, study)
    window_of_seller, days = _find_known_sellers(table, study, windows, final or final_facts(table))
    overlap = max(1.0, float((windows.end - windows.start).mean()) / MONTH_DAYS) if len(windows.start) else 1.0
    if not len(window_of_seller):
        nothing = np.empty(0)
        return Development(np.empty(0, dtype=np.int64), np.empty((0, 0)), nothing, nothing, nothing, overlap)
    first, last = int(windows.month[0]), int(windows.month[-1])
    ends = np.zeros(last - first + 1, dtype=np.int64)
    np.maximum.at(ends, windows.month - first, windows.end)
    oldest = int(np.clip((table.end_day - ends[0]) / MONTH_DAYS, 0, MAX_AGE_MONTHS))
    ages = np.arange(oldest + 1)
    at_age = np.ceil(days / MONTH_DAYS).astype(np.int64)
    counts = np.zeros((len(ends), oldest + 1))
    is_within = at_age <= oldest
    np.add.at(counts, (windows.month[window_of_seller[is_within]] - first, at_age[is_within]), 1)
    triangle = np.where(ends[:, None] + ages * MONTH_DAYS <= table.end_day, counts.cumsum(axis=1), np.nan)
    share = _find_shares(triangle, MIN_COHORT * overlap)
    last_age = np.maximum((~np.isnan(triangle)).sum(axis=1) - 1, 0)
    latest = np.nan_to_num(triangle[np.arange(len(ends)), last_age])
    cohort = np.arange(first, last + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    early_days = days[(days <= MONTH_DAYS) & (windows.end[window_of_seller] + MONTH_DAYS <= table.end_day)]
    first_month = _find_first_month(early_days, share, MIN_COHORT * overlap)
    return Development(cohort, triangle, share, latest / np.maximum(share[last_age], 1e-9), first_month, overlap)


def lift(curve: Development, study: Study, rate: float) -> Lift:
    """Return the factor from odds of bad known at the study's maturity to final odds.

    `rate`: the share of rows known to be bad at the maturity. The factor is 1 with fewer than MIN_COHORT bad sellers.
    At most half of the good rows are assumed to turn bad. Worked: 3 % known to be bad and 60 % of the bad known at the
    maturity: finally 5 %, and odds 0.0526 are 1.70 times 0.0309.
    """
    point, maturity = study.point_at(0), study.window.maturity_days
    share = curve.known_share(maturity)
    sellers = float(np.nansum(curve.ultimate)) / curve.overlap
    if sellers < MIN_COHORT or share <= 0 or not 0 < rate < 1:
        return Lift(1.0, f"1: {sellers:.0f} bad sellers are too few to tell how labels develop")
    ultimate = min(rate / share, (1 + rate) / 2)
    factor = max(ultimate / (1 - ultimate) / (rate / (1 - rate)), 1.0)
    return Lift(
        factor,
        f"{factor:.3f}: of the sellers ever known to be bad {share:.3f} are known {maturity} days after a window"
        f" of {point.window_end} days, so {rate:.2%} bad are {ultimate:.2%} in the end, and the odds that many times as"
        f" high; by chain ladder over {len(curve.cohort)} months and {max(len(curve.share) - 1, 0)} months of age, nothing"
        " after those",
    )


def _list_windows(table: LedgerTable, study: Study) -> _Windows:
    """Return windows of the study's length, one after the other from each month's first day."""
    nothing = np.empty(0, dtype=np.int64)
    happened = table.columns.occur_time[table.columns.kind == Kind.VIOLATION] // DAY
    if not len(happened):
        return _Windows(nothing, nothing, nothing)
    month = int(happened.min().astype("datetime64[D]").astype("datetime64[M]").astype(np.int64))
    windows: list[tuple[int, int, int]] = []
    day = _first_day(month)
    while (window_end := study.point_at(day).window_end) <= table.end_day:
        windows.append((day, window_end, month))
        day = window_end
        if day >= _first_day(month + 1):
            month += 1
            day = _first_day(month)
    start, end, months = np.array(windows, dtype=np.int64).reshape(-1, 3).T
    return _Windows(start, end, months)


def _first_day(month: int) -> int:
    return int(np.datetime64(month, "M").astype("datetime64[D]").astype(np.int64))


def _find_known_sellers(table: LedgerTable, study: Study, windows: _Windows, final: Facts) -> tuple[Ints, Ints]:
    """Return (window index, days after its end until known) of each bad seller and window."""
    known_day_of_violation = _find_known_days(table, final)
    columns = _find_enough_counted(table, study, windows, final, known_day_of_violation)
    if study.bad.suspended:
        imposed, entry, violation = pair_suspensions_with_violations(final.violations, table)
        known_day = np.maximum(imposed.report_time[entry] // DAY, known_day_of_violation[violation])
        pair, window = windows.find_around(imposed.occur_time[entry] // DAY)
        suspended = [imposed.case[entry][pair], window, known_day[pair]]
        columns = [np.concatenate(both) for both in zip(columns, suspended, strict=True)]
    case, window, day = columns
    order = np.lexsort((day, case, window))
    case, window, day = case[order], window[order], day[order]
    is_first = first_of_runs(case, window)
    window, day = window[is_first], day[is_first]
    return window, np.maximum(day + 1 - windows.end[window], 0)


def _find_enough_counted(
    table: LedgerTable, study: Study, windows: _Windows, final: Facts, known_day: Ints
) -> list[Ints]:
    """Return (case, window index, day) when enough was known to be bad."""
    matching = np.flatnonzero(match_rules(final.violations, study.bad.rules, table))
    violations, known_day = final.violations.take(matching), known_day[matching]
    amount = amounts(violations, study, table)
    if study.bad.count == "service_failures":
        failures, failure_day = _date_failures(table, final)
    bad_sellers: list[tuple[Ints, Ints, Ints]] = []
    for window, (start, end) in enumerate(zip(windows.start.tolist(), windows.end.tolist(), strict=True)):
        if study.bad.count == "service_failures":
            is_in_window = (failure_day >= start) & (failure_day < end)
            counted = failures.take(is_in_window)
        else:
            is_in_window = (violations.day >= start) & (violations.day < end)
            counted = count_incidents(violations.take(is_in_window), known_day[is_in_window], amount[is_in_window])
        _, orders = count_sales(final, windows_at(final.cases, Observation(start, end)))
        cut = market_cut(study, counted.count_by_case(final.cases), orders)
        day = bad_days(counted, required_count(study, orders, cut), study)
        case = np.flatnonzero((day < NEVER // DAY) & (orders >= study.orders_needed))
        bad_sellers.append((case, np.full(len(case), window), day[case]))
    return [np.concatenate([part[column] for part in bad_sellers] or [_NOTHING]) for column in range(3)]


def _date_failures(table: LedgerTable, final: Facts) -> tuple[CountedEvents, Ints]:
    """Return failed orders with the day of their last report, and their own days."""
    failures = count_failures(final, final)
    entries = table.columns.take((table.columns.kind == Kind.EXPOSURE) & (table.columns.failures > 0))
    if not len(entries.day):
        return failures, failures.day
    first, span = int(entries.day.min()), int(entries.day.max() - entries.day.min()) + 1
    day_keys = entries.case * span + entries.day - first
    order = np.lexsort((entries.report_time, day_keys))
    is_last = last_of_runs(day_keys[order])
    keys, reported = day_keys[order][is_last], entries.report_time[order][is_last] // DAY
    known_day = reported[find_places(keys, failures.case * span + failures.day - first)]
    return replace(failures, day=known_day), failures.day


_NOTHING = np.empty(0, dtype=np.int64)


def _find_known_days(table: LedgerTable, final: Facts) -> Ints:
    """Return the day on which each violation was known to be reported and confirmed."""
    violations, columns = final.violations, table.columns
    violation_of_row = np.zeros(len(table.harm), dtype=np.int64)
    violation_of_row[columns.row] = columns.violation
    confirmations = columns.take(
        np.isin(columns.kind, (Kind.VIOLATION, Kind.STATUS)) & (columns.status == Status.CONFIRMED)
    )
    confirmed = np.full(int(columns.violation.max(initial=-1)) + 1, NEVER)
    np.minimum.at(confirmed, confirmations.violation, confirmations.report_time)
    report_of_row = np.zeros(len(table.harm), dtype=np.int64)
    report_of_row[columns.row] = columns.report_time
    return np.asarray(
        np.maximum(confirmed[violation_of_row[violations.row]], report_of_row[violations.row]) // DAY, dtype=np.int64
    )


def _find_first_month(days: Ints, share: Floats, min_sellers: float) -> Floats:
    """Return the share of a first month's knowledge by whole day; a straight line below `min_sellers`."""
    if len(days) < min_sellers:
        at_once = float(share[0] / share[1]) if len(share) > 1 and share[1] > 0 else 1.0
        return np.linspace(at_once, 1.0, FIRST_DAYS)
    return np.asarray((days[:, None] <= np.arange(FIRST_DAYS)).mean(axis=0), dtype=np.float64)


def _find_shares(triangle: Floats, min_sellers: float) -> Floats:
    """Return the known share by age; below `min_sellers` nothing grows."""
    growth = np.ones(triangle.shape[1])
    for age in range(triangle.shape[1] - 1):
        is_seen_next = ~np.isnan(triangle[:, age + 1])
        known_now, known_next = triangle[is_seen_next, age].sum(), triangle[is_seen_next, age + 1].sum()
        if known_next >= min_sellers:
            growth[age] = known_now / known_next
    return growth[::-1].cumprod()[::-1]

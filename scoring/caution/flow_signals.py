"""Bursts and jumps in a seller's flow."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple

from scoring.base.arrays import MAX_TOTAL, NEVER
from scoring.base.enums import CautionSignal
from scoring.entries.flow import FlowDay
from scoring.entries.kinds.settlement import FlowStated
from scoring.policy.caution import MAX_CAUTION_DAYS, MAX_WINDOW_DAYS, Burst, Jump
from scoring.policy.measures import PPM


class ReachedDay(NamedTuple):
    day: int
    known_time: int
    entries: tuple[str, ...]
    """First statements, by day."""
    measured: "FlowMeasurement"
    refunded_time: int = NEVER
    """When refunds undid a jump, in microseconds, or NEVER."""


class FlowMeasurement(NamedTuple):
    counted: int
    """Weight, orders that went wrong, or a jump's value less refunds, in minor units."""
    compared: int = 0
    """All orders, or the average of earlier spans, rounded down."""


class FlowTable:
    """One seller's flow as sums over days."""

    def __init__(self, flow: Sequence[FlowDay], currency: str, *, has_earlier: bool = False) -> None:
        self._has_earlier = has_earlier
        self.flow = flow
        """One statement a day and product category."""
        self.stated = sorted({statement.fact.day for statement in flow})
        self._start = self.stated[0] - MAX_WINDOW_DAYS if flow else 0
        columns = [[0] * (self.stated[-1] - self._start + 2 if flow else 1) for _ in FlowCounts._fields]
        for statement in flow:
            place = statement.fact.day - self._start + 1
            for column, number in zip(columns, _count_flow(statement.fact, currency), strict=True):
                column[place] += number
        self._sums_until = [list(accumulate(column)) for column in columns]

    def sum_between(self, column: int, first: int, last: int) -> int:
        """Return the sum of one of FlowCounts, by index, over days, both ends included.

        Days may be at most MAX_WINDOW_DAYS before the first stated one, and not after the last.
        """
        until, start = self._sums_until[column], self._start
        return until[last - start + 1] - until[first - start]

    def find_first_known_day(self, first: int) -> int:
        """Return the first day from `first` on of known flow: `first` if flow begins before."""
        return first if self._has_earlier else _find_first_known_day(self.stated, first)


def find_reached_days(
    table: FlowTable, trigger: Burst | Jump, first_day: int, used_up: Collection[int] = ()
) -> Iterator[ReachedDay]:
    """Yield the days that reach a trigger. Their spans do not overlap.

    A day counts if it is stated and all days of its trigger are within the flow, which is complete from `first_day` on.
    `used_up`: days reached by earlier statements; no other day counts that shares days with one of them.
    """
    last = None
    for day, measured in list_days_at_trigger(table, trigger, first_day):
        if day not in used_up and any(abs(day - used_day) < trigger.days for used_day in used_up):
            continue
        if last is None or day >= last + trigger.days:
            refunded_time = _find_refunded_time(table, trigger, day)
            last = day if refunded_time == NEVER else last
            statements = [one for one in table.flow if day - trigger.window_days < one.fact.day <= day]
            statements.sort(key=lambda one: (one.fact.day, -one.known_time, one.first_entry_id))
            entries = tuple(one.first_entry_id for one in statements)
            yield ReachedDay(day, statements[-1].known_time, entries, measured, refunded_time)


def _find_refunded_time(table: FlowTable, trigger: Burst | Jump, day: int) -> int:
    if isinstance(trigger, Jump):
        for later in table.stated[bisect_right(table.stated, day) :]:
            if later > day + MAX_CAUTION_DAYS:
                break
            if _measure_day(trigger, table.sum_between, table.find_first_known_day, day, later) is None:
                return 1 + max(one.known_time for one in table.flow if one.fact.day == later)
    return NEVER


def list_days_at_trigger(table: FlowTable, trigger: Burst | Jump, first_day: int) -> list[tuple[int, FlowMeasurement]]:
    """Return each stated UTC day on which a trigger is reached, with what it counted, by day; spans may overlap."""
    days = table.stated[bisect_left(table.stated, first_day - 1 + trigger.window_days) :]
    measurements = ((day, _measure_day(trigger, table.sum_between, table.find_first_known_day, day)) for day in days)
    return [(day, measured) for day, measured in measurements if measured is not None]


def find_relevant_changes(flow: Sequence[FlowDay], triggers: Sequence[Burst | Jump], currency: str) -> list[int]:
    """Return the times, in order, at which a new statement changed whether other days reach a trigger."""
    if not any(statement.before for statement in flow):
        return []
    changes = sorted(
        (time, index, version)
        for index, statement in enumerate(flow)
        for version, time in enumerate([statement.known_time + 1, *(old.until_time for old in statement.before)])
    )
    counts = [
        [_count_flow(fact, currency) for fact in (*(old.fact for old in statement.before), statement.fact)]
        for statement in flow
    ]
    by_day: dict[int, FlowCounts] = {}
    stated: list[int] = []

    def sum_between(column: int, first: int, last: int) -> int:
        return sum(by_day.get(day, _NO_COUNTS)[column] for day in range(first, last + 1))

    def list_reached_days(trigger: Burst | Jump, day: int) -> list[int]:
        last = bisect_right(stated, day + trigger.window_days - 1)
        later = stated[bisect_left(stated, day) : last]
        find_first_known = partial(_find_first_known_day, stated)
        return [one for one in later if _measure_day(trigger, sum_between, find_first_known, one) is not None]

    relevant = set()
    for time, index, version in changes:
        day, new_counts = flow[index].fact.day, counts[index][version]
        if not version:
            if day not in by_day:
                insort(stated, day)
            by_day[day] = _add_counts(by_day.get(day, _NO_COUNTS), new_counts)
        elif new_counts != (old_counts := counts[index][version - 1]):
            before = [list_reached_days(trigger, day) for trigger in triggers]
            by_day[day] = _add_counts(by_day[day], new_counts, old_counts)
            if before != [list_reached_days(trigger, day) for trigger in triggers]:
                relevant.add(time)
    return sorted(relevant)


def _find_first_known_day(days: Sequence[int], first: int) -> int:
    return first if days[0] < first else days[bisect_left(days, first)]


class FlowCounts(NamedTuple):
    captured: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    done: int = 0
    """Orders delivered or refunded."""
    delivered: int = 0
    disputed: int = 0


_NO_COUNTS = FlowCounts()
_CAPTURED, _VALUE, _REFUNDED, _DONE, _DELIVERED, _DISPUTED = range(len(FlowCounts._fields))


def _count_flow(fact: FlowStated, currency: str) -> FlowCounts:
    is_counted = fact.currency == currency
    return FlowCounts(
        captured=fact.captured_orders,
        captured_minor=fact.captured_minor if is_counted else 0,
        refunded_minor=fact.refunded_minor if is_counted else 0,
        done=fact.delivered_orders + fact.refunded_orders,
        delivered=fact.delivered_orders,
        disputed=fact.disputed_orders + fact.charged_back_orders,
    )


def _add_counts(sums: FlowCounts, more: FlowCounts, less: FlowCounts = _NO_COUNTS) -> FlowCounts:
    return FlowCounts(*(a + b - c for a, b, c in zip(sums, more, less, strict=True)))


def _measure_day(
    trigger: Burst | Jump,
    sum_between: Callable[[int, int, int], int],
    find_first_known_day: Callable[[int], int],
    day: int,
    refunds_until: int | None = None,
) -> FlowMeasurement | None:
    """Return what a stated day counted if it reaches a trigger; else None.

    `refunds_until`: the last day of refunds that count against a jump, by default `day`.
    """
    begin = day - trigger.window_days + 1
    if isinstance(trigger, Jump):
        first, end = day - trigger.days + 1, day - trigger.days
        value = sum_between(_VALUE, first, day) - sum_between(_REFUNDED, first, refunds_until or day)
        if value < trigger.value_minor:
            return None
        known_days = end - find_first_known_day(begin) + 1
        before = sum_between(_VALUE, begin, end) * trigger.days
        if known_days * 2 < trigger.before_days or value * known_days < trigger.times * before:
            return None
        return FlowMeasurement(min(value, MAX_TOTAL), min(before // known_days, MAX_TOTAL))
    if trigger.signal is CautionSignal.DISPUTED:
        wrong_orders, compared_orders = sum_between(_DISPUTED, begin, day), sum_between(_DELIVERED, begin, day)
    else:
        compared_orders = sum_between(_CAPTURED, begin, day - trigger.grace_days)
        wrong_orders = compared_orders - sum_between(_DONE, begin, day)
    is_reached = wrong_orders >= trigger.orders and wrong_orders * PPM >= trigger.share_ppm * compared_orders
    return FlowMeasurement(wrong_orders, compared_orders) if is_reached else None

"""Bursts and jumps in a seller's flow: the days on which what a rule of caution asks for is reached. Pure."""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from scoring.entries.flow import FlowDay
from scoring.entries.kinds.settlement import FlowStated
from scoring.enums import CautionSignal
from scoring.policy.caution import Burst, Jump
from scoring.policy.measures import PPM


class Reached(NamedTuple):
    """A day on which a trigger is reached."""

    day: int
    """In days since 1970-01-01."""
    known_time: int
    """When the day was first stated, in microseconds."""
    entries: tuple[str, ...]
    """Ids of the first statements of the days that are looked at, by day; that of this day is the last."""


def find_reached(flow: Sequence[FlowDay], trigger: Burst | Jump, currency: str, first_day: int) -> Iterator[Reached]:
    """Yield the days on which a trigger is reached, each on days after those that the one before rests on.

    `flow`: all that is on record from `first_day` on, one statement a day and product category; `currency`: of values that
    count. A day is looked at if it is stated, and if all days that its trigger looks at lie within the flow.
    """
    last = None
    for day in list_reached_days(flow, trigger, currency, first_day):
        if last is None or day >= last + trigger.days:
            last = day
            within = [one for one in flow if day - trigger.window_days < one.fact.day <= day]
            within.sort(key=lambda one: (one.fact.day, -one.known_time, one.first_entry_id))
            yield Reached(day, within[-1].known_time, tuple(one.first_entry_id for one in within))


def list_reached_days(flow: Sequence[FlowDay], trigger: Burst | Jump, currency: str, first_day: int) -> list[int]:
    """Return every day on which a trigger is reached, whatever was reached before, in their order."""
    stated = sorted({one.fact.day for one in flow})
    days = [day for day in stated if day - trigger.window_days >= first_day - 1]
    if not days:
        return []
    start = days[0] - trigger.window_days + 1
    if isinstance(trigger, Jump):
        captured = _Sums(flow, start, days[-1], lambda fact: fact.captured_minor if fact.currency == currency else 0)
        return [day for day in days if _jumps(trigger, captured, stated, day)]
    if trigger.signal is CautionSignal.DISPUTED:
        bad = _Sums(flow, start, days[-1], lambda fact: fact.disputed_orders + fact.charged_back_orders)
        of = _Sums(flow, start, days[-1], lambda fact: fact.delivered_orders)
        counted = [
            (day, bad.between(day - trigger.days + 1, day), of.between(day - trigger.days + 1, day)) for day in days
        ]
    else:
        of = _Sums(flow, start, days[-1], lambda fact: fact.captured_orders)
        done = _Sums(flow, start, days[-1], lambda fact: fact.delivered_orders + fact.refunded_orders)
        counted = []
        for day in days:
            begin, due = (
                day - trigger.window_days + 1,
                of.between(day - trigger.window_days + 1, day - trigger.grace_days),
            )
            counted.append((day, due - done.between(begin, day), due))
    return [day for day, bad, of in counted if bad >= trigger.orders and bad * PPM >= trigger.share_ppm * of]


def _jumps(trigger: Jump, captured: "_Sums", stated: Sequence[int], day: int) -> bool:
    """Return whether the value captured up to a day is the multiple of what was captured before."""
    value = captured.between(day - trigger.days + 1, day)
    begin, end = day - trigger.window_days + 1, day - trigger.days
    known_from = next((one for one in stated if begin <= one <= end), None)
    if value < trigger.value_minor or known_from is None or (end - known_from + 1) * 2 < trigger.before_days:
        return False
    return value * (end - known_from + 1) >= trigger.times * captured.between(begin, end) * trigger.days


class _Sums:
    """Sums of one number of the flow over days; none of days that are not stated."""

    def __init__(self, flow: Sequence[FlowDay], first: int, last: int, number: Callable[[FlowStated], int]) -> None:
        by_day = [0] * (last - first + 1)
        for one in flow:
            if first <= one.fact.day <= last:
                by_day[one.fact.day - first] += number(one.fact)
        self._first = first
        self._until = [0, *accumulate(by_day)]

    def between(self, first: int, last: int) -> int:
        """Return the sum from one day to another, both included; both lie within the days given."""
        return self._until[last - self._first + 1] - self._until[first - self._first]

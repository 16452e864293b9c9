"""Restitution: recorded measures that rested on a violation taken back, their days, and the amounts they held."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple

from scoring.base.arrays import NEVER
from scoring.base.enums import DepositChange, MeasureKind, MeasureState, Status
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.entries.flow import FlowDay
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.entries.kinds.settlement import DepositChanged
from scoring.entries.lifecycle import RETRACTED_STATUSES
from scoring.features.columns import FactRow
from scoring.features.violations import trace_statuses
from scoring.measures.record import MeasureStatement
from scoring.policy.measures import PPM

_HOLD_KINDS = (MeasureKind.SETTLEMENT_HOLD, MeasureKind.DELIVERY_HOLD)


class StatedValue(NamedTuple):
    begin: int
    stated: MeasureChanged


@frozen
class MeasureSpan:
    """A time in which a measure rested on one violation."""

    measure: str
    rule: str
    """Empty for a measure by a person."""
    kind: MeasureKind
    begin: int
    """In microseconds, as `end`."""
    end: int | None
    """None if it still rests on the violation."""
    others: tuple[str, ...]
    """Its other violations meanwhile, sorted."""
    values: tuple[StatedValue, ...]
    """Its values by when each began to count; the first by the span's begin."""

    def days_until(self, now: int) -> int:
        """Return the 24-hour days of the span, a begun one counted; up to `now` (microseconds) if it continues."""
        end = now if self.end is None else self.end
        return max(-(-(end - self.begin) // DAY), 0)

    def find_first_and_last_day(self, now: int) -> tuple[int, int]:
        """Return (first, last) UTC day of the span since 1970-01-01; up to `now` if it continues."""
        last = now if self.end is None else max(self.end - 1, self.begin)
        return self.begin // DAY, last // DAY

    def find_statement(self, day: int) -> MeasureChanged:
        last = next((value for value in reversed(self.values) if value.begin < (day + 1) * DAY), self.values[0])
        return last.stated


@frozen
class RestitutionItem:
    span: MeasureSpan
    days: int
    held_minor: int


@frozen
class Restitution:
    violation: str
    status: Status
    items: tuple[RestitutionItem, ...]
    captured_minor: int
    currency: str


def find_times_taken_back(violation: str, rows: Iterable[FactRow]) -> list[tuple[int, int | None]]:
    """Return each (from, until) in which a violation was taken back, in microseconds; None if it still is.

    Taken back is overturned, dismissed, withdrawn, or of another's goods. Worked: overturned at 10, reinstated at 20,
    overturned at 30: (10, 20) and (30, None).
    """
    times: list[tuple[int, int | None]] = []
    since: int | None = None
    for _, row, status, is_elsewhere in trace_statuses(row for row in rows if row.violation == violation):
        if status in RETRACTED_STATUSES or is_elsewhere:
            since = row.report_time if since is None else since
        elif since is not None:
            times.append((since, row.report_time))
            since = None
    return times if since is None else [*times, (since, None)]


def list_spans_on_violation(
    violation: str, statements: Iterable[MeasureStatement], times_taken_back: Sequence[tuple[int, int | None]] = ()
) -> list[MeasureSpan]:
    """Return the measures that rested on a violation, in the order in which they began.

    `statements`: about its seller's measures, by sequence. A measure begins at its stated begin, if later than its
    statement. None rests on the violation in `times_taken_back`; a measure not lifted by their end rests on it again.
    """
    spans = _trace_spans(violation, statements)
    for since, until in times_taken_back:
        spans = [part for span in spans for part in _cut_out(span, since, until)]
    return sorted(spans, key=lambda span: (span.begin, span.measure))


def _cut_out(span: MeasureSpan, since: int, until: int | None) -> Iterator[MeasureSpan]:
    end = NEVER if span.end is None else span.end
    if span.begin < since:
        values = tuple(value for value in span.values if value.begin < since)
        yield replace(span, end=since if since < end else span.end, values=values)
    if until is not None and until < end:
        yield replace(span, begin=max(span.begin, until))


def _trace_spans(violation: str, statements: Iterable[MeasureStatement]) -> list[MeasureSpan]:
    open_spans: dict[str, MeasureSpan] = {}
    spans: list[MeasureSpan] = []
    for statement in statements:
        fact = statement.fact
        span = open_spans.pop(fact.measure, None)
        if span is not None and (end := _find_own_end(span)) is not None and end <= statement.occur_time:
            spans.append(replace(span, end=end))
            span = None
        if fact.state is not MeasureState.LIFTED and violation in fact.violations:
            if span is None:
                begin = max(statement.occur_time, fact.since or 0)
                span = MeasureSpan(fact.measure, fact.rule, fact.measure_kind, begin, None, (), ())
            since = max(statement.occur_time, span.begin)
            values = (*(value for value in span.values if value.begin < since), StatedValue(since, fact))
            others = {*span.others, *fact.violations} - {violation}
            open_spans[fact.measure] = replace(span, others=tuple(sorted(others)), values=values)
        elif span is not None:
            spans.append(replace(span, end=max(statement.occur_time, span.begin)))
    return spans + [replace(span, end=_find_own_end(span)) for span in open_spans.values()]


def _find_own_end(span: MeasureSpan) -> int | None:
    value = span.values[-1]
    return None if value.stated.until is None else max(value.stated.until, value.begin)


def list_restitution_items(
    spans: Sequence[MeasureSpan],
    flow: Sequence[FlowDay],
    deposits: Sequence[tuple[int, DepositChanged]],
    now: int,
    currency: str,
) -> tuple[RestitutionItem, ...]:
    """Return the amount that each measure held in its span, in minor units of `currency`, up to `now` (microseconds).

    `flow`: by day and product category. `deposits`: changes with their times, by
    sequence. A measure counts only what earlier ones of its kind did not hold.
    """
    flow = [one for one in flow if one.fact.currency == currency]
    changes = sorted((deposit for deposit in deposits if deposit[1].currency == currency), key=itemgetter(0))
    return tuple(
        RestitutionItem(
            span,
            span.days_until(now),
            _find_held_amount(
                span, [one for one in spans[:place] if one.kind is span.kind], flow, changes, now, currency
            ),
        )
        for place, span in enumerate(spans)
    )


def _find_held_amount(
    span: MeasureSpan,
    earlier: Sequence[MeasureSpan],
    flow: Sequence[FlowDay],
    deposits: Sequence[tuple[int, DepositChanged]],
    now: int,
    currency: str,
) -> int:
    """Return the amount a measure held in its span beyond `earlier` ones of its kind, in minor units.

    Worked: a reserve of 100,000 ppm with 5,005 captured on one day, updated to 200,000 on the next with 5,005 more. It
    held 1,501 (10 % of 5,005 and 20 % of 5,005, rounded down together).
    """
    if span.kind is MeasureKind.DEPOSIT:
        return _find_most_placed(span, earlier, deposits, now, currency)
    if span.kind not in (*_HOLD_KINDS, MeasureKind.ROLLING_RESERVE):
        return 0

    def find_held_ppm(one: MeasureSpan, day: int) -> int:
        first, last = one.find_first_and_last_day(now)
        if not first <= day <= last:
            return 0
        return PPM if one.kind in _HOLD_KINDS else one.find_statement(day).ppm

    held_ppm = 0
    for one in flow:
        day = one.fact.day
        before = max((find_held_ppm(other, day) for other in earlier), default=0)
        held_ppm += one.fact.captured_minor * max(find_held_ppm(span, day) - before, 0)
    return held_ppm // PPM


def _find_most_placed(
    span: MeasureSpan,
    earlier: Sequence[MeasureSpan],
    deposits: Sequence[tuple[int, DepositChanged]],
    now: int,
    currency: str,
) -> int:
    """Return the most placed at once, in the span, of a required deposit beyond earlier ones, in minor units.

    Worked: 5,000 required, 3,000 placed, 4,000 more placed, 6,000 returned before its end: 5,000.
    """
    balance, balances = 0, {0: 0}
    for time, fact in deposits:
        balance += fact.amount_minor if fact.change is DepositChange.PLACED else -fact.amount_minor
        balances[time] = balance
    marks = {*balances, *(one.end for one in earlier if one.end is not None)}
    marks |= {time for one in (span, *earlier) for time in (one.begin, *(value.begin for value in one.values))}
    most_placed = 0
    for time in marks:
        required = _find_required_deposit(span, time, now, currency)
        before = max((_find_required_deposit(one, time, now, currency) for one in earlier), default=0)
        placed = balances[max(one for one in balances if one <= time)]
        most_placed = max(most_placed, min(required, placed) - min(before, placed))
    return most_placed


def _find_required_deposit(span: MeasureSpan, time: int, now: int, currency: str) -> int:
    if not span.begin <= time < (now if span.end is None else span.end):
        return 0
    fact = next(value for value in reversed(span.values) if value.begin <= time or value is span.values[0]).stated
    if fact.ppm and span.rule:
        return NEVER  # all that is placed
    return fact.amount_minor if fact.currency == currency else 0


def add_up_captured(spans: Sequence[MeasureSpan], flow: Sequence[FlowDay], now: int, currency: str) -> int:
    """Return the value captured on the UTC days of spans, each whole day once, in minor units of `currency`."""
    ranges = [span.find_first_and_last_day(now) for span in spans]
    return sum(
        one.fact.captured_minor
        for one in flow
        if one.fact.currency == currency and any(first <= one.fact.day <= last for first, last in ranges)
    )

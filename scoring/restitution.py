"""Restitution: which recorded measures stood on a violation that was taken back, for how long, and what they held. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scoring.entries.flow import FlowDay
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.enums import MeasureKind, MeasureState, Status
from scoring.measure_record import MeasureStatement
from scoring.policy.measures import PPM
from scoring.time import DAY


@dataclass(frozen=True, slots=True)
class StoodOn:
    """One measure that stood on a violation, in one span of time."""

    measure: str
    rule: str
    """Empty for what a person imposed."""
    kind: MeasureKind
    begin: int
    """In microseconds."""
    end: int | None
    """In microseconds; None if it still stands on the violation."""
    others: tuple[str, ...]
    """The other violations that it stood on meanwhile, sorted."""
    stated: MeasureChanged
    """As it was stated first."""

    def days_until(self, now: int) -> int:
        """Return the days of the span, each that has begun counted; up to `now` (microseconds) if it goes on."""
        end = now if self.end is None else self.end
        return max(-(-(end - self.begin) // DAY), 0)


@dataclass(frozen=True, slots=True)
class RestitutionItem:
    """One measure that stood on a violation."""

    span: StoodOn
    days: int
    held_minor: int


@dataclass(frozen=True, slots=True)
class Restitution:
    """What stood on a violation that was taken back."""

    violation: str
    status: Status
    items: tuple[RestitutionItem, ...]
    captured_minor: int
    currency: str


def list_stood_on(
    violation: str, statements: Iterable[MeasureStatement], taken_back: int | None = None
) -> list[StoodOn]:
    """Return the measures that stood on a violation, in the order in which they began.

    `statements`: about measures of its seller, in the order of their sequence. A measure that ends by itself ends then; one
    that begins later than it was stated begins then; none stands on the violation from when it was last `taken_back`, in
    microseconds, whatever is on record of it later.
    """
    spans = _trace_spans(violation, statements)
    if taken_back is None:
        return spans
    return [
        replace(span, end=taken_back if span.end is None else min(span.end, taken_back))
        for span in spans
        if span.begin < taken_back
    ]


def _trace_spans(violation: str, statements: Iterable[MeasureStatement]) -> list[StoodOn]:
    """Return the spans in which recorded measures named a violation, in the order in which they began."""
    open_spans: dict[str, StoodOn] = {}
    found: list[StoodOn] = []
    for one in statements:
        fact = one.fact
        span = open_spans.pop(fact.measure, None)
        if span is not None and _ended_itself(span) and (span.stated.until or 0) <= one.occur_time:
            found.append(replace(span, end=span.stated.until))
            span = None
        stands = fact.state is not MeasureState.LIFTED and violation in fact.violations
        if stands:
            others = {*fact.violations} - {violation}
            if span is None:
                begin = max(one.occur_time, fact.since or 0)
                span = StoodOn(fact.measure, fact.rule, fact.measure_kind, begin, None, (), fact)
            open_spans[fact.measure] = replace(span, others=tuple(sorted({*span.others, *others})))
        elif span is not None:
            found.append(replace(span, end=max(one.occur_time, span.begin)))
    found += [replace(span, end=span.stated.until) if _ended_itself(span) else span for span in open_spans.values()]
    return sorted(found, key=lambda span: (span.begin, span.measure))


def _ended_itself(span: StoodOn) -> bool:
    return span.stated.until is not None


def held_by(span: StoodOn, flow: Sequence[FlowDay], now: int, currency: str, placed_minor: int) -> int:
    """Return what a measure held in its span, in minor units of `currency`.

    `flow`: of the seller, by day and product category; `placed_minor`: all that was ever placed as its deposit. Worked: a
    reserve of 100,000 ppm over two days with 5,005 captured on each held 1,001 (10 % of 10,010).
    """
    match span.kind:
        case MeasureKind.SETTLEMENT_HOLD:
            return captured_in([span], flow, now, currency)
        case MeasureKind.ROLLING_RESERVE:
            return captured_in([span], flow, now, currency) * span.stated.ppm // PPM
        case MeasureKind.DEPOSIT if span.stated.currency == currency:
            return min(span.stated.amount_minor, placed_minor)
    return 0


def captured_in(spans: Sequence[StoodOn], flow: Sequence[FlowDay], now: int, currency: str) -> int:
    """Return what was captured on the UTC days of spans, each day once, in minor units of `currency`.

    Of the first and the last day all that was captured, since flow is stated by the day.
    """
    ranges = [
        (span.begin // DAY, (now if span.end is None else max(span.end - 1, span.begin)) // DAY) for span in spans
    ]
    return sum(
        one.fact.captured_minor
        for one in flow
        if one.fact.currency == currency and any(first <= one.fact.day <= last for first, last in ranges)
    )

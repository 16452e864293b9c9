"""Onsets of cautions, and their spans: without a confirmed violation at most 30 days of 180."""

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from operator import itemgetter
from typing import NamedTuple

from scoring.base.arrays import NEVER
from scoring.base.enums import CaseState, Kind
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.caution.flow_signals import FlowMeasurement, FlowTable, find_reached_days, find_relevant_changes
from scoring.caution.signs import Fact, Sign
from scoring.entries.cases import name_case
from scoring.entries.flow import FlowDay, keep_latest_statements, list_flow_as_of
from scoring.features.columns import FactRow
from scoring.policy.caution import (
    CROWD,
    MAX_CAUTION_DAYS,
    MAX_DAYS_IN_SPAN,
    SPAN_DAYS,
    Burst,
    CautionRule,
    CautionTable,
    ControlSign,
    Jump,
    Reports,
)

MAX_LATE_DAYS = 7
"""A day of flow stated later sets nothing off."""

MAX_RESTATED = 2_000
"""Most superseded statements of one seller's flow, the latest."""

MAX_TRACED = 100
"""Most times, the latest, whose earlier knowledge is traced; one limit for reports taken back, one for new statements
of flow.
"""

_MAX_TIME_IN_SPAN, _SPAN_TIME = MAX_DAYS_IN_SPAN * DAY, SPAN_DAYS * DAY


class Onset(NamedTuple):
    """A moment at which facts reach a rule's trigger."""

    time: int
    rule: CautionRule
    signs: tuple[Sign, ...]
    """By time; none for flow."""
    entries: tuple[str, ...]
    measured: FlowMeasurement
    ended: int = NEVER
    """For flow: when a person ended its case, or refunds undid its jump, in microseconds."""
    imposes: bool = True
    """False: it only opens a case."""

    @property
    def retracted(self) -> int:
        """Return when the first of its signs was taken back for its rule, in microseconds, or NEVER; for flow `ended`."""
        return min((sign.retracted for sign in self.signs), default=self.ended)

    @property
    def end(self) -> int:
        """Return when its caution ends at the latest, in microseconds."""
        return self.time + self.rule.days * DAY

    @property
    def case(self) -> str:
        return name_case(self.rule.id, self.entries[-1])


class Span(NamedTuple):
    """In microseconds, its end excluded."""

    start: int
    end: int


@frozen
class KnownSigns:
    """Facts that may reach a rule, also those taken back."""

    signs: Sequence[Sign]
    flow: Sequence[FlowDay]
    """Now, and before each new statement."""
    first_day: int
    confirmed: Sequence[int]
    """Times of confirmation, rising; days in the SPAN_DAYS after do not count."""
    ended: Mapping[str, int] = field(default_factory=dict)
    """By case, in microseconds, the first first."""
    signs_by_rule: Mapping[str, Sequence[Sign]] = field(default_factory=dict)
    """Signs by the id of a rule with an ended case, in place of `signs`."""


def choose_first_day(observe_time: int, table: CautionTable) -> int:
    """Return the first day of flow that cautions at a time rest on; constant for SPAN_DAYS."""
    return (observe_time // DAY - SPAN_DAYS - MAX_CAUTION_DAYS - table.flow_days) // SPAN_DAYS * SPAN_DAYS


def find_spans(
    table: CautionTable,
    known_signs: KnownSigns,
    onsets: Sequence[Onset],
    observe_time: int,
    require_caller: Callable[[], None],
) -> list[tuple[Onset, Span]]:
    """Return the cautions of `onsets` in force at a time, each with its span, at most the days left when it began."""
    standing = [onset for onset in onsets if onset.ended == NEVER]
    in_force = [onset for onset in standing if onset.time <= observe_time < onset.end]
    if not any(_counts_toward_limit(onset, known_signs.confirmed) for onset in in_force):
        return [(onset, Span(onset.time, onset.end)) for onset in in_force]
    by_flow = [onset for onset in onsets if not onset.signs]
    earlier_spans, traced_until = _trace_earlier_spans(table, known_signs, by_flow, require_caller)
    spans = _cut_to_days_left(standing, earlier_spans, traced_until, known_signs.confirmed)
    return [(onset, span) for onset, span in spans if span.start <= observe_time < span.end]


class OnsetsBySigns:
    """A rule's onsets are found again only if fewer of its signs stand than before."""

    def __init__(self, table: CautionTable, known_signs: KnownSigns) -> None:
        self._table = table
        self._signs = [
            (rule, _choose_signs(rule, known_signs.signs_by_rule.get(rule.id, known_signs.signs), table))
            for rule in table.rules
        ]
        self._onsets_by_rule: dict[str, tuple[int, Sequence[Onset]]] = {}

    def list_onsets(self, since: int = NEVER - 1) -> list[Onset]:
        """Return the onsets rule by rule, from signs not taken back by `since`; by default never."""
        all_onsets: list[Onset] = []
        for rule, signs in self._signs:
            standing = [sign for sign in signs if sign.retracted > since]
            number, onsets = self._onsets_by_rule.get(rule.id, (0, ()))
            if number != len(standing):  # a later `since` only takes signs away, so their number identifies them
                onsets = [*_list_onsets_of_rule(rule, standing, self._table)]
                self._onsets_by_rule[rule.id] = len(standing), onsets
            all_onsets += onsets
        return all_onsets


def _choose_signs(rule: CautionRule, signs: Iterable[Sign], table: CautionTable) -> list[Sign]:
    chosen: list[Sign] = []
    match rule.trigger:
        case Reports(categories=categories, severity=severity):
            sources = {source for source, row in table.weights.items() if row.weight}
            chosen = [
                sign
                for sign in signs
                if sign.source in sources and sign.category in categories and sign.severity >= severity
            ]
        case ControlSign(signs=words):
            chosen = [sign for sign in signs if sign.word in words]
    return sorted(chosen, key=lambda sign: (sign.time, sign.entry))


def _list_onsets_of_rule(rule: CautionRule, signs: Sequence[Sign], table: CautionTable) -> Iterator[Onset]:
    if isinstance(rule.trigger, Reports):
        yield from _list_onsets_by_reports(rule, rule.trigger, signs, table)
    else:
        yield from (_make_onset(sign.time, rule, (sign,)) for sign in signs)


def list_ended_cases(rows: Sequence[FactRow], observe_time: int) -> Mapping[str, int]:
    """Return by case since when it counts as ended, in microseconds, the earliest first, up to `observe_time`."""
    end_times = {
        row.target: max(row.occur_time, row.report_time) + 1
        for row in rows
        if row.kind == Kind.CASE and row.status == CaseState.ENDED and row.target is not None
    }
    return {name: time for name, time in sorted(end_times.items(), key=itemgetter(1)) if time <= observe_time}


def take_back_ended_cases(table: CautionTable, known_signs: KnownSigns) -> KnownSigns:
    """Return the known facts, with the signs of ended cases taken back from the end on, for their rule alone.

    Later signs that repeat their facts are left out for that rule.
    """
    signs_by_rule: dict[str, Sequence[Sign]] = {}
    for name, time in known_signs.ended.items():
        for rule in table.rules:
            signs = signs_by_rule.get(rule.id, known_signs.signs)
            known_then = [sign for sign in signs if sign.time <= time < sign.retracted]
            for onset in _list_onsets_of_rule(rule, _choose_signs(rule, known_then, table), table):
                if onset.case == name:
                    facts = {fact: sign for sign in onset.signs for fact in sign.facts}
                    signs_by_rule[rule.id] = [
                        sign._replace(retracted=min(sign.retracted, time)) if sign.repeats(facts) else sign
                        for sign in signs
                        if sign.time <= time or not sign.repeats(facts)
                    ]
    return replace(known_signs, signs_by_rule=signs_by_rule)


def list_onsets_by_flow(caution_table: CautionTable, known_signs: KnownSigns, time: int = NEVER - 1) -> Iterator[Onset]:
    """Yield an onset for each day on which a seller's flow (daily orders) reaches a rule's trigger, rule by rule.

    Statements count as at `time`, by default the last. Days within a trigger's span of an earlier onset or ended case
    set nothing else off. Days stated MAX_LATE_DAYS late set nothing off.
    """
    flow, ended = list_flow_as_of(known_signs.flow, time), known_signs.ended
    table = FlowTable(flow, caution_table.currency)
    for rule in caution_table.rules if flow else ():
        if isinstance(rule.trigger, Burst | Jump):
            ended_days = {one.fact.day for one in flow if ended and name_case(rule.id, one.first_entry_id) in ended}
            for reached in find_reached_days(table, rule.trigger, known_signs.first_day, ended_days):
                if reached.known_time < (reached.day + MAX_LATE_DAYS) * DAY:
                    ended_time = ended.get(name_case(rule.id, reached.entries[-1]), NEVER)
                    end = min(ended_time, reached.refunded_time)
                    yield Onset(reached.known_time + 1, rule, (), reached.entries, reached.measured, end)


def _make_onset(time: int, rule: CautionRule, signs: tuple[Sign, ...], counted: int = 0, imposes: bool = True) -> Onset:
    entries = tuple(sign.entry for sign in signs)
    return Onset(time, rule, signs, entries, FlowMeasurement(counted), imposes=imposes)


class _WeightTally:
    """The weight of some reports together, limited by source."""

    def __init__(self, table: CautionTable) -> None:
        self._weights = {int(source): row for source, row in table.weights.items()}
        self._sums: dict[int, int] = {}
        self.held: dict[str, Sign] = {}
        self.weight = 0

    def clear(self) -> None:
        self._sums.clear()
        self.held.clear()
        self.weight = 0

    def add(self, sign: Sign) -> None:
        self.held[sign.entry] = sign
        self._add_weight(sign.source, self._weights[sign.source].weight)

    def drop(self, entry: str) -> Sign | None:
        if (sign := self.held.pop(entry, None)) is not None:
            self._add_weight(sign.source, -self._weights[sign.source].weight)
        return sign

    def _add_weight(self, source: int, weight: int) -> None:
        total, at_most = self._sums.get(source, 0), self._weights[source].at_most
        self._sums[source] = total + weight
        self.weight += min(total + weight, at_most) - min(total, at_most)


def _list_onsets_by_reports(
    rule: CautionRule, trigger: Reports, signs: Iterable[Sign], table: CautionTable
) -> Iterator[Onset]:
    """Yield each moment at which the reports within the rule's days weigh enough; `signs`: by time.

    Each report is used once. One source's reports about one incident, or one listing within SPAN_DAYS, count once. If
    only crowds' reports bring the weight, the onset imposes nothing, and the other sources' reports may count again.
    """
    sign_of_fact: dict[Fact, Sign] = {}
    leaving: list[tuple[int, str]] = []
    all_reports, reports_without_crowd = _WeightTally(table), _WeightTally(table)
    for sign in signs:
        while leaving and leaving[0][0] <= sign.time:
            _, name = heapq.heappop(leaving)
            dropped = all_reports.drop(name), reports_without_crowd.drop(name)
            earlier_sign = dropped[0] or dropped[1]
            # Another report may now state the facts of one that was retracted.
            if earlier_sign is not None and earlier_sign.retracted <= sign.time:
                for fact in earlier_sign.facts:
                    if sign_of_fact.get(fact) is earlier_sign:
                        del sign_of_fact[fact]
        if sign.repeats(sign_of_fact):
            continue
        sign_of_fact |= dict.fromkeys(sign.facts, sign)
        all_reports.add(sign)
        if sign.source not in CROWD:
            reports_without_crowd.add(sign)
        heapq.heappush(leaving, (min(sign.time + trigger.days * DAY, sign.retracted), sign.entry))
        imposes = reports_without_crowd.weight >= trigger.weight
        if imposes or all_reports.weight >= trigger.weight:
            reached = reports_without_crowd if imposes else all_reports
            yield _make_onset(sign.time, rule, tuple(reached.held.values()), reached.weight, imposes)
            all_reports.clear()
            if imposes:
                reports_without_crowd.clear()


def _trace_earlier_spans(
    table: CautionTable, known_signs: KnownSigns, by_flow: list[Onset], require_caller: Callable[[], None]
) -> tuple[list[Span], int]:
    """Return the spans under caution as earlier knowledge gave them, and until when they reach."""
    triggers = [rule.trigger for rule in table.rules if isinstance(rule.trigger, Burst | Jump)]
    known_signs = replace(known_signs, flow=keep_latest_statements(known_signs.flow, MAX_RESTATED))
    signs = OnsetsBySigns(table, known_signs)
    changes = find_relevant_changes(known_signs.flow, triggers, table.currency)
    retractions = sorted({onset.retracted for onset in signs.list_onsets(0)} - {NEVER})
    first_traced_change = max([0, *changes[:-MAX_TRACED], *retractions[:-MAX_TRACED]])
    earlier_spans: list[Span] = []
    traced_until = 0
    if changes:
        by_flow = [*list_onsets_by_flow(table, known_signs, 0)]
    while True:
        require_caller()
        by_signs = (onset for onset in signs.list_onsets(traced_until) if onset.imposes)
        onsets = [*by_signs, *(onset for onset in by_flow if onset.ended > traced_until)]
        spans = _cut_to_days_left(onsets, earlier_spans, traced_until, known_signs.confirmed)
        ends = {onset.retracted for onset, _ in spans if onset.retracted < NEVER}
        next_change = bisect_right(changes, traced_until)
        next_change_time = min([*ends, *changes[next_change : next_change + 1]], default=NEVER)
        if next_change_time == NEVER:
            return earlier_spans, traced_until
        next_change_time = max(next_change_time, first_traced_change)
        clipped = [Span(max(span.start, traced_until), min(span.end, next_change_time)) for _, span in spans]
        earlier_spans += [span for span in clipped if span.start < span.end]
        traced_until = next_change_time
        if bisect_right(changes, next_change_time) > next_change:
            by_flow = [*list_onsets_by_flow(table, known_signs, traced_until)]


def _cut_to_days_left(
    onsets: Iterable[Onset], earlier_spans: Sequence[Span], traced_until: int, confirmed: Sequence[int]
) -> list[tuple[Onset, Span]]:
    """Cut each caution to the days left; leave out those without.

    `earlier_spans`: spans before `traced_until`, in place of those found here. Days after a confirmed violation
    (`confirmed`), or without an imposed measure, do not count.
    """
    counted_spans: list[Span] = []
    for span in sorted(earlier_spans):
        _append_span(counted_spans, span)
    spans: list[tuple[Onset, Span]] = []
    for onset in sorted(onsets, key=lambda one: (one.time, one.rule.id)):
        start, end = onset.time, onset.end
        if not onset.imposes:
            spans.append((onset, Span(start, end)))
            continue
        if _counts_toward_limit(onset, confirmed):
            end = min(end, start + _MAX_TIME_IN_SPAN - _add_up_overlap(counted_spans, start - _SPAN_TIME, start))
        if start < end:
            spans.append((onset, Span(start, end)))
            _append_span(counted_spans, Span(max(start, traced_until), end))
    return spans


def _counts_toward_limit(onset: Onset, confirmed: Sequence[int]) -> bool:
    count = bisect_right(confirmed, onset.time)
    return onset.imposes and (not count or confirmed[count - 1] <= onset.time - _SPAN_TIME)


def _append_span(merged_spans: list[Span], span: Span) -> None:
    if span.start >= span.end:
        return
    if merged_spans and span.start <= merged_spans[-1].end:
        merged_spans[-1] = Span(merged_spans[-1].start, max(merged_spans[-1].end, span.end))
    else:
        merged_spans.append(span)


def _add_up_overlap(spans: Sequence[Span], start: int, end: int) -> int:
    overlap = 0
    for span in reversed(spans):
        if span.end <= start:
            break
        overlap += max(min(span.end, end) - max(span.start, start), 0)
    return overlap

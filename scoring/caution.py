"""Caution: the fast signal from everything known, alleged or confirmed, that protects for some days and judges nothing.

A caution follows from the entries, the time and the policy alone. It begins when a fact becomes visible by which a rule's
trigger is reached, on facts that no caution of that rule has rested on, and ends by itself. What was dismissed, withdrawn,
overturned, attributed to another seller or voided is as if it had never been reported, also in the past: no caution rests on
it, and none that it took part in has used up other facts. One thing remains of it, for the seller: the days that it was under
caution then count towards the 30 of 180 that there are without a confirmed violation.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from scoring.arrays import NEVER, Bools
from scoring.entries.flow import FlowDay
from scoring.entries.lifecycle import RETRACTED_STATUSES
from scoring.enums import Attribution, CautionSignal, ControlReason, CorrectionKind, Kind, Source, Status
from scoring.features.columns import EntryColumns, FactRow, FactTable, columns_of
from scoring.features.facts import apply_changes, kind_mask
from scoring.features.violations import judge
from scoring.flow_signals import find_reached, list_reached_days
from scoring.policy.caution import (
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
from scoring.policy.history import find_decision_times
from scoring.policy.measures import Measure
from scoring.time import DAY

Flows = Mapping[str, Sequence[FlowDay]]
"""By seller its flow, one statement a day and product category; sellers without any are left out."""

NO_FLOWS: Flows = MappingProxyType({})

_ABOUT_VIOLATIONS = (Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION)
_IS_ABOUT_VIOLATIONS = kind_mask(*_ABOUT_VIOLATIONS)
_KINDS = frozenset({*_ABOUT_VIOLATIONS, Kind.INCIDENT, Kind.CORRECTION, Kind.CONTROL, Kind.IDENTITY})
MAX_LATE_DAYS = 7
"""Days after a day of flow began within which it must have been stated first, to set anything off."""

_ALLOWED, _SPAN = MAX_DAYS_IN_SPAN * DAY, SPAN_DAYS * DAY


@dataclass(frozen=True, slots=True)
class Caution:
    """One caution that is in force."""

    rule: str
    """Id of the rule."""
    reference: str
    """Where the seller reads it."""
    signal: CautionSignal
    """What set it off."""
    start: int
    """When the last fact that it took became visible, in microseconds."""
    end: int
    """When it ends by itself, in microseconds."""
    decide_by: int
    """By when a person is to decide the case that it opens, in microseconds."""
    measures: tuple[Measure, ...]
    """Its protections."""
    entries: tuple[str, ...]
    """Ids of the entries that it rests on, by the time they became visible, or by day of flow; the last one set it off."""

    @property
    def case(self) -> str:
        """Return the name of the case that it opens, which stays the same as long as it lasts: `RULE~ENTRY`."""
        return f"{self.rule}~{self.entries[-1]}"


class Sign(NamedTuple):
    """One fact that may set a caution off."""

    time: int
    """When it became visible, in microseconds."""
    entry: str
    """Id of its entry."""
    taken_back: int
    """When it was taken back, in microseconds; NEVER if it stands."""
    word: str
    """Of a change of control, which of CONTROL_SIGNS it is; empty for a report."""
    category: int = 0
    severity: int = 0
    source: int = 0
    incident: int = -1


class Set(NamedTuple):
    """The moment at which the trigger of a rule is reached."""

    time: int
    rule: CautionRule
    signs: tuple[Sign, ...]
    """What it rests on, by time; none of flow, which is never taken back but stated again."""
    entries: tuple[str, ...]
    """Ids of the entries that it rests on."""


class Span(NamedTuple):
    """A span of time, in microseconds, the end not in it."""

    start: int
    end: int


def find_cautions(
    table: FactTable, sellers: Sequence[str], flows: Flows, observe_time: int, stated: CautionTable
) -> Mapping[int, tuple[Caution, ...]]:
    """Return the cautions in force at a time, by the case of their seller; cases without one are left out.

    `table`: the sellers' entries, one case a seller; `flows`: by seller the flow that `choose_first_day` asks for. Cautions
    are in the order of the policy's rules, then by start.
    """
    columns = table.columns
    chosen = _may_have(columns, stated)
    if flows:
        chosen |= np.array([seller in flows for seller in sellers], dtype=np.bool_)
    if not chosen.any():
        return {}
    own: dict[int, list[FactRow]] = {case: [] for case in np.flatnonzero(chosen).tolist()}
    places = np.flatnonzero(chosen[columns.case])
    for case, row in zip(columns.case[places].tolist(), columns.row[places].tolist(), strict=True):
        own[case].append(table.rows[row])
    found = {
        case: find_cautions_of_seller(rows, observe_time, stated, flows.get(sellers[case], ()))
        for case, rows in own.items()
    }
    return {case: cautions for case, cautions in found.items() if cautions}


def _may_have(columns: EntryColumns, stated: CautionTable) -> Bools:
    """Return, by case, whether its entries could set a caution off: a quick look that never misses one."""
    found: Bools = np.zeros(columns.cases, dtype=np.bool_)
    if any(isinstance(rule.trigger, ControlSign) for rule in stated.rules):
        found[columns.case[columns.kind == Kind.CONTROL]] = True
        found |= np.bincount(columns.case[columns.kind == Kind.IDENTITY], minlength=columns.cases) > 1
    least = stated.least_weight()
    reports = np.flatnonzero(columns.kind == Kind.VIOLATION)
    if least and len(reports):
        weights, limits = np.zeros((2, max(Source) + 1), dtype=np.int64)
        for source, row in stated.weights.items():
            weights[source], limits[source] = row.weight, row.at_most
        sums = np.zeros((columns.cases, len(weights)), dtype=np.int64)
        sources = columns.source[reports]
        np.add.at(sums, (columns.case[reports], sources), weights[sources])
        found |= np.minimum(sums, limits).sum(axis=1) >= least
    return found


def choose_first_day(observe_time: int, stated: CautionTable) -> int:
    """Return the first day of flow that the cautions at a time rest on: all that count towards the 30 of 180 days.

    It stays the same for SPAN_DAYS, so that what has been used up is the same from day to day.
    """
    return (observe_time // DAY - SPAN_DAYS - MAX_CAUTION_DAYS - stated.flow_days) // SPAN_DAYS * SPAN_DAYS


def choose_first_recent_day(observe_time: int, stated: CautionTable) -> int:
    """Return the first day of flow by which it is seen whether flow sets off a caution that is in force at a time."""
    return observe_time // DAY - MAX_CAUTION_DAYS - MAX_LATE_DAYS - stated.flow_days


def may_be_set_off(flow: Sequence[FlowDay], observe_time: int, stated: CautionTable) -> bool:
    """Return whether the flow from the first recent day on may set off a caution that is in force at a time.

    Only then all of it needs to be read.
    """
    first = choose_first_recent_day(observe_time, stated)
    return any(
        list_reached_days(flow, rule.trigger, stated.currency, first)
        for rule in stated.rules
        if isinstance(rule.trigger, Burst | Jump)
    )


def find_cautions_of_seller(
    rows: Sequence[FactRow], observe_time: int, stated: CautionTable, flow: Sequence[FlowDay] = ()
) -> tuple[Caution, ...]:
    """Return the cautions in force for one seller at a time, by its rows and flow, in the order of the policy's rules.

    Worked: customs reports (100) counterfeit goods on 1 March, which set off a rule that asks for 100 within 14 days and
    lasts 3: until 4 March. A second report of 2 March sets it off again, until 5 March; each report does once.
    """
    rows = [row for row in rows if row.kind in _KINDS]
    signs = [sign for sign in list_signs(rows) if sign.time <= observe_time]
    by_flow = list(_list_set_off_by_flow(stated, flow, observe_time))
    standing = [*_list_set_off(stated, [sign for sign in signs if sign.taken_back == NEVER]), *by_flow]
    if not any(one.time <= observe_time < one.time + one.rule.days * DAY for one in standing):
        return ()
    stands = {sign.entry for sign in signs if sign.taken_back == NEVER}
    confirmed = [time for violation, time in find_decision_times(rows).items() if violation in stands]
    lived, since = _trace_what_was(stated, signs, by_flow, confirmed)
    places = {rule.id: place for place, rule in enumerate(stated.rules)}
    found = [
        Caution(
            rule=one.rule.id,
            reference=one.rule.reference,
            signal=one.rule.trigger.signal,
            start=span.start,
            end=span.end,
            decide_by=min(span.start + stated.decide_days * DAY, span.end),
            measures=one.rule.measures,
            entries=one.entries,
        )
        for one, span in _limit(standing, lived, since, confirmed)
        if span.start <= observe_time < span.end
    ]
    return tuple(sorted(found, key=lambda caution: (places[caution.rule], caution.start)))


def list_signs(rows: Sequence[FactRow]) -> list[Sign]:
    """Return every fact of one seller that may set a caution off, those that were taken back too, in no order."""
    if not rows:
        return []
    columns = apply_changes(columns_of(rows, [rows[0].seller]))
    taken_back = _find_taken_back(rows)
    judged = judge(columns.take(_IS_ABOUT_VIOLATIONS[columns.kind]))
    reports = judged.reports
    found = []
    named = (reports.row, reports.occur_time, reports.report_time, reports.category, judged.severity, reports.incident)
    each = zip(*(column.tolist() for column in named), judged.is_reported.tolist(), judged.stands.tolist(), strict=True)
    for place, occur, report, category, severity, incident, is_reported, stands in each:
        if is_reported:
            row, seen = rows[place], max(occur, report) + 1
            gone = NEVER if stands else max(taken_back.get(row.entry_id, seen), seen)
            found.append(Sign(seen, row.entry_id, gone, "", category, severity, row.source or 0, incident))
    kept = set(columns.row.tolist())
    for place, row in enumerate(rows):
        if place not in kept and row.kind in (Kind.VIOLATION, Kind.CONTROL):  # voided
            found.append(_make_voided(row, taken_back))
    return [*found, *_list_signs_of_control(columns, rows)]


def _make_voided(row: FactRow, taken_back: Mapping[str, int]) -> Sign:
    """Return the sign that a voided entry was, until it was voided."""
    seen = max(row.occur_time, row.report_time) + 1
    gone = max(taken_back.get(row.entry_id, seen), seen)
    if row.kind == Kind.CONTROL:
        return Sign(seen, row.entry_id, gone, ControlReason(row.status or 0).name.lower())
    return Sign(seen, row.entry_id, gone, "", row.category or 0, row.severity or 0, row.source or 0, -1 - row.sequence)


def _list_signs_of_control(columns: EntryColumns, rows: Sequence[FactRow]) -> Iterator[Sign]:
    """Yield changes of control, and identities verified to a lower level than the one before."""
    known = columns.take(np.flatnonzero((columns.kind == Kind.CONTROL) | (columns.kind == Kind.IDENTITY)))
    order = np.lexsort((known.sequence, known.occur_time))
    before = 0
    for place in order.tolist():
        row = rows[int(known.row[place])]
        seen = int(max(known.occur_time[place], known.report_time[place])) + 1
        if row.kind == Kind.CONTROL:
            yield Sign(seen, row.entry_id, NEVER, ControlReason(int(known.status[place])).name.lower())
            continue
        level = int(known.level[place])
        if level < before:
            yield Sign(seen, row.entry_id, NEVER, "identity_lowered")
        before = level


def _find_taken_back(rows: Sequence[FactRow]) -> dict[str, int]:
    """Return when each entry was last taken back, by its id: a violation by a decision, others by a correction."""
    times: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: row.sequence):
        if row.kind == Kind.CORRECTION and row.status == CorrectionKind.VOID and row.target is not None:
            times[row.target] = row.report_time
        elif row.violation is not None and row.status and row.kind in (Kind.STATUS, Kind.ATTRIBUTION):
            is_gone = (
                row.status == Attribution.ACCEPTED
                if row.kind == Kind.ATTRIBUTION
                else Status(row.status) in RETRACTED_STATUSES
            )
            if is_gone:
                times.setdefault(row.violation, row.report_time)
            else:
                times.pop(row.violation, None)
    return times


def _list_set_off(stated: CautionTable, signs: Sequence[Sign]) -> Iterator[Set]:
    """Yield each moment at which a rule's trigger is reached, rule by rule, on facts that it has not taken before."""
    ordered = sorted(signs, key=lambda sign: (sign.time, sign.entry))
    for rule in stated.rules:
        match rule.trigger:
            case Reports():
                yield from _set_off_by_reports(rule, rule.trigger, ordered, stated)
            case ControlSign(signs=words):
                yield from (_make_set(sign.time, rule, (sign,)) for sign in ordered if sign.word in words)


def _list_set_off_by_flow(stated: CautionTable, flow: Sequence[FlowDay], observe_time: int) -> Iterator[Set]:
    """Yield each moment at which a rule's trigger is reached by the flow, rule by rule, on days not taken before.

    What was first stated later than MAX_LATE_DAYS after its day sets nothing off: it is no burst any more.
    """
    first = choose_first_day(observe_time, stated)
    for rule in stated.rules if flow else ():
        if isinstance(rule.trigger, Burst | Jump):
            for one in find_reached(flow, rule.trigger, stated.currency, first):
                if one.known_time < (one.day + MAX_LATE_DAYS) * DAY:
                    yield Set(one.known_time + 1, rule, (), one.entries)


def _make_set(time: int, rule: CautionRule, signs: tuple[Sign, ...]) -> Set:
    return Set(time, rule, signs, tuple(sign.entry for sign in signs))


def _set_off_by_reports(
    rule: CautionRule, asked: Reports, signs: Iterable[Sign], stated: CautionTable
) -> Iterator[Set]:
    """Yield each moment at which the reports within the rule's days weigh enough.

    What was yielded is not counted again. Reports of one source about one incident count once.
    """
    known: dict[tuple[int, int], Sign] = {}
    held: dict[str, Sign] = {}
    leaving: list[tuple[int, str]] = []
    sums = dict.fromkeys(map(int, Source), 0)
    limits = {int(source): row.at_most for source, row in stated.weights.items()}
    for sign in signs:
        weight = stated.weights[Source(sign.source)].weight if sign.source else 0
        if not weight or sign.category not in asked.categories or sign.severity < asked.severity:
            continue
        while leaving and leaving[0][0] <= sign.time:
            _, name = heapq.heappop(leaving)
            if (old := held.pop(name, None)) is not None:
                sums[old.source] -= stated.weights[Source(old.source)].weight
                if old.taken_back <= sign.time:
                    known.pop((old.incident, old.source), None)
        key = (sign.incident, sign.source)
        if key in known:
            continue
        known[key] = held[sign.entry] = sign
        sums[sign.source] += weight
        heapq.heappush(leaving, (min(sign.time + asked.days * DAY, sign.taken_back), sign.entry))
        if sum(min(total, limits[source]) for source, total in sums.items()) >= asked.weight:
            yield _make_set(sign.time, rule, tuple(held.values()))
            held, sums = {}, dict.fromkeys(sums, 0)


def _trace_what_was(
    stated: CautionTable, signs: Sequence[Sign], by_flow: Sequence[Set], confirmed: Sequence[int]
) -> tuple[list[Span], int]:
    """Return the spans under caution that rested on what was taken back since, until then; and when that last happened."""
    lived: list[Span] = []
    since = 0
    while True:
        known = [sign for sign in signs if sign.taken_back > since]
        spans = _limit([*_list_set_off(stated, known), *by_flow], lived, since, confirmed)
        ends = [s.taken_back for one, _ in spans for s in one.signs if s.taken_back < NEVER]
        if not ends:
            return lived, since
        until = min(ends)
        clipped = [Span(max(span.start, since), min(span.end, until)) for _, span in spans]
        lived += [span for span in clipped if span.start < span.end]
        since = until


def _limit(found: Iterable[Set], lived: Sequence[Span], since: int, confirmed: Sequence[int]) -> list[tuple[Set, Span]]:
    """Return the span of each caution that is set off, cut to the days that are left, without those that have none left.

    `lived`: spans under caution before `since`, which count in place of those found here. Days are not counted where a
    violation was confirmed, by the times in `confirmed`, in the span before.
    """
    spans: list[tuple[Set, Span]] = []
    for one in sorted(found, key=lambda one: (one.time, one.rule.id)):
        start, end = one.time, one.time + one.rule.days * DAY
        if not any(start - _SPAN < time <= start for time in confirmed):
            past = [*lived, *(Span(max(span.start, since), span.end) for _, span in spans)]
            end = min(end, start + _ALLOWED - _measure_union(past, start - _SPAN, start))
        if start < end:
            spans.append((one, Span(start, end)))
    return spans


def _measure_union(spans: Iterable[Span], start: int, end: int) -> int:
    """Return how much of a span of time some spans cover together, in microseconds."""
    inside = sorted((max(span.start, start), min(span.end, end)) for span in spans)
    edges = sorted({edge for span in inside if span[0] < span[1] for edge in span})
    return sum(b - a for a, b in pairwise(edges) if any(one[0] <= a and b <= one[1] for one in inside))

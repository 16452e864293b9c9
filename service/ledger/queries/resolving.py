"""Violations as reads show them, after decisions, attributions, corrections, merges and splits.

As in the score, present knowledge counts: today's decision corrects an earlier time.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from scoring.base.enums import Category, CorrectionKind, IncidentChange, Kind, Severity, Status
from scoring.entries.derivation import VIOLATION_KINDS
from scoring.entries.kinds.conduct import ProductViolationReported, ViolationReported
from scoring.entries.lifecycle import allowed_actions
from scoring.entries.violation_state import (
    IncidentMention,
    RecordedChange,
    ReportMove,
    ViolationState,
    incident_after_moves,
)
from scoring.features.corrections import find_merged_incident
from service.ledger.database.tables import (
    ENTRY,
    HERE,
    RECORDED,
    UP_TO_LAST,
    RowReader,
    among,
    among_kinds,
    of_kind,
    read_fact,
)
from service.ledger.records import ViolationView

_E = ENTRY.c
REPORT = RECORDED.add_columns(_E.category)
ABOUT = RECORDED.where(
    HERE,
    UP_TO_LAST,
    among(_E.violation),
    among_kinds(Kind.VIOLATION, Kind.PRODUCT_VIOLATION, Kind.STATUS, Kind.ATTRIBUTION),
    _E.status.is_not(None),
).order_by(_E.violation, _E.sequence)
CORRECTIONS = RECORDED.where(HERE, UP_TO_LAST, among(_E.target), among_kinds(Kind.CORRECTION)).order_by(
    _E.target, _E.sequence
)
_REGROUPINGS = RECORDED.where(HERE, UP_TO_LAST, of_kind(Kind.INCIDENT), among(_E.seller)).order_by(
    _E.seller, _E.sequence
)


@dataclass(slots=True)
class _History:
    state: ViolationState
    changes: list[Any] = field(default_factory=list)
    splits: list[Any] = field(default_factory=list)
    corrections: list[Any] = field(default_factory=list)


def resolve(reader: RowReader, reports: Sequence[Any]) -> list[ViolationView]:
    """Resolve reports (rows of REPORT) into violations as they are now known, in order."""
    histories = {report.entry_id: _History(state_on_arrival(report)) for report in reports}
    for row in reader.rows(ABOUT, histories):
        if row.kind in (Kind.STATUS, Kind.ATTRIBUTION):
            history = histories[row.violation]
            history.changes.append(row)
            history.state = history.state.apply(change_of(row))
    for row in reader.rows(CORRECTIONS, histories):
        histories[row.target].corrections.append(row)
    regroupings = _read_valid_regroupings(reader, {report.seller for report in reports})
    for row in regroupings:
        if row.status == IncidentChange.SPLIT and row.violation in histories:
            histories[row.violation].splits.append(row)
    merged_into = _follow_merges(regroupings)
    mentions: dict[str, list[IncidentMention[str]]] = {}
    if any(row.incident for history in histories.values() for row in history.corrections):
        mentions = _list_mentions(reader, regroupings)
    return [
        _make_view(report, histories[report.entry_id], merged_into, mentions.get(report.seller, ()))
        for report in reports
    ]


def _follow_merges(regroupings: Iterable[Any]) -> dict[tuple[str, str], str]:
    """Return, by (seller, incident), the incident that a merge put it into; that one may be merged in turn."""
    merged_into: dict[tuple[str, str], str] = {}
    for row in regroupings:
        if row.status != IncidentChange.SPLIT:
            merged = find_merged_incident(merged_into, row.seller, row.incident)
            remaining = find_merged_incident(merged_into, row.seller, row.target)
            if merged != remaining:
                merged_into[row.seller, merged] = remaining
    return merged_into


def fold_states(rows: Iterable[Any]) -> dict[str, ViolationState]:
    """Return the states of violations, by id, from rows about them: each violation's by sequence."""
    states: dict[str, ViolationState] = {}
    for row in rows:
        if row.kind in VIOLATION_KINDS:
            states[row.violation] = state_on_arrival(row)
        elif row.violation in states and row.status is not None:
            states[row.violation] = states[row.violation].apply(change_of(row))
    return states


def change_of(row: Any) -> RecordedChange:
    return RecordedChange(
        Kind(row.kind), row.entry_id, row.status, row.severity, row.target, row.occur_time, row.report_time
    )


def state_on_arrival(report: Any) -> ViolationState:
    severity, status = Severity(report.severity), Status(report.status)
    return ViolationState(report.seller, Kind(report.kind), status, severity, report.report_time)


def _read_valid_regroupings(reader: RowReader, sellers: Collection[str]) -> list[Any]:
    rows = reader.rows(_REGROUPINGS, sellers)
    corrections = reader.rows(CORRECTIONS, [row.entry_id for row in rows])
    last_status = {row.target: row.status for row in corrections}
    valid = [row for row in rows if last_status.get(row.entry_id) != CorrectionKind.VOID]
    return sorted(valid, key=attrgetter("sequence"))


def _list_mentions(reader: RowReader, regroupings: Sequence[Any]) -> dict[str, list[IncidentMention[str]]]:
    splits = {row.violation for row in regroupings if row.status == IncidentChange.SPLIT}
    states = fold_states(reader.rows(ABOUT, splits))
    found: dict[str, list[IncidentMention[str]]] = {}
    for row in regroupings:
        if row.status == IncidentChange.SPLIT and states[row.violation].is_retracted:
            continue
        names = tuple(name for name in (row.incident, row.target) if name is not None)
        found.setdefault(row.seller, []).append(IncidentMention(row.sequence, names))
    return found


def _make_view(
    report: Any, history: _History, merged_into: dict[tuple[str, str], str], mentions: Iterable[IncidentMention[str]]
) -> ViolationView:
    fact: ViolationReported | ProductViolationReported = read_fact(report)
    state = history.state
    moves = [ReportMove(row.sequence, row.incident) for row in history.corrections if row.incident]
    incident = incident_after_moves(report.incident, moves, mentions)
    moved = history.corrections[-1] if history.corrections else report
    later = sorted([*history.changes, *history.splits, *history.corrections], key=attrgetter("sequence"))
    return ViolationView(
        violation=report.entry_id,
        seller=report.seller,
        incident=find_merged_incident(
            merged_into, report.seller, history.splits[-1].target if history.splits else incident
        ),
        violation_type=fact.violation_type,
        category=Category(report.category),
        severity=state.severity,
        harm=fact.harm,
        source=fact.source,
        notifier=fact.notifier,
        status=state.status,
        attribution=state.attribution,
        occur_time=moved.occur_time,
        report_time=report.report_time,
        record_time=report.record_time,
        entries=tuple(row.entry_id for row in (report, *later)),
        allowed_actions=allowed_actions(state.status),
        sequence=report.sequence,
        listing=getattr(fact, "listing", ""),
        ground=fact.ground,
        automated=getattr(fact, "automated", False),
        trusted_flagger=getattr(fact, "trusted_flagger", False),
    )

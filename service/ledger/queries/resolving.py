"""Violations as reads show them, after decisions, attributions, corrections, merges and splits.

As in the score, present knowledge counts: today's decision corrects an earlier time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from scoring.base.enums import Category, CorrectionKind, IncidentChange, Kind, Severity, Status
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
from service.ledger.database.expressions import HERE, UP_TO_LAST, among, of_kind
from service.ledger.database.row_reader import RowReader, read_fact
from service.ledger.database.tables import ENTRY
from service.ledger.records import ViolationView

_E = ENTRY.c
_COLUMNS = (_E.sequence, _E.entry_id, _E.kind, _E.seller, _E.violation, _E.incident, _E.target, _E.severity, _E.status)
REPORT = select(*_COLUMNS, _E.category, _E.occur_time, _E.report_time, _E.record_time, _E.content)
_ABOUT = (
    select(*_COLUMNS, _E.occur_time, _E.report_time)
    .where(
        HERE,
        UP_TO_LAST,
        among(_E.violation),
        _E.kind.in_([int(kind) for kind in (Kind.VIOLATION, Kind.PRODUCT_VIOLATION, Kind.STATUS, Kind.ATTRIBUTION)]),
        _E.status.is_not(None),
    )
    .order_by(_E.violation, _E.sequence)
)
_CORRECTIONS = (
    select(*_COLUMNS, _E.occur_time)
    .where(HERE, UP_TO_LAST, among(_E.target), _E.kind == int(Kind.CORRECTION))
    .order_by(_E.target, _E.sequence)
)
_REGROUPINGS = (
    select(*_COLUMNS).where(HERE, UP_TO_LAST, of_kind(Kind.INCIDENT), among(_E.seller)).order_by(_E.seller, _E.sequence)
)


@dataclass(slots=True)
class _History:
    state: ViolationState
    changes: list[Any] = field(default_factory=list)
    splits: list[Any] = field(default_factory=list)
    corrections: list[Any] = field(default_factory=list)

    def entries(self, report: Any) -> list[Any]:
        return [report, *sorted([*self.changes, *self.splits, *self.corrections], key=lambda row: row.sequence)]


def resolve(reader: RowReader, reports: Sequence[Any]) -> list[ViolationView]:
    """Resolve reports (rows of REPORT) into violations, in order."""
    histories = {report.entry_id: _History(state_on_arrival(report)) for report in reports}
    for row in reader.rows(_ABOUT, histories):
        if row.kind in (Kind.STATUS, Kind.ATTRIBUTION):
            found = histories[row.violation]
            found.changes.append(row)
            found.state = found.state.apply(change_of(row))
    for row in reader.rows(_CORRECTIONS, histories):
        histories[row.target].corrections.append(row)
    regroupings = reader.rows(_REGROUPINGS, {report.seller for report in reports})
    voided = _void_entries(reader.rows(_CORRECTIONS, [row.entry_id for row in regroupings]))
    into: dict[tuple[str, str], str] = {}
    for row in sorted(regroupings, key=lambda row: row.sequence):
        if row.entry_id in voided:
            continue
        if row.status == IncidentChange.SPLIT:
            if row.violation in histories:
                histories[row.violation].splits.append(row)
            continue
        merged, remaining = (
            find_merged_incident(into, row.seller, row.incident),
            find_merged_incident(into, row.seller, row.target),
        )
        if merged != remaining:
            into[row.seller, merged] = remaining
    namings: dict[str, list[IncidentMention[str]]] = {}
    if any(row.incident for history in histories.values() for row in history.corrections):
        namings = _namings(reader, [row for row in regroupings if row.entry_id not in voided])
    return [_view(report, histories[report.entry_id], into, namings.get(report.seller, ())) for report in reports]


def change_of(row: Any) -> RecordedChange:
    return RecordedChange(
        Kind(row.kind), row.entry_id, row.status, row.severity, row.target, row.occur_time, row.report_time
    )


def state_on_arrival(report: Any) -> ViolationState:
    severity, status = Severity(report.severity), Status(report.status)
    return ViolationState(report.seller, Kind(report.kind), status, severity, report.report_time)


def _namings(reader: RowReader, regroupings: Sequence[Any]) -> dict[str, list[IncidentMention[str]]]:
    """Return the incidents that merges and splits named, by seller, without a retracted violation's split."""
    splits = {row.violation for row in regroupings if row.status == IncidentChange.SPLIT}
    states: dict[str, ViolationState] = {}
    for row in reader.rows(_ABOUT, splits):
        is_report = row.kind in (Kind.VIOLATION, Kind.PRODUCT_VIOLATION)
        states[row.violation] = state_on_arrival(row) if is_report else states[row.violation].apply(change_of(row))
    found: dict[str, list[IncidentMention[str]]] = {}
    for row in regroupings:
        if row.status == IncidentChange.SPLIT and states[row.violation].is_retracted:
            continue
        names = tuple(name for name in (row.incident, row.target) if name is not None)
        found.setdefault(row.seller, []).append(IncidentMention(row.sequence, names))
    return found


def _void_entries(corrections: Iterable[Any]) -> set[str]:
    last = {row.target: row.status for row in corrections}
    return {name for name, status in last.items() if status == CorrectionKind.VOID}


def _view(
    report: Any, history: _History, into: dict[tuple[str, str], str], namings: Iterable[IncidentMention[str]]
) -> ViolationView:
    fact: ViolationReported | ProductViolationReported = read_fact(report)
    state, entries = history.state, history.entries(report)
    moves = [ReportMove(row.sequence, row.incident) for row in history.corrections if row.incident]
    incident = incident_after_moves(report.incident, moves, namings)
    moved = history.corrections[-1] if history.corrections else report
    return ViolationView(
        violation=report.entry_id,
        seller=report.seller,
        incident=find_merged_incident(into, report.seller, history.splits[-1].target if history.splits else incident),
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
        entries=tuple(row.entry_id for row in entries),
        allowed_actions=allowed_actions(state.status),
        sequence=report.sequence,
    )

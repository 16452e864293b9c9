"""Violations resolved from their entries: decisions, attributions, corrections of time, merged and split incidents.

By knowledge alone, as in the score: a decision of today corrects what is said of an earlier time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection, bindparam, select, text

from scoring.entries.entry import entry_from_content
from scoring.entries.kinds.conduct import ProductViolationReported, ViolationReported
from scoring.entries.lifecycle import allowed_actions
from scoring.enums import Attribution, Category, CorrectionKind, IncidentChange, Kind, Severity, Status
from scoring.features.corrections import root
from service.ledger.expressions import Texts, among
from service.ledger.records import Cut, ViolationView
from service.ledger.tables import ENTRY

_E = ENTRY.c
_COLUMNS = (_E.sequence, _E.entry_id, _E.kind, _E.seller, _E.violation, _E.incident, _E.target, _E.severity, _E.status)
_HERE = (_E.marketplace == bindparam("marketplace"), _E.sequence <= bindparam("last"))
REPORT = select(*_COLUMNS, _E.category, _E.occur_time, _E.report_time, _E.record_time, _E.content)
_CHANGES = (
    select(*_COLUMNS, _E.occur_time)
    .where(
        *_HERE,
        _E.violation.is_not(None),  # said, so that the partial index serves
        among(_E.violation, bindparam("names", type_=Texts())),
        _E.kind.in_((int(Kind.STATUS), int(Kind.ATTRIBUTION), int(Kind.INCIDENT))),
        _E.status.is_not(None),
    )
    .order_by(_E.violation, _E.sequence)
)
_CORRECTIONS = (
    select(*_COLUMNS, _E.occur_time)
    .where(
        *_HERE,
        _E.target.is_not(None),
        among(_E.target, bindparam("names", type_=Texts())),
        _E.kind == int(Kind.CORRECTION),
    )
    .order_by(_E.target, _E.sequence)
)
_MERGES = (
    select(*_COLUMNS, _E.occur_time)
    .where(
        *_HERE,
        text("kind = 18"),  # no parameter, so that the partial index serves
        among(_E.seller, bindparam("names", type_=Texts())),
        _E.status == int(IncidentChange.MERGED),
    )
    .order_by(_E.seller, _E.sequence)
)


@dataclass(slots=True)
class _Changes:
    """What changed a violation: decisions and attributions, splits that stand, corrections of its time."""

    decisions: list[Any] = field(default_factory=list)
    attributions: list[Any] = field(default_factory=list)
    splits: list[Any] = field(default_factory=list)
    corrections: list[Any] = field(default_factory=list)

    def all(self) -> list[Any]:
        """All of them by sequence."""
        found = [*self.decisions, *self.attributions, *self.splits, *self.corrections]
        return sorted(found, key=lambda row: row.sequence)


def resolve(connection: Connection, marketplace: str, cut: Cut, reports: Sequence[Any]) -> list[ViolationView]:
    """The reports (rows of REPORT) as violations, as of the cut."""
    if not reports:
        return []

    def rows(query: Any, names: Sequence[str]) -> Iterator[Any]:
        values = {"marketplace": marketplace, "last": cut.sequence, "names": list(dict.fromkeys(names))}
        yield from connection.execute(query, values) if names else ()

    ids = [report.entry_id for report in reports]
    changes = {name: _Changes() for name in ids}
    regroupings = [*rows(_MERGES, [report.seller for report in reports])]
    for row in rows(_CHANGES, ids):
        if row.kind == Kind.INCIDENT:
            regroupings.append(row)
        else:
            found = changes[row.violation]
            (found.decisions if row.kind == Kind.STATUS else found.attributions).append(row)
    for row in rows(_CORRECTIONS, ids):
        changes[row.target].corrections.append(row)
    voided = _voided(rows(_CORRECTIONS, [row.entry_id for row in regroupings]))
    into: dict[tuple[str, str], str] = {}
    for row in sorted(regroupings, key=lambda row: row.sequence):
        if row.entry_id in voided:
            continue
        if row.status == IncidentChange.SPLIT:
            changes[row.violation].splits.append(row)
            continue
        merged, remaining = root(into, row.seller, row.incident), root(into, row.seller, row.target)
        if merged != remaining:
            into[row.seller, merged] = remaining
    return [_view(report, changes[report.entry_id], into) for report in reports]


def _voided(corrections: Iterator[Any]) -> set[str]:
    """The entries whose last correction makes them void."""
    last = {row.target: row.status for row in corrections}
    return {name for name, status in last.items() if status == CorrectionKind.VOID}


def _view(report: Any, changes: _Changes, into: dict[tuple[str, str], str]) -> ViolationView:
    fact = cast(ViolationReported | ProductViolationReported, entry_from_content(report.entry_id, report.content).fact)
    decisions = [report, *changes.decisions]
    history = [report, *changes.all()]
    status = Status(decisions[-1].status)
    moved = changes.corrections[-1] if changes.corrections else report  # to the incident of another week, too
    incident = changes.splits[-1].target if changes.splits else moved.incident or report.incident
    attribution = Attribution(changes.attributions[-1].status) if changes.attributions else None
    return ViolationView(
        violation=report.entry_id,
        seller=report.seller,
        incident=root(into, report.seller, incident),
        violation_type=fact.violation_type,
        category=Category(report.category),
        severity=Severity(next(row.severity for row in reversed(decisions) if row.severity is not None)),
        harm=fact.harm,
        source=fact.source,
        notifier=fact.notifier,
        status=status,
        attribution=attribution,
        occur_time=moved.occur_time,
        report_time=report.report_time,
        record_time=report.record_time,
        entries=tuple(row.entry_id for row in history),
        allowed_actions=allowed_actions(status),
        sequence=report.sequence,
        changed_sequence=history[-1].sequence,
    )

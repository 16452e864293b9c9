from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from scoring.base.arrays import NEVER
from scoring.base.enums import Attribution, ControlReason, CorrectionKind, Kind, Status
from scoring.base.time import DAY
from scoring.entries.lifecycle import RETRACTED_STATUSES
from scoring.features.columns import EntryColumns, FactRow
from scoring.features.facts import IS_ABOUT_VIOLATIONS
from scoring.features.violations import judge_violations
from scoring.policy.caution import SPAN_DAYS

Fact = tuple[int | str, int]
"""An incident or a listing, with the source that reports it; or an entry."""


class Sign(NamedTuple):
    """A report or a change of control, which may set off a caution."""

    time: int
    """When it became visible, in microseconds."""
    entry: str
    retracted: int
    """In microseconds, or NEVER."""
    word: str
    """The member of CONTROL_SIGNS; empty for a report."""
    category: int = 0
    severity: int = 0
    source: int = 0
    incident: int = -1
    listing: str = ""

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Return what counts once: of a report its source with incident and with listing; else its entry."""
        if self.word:
            return ((self.entry, 0),)
        of_listing = ((f"listing {self.listing}", self.source),) if self.listing else ()
        return ((self.incident, self.source), *of_listing)

    def repeats(self, earlier: Mapping[Fact, "Sign"]) -> bool:
        """Return whether an earlier sign states the same fact; a listing counts again after SPAN_DAYS."""
        incident, *listing = self.facts
        return incident in earlier or any(
            fact in earlier and self.time - earlier[fact].time < SPAN_DAYS * DAY for fact in listing
        )


def list_signs(columns: EntryColumns, rows: Mapping[int, FactRow]) -> list[Sign]:
    """Return every sign of one seller, in no order.

    `columns`: its entries after `apply_changes`; `rows`: all its entries, by the numbers in `columns.row`.
    """
    retractions = find_retraction_times(rows.values())
    judged = judge_violations(columns.take(IS_ABOUT_VIOLATIONS[columns.kind]))
    reports = judged.reports
    signs = []
    reported = (
        reports.row,
        reports.occur_time,
        reports.report_time,
        reports.category,
        judged.severity,
        reports.incident,
    )
    rows_of_columns = zip(
        *(column.tolist() for column in reported), judged.is_reported.tolist(), judged.stands.tolist(), strict=True
    )
    for index, occur, report, category, severity, incident, is_reported, stands in rows_of_columns:
        if is_reported:
            row, time = rows[index], max(occur, report) + 1
            retracted = NEVER if stands else max(retractions.get(row.entry_id, time), time)
            signs.append(
                Sign(
                    time, row.entry_id, retracted, "", category, severity, row.source or 0, incident, row.listing or ""
                )
            )
    valid = set(columns.row.tolist())
    for row in (row for index, row in rows.items() if index not in valid):
        if row.kind == Kind.CONTROL:  # a violation is never void
            time = max(row.occur_time, row.report_time) + 1
            retracted = max(retractions.get(row.entry_id, time), time)
            signs.append(Sign(time, row.entry_id, retracted, ControlReason(row.status or 0).word))
    return [*signs, *list_signs_of_control(columns, rows)]


def list_signs_of_control(columns: EntryColumns, rows: Mapping[int, FactRow] | Sequence[FactRow]) -> Iterator[Sign]:
    """Yield each change of control, and each fall of the identity's level; arguments as of `list_signs`."""
    control_columns = columns.take(np.flatnonzero((columns.kind == Kind.CONTROL) | (columns.kind == Kind.IDENTITY)))
    order = np.lexsort((control_columns.sequence, control_columns.occur_time))
    level_before = 0
    for index in order.tolist():
        row = rows[int(control_columns.row[index])]
        time = int(max(control_columns.occur_time[index], control_columns.report_time[index])) + 1
        if row.kind == Kind.CONTROL:
            yield Sign(time, row.entry_id, NEVER, ControlReason(int(control_columns.status[index])).word)
            continue
        level = int(control_columns.level[index])
        if level < level_before:
            yield Sign(time, row.entry_id, NEVER, "identity_lowered")
        level_before = level


def find_retraction_times(rows: Iterable[FactRow]) -> dict[str, int]:
    """Return by id when its source learned that an entry is void, or a violation retracted or another seller's."""
    times: dict[str, int] = {}
    for row in sorted(rows, key=attrgetter("sequence")):
        if row.kind == Kind.CORRECTION and row.status == CorrectionKind.VOID and row.target is not None:
            times[row.target] = row.report_time
        elif row.violation is not None and row.status and row.kind in (Kind.STATUS, Kind.ATTRIBUTION):
            is_of_another = row.kind == Kind.ATTRIBUTION and row.status == Attribution.ACCEPTED
            is_retracted = row.kind == Kind.STATUS and Status(row.status) in RETRACTED_STATUSES
            if is_of_another or is_retracted:
                times.setdefault(row.violation, row.report_time)
            else:
                times.pop(row.violation, None)
    return times

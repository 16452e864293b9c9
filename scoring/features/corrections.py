"""Changes of entries by later entries: of their time, their validity and their incident."""

from collections.abc import Collection, MutableMapping
from typing import TypeVar

import numpy as np

from scoring.base.arrays import Bools, Ints, last_of_runs
from scoring.base.enums import CorrectionKind, IncidentChange, Kind
from scoring.entries.violation_state import IncidentMention, ReportMove, incident_after_moves
from scoring.features.columns import EntryColumns
from scoring.features.violations import ViolationColumns

K = TypeVar("K", int, str)


def apply_corrections(columns: EntryColumns, decided: Bools | bool = True) -> EntryColumns:
    """Return the entries after corrections, without void ones.

    An entry's last correction counts. `decided`: whether each correction is visible.
    """
    corrections = np.flatnonzero(decided & (columns.kind == Kind.CORRECTION))
    if not len(corrections):
        return columns
    span = int(max(columns.entry.max(), columns.target.max())) + 1
    key = columns.case[corrections] * span + columns.target[corrections]
    order = np.lexsort((columns.sequence[corrections], key))
    corrections, key = corrections[order], key[order]
    last = last_of_runs(key)
    corrections, key = corrections[last], key[last]

    entry_key = columns.case * span + columns.entry
    place = np.minimum(np.searchsorted(key, entry_key), len(key) - 1)
    is_corrected = key[place] == entry_key
    correction = corrections[place]
    void = is_corrected & (columns.status[correction] == CorrectionKind.VOID)
    occur_time = np.where(is_corrected & ~void, columns.occur_time[correction], columns.occur_time)
    return columns.with_columns(occur_time=occur_time).take(~void)


def find_final_incidents(reports: EntryColumns, changes: EntryColumns, judged: ViolationColumns) -> Ints:
    """Return the incident of each report after all moves, merges and splits: codes of shape (n,).

    `changes`: entries of the kinds correction and incident.
    """
    moves = changes.take((changes.kind == Kind.CORRECTION) & (changes.incident >= 0))
    regroupings = changes.take(changes.kind == Kind.INCIDENT)
    if len(moves.case):
        reports = _apply_moves(reports, moves, regroupings, judged.list_retracted())
    return _apply_regroupings(reports, regroupings)


def _apply_moves(
    reports: EntryColumns, moves: EntryColumns, regroupings: EntryColumns, retracted: Collection[tuple[int, int]]
) -> EntryColumns:
    """Move reports to the incidents of their corrected weeks.

    A move does not undo an earlier merge or split. `retracted`: (case, code) of violations whose splits do not count.
    """
    mentions: dict[int, list[IncidentMention[int]]] = {}
    for index in range(len(regroupings.case)):
        case, violation = int(regroupings.case[index]), int(regroupings.violation[index])
        if regroupings.status[index] == IncidentChange.SPLIT and (case, violation) in retracted:
            continue
        incidents = (int(regroupings.incident[index]), int(regroupings.target[index]))
        mentions.setdefault(case, []).append(IncidentMention(int(regroupings.sequence[index]), incidents))
    moved_to: dict[tuple[int, int], list[ReportMove[int]]] = {}
    for index in range(len(moves.case)):
        report = int(moves.case[index]), int(moves.target[index])
        moved_to.setdefault(report, []).append(ReportMove(int(moves.sequence[index]), int(moves.incident[index])))
    incident = reports.incident.copy()
    for index in np.flatnonzero(np.isin(reports.entry, moves.target)).tolist():
        case = int(reports.case[index])
        if moves_of_report := moved_to.get((case, int(reports.entry[index]))):
            incident[index] = incident_after_moves(int(incident[index]), moves_of_report, mentions.get(case, ()))
    return reports.with_columns(incident=incident)


def _apply_regroupings(reports: EntryColumns, changes: EntryColumns) -> Ints:
    """Merge and split; a split-off violation belongs to its given incident, merged or not, by its last split."""
    if not len(changes.case):
        return reports.incident
    into: dict[tuple[int, int], int] = {}
    incident_by_violation: dict[tuple[int, int], int] = {}
    order = np.argsort(changes.sequence)
    columns = (
        changes.case,
        changes.status == IncidentChange.SPLIT,
        changes.violation,
        changes.incident,
        changes.target,
    )
    for case, is_split, violation, incident, target in zip(*(c[order].tolist() for c in columns), strict=True):
        if is_split:
            incident_by_violation[case, violation] = target
            continue
        merged, remaining = find_merged_incident(into, case, incident), find_merged_incident(into, case, target)
        if merged != remaining:
            into[case, merged] = remaining
    incidents = reports.incident.copy()
    # A case's changes name few incidents; all other reports keep theirs.
    named = np.isin(reports.incident, [name for _, name in into]) | np.isin(
        reports.violation, [v for _, v in incident_by_violation]
    )
    for place in np.flatnonzero(named).tolist():
        case = int(reports.case[place])
        name = incident_by_violation.get((case, int(reports.violation[place])), int(incidents[place]))
        incidents[place] = find_merged_incident(into, case, name)
    return incidents


def find_merged_incident(into: MutableMapping[tuple[K, K], K], case: K, name: K) -> K:
    """Return the incident that `name` is part of after all merges; shorten the chains in `into`.

    `case`: the seller, by code or id. `into`: by (case, incident), the incident it was merged into. It must
    have no cycle: add merges of what this returns for both incidents, if they differ. A chain is walked once.
    """
    end = name
    while (case, end) in into:
        end = into[case, end]
    while name != end:
        into[case, name], name = end, into[case, name]
    return end

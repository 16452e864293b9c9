from collections.abc import Mapping
from typing import Any

from scoring.base.enums import Kind
from scoring.base.errors import EntryKindUnknown
from scoring.entries.entry import PreparedEntry
from scoring.entries.incidents import assign_incident
from scoring.entries.kinds.conduct import ViolationReported
from scoring.entries.kinds.decisions import EntryCorrected
from scoring.entries.kinds.table import KINDS
from scoring.entries.kinds.trade import ExposureStated
from service.ledger.database.tables import ENTRY

PLACE: Mapping[str, int] = {name: place for place, name in enumerate(ENTRY.c.keys())}

Row = list[Any]
_EMPTY: Row = [None] * len(PLACE)
_FIELDS = {
    kind: [(PLACE[f.column], f.name, f.shape.kind == "word") for f in row.fields if f.column]
    for kind, row in KINDS.items()
}


def row_of(
    item: PreparedEntry, sequence: int, marketplace: str, seller: str, record_time: int, default_time: int
) -> Row:
    """Return an entry's table row, with its status on arrival.

    `default_time` (microseconds) replaces times that are not stated.
    """
    entry, fact, kind = item.entry, item.entry.fact, item.kind
    row = _EMPTY.copy()
    occur_time = default_time if item.occur_time is None else item.occur_time
    if isinstance(fact, EntryCorrected) and fact.moved_to is not None:
        occur_time = fact.moved_to
    report_time = default_time if entry.report_time is None else entry.report_time
    row[:8] = (sequence, marketplace, seller, entry.entry_id, int(kind), occur_time, report_time, record_time)
    row[PLACE["content"]], row[PLACE["digest"]] = item.content, item.digest
    is_of_a_day = kind in (Kind.EXPOSURE, Kind.FLOW)
    for place, name, is_word in _FIELDS[kind]:
        if (value := getattr(fact, name)) or is_of_a_day:
            row[place] = int(value) if is_word else value
    if isinstance(fact, ExposureStated):
        row[PLACE["service_failures"]] = fact.service_failures
    if kind in (Kind.VIOLATION, Kind.PRODUCT_VIOLATION):
        incident = entry.entry_id
        if isinstance(fact, ViolationReported):
            incident = assign_incident(entry.entry_id, fact, entry.occur_time or 0)
        row[8:13] = (entry.entry_id, incident, item.category, int(item.severity or 0), int(item.status or 0))
    if entry.origin and row[PLACE["target"]] is None:
        row[PLACE["target"]] = entry.origin
    return row


def require_known(kind: int, sequence: int) -> None:
    """Raise EntryKindUnknown for a kind of a later release."""
    if kind > max(Kind):
        text = f"entry {sequence} is of a kind ({kind}) that this release does not know; install the release that appended it"
        raise EntryKindUnknown(text, {"sequence": str(sequence)})

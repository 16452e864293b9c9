"""The rows for scores, made from what a ledger lists: an oracle for random histories."""

from collections.abc import Sequence

from scoring.base.enums import Status
from scoring.entries.entry import prepare_trusted
from scoring.entries.incidents import assign_incident
from scoring.entries.kinds.account import IdentityVerified
from scoring.entries.kinds.conduct import StatusChanged, ViolationReported
from scoring.entries.kinds.decisions import EntryCorrected
from scoring.entries.kinds.trade import InspectionDone
from scoring.entries.lifecycle import next_status
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.columns import FactRow
from sellertrust.v1 import entry_pb2
from service.contract.entries import entries_of
from service.contract.fields import time_of
from service.ledger.database.rows import PLACE, row_of

_COLUMNS = [PLACE[name] for name in FactRow._fields[:-4]]


def rows_of(marketplace: str, seller: str, messages: Sequence[entry_pb2.Entry]) -> list[FactRow]:
    """Convert one seller's listed entries into the rows that scoring reads, with derived statuses.

    Raises InvalidInput for an unreadable entry.
    """
    statuses: dict[str, int] = {}
    reports: dict[str, ViolationReported] = {}
    rows = []
    for message, entry in zip(messages, entries_of(marketplace, messages), strict=True):
        item = prepare_trusted(entry)
        time = time_of(message.record_time, "record_time")
        row = row_of(item, message.sequence, marketplace, seller, time, time)
        fact = entry.fact
        if isinstance(fact, ViolationReported):
            statuses[entry.entry_id] = int(item.status or 0)
            reports[entry.entry_id] = fact
        elif isinstance(fact, StatusChanged) and not message.pending and fact.violation in statuses:
            following = next_status(Status(statuses[fact.violation]), fact.action)
            statuses[fact.violation] = row[PLACE["status"]] = int(following)
        elif isinstance(fact, EntryCorrected) and fact.moved_to is not None and fact.entry in reports:
            row[PLACE["incident"]] = assign_incident(fact.entry, reports[fact.entry], fact.moved_to)
        source = int(fact.source) if isinstance(fact, InspectionDone | ViolationReported) else None
        kind = TYPE_NUMBERS.get(fact.violation_type) if isinstance(fact, ViolationReported) else None
        attributes = fact.attributes if isinstance(fact, IdentityVerified) else None
        listing = fact.listing or None if isinstance(fact, ViolationReported) else None
        rows.append(FactRow._make([*(row[place] for place in _COLUMNS), source, kind, attributes or None, listing]))
    return rows

from collections.abc import Sequence
from dataclasses import replace

from scoring.base.enums import Kind
from scoring.base.errors import EntryContentDiffers, ViolationNotFound, invalid
from scoring.entries.entry import Entry, prepare_batch
from scoring.entries.kinds.conduct import StatusChanged
from scoring.entries.kinds.table import KIND_OF
from scoring.features.facts import COUNTING_KINDS
from service.ledger.append.appending import find_taken_revision, is_recorded, refuse_service_fields
from service.ledger.append.batch import Batch
from service.ledger.clock.ledger_clock import LastEntry, LedgerClock
from service.ledger.clock.server_clock import Present
from service.ledger.database.rows import PLACE
from service.ledger.database.tables import RowReader
from service.ledger.queries.supposed import NOTHING_SUPPOSED, SupposedEntries, read_supposed
from service.ledger.records import Cut

MAX_SUPPOSED = 400
"""Room for an exposure of each day of a year."""

SUPPOSABLE = (COUNTING_KINDS - {Kind.CASE}) | {Kind.DEPOSIT, Kind.MEASURE, Kind.COMPLAINT, Kind.COMPLAINT_DECISION}


def suppose(clock: LedgerClock, marketplace: str, seller: str, entries: Sequence[Entry], cut: Cut) -> SupposedEntries:
    """Return what would be recorded if entries of a seller were appended just before the cut's `observe_time`.

    It only reads. Entries need no id. Raises as `Ledger.append`, and InvalidInput for another seller and for kinds
    outside SUPPOSABLE.
    """
    if not entries:
        return NOTHING_SUPPOSED
    if len(entries) > MAX_SUPPOSED:
        raise invalid("entries", f"has {len(entries):,} entries; a simulation takes at most {MAX_SUPPOSED:,}")
    named = [_name_entry(entry, seller, index) for index, entry in enumerate(entries)]
    refuse_service_fields(named, imported=False)
    present = Present(cut.observe_time - 1, mendings=clock.list_mendings(cut.sequence))
    items = prepare_batch(named, present.clock)
    with clock.database.read() as connection:
        reader = RowReader(connection, marketplace)
        for index, entry in enumerate(named):
            if is_recorded(reader, entry.entry_id):
                text = f"{entry.entry_id!r} is recorded already; leave entry_id empty"
                raise EntryContentDiffers(text, {"entry_id": entry.entry_id}, ("entries", index, "entry_id"))
        if (revision_error := find_taken_revision(reader, items)) is not None:
            raise revision_error
        batch = Batch(reader, LastEntry(cut.sequence, 0), present, items)
        for index, item in enumerate(items):
            if batch.add(item, index).pending and isinstance(item.entry.fact, StatusChanged):
                violation, path = item.entry.fact.violation, ("entries", index, "status", "violation")
                text = f"no violation {violation!r} of this seller is recorded; name one of its own"
                raise ViolationNotFound(text, {"violation": violation}, path)
    return read_supposed(row for row in batch.rows() if row[PLACE["seller"]] == seller)


def _name_entry(entry: Entry, seller: str, index: int) -> Entry:
    kind = KIND_OF[type(entry.fact)]
    if kind not in SUPPOSABLE:
        raise invalid(("entries", index), f"is of the kind {kind.word}, which no simulation takes")
    if entry.seller != seller:
        raise invalid(("entries", index, "seller"), "must be the seller of the request, or empty")
    return replace(entry, entry_id=entry.entry_id or f"what-if~{index + 1}")

from collections.abc import Mapping, Sequence

from scoring.base.errors import invalid
from scoring.entries.derivation import Derivation, NewEntry
from scoring.entries.entry import PreparedEntry
from service.call_context import LOCAL_CALLER, current_call
from service.ledger.append.known import load_known
from service.ledger.clock.ledger_clock import LastEntry
from service.ledger.clock.mending import read_mended_times
from service.ledger.clock.server_clock import Present
from service.ledger.database.database import insert_entries
from service.ledger.database.rows import PLACE, Row, row_of
from service.ledger.database.tables import RowReader
from service.ledger.records import AppendedEntry
from service.ledger.seals.chain import leaf_of, seal
from service.ledger.seals.sealed_texts import seal_texts

MAX_ROWS = 50_000
"""The most entries that one append inserts, unless one entry has more consequences."""


def insert_sealed(reader: RowReader, rows: Sequence[Row], texts: Mapping[int, str]) -> None:
    """Insert consecutive rows and their seals; texts, by the row's index, are first encrypted in the rows."""
    seal_texts(reader, rows, texts)
    insert_entries(reader.connection, rows)
    seal(reader.connection, rows[0][PLACE["sequence"]], [leaf_of(row) for row in rows])


class Batch:
    """Unrecorded entries, inserted together after the entry `last`.

    Record times are the present, but later than the last entry's. If that ran ahead, times that are not stated are
    still the present.
    """

    def __init__(
        self, reader: RowReader, last: LastEntry, present: Present, unrecorded: Sequence[PreparedEntry] = ()
    ) -> None:
        with read_mended_times(reader.connection, present.mendings):
            self.known = load_known(reader, unrecorded)
        self.record_time = present.record_time(last.record_time)
        self._reader = reader
        self._first = last.sequence + 1
        self._default_time = present.default_time(self.record_time)
        call = current_call()
        self._principal = call.caller or None
        times = self._default_time, self.record_time
        self.derivation = Derivation(self.known, *times)
        if call.caller != LOCAL_CALLER:
            self.derivation = Derivation(self.known, *times, call.caller, call.is_same_person)

    def add(self, item: PreparedEntry, index: int) -> AppendedEntry:
        """Add an entry and those derived from it, which `insert` writes.

        Raises as `Derivation.process`, with the entry's `index`; InvalidInput beyond MAX_ROWS.
        """
        sequence = self._first + len(self.derivation.new_entries)
        new = self.derivation.process(item, ("entries", index))
        # The first entry alone may have more consequences: no smaller batch would hold them.
        if index and len(self.derivation.new_entries) > MAX_ROWS:
            text = f"over {MAX_ROWS:,} entries follow from the batch up to this one; append fewer at once"
            raise invalid(("entries", index), text)
        return AppendedEntry(item.entry.entry_id, sequence, self.record_time, False, new.is_pending)

    def insert(self) -> int:
        """Insert all entries; return their number."""
        new_entries = self.derivation.new_entries
        if new_entries:
            texts = {index: new.item.sealed for index, new in enumerate(new_entries) if new.item.sealed}
            insert_sealed(self._reader, self.rows(), texts)
        return len(new_entries)

    def rows(self) -> list[Row]:
        return [self._row(new, sequence) for sequence, new in enumerate(self.derivation.new_entries, self._first)]

    def _row(self, new: NewEntry, sequence: int) -> Row:
        row = row_of(new.item, sequence, self._reader.marketplace, new.seller, self.record_time, self._default_time)
        if new.incident is not None:
            row[PLACE["incident"]] = new.incident
        if new.status is not None:
            row[PLACE["status"]] = int(new.status)
        row[PLACE["principal"]] = self._principal
        return row

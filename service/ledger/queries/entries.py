from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, case, exists, func, select, text

from scoring.base.enums import Kind
from scoring.base.errors import EntryContentDiffers
from scoring.entries.entry import entry_from_content
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.rows import require_known
from service.ledger.database.tables import (
    AS_OF_CUT,
    BEYOND,
    COMPLAINTS,
    ENTRY,
    FACTS,
    HERE,
    NAMED,
    ONLY_HERE,
    SEEN,
    SELLERS,
    UP_TO_LAST,
    RowReader,
    among,
    among_kinds,
)
from service.ledger.queries.waiting import WaitingList
from service.ledger.records import Cut, RecordedEntry
from service.ledger.seals.sealed_texts import SellerKey, key_id_of, read_keys, unseal

_E = ENTRY.c
EXPORT_COLUMNS: tuple[str, ...] = tuple(
    c.name for c in _E if c.name not in {"marketplace", "digest", "notifier", "principal"}
)
"""Reporters and callers never enter a model."""
_ENTRIES = select(
    *(_E.sequence, _E.record_time, _E.seller, _E.occur_time, _E.report_time, _E.entry_id, _E.kind, _E.content),
    (_E.kind == int(Kind.STATUS)) & _E.status.is_(None),
    _E.principal,
)
_EXPORT = (
    select(*(_E[name] for name in EXPORT_COLUMNS))
    .where(
        ONLY_HERE,
        text(FACTS),
        _E.sequence > bindparam("after"),
        UP_TO_LAST,
    )
    .order_by(_E.marketplace, _E.sequence)
    .limit(bindparam("chunk"))
)
_FIRST_AND_LAST_ID = select(func.min(_E.entry_id), func.max(_E.entry_id)).where(
    HERE, _E.entry_id >= bindparam("first"), _E.entry_id < bindparam("end")
)
_NAMED = _ENTRIES.where(HERE, among(_E.entry_id), *AS_OF_CUT)
_DECISION = ENTRY.alias("decision").c
_UNDECIDED = (
    HERE,
    *AS_OF_CUT,
    ~exists().where(
        _DECISION.marketplace == _E.marketplace,
        *(_DECISION.target.is_not(None), _DECISION.target == _E.entry_id),
        *(_DECISION.seller == _E.seller, _DECISION.kind == int(Kind.COMPLAINT_DECISION)),
        _DECISION.sequence <= bindparam("last"),
        _DECISION.occur_time < bindparam("observe_time"),
        _DECISION.report_time < bindparam("observe_time"),
    ),
)
_ORDER_AND_NAME = select(_E.sequence, _E.entry_id)
_COMPLAINTS = (
    _ORDER_AND_NAME.where(*_UNDECIDED, text(f"entry.{COMPLAINTS}")).order_by(_E.sequence).limit(bindparam("limit"))
)
# With + SQLite finds the rows by their ids instead of walking all complaints.
_NAMED_COMPLAINTS = _ORDER_AND_NAME.where(*_UNDECIDED, text(f"+entry.kind = {int(Kind.COMPLAINT)}"), among(_E.entry_id))
_ON_COMPLAINTS = select(case((_E.kind == int(Kind.COMPLAINT), _E.entry_id), else_=_E.target)).where(
    *BEYOND, among_kinds(Kind.COMPLAINT, Kind.COMPLAINT_DECISION)
)


class EntryQueries:
    def __init__(self, clock: LedgerClock) -> None:
        self.clock = clock
        self._complaints = WaitingList(clock, _COMPLAINTS, _NAMED_COMPLAINTS, _ON_COMPLAINTS)

    def list(
        self,
        marketplace: str,
        cut: Cut,
        *,
        sellers: Collection[str] | None = None,
        after_sequence: int = 0,
        limit: int = 100,
    ) -> Sequence[RecordedEntry]:
        """Return a page of entries as of the cut, by sequence, with sealed texts opened; `sellers` None means all."""
        with self.clock.open_reader(marketplace, cut) as reader:
            return _unseal_entries(reader, read_page(reader, _ENTRIES, sellers, after_sequence, limit))

    def list_by_id(self, marketplace: str, names: Sequence[str], cut: Cut) -> Sequence[RecordedEntry]:
        """Return the entries with these bare ids, as of the cut, by sequence, with sealed texts opened.

        Ids without a visible entry are left out.
        """
        with self.clock.open_reader(marketplace, cut) as reader:
            return _unseal_entries(reader, sorted(reader.rows(_NAMED, names), key=lambda row: row.sequence))

    def list_undecided_complaints(self, marketplace: str, cut: Cut, limit: int) -> Sequence[RecordedEntry]:
        """Return the first `limit` complaints that no decision names as of the cut, by sequence."""
        names = [name for _, name in self._complaints.read(marketplace, cut)[:limit]]
        return self.list_by_id(marketplace, names, cut)

    def export(
        self, marketplace: str, cut: Cut, chunk: int = 50_000, *, bounded: bool = False, after: int = 0
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Yield lists of at most `chunk` rows of EXPORT_COLUMNS, without acts, by sequence, beyond `after`.

        If `bounded`, only entries that occurred and were reported before the cut's `observe_time`.
        """
        query = _EXPORT.where(*SEEN) if bounded else _EXPORT
        while True:
            values = {"last": cut.sequence, "observe_time": cut.observe_time, "marketplace": marketplace}
            with self.clock.as_of(cut.sequence) as connection:
                cursor: Any = connection.execute(query, {**values, "after": after, "chunk": chunk}).cursor
                rows: list[tuple[Any, ...]] = cursor.fetchall()  # without SQLAlchemy's rows, a fifth of an export
            if rows:
                yield rows
            if len(rows) < chunk:
                return
            after = rows[-1][0]

    def find_kinds(self, marketplace: str, ids: Sequence[str]) -> dict[str, int]:
        """Return the number of each recorded entry's kind, by id."""
        rows = self.clock.database.rows(NAMED, marketplace=marketplace, names=ids)
        return {row.entry_id: row.kind for row in rows}

    def require_same_decision(
        self, marketplace: str, decision_id: str, decision_prefix: str, selection_prefix: str
    ) -> None:
        """Raise EntryContentDiffers as the function `require_same_decision`."""
        with self.clock.database.read() as connection:
            require_same_decision(RowReader(connection, marketplace), decision_id, decision_prefix, selection_prefix)


def _unseal_entries(reader: RowReader, rows: Sequence[Any]) -> Sequence[RecordedEntry]:
    keys = read_keys(reader, {row.seller for row in rows if key_id_of(row.content)})
    return [_unseal_entry(row, keys.get(row.seller)) for row in rows]


def _unseal_entry(row: Any, key: SellerKey | None) -> RecordedEntry:
    sequence, record_time, seller, occur_time, report_time, entry_id, kind, content, is_pending, principal = row
    require_known(kind, sequence)
    text, erased = unseal(entry_id, content, key)
    entry = entry_from_content(entry_id, content, text)
    return RecordedEntry(
        sequence, record_time, seller, occur_time, report_time, entry, bool(is_pending), erased, principal or ""
    )


def require_same_decision(reader: RowReader, decision_id: str, decision_prefix: str, selection_prefix: str) -> None:
    """Raise EntryContentDiffers if an entry's id begins with `decision_prefix`, but not with `selection_prefix`."""
    [first_and_last_id] = reader.rows(_FIRST_AND_LAST_ID, first=decision_prefix, end=f"{decision_prefix}g")
    for name in first_and_last_id:
        if name is not None and not name.startswith(selection_prefix):
            text = f"{decision_id!r} stands for another action, sample or selection; give a new decision a new id"
            raise EntryContentDiffers(text, {"entry_id": name}, ("decision_id",))


def read_page(
    reader: RowReader, query: Select[Any], sellers: Collection[str] | None, after_sequence: int, limit: int
) -> Sequence[Any]:
    """Read one page of a query: facts that the reader's cut sees, of some sellers or all (None), by sequence."""
    facts_after = (text(FACTS), _E.sequence > after_sequence)
    bounds: tuple[Any, ...] = (*facts_after, *AS_OF_CUT)
    if sellers is not None and len(sellers) != 1:
        # The sums keep a database from walking other sellers' entries.
        sequences = (
            query.with_only_columns(_E.sequence)
            .where(HERE, among(_E.seller, SELLERS), *facts_after, _E.sequence + 0 <= bindparam("last"), *SEEN)
            .order_by(_E.sequence + 0)
            .limit(limit)
        )
        bounds = (_E.sequence.in_(sequences),)
    elif sellers is not None:
        bounds = (_E.seller == next(iter(sellers)), *bounds)
    page = query.where(ONLY_HERE, *bounds).order_by(_E.marketplace, _E.sequence).limit(limit)
    return reader.rows(page, sellers=list(sellers or ()))

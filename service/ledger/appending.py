"""Appending a valid batch while the lock is held: what is known already, what is allowed, what follows, what is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, text

from scoring.entries.entry import PreparedEntry, prepare
from scoring.entries.kinds.trade import ExposureStated
from scoring.errors import EntryContentDiffers, ExposureRevisionTaken
from service.ledger.batch import Batch
from service.ledger.clock import Present, database_clock
from service.ledger.database import Database
from service.ledger.expressions import Texts, among
from service.ledger.mending import LATEST
from service.ledger.reading import position as position_of
from service.ledger.records import Appended, Position
from service.ledger.rows import PLACE, Row
from service.ledger.sealing import key_id_of, keyed_digest, keys, plain_of, seal_texts
from service.ledger.seals import leaving, seal
from service.ledger.tables import ENTRY, SOURCE_POSITION

_E = ENTRY.c
_LAST = select(_E.sequence, _E.record_time).order_by(_E.sequence.desc()).limit(1)
_END = select(func.max(_E.sequence))
_ENDS = {
    is_asked: select(
        _END.scalar_subquery(),
        select(_E.record_time).where(_E.sequence == _END.scalar_subquery()).scalar_subquery(),
        LATEST.scalar_subquery(),
        database_clock(is_asked=is_asked),
    )
    for is_asked in (False, True)
}
_TIMES = (PLACE["occur_time"], PLACE["report_time"])
_KNOWN = select(_E.entry_id, _E.digest, _E.sequence, _E.record_time, _E.status.is_(None) & (_E.kind == 2)).where(
    _E.marketplace == bindparam("marketplace"), among(_E.entry_id, bindparam("ids", type_=Texts()))
)
_STORED = select(_E.entry_id, _E.seller, _E.content).where(
    _E.marketplace == bindparam("marketplace"), among(_E.entry_id, bindparam("ids", type_=Texts()))
)
_REVISION_KEY = ("marketplace", "seller", "exposure_day", "product_category", "revision")
_STATED_BY = select(_E.entry_id).where(
    text("kind = 3"),  # no parameter, so that the partial index serves
    *(_E[name] == bindparam(name) for name in _REVISION_KEY),
)


@dataclass(frozen=True, slots=True)
class _Stored:
    """An entry that is there: what is answered, and its idempotency digest."""

    appended: Appended
    digest: bytes


class End(NamedTuple):
    """The end of the ledger: the last sequence and its record time (0, 0 if there is none), the last entry that puts
    record times right (0 if there is none), and the database's clock.
    """

    sequence: int
    record_time: int
    mended: int
    clock: int | None


def end(connection: Connection, *, asks_clock: bool) -> End:
    """The end of the ledger, and if it is asked, and has one, the database's own clock."""
    is_asked = asks_clock and connection.dialect.name == "postgresql"
    sequence, record_time, mended, clock = connection.execute(_ENDS[is_asked]).one()
    return End(sequence or 0, record_time or 0, mended or 0, clock)


def last(connection: Connection) -> tuple[int, int]:
    """(sequence, record_time) of the last entry; (0, 0) if there is none."""
    row = connection.execute(_LAST).first()
    return (0, 0) if row is None else (row[0], row[1])


def is_known(connection: Connection, marketplace: str, entry_id: str) -> bool:
    """Whether an entry of this id is on record."""
    return connection.execute(_KNOWN, {"marketplace": marketplace, "ids": [entry_id]}).first() is not None


def append_batch(
    database: Database,
    connection: Connection,
    marketplace: str,
    batch: Sequence[PreparedEntry],
    present: Present,
    position: Position | None = None,
) -> list[Appended]:
    """Appends what is not there yet, in order, and what follows from it. The caller holds the lock, and commits.

    `present` is the time by a clock that nothing contradicts.

    EntryContentDiffers, ViolationNotFound, EntryNotFound, LifecycleForbids, InvalidInput for another seller than the
    violation's; each names the entry by its index. One of `database.CONFLICT` if an exposure's revision is taken.
    """
    sequence, last_time = last(connection)
    known = _known(connection, marketplace, batch)
    alike = _alike(connection, marketplace, batch, known)
    fresh = [item for item in batch if item.entry.entry_id not in known]
    if last_time > present.at_end(last_time):  # what the clock of then took for the past may be refused now
        _refuse_future(batch, known, present.at_end(last_time))
    record_time = present.record_time(last_time)
    rows = Batch(connection, marketplace, fresh, sequence, record_time)
    results: list[Appended] = []
    has_twins = len({item.entry.entry_id for item in batch}) < len(batch)
    for index, item in enumerate(batch):
        entry_id = item.entry.entry_id
        found = known.get(entry_id)
        if found is None:
            appended = rows.add(item, index)
            if has_twins:
                known[entry_id] = _Stored(appended._replace(already_present=True), item.digest)
            results.append(appended)
            continue
        if found.digest != item.digest and index not in alike:
            raise EntryContentDiffers(
                f"entries[{index}].entry_id: {entry_id!r} stands for other content (sequence"
                f" {found.appended.sequence}); give a new fact a new entry_id",
                {"entry_id": entry_id},
            )
        results.append(found.appended._replace(erased=alike.get(index, False)))
    if rows.rows:
        _date(rows.rows, record_time, present.dates(record_time))
        seal_texts(connection, marketplace, rows.rows, rows.sealed)
        leaves: list[bytes] = []
        database.insert(connection, leaving(rows.rows, leaves))
        seal(connection, sequence + 1, leaves)
    if position is not None:
        advance(connection, position, sequence + len(rows.rows))
    return results


def _refuse_future(batch: Sequence[PreparedEntry], known: dict[str, _Stored], now: int) -> None:
    """InvalidInput if an entry that is not there yet is of the future. What is there was accepted by the clock of then."""
    for index, item in enumerate(batch):
        if item.entry.entry_id not in known:
            prepare(item.entry, now, f"entries[{index}]")


def _date(rows: Sequence[Row], record_time: int, date: int) -> None:
    """Gives times that were not stated the present, where a record time runs ahead of it: else nobody would see what is
    recorded before the clock has come there.
    """
    if date == record_time:
        return
    for row in rows:
        for place in _TIMES:
            if row[place] == record_time:
                row[place] = date


def advance(connection: Connection, position: Position, sequence: int) -> None:
    """Commits how far a source is read, unless the ledger knows it to be read as far. The caller holds the lock."""
    known = position_of(connection, position.source, position.partition)
    if known is None or known < position.next_position:
        connection.execute(insert(SOURCE_POSITION), position._asdict() | {"sequence": sequence})


def taken_revision(
    connection: Connection, marketplace: str, batch: Sequence[PreparedEntry]
) -> ExposureRevisionTaken | None:
    """The first exposure of a refused batch whose day, product category and revision another entry has stated."""
    stated: dict[tuple[object, ...], str] = {}
    for index, item in enumerate(batch):
        fact, entry_id = item.entry.fact, item.entry.entry_id
        if not isinstance(fact, ExposureStated):
            continue
        key = {
            "seller": item.entry.seller,
            "exposure_day": fact.day,
            "product_category": fact.product_category,
            "revision": fact.revision,
        }
        other = stated.setdefault(tuple(key.values()), entry_id)
        if other == entry_id:
            other = connection.execute(_STATED_BY, {"marketplace": marketplace, **key}).scalar() or entry_id
        if other != entry_id:
            return ExposureRevisionTaken(
                f"entries[{index}].exposure: this day, product category and revision were stated by the entry"
                f" {other!r}; state the day again with a higher revision",
                {"entry_id": other},
            )
    return None


def _known(connection: Connection, marketplace: str, batch: Sequence[PreparedEntry]) -> dict[str, _Stored]:
    """Of the batch's entries those that are there, by entry id."""
    ids = [item.entry.entry_id for item in batch]
    rows = connection.execute(_KNOWN, {"marketplace": marketplace, "ids": ids}).all()
    return {
        entry_id: _Stored(Appended(entry_id, sequence, time, True, bool(is_pending)), bytes(digest))
        for entry_id, digest, sequence, time, is_pending in rows
    }


def _alike(
    connection: Connection, marketplace: str, batch: Sequence[PreparedEntry], known: dict[str, _Stored]
) -> dict[int, bool]:
    """By their places those of the known entries whose text is sealed and which state the same: whether it was erased,
    so that nobody can say any more what the text was; the rest is the same.
    """
    doubtful = [
        (index, item)
        for index, item in enumerate(batch)
        if item.sealed and (found := known.get(item.entry.entry_id)) and found.digest != item.digest
    ]
    if not doubtful:
        return {}
    ids = list({item.entry.entry_id for _, item in doubtful})
    stored = {row.entry_id: row for row in connection.execute(_STORED, {"marketplace": marketplace, "ids": ids})}
    held = keys(connection, marketplace, {row.seller for row in stored.values()})
    alike: dict[int, bool] = {}
    for index, item in doubtful:
        _, seller, content = stored[item.entry.entry_id]
        key_id, key = key_id_of(content), held.get(seller)
        if key_id and (key is None or key[0] != key_id):
            if plain_of(content) == item.content:
                alike[index] = True
        elif key_id and key and keyed_digest(key[1], item.digest) == known[item.entry.entry_id].digest:
            alike[index] = False
    return alike

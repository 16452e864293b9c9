"""The ledger: appends entries, and reads them as of any time. The only code that holds a connection to it."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection, text

from scoring.entries.entry import Entry, prepare_batch
from scoring.entries.field_types import ID_FORM, is_id
from scoring.entries.kinds.decisions import SellerErased
from scoring.enums import Status
from scoring.errors import FieldViolation, InvalidInput, ViolationNotFound, invalid
from scoring.features.columns import FactRow
from scoring.time import format_time
from service.ledger import appending, reading
from service.ledger.database import CONFLICT, Database
from service.ledger.erasing import erase
from service.ledger.identities import STEP, StatedMatch, in_force, rows_between, stated_matches
from service.ledger.records import Appended, Cut, Identity, Position, RecordedEntry, ViolationView
from service.ledger.rights import require_rights
from service.ledger.schema import SchemaState, bring_up, require_current, state_of
from service.ledger.seals import GENESIS, LAST_SEAL
from service.ledger.verifying import Verified, verify

P = ParamSpec("P")
T = TypeVar("T")


def wall_clock() -> int:
    """Now, in microseconds since 1970."""
    return time.time_ns() // 1_000


class Ledger:
    """The ledger in one database. Any number of threads may use one, and any number of processes one database.

    Every method may raise LedgerUnavailable, after which the call may be repeated.
    """

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    @classmethod
    def open(
        cls, url: str, *, create: bool = False, serving: bool = False, clock: Callable[[], int] = wall_clock
    ) -> Self:
        """Opens the ledger at `sqlite:///path` or `postgresql://user@host/database`.

        `create` makes the schema if the database has none; an older one is only ever upgraded by `schema.upgrade`.
        `serving` makes this the only writer of a SQLite file until it is closed. ConfigurationWrong if the URL cannot be
        used, the role lacks rights (to append too, if `serving`), or another server has the file; LedgerVersionUnknown,
        with what to do, unless this release can write the schema.
        """
        database = Database(url)
        try:
            if serving:
                database.claim()
            require_rights(database, writing=serving)
            state = state_of(database)
            if create and state is SchemaState.ABSENT:
                bring_up(database)
            else:
                require_current(state)
        except BaseException:
            database.close()
            raise
        return cls(database, clock)

    def close(self) -> None:
        """Closes every connection; calls after it raise LedgerUnavailable."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def about(self) -> dict[str, str]:
        """The database by name, its version, and how safe a commit is in it."""
        return self._database.about()

    def cautions(self) -> list[str]:
        """What an operator should know of the database: each a sentence."""
        return self._database.cautions()

    def ping(self) -> None:
        """Asks the database for an answer."""
        with self._database.read() as connection:
            connection.execute(text("SELECT 1"))

    def last(self) -> tuple[int, int]:
        """(sequence, record_time) of the last entry; (0, 0) if there is none."""
        with self._database.read() as connection:
            return appending.last(connection)

    def append(
        self,
        marketplace: str,
        entries: Sequence[Entry],
        *,
        imported: bool = False,
        position: Position | None = None,
        leave_out: Callable[[Connection], Collection[str]] | None = None,
    ) -> list[Appended]:
        """Appends 1 to 10,000 entries, all or none, in order; what is there already is answered as the first time.

        `position`, how far a source is read with these entries, is committed with them, never back. `leave_out` says,
        while the ledger is locked, by their ids which entries are not to be appended after all. InvalidInput names
        every wrong field of the batch, `report_time` among them unless the batch is `imported`. EntryContentDiffers,
        ExposureRevisionTaken, ViolationNotFound, EntryNotFound and LifecycleForbids name the first such entry.
        """
        if not is_id(marketplace):
            raise invalid("marketplace", f"must be {ID_FORM}")
        _refuse_output_only(entries, imported)
        # Not the clock alone: an entry that was accepted must be valid still when the clock has been put back.
        now = max(self._clock(), self.last()[1])
        batch = prepare_batch(entries, now)
        try:
            with self._database.write() as connection:
                if leave_out is not None and (names := leave_out(connection)):
                    batch = [item for item in batch if item.entry.entry_id not in names]
                return appending.append_batch(
                    self._database, connection, marketplace, batch, max(now, self._clock()), position
                )
        except CONFLICT:
            with self._database.read() as connection:
                taken = appending.taken_revision(connection, marketplace, batch)
            if taken is None:
                raise
            raise taken from None

    def advance(self, position: Position) -> None:
        """Commits how far a source is read where nothing of it is appended; never back."""
        with self._database.write() as connection:
            appending.advance(connection, position, appending.last(connection)[0])

    def erase(self, marketplace: str, seller: str, *, actor: str, ground: str = "", entry_id: str) -> Appended:
        """Erases the sealed texts of a seller's entries: the key goes, an entry says so, and nothing that counts changes.

        Needs a role that may delete from `seller_key`. InvalidInput names every wrong field.
        """
        if not is_id(marketplace):
            raise invalid("marketplace", f"must be {ID_FORM}")
        now = max(self._clock(), self.last()[1])
        return erase(self._database, marketplace, Entry(entry_id, seller, SellerErased(actor, ground)), now)

    def cut(self, observe_time: int | None = None, known_time: int | None = None) -> Cut:
        """What is known now, or was known before `known_time` (microseconds), for an answer as of `observe_time`.

        `observe_time` defaults to just after the later of the clock and the last `record_time`, so that a clock that
        lags hides nothing. The cut's `known_time` is at most just after the last `record_time`: whatever is appended
        later is recorded later, so the same two times give the same cut for ever. InvalidInput if one lies in the future.
        """
        sequence, record_time = self.last()
        now = max(self._clock(), record_time) + 1
        times = {"observe_time": observe_time, "known_time": known_time}
        wrong = [
            FieldViolation(name, f"must lie between 1970 and the ledger's now, {format_time(now)}")
            for name, value in times.items()
            if value is not None and not 0 <= value <= now
        ]
        if wrong:
            raise InvalidInput(wrong)
        if known_time is not None and known_time <= record_time:
            with self._database.read() as connection:
                sequence = reading.sequence_before(connection, known_time)
        return Cut(
            observe_time=now if observe_time is None else observe_time,
            known_time=record_time + 1 if known_time is None else min(known_time, record_time + 1),
            sequence=sequence,
        )

    def fact_counts(self, marketplace: str, sellers: Sequence[str]) -> dict[str, tuple[int, int]]:
        """The number of rows that `fact_rows` now gives of each seller that has any, and how many allege a violation."""
        with self._database.read() as connection:
            return reading.fact_counts(connection, marketplace, sellers)

    def fact_rows(self, marketplace: str, sellers: Sequence[str], sequence: int) -> list[FactRow]:
        """The sellers' entries up to `sequence` of kinds that the fold reads, as it needs them, by (seller, sequence)."""
        with self._database.read() as connection:
            return reading.fact_rows(connection, marketplace, sellers, sequence)

    def facts_of_seller(self, marketplace: str, seller: str, cut: Cut, most: int) -> tuple[list[FactRow], int]:
        """As `fact_rows` for one seller, but of more than `most` allegations the gravest, and the number of the others.

        The others are open as of the cut: whatever a decision, a correction or a split names is among the rows.
        """
        with self._database.read() as connection:
            return reading.facts_of_seller(connection, marketplace, seller, cut, most)

    def entries(
        self, marketplace: str, cut: Cut, *, seller: str | None = None, after_sequence: int = 0, limit: int = 100
    ) -> list[RecordedEntry]:
        """A page of entries as of the cut, by sequence: of the cut's set what its `observe_time` lets through.

        The next page is the one after the last entry's sequence, with the same cut.
        """
        with self._database.read() as connection:
            return reading.entries(connection, marketplace, cut, seller, after_sequence, limit)

    def violation(self, marketplace: str, violation_id: str, cut: Cut) -> ViolationView:
        """One violation as of the cut. ViolationNotFound."""
        with self._database.read() as connection:
            view = reading.violation(connection, marketplace, violation_id, cut)
        if view is None:
            raise ViolationNotFound(
                f"no violation {violation_id!r} was recorded by {format_time(cut.known_time)}; a violation is named"
                " by the entry_id of its report",
                {"violation": violation_id},
            )
        return view

    def violations(
        self,
        marketplace: str,
        cut: Cut,
        *,
        seller: str | None = None,
        statuses: Collection[Status] = (),
        after_sequence: int = 0,
        limit: int = 100,
    ) -> tuple[list[ViolationView], int | None]:
        """A page of violations as of the cut, by the sequence of their reports, and the `after_sequence` of the next.

        A page looks at `limit` violations and, if `statuses` are given, gives back those that have one of them.
        """
        with self._database.read() as connection:
            views, after = reading.violations(connection, marketplace, cut, seller, after_sequence, limit)
        return [view for view in views if not statuses or view.status in statuses], after

    def named_violations(self, marketplace: str, names: Collection[str], cut: Cut) -> dict[str, ViolationView]:
        """Those of the named violations that were reported as of the cut, by id."""
        with self._database.read() as connection:
            return reading.named_violations(connection, marketplace, names, cut)

    def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What one of the queries of `service.ledger.notifiers` finds."""
        with self._database.read() as connection:
            return query(connection, *args, **kwargs)

    def export_rows(
        self, marketplace: str, cut: Cut, chunk: int = 50_000, *, bounded: bool = False
    ) -> Iterator[list[tuple[Any, ...]]]:
        """All entries of the cut's set by sequence, with the columns `EXPORT_COLUMNS`, `chunk` at a time.

        The whole set, whatever the cut's `observe_time`: training looks at it from many times. If `bounded`, only what
        occurred and was reported before that.
        """
        after = 0
        while True:
            with self._database.read() as connection:
                rows = reading.export_rows(connection, marketplace, cut, after, chunk, bounded)
            if rows:
                yield rows
            if len(rows) < chunk:
                return
            after = rows[-1][0]

    def identities(self, marketplace: str, cut: Cut) -> Iterator[Identity]:
        """The identity in force of every seller that has one, as of the cut."""

        def rows() -> Iterator[Any]:
            for after in range(0, cut.sequence, STEP):
                with self._database.read() as connection:
                    found = rows_between(connection, marketplace, after, min(after + STEP, cut.sequence))
                yield from found

        return in_force(rows(), cut)

    def stated_matches(self, marketplace: str, ids: Sequence[str]) -> dict[str, StatedMatch]:
        """Whose the entries of these ids are, and whether by a verified identifier; those on record, by entry id."""
        with self._database.read() as connection:
            return stated_matches(connection, marketplace, ids)

    def position(self, source: str, partition: int) -> int | None:
        """Where reading a partition of a source goes on; None if nothing of it was read yet."""
        with self._database.read() as connection:
            return reading.position(connection, source, partition)

    def verify(
        self,
        checkpoints: Sequence[tuple[int, bytes]],
        progress: Callable[[int, int], None],
    ) -> Verified:
        """Checks every entry against the seals, and the seals against exported checkpoints: (sequence, chain).

        `progress` is told how many entries of how many are done.
        """

        def read(query: Any) -> Sequence[Sequence[Any]]:
            with self._database.read() as connection:
                return connection.execute(query).all()

        return verify(read, checkpoints, progress)

    def checkpoint(self) -> tuple[int, bytes]:
        """(sequence, chain) of the last seal: export it to where the owner of the database cannot write."""
        with self._database.read() as connection:
            row = connection.execute(LAST_SEAL).first()
        return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))


def _refuse_output_only(entries: Sequence[Entry], imported: bool) -> None:
    """What callers may not state: the ledger's own links, erasures, and, unless they import, report times."""
    wrong = []
    for index, entry in enumerate(entries):
        if entry.report_time is not None and not imported:
            wrong.append(FieldViolation(f"entries[{index}].report_time", "must be empty: only imports may set it"))
        if entry.origin:
            wrong.append(FieldViolation(f"entries[{index}].origin", "must be empty: the ledger alone derives entries"))
        if isinstance(entry.fact, SellerErased):
            wrong.append(FieldViolation(f"entries[{index}].erasure", "is made by: sellertrust ledger erase"))
    if wrong:
        raise InvalidInput(wrong)

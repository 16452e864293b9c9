from collections.abc import Callable, Sequence
from typing import Self

from scoring.base.errors import FieldViolation, InvalidInput
from scoring.base.time import format_time
from scoring.entries.entry import Entry, prepare, prepare_batch
from scoring.entries.kinds.decisions import ClockMended, SellerErased
from service.ledger.append import appending, following, linking
from service.ledger.append.erasing import erase
from service.ledger.append.policy_moves import PolicyMoves
from service.ledger.append.proposals import ProposalWriter
from service.ledger.clock import mending
from service.ledger.clock.ledger_clock import LastEntry, LedgerClock, last_entry
from service.ledger.clock.server_clock import REST, SKEW, ServerClock, clock_ahead_caution, time_at_end, wall_clock
from service.ledger.database.database import CONFLICT, Database
from service.ledger.database.rights import require_rights
from service.ledger.database.schema import SchemaState, require_current, state_of, upgrade_open
from service.ledger.database.tables import RowReader
from service.ledger.queries.cases import CaseQueries
from service.ledger.queries.changes import ChangeQueries
from service.ledger.queries.entries import EntryQueries
from service.ledger.queries.facts import FactQueries
from service.ledger.queries.identities import IdentityQueries
from service.ledger.queries.links import LinkQueries, RingQueries
from service.ledger.queries.measures import MeasureQueries, RecordCondition
from service.ledger.queries.positions import Positions
from service.ledger.queries.runs import RunQueries
from service.ledger.queries.seals import SealQueries
from service.ledger.queries.sellers import SellerQueries
from service.ledger.queries.transparency import TransparencyQueries
from service.ledger.queries.violations import NotifierQueries, ViolationQueries
from service.ledger.records import AppendedEntry, BulkCondition, Cut, Position


class Ledger:
    """Thread-safe; any number of processes may share its database.

    Every method may raise LedgerUnavailable, after which it may be called again.
    """

    def __init__(self, database: Database, server_clock: ServerClock) -> None:
        self.database = database
        self.clock = clock = LedgerClock(database, server_clock)
        self.entries = EntryQueries(clock)
        self.violations = ViolationQueries(clock)
        self.facts = FactQueries(clock)
        self.measures = MeasureQueries(clock)
        self.cases = CaseQueries(clock)
        self.sellers = SellerQueries(clock)
        self.identities = IdentityQueries(clock)
        self.links = LinkQueries(clock)
        self.rings = RingQueries(clock)
        self.notifiers = NotifierQueries(clock)
        self.transparency = TransparencyQueries(clock)
        self.runs = RunQueries(clock, self.sellers, self.violations, self.measures)
        self.changes = ChangeQueries(clock)
        self.seals = SealQueries(clock)
        self.positions = Positions(clock)
        self.proposals = ProposalWriter(clock)
        self.policies = PolicyMoves(clock)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        create: bool = False,
        serving: bool = False,
        clock: Callable[[], int] = wall_clock,
    ) -> Self:
        """Open the ledger at `sqlite:///path` or `postgresql://user@host/database`.

        `create` makes an absent schema. `serving` makes this the only writer of a SQLite file, and finishes interrupted
        appends. Another `clock` than the machine's replaces PostgreSQL's too. Raises ConfigurationWrong for a bad URL,
        missing rights, or a file that another server has; LedgerVersionUnknown without a ledger that this release can write.
        """
        database = Database(url)
        try:
            if serving:
                database.claim()
            require_rights(database, writing=serving)
            if create and state_of(database) is SchemaState.ABSENT:
                upgrade_open(database)
            else:
                require_current(database)
            opened = cls(database, ServerClock(clock, is_witnessed=clock is wall_clock))
            if serving:
                opened.finish()
        except BaseException:
            database.close()
            raise
        return opened

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def list_cautions(self) -> list[str]:
        """Return sentences about risks for operators."""
        end = self.clock.read_end()
        ahead = end.record_time - self.clock.server.now(end.clock)
        return [*self.database.cautions(), *([clock_ahead_caution(ahead)] if ahead > SKEW else [])]

    def last(self) -> LastEntry:
        end = self.clock.read_end()
        return LastEntry(end.sequence, end.record_time)

    def append(
        self,
        marketplace: str,
        entries: Sequence[Entry],
        *,
        imported: bool = False,
        position: Position | None = None,
        as_seen: BulkCondition | None = None,
        as_recorded: RecordCondition | None = None,
    ) -> list[AppendedEntry]:
        """Append 1 to 10,000 entries, all or none, in order; return one result per entry.

        A recorded entry gets its first answer. `position` is recorded with the entries and never moves back. Entries
        for which `as_seen` is no longer true are left out. `as_recorded`: the service states measures that rules ask
        for; none is appended if the record differs by then. Consequences for very many sellers are appended separately
        before this returns.

        Raises InvalidInput with all wrong fields, `report_time` included unless `imported`. EntryContentDiffers names
        all entries whose id has other content. ExposureRevisionTaken, ViolationNotFound, EntryNotFound and
        LifecycleForbids name the first wrong entry. PermissionDenied: decisions about the caller's own reports.
        ClockInDoubt.
        """
        appending.require_marketplace_id(marketplace)
        appending.refuse_service_fields(
            entries, imported=imported, by_rule=as_recorded is not None, in_bulk=as_seen is not None
        )
        end = self.clock.read_end()
        present = self.clock.present(end)
        # A valid entry stays valid after the clock was put back.
        batch = prepare_batch(entries, max(present.clock, end.record_time))
        appending.refuse_own_reports_early(self.database, marketplace, batch)
        try:
            with self.clock.locked(present) as (connection, present):
                if as_recorded is not None and not as_recorded.holds(connection, marketplace):
                    return []
                reader = RowReader(connection, marketplace)
                if as_seen is not None and (names := appending.find_overtaken(reader, as_seen)):
                    batch = [item for item in batch if item.entry.entry_id not in names]
                results, unfinished = appending.append_batch(reader, batch, present, position)
        except CONFLICT:
            with self.database.read() as connection:
                revision_error = appending.find_taken_revision(RowReader(connection, marketplace), batch)
            if revision_error is None:
                raise
            raise revision_error from None
        for entry_id in unfinished:
            self._follow_on(marketplace, entry_id)
        return results

    def refresh_links(self, marketplace: str, *, principal: str = "") -> linking.RefreshCounts:
        """Append how often links prove right, and what time alone changed in cases of links. Raises InvalidInput."""
        appending.require_marketplace_id(marketplace)
        return linking.refresh(self.clock, marketplace, principal=principal)

    def finish(self) -> None:
        """Append the consequences that interrupted appends left out, such as violations by a recall."""
        with self.database.read() as connection:
            unfinished = following.find_unfinished(connection)
        for entry in unfinished:
            self._follow_on(entry.marketplace, entry.entry_id)

    def _follow_on(self, marketplace: str, entry_id: str) -> None:
        while True:
            before = self.clock.present(self.clock.read_end())
            with self.clock.locked(before) as (connection, present):
                unfinished = following.find_unfinished_among(RowReader(connection, marketplace), [entry_id])
                if not unfinished:
                    return
                following.derive_next(connection, unfinished[0], present)

    def erase(self, marketplace: str, seller: str, *, actor: str, ground: str = "", entry_id: str) -> AppendedEntry:
        """Erase the sealed texts of a seller's entries: delete its key, and append an entry.

        Raises ErasureRefused if the role may not delete from `seller_key`; SellerNotFound if the seller has no entry;
        InvalidInput. LedgerUnavailable: SQLite's journal still holds the key, and a retry finishes.
        """
        appending.require_marketplace_id(marketplace)
        entry = Entry(entry_id, seller, SellerErased(actor, ground))
        return erase(self.database, marketplace, entry, self.clock.present(self.clock.read_end()))

    def mend_clock(
        self, marketplace: str, *, actor: str, reason: str, first_sequence: int = 0, ahead: int = 0, entry_id: str
    ) -> AppendedEntry:
        """Append an entry that corrects record times, from `first_sequence` on, by `ahead` microseconds.

        It corrects all marketplaces; the entry itself is of `marketplace`. With 0 and 0 it only vouches for the clock
        after a long rest. Raises InvalidInput if the entries did not run ahead so
        far, were mended before or would lose their order; ClockInDoubt.
        """
        appending.require_marketplace_id(marketplace)
        fact = ClockMended(actor, reason, first_sequence, ahead)
        before = self.clock.server.present(self.clock.read_end().clock)
        item = prepare(Entry(entry_id, "", fact), before.clock)
        with self.clock.locked(before) as (connection, locked):
            present = locked
            reader = RowReader(connection, marketplace)
            if (first_sequence or ahead) and not appending.is_recorded(reader, entry_id):
                last = last_entry(connection)[0]
                mending.require_mendable(connection, mending.load_mendings(connection), fact, last, present.clock)
                # Otherwise a stamp would name two cuts.
                span = mending.read_record_times(connection, first_sequence, last)
                present = present._replace(
                    ahead=ahead, wrong_times=(*present.wrong_times, span) if ahead else present.wrong_times
                )
            [appended] = appending.append_batch(reader, [item], present).results
        return appended

    def cut(self, observe_time: int | None = None, known_time: int | None = None) -> Cut:
        """Return the cut for an answer as of `observe_time`.

        It holds what is known now, or was known before `known_time`; times in microseconds. `observe_time` defaults to
        just after the later of the clock and the last `record_time`, which counts for at most SKEW more than the clock.
        If that is longer ago than REST, it is the default. The cut's `known_time` is just after its last `record_time`,
        so the same two times always give the same cut. Raises InvalidInput for a future time.
        """
        end = self.clock.read_end()
        sequence, record_time = end.sequence, end.record_time
        clock = self.clock.server.now(end.clock)
        mendings = self.clock.mendings
        # An answer as of a record time that ran ahead is given again.
        latest = max(clock, record_time, *(mended.wrong_times[1] for mended in mendings.all)) + 1
        times = {"observe_time": observe_time, "known_time": known_time}
        wrong = [
            FieldViolation((name,), f"must lie between 1970 and the ledger's now, {format_time(latest)}")
            for name, value in times.items()
            if value is not None and not 0 <= value <= latest
        ]
        if wrong:
            raise InvalidInput(wrong)
        if known_time is not None and (known_time <= record_time or mendings.all):
            with self.database.read() as connection:
                sequence, record_time = mending.find_last_before(connection, mendings, known_time)
        if observe_time is None:
            is_doubted = self.clock.server.is_witnessed and end.record_time and clock - end.record_time > REST
            observe_time = (end.record_time if is_doubted else time_at_end(clock, end.record_time)) + 1
        return Cut(
            observe_time=observe_time,
            known_time=record_time + 1 if known_time is None else min(known_time, record_time + 1),
            sequence=sequence,
        )

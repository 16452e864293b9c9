"""The rings of each marketplace, held in memory after the first read; later reads add what changed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from threading import Lock
from typing import NamedTuple

from sqlalchemy import bindparam, distinct, exists, func, select, text

from scoring.base.enums import Kind
from scoring.base.errors import ServerBusy
from scoring.base.time import DAY
from scoring.entries.cases import LINK_RULE
from scoring.network.rings import LinkCase, Ring, RingIndex
from scoring.network.terms import MAX_CAUSE_DAYS
from service.ledger.clock.ledger_clock import LedgerClock, last_entry
from service.ledger.clock.mending import Mending
from service.ledger.database.tables import CASES, COUNTING, ENTRY, HERE, SEAL, UP_TO_LAST, RowReader, among_kinds
from service.ledger.queries.links import (
    CHUNK,
    LINKED,
    LinkViolation,
    read_established,
    read_links_of_sellers,
)
from service.ledger.queries.sellers import COUNT_SELLERS, MAX_SELLERS
from service.ledger.records import Cut

MOVING = (Kind.LINK, Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION, Kind.CORRECTION)

WAIT_SECONDS = 5.0

_E = ENTRY.c
_LATER = (HERE, _E.sequence > bindparam("after"), UP_TO_LAST)
_MOVED = select(_E.seller).distinct().where(*_LATER, among_kinds(*MOVING))
_LINKED = select(_E.seller).distinct().where(HERE, text(LINKED), UP_TO_LAST)
_VIOLATING = select(_E.seller).distinct().where(HERE, text(COUNTING), UP_TO_LAST)
_EARLIER = ENTRY.alias().c
_KNOWN = exists().where(
    _EARLIER.marketplace == _E.marketplace, _EARLIER.seller == _E.seller, _EARLIER.sequence <= bindparam("after")
)
_NEW_SELLERS = select(func.count(distinct(_E.seller))).where(*_LATER, _E.seller > "", ~_KNOWN)
_CHAIN = select(SEAL.c.chain).where(SEAL.c.last_sequence == bindparam("after"))
_CASES_OF_LINKS = (
    select(_E.seller, _E.target, _E.record_time)
    .where(HERE, text(CASES), _E.target.like(f"{LINK_RULE}~%"), UP_TO_LAST)
    .order_by(_E.marketplace, _E.sequence)
)


class _Kept(NamedTuple):
    rings: RingIndex
    established: dict[str, list[LinkViolation]]
    sellers: int
    sequence: int
    chain: bytes
    """Of the seal that ends there: a ledger that lost entries has another."""
    mendings: tuple[Mending, ...]


class RingFigures(NamedTuple):
    rings: Sequence[Ring]
    ring_count: int
    sellers: int
    cases: Sequence[LinkCase]
    """Each seller's case of each link, first stated."""
    confirmed: Mapping[str, Sequence[int]]
    """By seller, when violations were confirmed, in microseconds."""


class RingQueries:
    """Thread-safe."""

    def __init__(self, clock: LedgerClock) -> None:
        self._clock = clock
        self._guard = Lock()
        self._locks: dict[str, Lock] = {}
        self._first_reads = Lock()
        self._kept: dict[str, _Kept] = {}

    def read(self, marketplace: str, cut: Cut, least_size: int, most: int) -> RingFigures:
        """Return at most `most` rings of at least `least_size` sellers (2 or more), at a present cut. Raises ServerBusy."""
        with self._guard:
            lock = self._locks.setdefault(marketplace, Lock())
        with _hold(lock, WAIT_SECONDS):
            if marketplace in self._kept:
                return self._read(marketplace, cut, least_size, most)
            with _hold(self._first_reads, 0):
                return self._read(marketplace, cut, least_size, most)

    def _read(self, marketplace: str, cut: Cut, least_size: int, most: int) -> RingFigures:
        with self._clock.as_of(cut.sequence) as connection:
            reader = RowReader(connection, marketplace, last_entry(connection).sequence, cut.observe_time)
            kept = self._kept[marketplace] = _advance(
                reader, self._kept.get(marketplace), self._clock.list_mendings(cut.sequence)
            )
            oldest = cut.observe_time - MAX_CAUSE_DAYS * DAY
            reaching = [
                seller
                for seller, of in kept.established.items()
                if any(one.reaches and one.time > oldest for one in of)
            ]
            rings, count = kept.rings.list_rings(least_size, most, cut.observe_time, reaching)
            first: dict[tuple[str, str], LinkCase] = {}
            for seller, target, record_time in reader.rows(_CASES_OF_LINKS):
                first.setdefault((seller, target), LinkCase(seller, record_time))
            touched = {one.seller for one in first.values()} & kept.established.keys()
            confirmed = {seller: [one.time for one in kept.established[seller]] for seller in touched}
            return RingFigures(rings, count, kept.sellers, [*first.values()], confirmed)


@contextmanager
def _hold(lock: Lock, seconds: float) -> Iterator[None]:
    if not lock.acquire(timeout=seconds):
        raise ServerBusy("another call reads the links, for minutes if it is the first; ask again later")
    try:
        yield
    finally:
        lock.release()


def _advance(reader: RowReader, kept: _Kept | None, mendings: tuple[Mending, ...]) -> _Kept:
    if kept is None or kept.mendings != mendings or _read_chain(reader, kept.sequence) != kept.chain:
        [(sellers,)] = reader.rows(COUNT_SELLERS, after="", limit=MAX_SELLERS)
        kept, queries = _Kept(RingIndex(), {}, sellers, 0, b"", mendings), [_LINKED, _VIOLATING]
    else:
        [(new,)] = reader.rows(_NEW_SELLERS, after=kept.sequence)
        kept, queries = kept._replace(sellers=kept.sellers + new), [_MOVED]
    moved = {seller for query in queries for (seller,) in reader.rows(query, after=kept.sequence)}
    names = sorted(moved.union(kept.rings.list_ended(reader.observe_time)))
    for begin in range(0, len(names), CHUNK):
        part = names[begin : begin + CHUNK]
        established = read_established(reader, part)
        statements = read_links_of_sellers(reader, part)
        by_seller = {seller: [*of] for seller, of in groupby(statements, key=attrgetter("seller"))}
        for seller in part:
            kept.rings.replace(seller, by_seller.get(seller, ()), reader.observe_time)
            kept.established.pop(seller, None)
        kept.established.update(established)
    return kept._replace(sequence=reader.last, chain=_read_chain(reader, reader.last))


def _read_chain(reader: RowReader, sequence: int) -> bytes:
    return b"".join(chain for (chain,) in reader.rows(_CHAIN, after=sequence))

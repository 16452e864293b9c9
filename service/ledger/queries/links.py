"""The links of sellers, and the rings of each marketplace: held in memory after the first read, then only added to."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter
from threading import Lock
from typing import Any, NamedTuple

from sqlalchemy import Text, bindparam, distinct, exists, func, select, text

from scoring.base.enums import (
    NOTICE_STATES,
    SHARED_BY_NATURE,
    Attribution,
    CorrectionKind,
    Kind,
    LinkKind,
    MeasureKind,
    MeasureState,
)
from scoring.base.errors import ServerBusy
from scoring.base.time import DAY
from scoring.entries.cases import LINK_RULE
from scoring.entries.kinds.decisions import RULE_MEASURE_PREFIX, MeasureChanged
from scoring.entries.lifecycle import COUNTING_STATUSES
from scoring.measures.imposed import ImpositionContext, list_imposed
from scoring.measures.record import MeasureStatement
from scoring.network.links import MAX_STATED, Graph, LinkDecisions, LinkStatement, find_holds
from scoring.network.precision import find_precision
from scoring.network.rings import LinkCase, Ring, RingIndex
from scoring.network.terms import LEAST_CAUSE, MAX_CAUSE_DAYS, Violator
from scoring.policy.history import find_decision_times
from scoring.policy.rules import NO_RULES
from service.ledger.clock.ledger_clock import LedgerClock, last_entry
from service.ledger.clock.mending import Mending
from service.ledger.database.tables import (
    CASES,
    COUNTING,
    ENTRY,
    HERE,
    ON_TERMS,
    RECORDED,
    SEAL,
    UP_TO_LAST,
    RowReader,
    act_clause,
    among,
    among_kinds,
    only,
    read_fact,
)
from service.ledger.queries.sellers import COUNT_SELLERS, MAX_SELLERS
from service.ledger.queries.violations import ABOUT, CORRECTIONS, fold_states
from service.ledger.records import Act, Cut

CHUNK = 5_000

_E = ENTRY.c
LINKED = f"kind = {int(Kind.LINK)}"
LINKS_OF_SELLERS = RECORDED.where(HERE, among(_E.seller), text(LINKED), UP_TO_LAST).order_by(_E.seller, _E.sequence)
_OF_THING = (
    RECORDED.where(
        HERE, _E.target.is_not(None), only(_E.target, bindparam("target", type_=Text())), text(f"+{LINKED}"), UP_TO_LAST
    )
    .order_by(_E.target, _E.sequence)
    .limit(MAX_STATED)
)
_OF_THINGS = (
    RECORDED.where(HERE, among(_E.target), text(f"+{LINKED}"), UP_TO_LAST)
    .order_by(_E.target, _E.sequence)
    .limit(bindparam("most"))
)
_COUNTED = select(_E.violation).where(HERE, among(_E.seller), text(COUNTING), _E.violation.is_not(None), UP_TO_LAST)
_MEASURES = RECORDED.where(HERE, among(_E.seller), text(ON_TERMS), among_kinds(Kind.MEASURE), UP_TO_LAST).order_by(
    _E.seller, _E.sequence
)
_PRECISION = select(_E.content).where(HERE, act_clause(Act.PRECISION), UP_TO_LAST).order_by(_E.sequence.desc()).limit(1)


class Precision(NamedTuple):
    decided: LinkDecisions
    low_ppm: int
    high_ppm: int


class Surroundings(NamedTuple):
    graph: Graph
    violators: Mapping[str, Violator]
    steps: Mapping[str, int]
    """Links to the nearest requested seller."""

    def list_within_steps(self, most: int) -> list[str]:
        """Return the sellers at most so many links away, the requested ones included."""
        return [seller for seller, steps in self.steps.items() if steps <= most]


@dataclass(frozen=True, slots=True)
class LinkQueries:
    clock: LedgerClock

    def find_surroundings(self, marketplace: str, sellers: Collection[str], cut: Cut, steps: int) -> Surroundings:
        """Return what links the sellers to others up to `steps` away, at the cut."""
        with self.clock.open_reader(marketplace, cut) as reader:
            return read_surroundings(reader, sellers, cut.observe_time, steps)

    def find_suspended(self, marketplace: str, sellers: Collection[str], cut: Cut) -> set[str]:
        with self.clock.open_reader(marketplace, cut) as reader:
            return _find_suspended(reader, sellers, cut.observe_time)

    def find_precision(self, marketplace: str, cut: Cut) -> dict[LinkKind, Precision]:
        """Return by kind how often links prove right, as last recorded; empty before a first `Ledger.refresh_links`."""
        with self.clock.open_reader(marketplace, cut) as reader:
            return read_precision(reader)


def read_links_of_sellers(reader: RowReader, sellers: Collection[str]) -> list[LinkStatement]:
    return _read(reader, reader.rows(LINKS_OF_SELLERS, sellers))


def read_precision(reader: RowReader) -> dict[LinkKind, Precision]:
    """Return how often each kind of link led to a violator, with its interval, as last recorded."""
    for row in reader.rows(_PRECISION):
        stated: Mapping[str, Sequence[int]] = json.loads(row.content)["decided"]
        decided = {LinkKind[name.upper()]: LinkDecisions(*counts) for name, counts in stated.items()}
        return {kind: Precision(counts, *find_precision(counts)) for kind, counts in decided.items()}
    return {}


def read_surroundings(reader: RowReader, sellers: Collection[str], time: int, steps: int) -> Surroundings:
    """Return what links sellers at a time (microseconds) to others up to `steps` away.

    Ended links count, too: who was linked a moment ago is affected. No step leads on from a hub, except from `sellers`.
    """
    distance = dict.fromkeys(sellers, 0)
    statements: dict[str, LinkStatement] = {}
    sharing: dict[str, set[str]] = {}
    crowded: set[str] = set()
    frontier = set(sellers)
    for step in range(1, steps + 1):
        found = read_links_of_sellers(reader, frontier)
        mine = {one.fact.identifier or one.fact.other for one in found if one.fact.link_kind not in SHARED_BY_NATURE}
        new = (mine | frontier) - sharing.keys()
        by_thing: dict[str, list[Any]] = {thing: [] for thing in new}
        for row in _read_about(reader, new):
            by_thing[row.target].append(row)
        crowded |= {thing for thing, rows in by_thing.items() if len(rows) >= MAX_STATED}
        sharing |= {thing: {row.seller for row in rows} for thing, rows in by_thing.items()}
        found += _read(reader, [row for rows in by_thing.values() for row in rows])
        statements |= {one.entry_id: one for one in found}
        things = (mine | frontier) if step == 1 else (mine | frontier) - crowded
        others = {one.fact.other for one in found} - {""}
        frontier = {seller for thing in things for seller in sharing[thing]} | others
        frontier -= distance.keys()
        distance |= dict.fromkeys(frontier, step)
        if not frontier:
            break
    low = {kind: one.low_ppm for kind, one in read_precision(reader).items()}
    graph = Graph.of(find_holds(statements.values(), time), low, frozenset(crowded))
    return Surroundings(graph, read_violators(reader, distance, time), distance)


def _read_about(reader: RowReader, things: Collection[str]) -> Sequence[Any]:
    most = MAX_STATED * len(things)
    rows = reader.rows(_OF_THINGS, things, most=most)
    if len(rows) < most:
        return rows
    return [row for thing in things for row in reader.rows(_OF_THING, [thing], target=thing)]


def read_violators(reader: RowReader, sellers: Collection[str], time: int) -> dict[str, Violator]:
    """Return sellers whose own confirmed violation reaches others at `time` (microseconds), each with the latest."""
    oldest = time - MAX_CAUSE_DAYS * DAY
    found: dict[str, tuple[int, str]] = {}
    for seller, violations in read_established(reader, sellers).items():
        reaching = [(one.time, one.violation) for one in violations if one.reaches and one.time > oldest]
        if reaching:
            found[seller] = max(reaching)
    suspended = _find_suspended(reader, found, time)
    return {seller: Violator(name, since, seller in suspended) for seller, (since, name) in found.items()}


class LinkViolation(NamedTuple):
    violation: str
    time: int
    """Since when it counts without a break, in microseconds."""
    reaches: bool
    """Whether it is grave enough to reach linked sellers."""


def read_established(reader: RowReader, sellers: Collection[str]) -> dict[str, list[LinkViolation]]:
    """Return the counting violations by seller, without those derived from products' reports; absent if none."""
    names = {violation for (violation,) in reader.rows(_COUNTED, sellers)}
    rows = reader.rows(ABOUT, names)
    of_products = {row.violation for row in rows if row.kind == Kind.VIOLATION and row.target is not None}
    times = find_decision_times(rows)
    found: dict[str, list[LinkViolation]] = {}
    for name, state in fold_states(rows).items():
        stands = state.status in COUNTING_STATUSES and state.attribution is not Attribution.ACCEPTED
        if stands and name not in of_products and name in times:
            one = LinkViolation(name, times[name], state.severity >= LEAST_CAUSE)
            found.setdefault(state.seller, []).append(one)
    return found


def _find_suspended(reader: RowReader, sellers: Collection[str], time: int) -> set[str]:
    of_rules: dict[tuple[str, str], MeasureChanged] = {}
    of_persons: dict[str, list[MeasureStatement]] = {}
    for row in reader.rows(_MEASURES, sellers):
        fact: MeasureChanged = read_fact(row)
        if fact.state in NOTICE_STATES:
            continue
        if fact.measure.startswith(RULE_MEASURE_PREFIX):
            of_rules[row.seller, fact.measure] = fact
        else:
            one = MeasureStatement(row.entry_id, row.sequence, row.occur_time, fact)
            of_persons.setdefault(row.seller, []).append(one)
    return {
        seller
        for (seller, _), fact in of_rules.items()
        if fact.measure_kind is MeasureKind.SUSPENSION
        and fact.state is not MeasureState.LIFTED
        and (fact.until is None or fact.until > time)
    } | {*_list_suspended(reader, of_persons, time)}


def _list_suspended(reader: RowReader, stated: Mapping[str, Sequence[MeasureStatement]], time: int) -> Iterator[str]:
    every = [one for of in stated.values() for one in of]
    violations = {name for one in every for name in one.fact.violations}
    corrections = (row for chunk in _chunks(every) for row in reader.rows(CORRECTIONS, chunk))
    rows: dict[str, list[Any]] = {}
    for row in chain(reader.rows(ABOUT, violations), corrections):
        rows.setdefault(row.seller, []).append(row)
    asked = ImpositionContext(time, NO_RULES, reader.marketplace)
    for seller, of in stated.items():
        imposed = list_imposed(of, rows.get(seller, ()), asked)
        if any(one.original.kind is MeasureKind.SUSPENSION and one.start <= time for one in imposed):
            yield seller


def _read(reader: RowReader, rows: Iterable[Any]) -> list[LinkStatement]:
    rows = list(rows)
    last = {row.target: row for chunk in _chunks(rows) for row in reader.rows(CORRECTIONS, chunk)}
    found = []
    for row in rows:
        moved = last.get(row.entry_id, row)
        is_void = moved is not row and moved.status == CorrectionKind.VOID
        time = max(row.occur_time if is_void else moved.occur_time, row.report_time)
        found.append(LinkStatement(row.entry_id, row.sequence, row.seller, time, read_fact(row), is_void))
    return found


def _chunks(rows: Sequence[Any]) -> Iterator[list[str]]:
    for begin in range(0, len(rows), CHUNK):
        yield [row.entry_id for row in rows[begin : begin + CHUNK]]


MOVING = (Kind.LINK, Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION, Kind.CORRECTION)

WAIT_SECONDS = 5.0

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
    names = sorted(moved.union(kept.rings.list_with_ended_hold(reader.observe_time)))
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

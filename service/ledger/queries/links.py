"""The links of sellers, and the rings of each marketplace: held in memory after the first read, then only added to."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.entries.cases import LINK_RULE
from scoring.entries.kinds.decisions import RULE_MEASURE_PREFIX, MeasureChanged
from scoring.entries.lifecycle import COUNTING_STATUSES
from scoring.measures.imposed import ImpositionContext, list_imposed
from scoring.measures.record import MeasureStatement
from scoring.network.links import MAX_STATED, Graph, LinkDecisions, LinkStatement, find_live_links
from scoring.network.precision import find_precision
from scoring.network.rings import LinkCase, Ring, RingIndex
from scoring.network.terms import LEAST_CAUSE, MAX_CAUSE_DAYS, Violator
from scoring.policy.history import find_decision_times
from scoring.policy.rules import NO_RULES
from service.ledger.clock.ledger_clock import LedgerClock, last_entry
from service.ledger.clock.mending import Mending
from service.ledger.database.tables import (
    BEYOND,
    BY_SELLER,
    BY_TARGET,
    CASES,
    COUNTING,
    ENTRY,
    HERE,
    ON_TERMS,
    RECORDED,
    SEAL,
    SELLERS_HERE,
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
LINKS_OF_SELLERS = BY_SELLER.where(text(LINKED), UP_TO_LAST)
_ABOUT_THING = (
    RECORDED.where(
        HERE, _E.target.is_not(None), only(_E.target, bindparam("target", type_=Text())), text(f"+{LINKED}"), UP_TO_LAST
    )
    .order_by(_E.target, _E.sequence)
    .limit(MAX_STATED)
)
_ABOUT_THINGS = BY_TARGET.where(text(f"+{LINKED}"), UP_TO_LAST).limit(bindparam("most"))
_COUNTING_VIOLATIONS = select(_E.violation).where(
    HERE, among(_E.seller), text(COUNTING), _E.violation.is_not(None), UP_TO_LAST
)
_MEASURES = BY_SELLER.where(text(ON_TERMS), among_kinds(Kind.MEASURE), UP_TO_LAST)
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


@frozen
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
    return _apply_corrections(reader, reader.rows(LINKS_OF_SELLERS, sellers))


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
        statements_read = read_links_of_sellers(reader, frontier)
        facts = [statement.fact for statement in statements_read]
        linking = {fact.identifier or fact.other for fact in facts if fact.link_kind not in SHARED_BY_NATURE}
        linking |= frontier
        unread = linking - sharing.keys()
        by_thing: dict[str, list[Any]] = {thing: [] for thing in unread}
        for row in _read_statements_about(reader, unread):
            by_thing[row.target].append(row)
        crowded |= {thing for thing, rows in by_thing.items() if len(rows) >= MAX_STATED}
        sharing |= {thing: {row.seller for row in rows} for thing, rows in by_thing.items()}
        statements_read += _apply_corrections(reader, [row for rows in by_thing.values() for row in rows])
        statements |= {statement.entry_id: statement for statement in statements_read}
        things = linking if step == 1 else linking - crowded
        others = {statement.fact.other for statement in statements_read} - {""}
        frontier = {seller for thing in things for seller in sharing[thing]} | others
        frontier -= distance.keys()
        distance |= dict.fromkeys(frontier, step)
        if not frontier:
            break
    strengths = {kind: precision.low_ppm for kind, precision in read_precision(reader).items()}
    graph = Graph.of(find_live_links(statements.values(), time), strengths, frozenset(crowded))
    return Surroundings(graph, read_violators(reader, distance, time), distance)


def _read_statements_about(reader: RowReader, things: Collection[str]) -> Sequence[Any]:
    """Return the link statements that name these identifiers or sellers, at most MAX_STATED about each."""
    most = MAX_STATED * len(things)
    rows = reader.rows(_ABOUT_THINGS, things, most=most)
    if len(rows) < most:
        return rows
    return [row for thing in things for row in reader.rows(_ABOUT_THING, [thing], target=thing)]


def read_violators(reader: RowReader, sellers: Collection[str], time: int) -> dict[str, Violator]:
    """Return sellers whose own confirmed violation reaches others at `time` (microseconds), each with the latest."""
    oldest = time - MAX_CAUSE_DAYS * DAY
    latest: dict[str, tuple[int, str]] = {}
    for seller, violations in read_established(reader, sellers).items():
        reaching = [(violation.time, violation.violation) for violation in violations if violation.reaches_from(oldest)]
        if reaching:
            latest[seller] = max(reaching)
    suspended = _find_suspended(reader, latest, time)
    return {seller: Violator(name, since, seller in suspended) for seller, (since, name) in latest.items()}


class LinkViolation(NamedTuple):
    violation: str
    time: int
    """Since when it counts without a break, in microseconds."""
    is_grave: bool
    """Enough to reach linked sellers."""

    def reaches_from(self, oldest: int) -> bool:
        """Return whether it reaches linked sellers, if those since `oldest` do (microseconds)."""
        return self.is_grave and self.time > oldest


def read_established(reader: RowReader, sellers: Collection[str]) -> dict[str, list[LinkViolation]]:
    """Return the counting violations by seller, without those derived from products' reports; absent if none."""
    names = {violation for (violation,) in reader.rows(_COUNTING_VIOLATIONS, sellers)}
    rows = reader.rows(ABOUT, names)
    of_products = {row.violation for row in rows if row.kind == Kind.VIOLATION and row.target is not None}
    times = find_decision_times(rows)
    established: dict[str, list[LinkViolation]] = {}
    for name, state in fold_states(rows).items():
        is_counting = state.status in COUNTING_STATUSES and state.attribution is not Attribution.ACCEPTED
        if is_counting and name not in of_products and name in times:
            violation = LinkViolation(name, times[name], state.severity >= LEAST_CAUSE)
            established.setdefault(state.seller, []).append(violation)
    return established


def _find_suspended(reader: RowReader, sellers: Collection[str], time: int) -> set[str]:
    """Return the sellers whose trade a rule's or a person's measure suspends at `time` (microseconds)."""
    of_rules: dict[tuple[str, str], MeasureChanged] = {}
    of_persons: dict[str, list[MeasureStatement]] = {}
    for row in reader.rows(_MEASURES, sellers):
        fact: MeasureChanged = read_fact(row)
        if fact.state in NOTICE_STATES:
            continue
        if fact.measure.startswith(RULE_MEASURE_PREFIX):
            of_rules[row.seller, fact.measure] = fact
        else:
            statement = MeasureStatement(row.entry_id, row.sequence, row.occur_time, fact)
            of_persons.setdefault(row.seller, []).append(statement)
    return {
        seller
        for (seller, _), fact in of_rules.items()
        if fact.measure_kind is MeasureKind.SUSPENSION
        and fact.state is not MeasureState.LIFTED
        and (fact.until is None or fact.until > time)
    } | {*_list_suspended_by_persons(reader, of_persons, time)}


def _list_suspended_by_persons(
    reader: RowReader, stated: Mapping[str, Sequence[MeasureStatement]], time: int
) -> Iterator[str]:
    all_statements = [*chain.from_iterable(stated.values())]
    violations = {name for statement in all_statements for name in statement.fact.violations}
    corrections = (row for ids in _split_ids(all_statements) for row in reader.rows(CORRECTIONS, ids))
    rows: dict[str, list[Any]] = {}
    for row in chain(reader.rows(ABOUT, violations), corrections):
        rows.setdefault(row.seller, []).append(row)
    context = ImpositionContext(time, NO_RULES, reader.marketplace)
    for seller, statements in stated.items():
        imposed = list_imposed(statements, rows.get(seller, ()), context)
        if any(measure.original.kind is MeasureKind.SUSPENSION and measure.start <= time for measure in imposed):
            yield seller


def _apply_corrections(reader: RowReader, rows: Iterable[Any]) -> list[LinkStatement]:
    """Return rows of links as statements, voided and moved by their last corrections."""
    rows = list(rows)
    last_corrections = {row.target: row for ids in _split_ids(rows) for row in reader.rows(CORRECTIONS, ids)}
    statements = []
    for row in rows:
        correction = last_corrections.get(row.entry_id)
        is_void = correction is not None and correction.status == CorrectionKind.VOID
        occur_time = row.occur_time if correction is None or is_void else correction.occur_time
        time = max(occur_time, row.report_time)
        statements.append(LinkStatement(row.entry_id, row.sequence, row.seller, time, read_fact(row), is_void))
    return statements


def _split_ids(rows: Sequence[Any]) -> Iterator[list[str]]:
    for begin in range(0, len(rows), CHUNK):
        yield [row.entry_id for row in rows[begin : begin + CHUNK]]


KINDS_THAT_AFFECT_LINKS = (Kind.LINK, Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION, Kind.CORRECTION)

WAIT_SECONDS = 5.0

_AFFECTED_SELLERS = select(_E.seller).distinct().where(*BEYOND, among_kinds(*KINDS_THAT_AFFECT_LINKS))
_LINKING_SELLERS = SELLERS_HERE.where(text(LINKED), UP_TO_LAST)
_VIOLATORS = SELLERS_HERE.where(text(COUNTING), UP_TO_LAST)
_EARLIER = ENTRY.alias().c
_IS_KNOWN_SELLER = exists().where(
    _EARLIER.marketplace == _E.marketplace, _EARLIER.seller == _E.seller, _EARLIER.sequence <= bindparam("after")
)
_NEW_SELLERS = select(func.count(distinct(_E.seller))).where(*BEYOND, _E.seller > "", ~_IS_KNOWN_SELLER)
_CHAIN = select(SEAL.c.chain).where(SEAL.c.last_sequence == bindparam("after"))
_CASES_OF_LINKS = (
    select(_E.seller, _E.target, _E.record_time)
    .where(HERE, text(CASES), _E.target.like(f"{LINK_RULE}~%"), UP_TO_LAST)
    .order_by(_E.marketplace, _E.sequence)
)


class _ReadRings(NamedTuple):
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
        self._kept: dict[str, _ReadRings] = {}

    def read(self, marketplace: str, cut: Cut, least_size: int, most: int) -> RingFigures:
        """Return at most `most` rings of at least `least_size` sellers (2 or more), at a present cut. Raises ServerBusy."""
        with self._guard:
            lock = self._locks.setdefault(marketplace, Lock())
        with _holding(lock, WAIT_SECONDS):
            if marketplace in self._kept:
                return self._read(marketplace, cut, least_size, most)
            with _holding(self._first_reads, 0):
                return self._read(marketplace, cut, least_size, most)

    def _read(self, marketplace: str, cut: Cut, least_size: int, most: int) -> RingFigures:
        with self._clock.as_of(cut.sequence) as connection:
            reader = RowReader(connection, marketplace, last_entry(connection).sequence, cut.observe_time)
            kept = self._kept[marketplace] = _bring_forward(
                reader, self._kept.get(marketplace), self._clock.list_mendings(cut.sequence)
            )
            oldest = cut.observe_time - MAX_CAUSE_DAYS * DAY
            reaching = [
                seller
                for seller, violations in kept.established.items()
                if any(violation.reaches_from(oldest) for violation in violations)
            ]
            rings, count = kept.rings.list_rings(least_size, most, cut.observe_time, reaching)
            cases: dict[tuple[str, str], LinkCase] = {}
            for seller, case_name, record_time in reader.rows(_CASES_OF_LINKS):
                cases.setdefault((seller, case_name), LinkCase(seller, record_time))
            violators = {case.seller for case in cases.values()} & kept.established.keys()
            confirmed = {seller: [violation.time for violation in kept.established[seller]] for seller in violators}
            return RingFigures(rings, count, kept.sellers, [*cases.values()], confirmed)


@contextmanager
def _holding(lock: Lock, seconds: float) -> Iterator[None]:
    if not lock.acquire(timeout=seconds):
        raise ServerBusy("another call reads the links, for minutes if it is the first; ask again later")
    try:
        yield
    finally:
        lock.release()


def _bring_forward(reader: RowReader, kept: _ReadRings | None, mendings: tuple[Mending, ...]) -> _ReadRings:
    """Return the rings as of the reader's cut: those kept, with new entries, or all read again after a loss."""
    if kept is None or kept.mendings != mendings or _read_chain(reader, kept.sequence) != kept.chain:
        [(sellers,)] = reader.rows(COUNT_SELLERS, after="", limit=MAX_SELLERS)
        kept, queries = _ReadRings(RingIndex(), {}, sellers, 0, b"", mendings), [_LINKING_SELLERS, _VIOLATORS]
    else:
        [(new,)] = reader.rows(_NEW_SELLERS, after=kept.sequence)
        kept, queries = kept._replace(sellers=kept.sellers + new), [_AFFECTED_SELLERS]
    affected = {seller for query in queries for (seller,) in reader.rows(query, after=kept.sequence)}
    names = sorted(affected.union(kept.rings.list_with_ended_link(reader.observe_time)))
    for begin in range(0, len(names), CHUNK):
        part = names[begin : begin + CHUNK]
        established = read_established(reader, part)
        statements = read_links_of_sellers(reader, part)
        by_seller = {seller: [*links] for seller, links in groupby(statements, key=attrgetter("seller"))}
        for seller in part:
            kept.rings.replace(seller, by_seller.get(seller, ()), reader.observe_time)
            kept.established.pop(seller, None)
        kept.established.update(established)
    return kept._replace(sequence=reader.last, chain=_read_chain(reader, reader.last))


def _read_chain(reader: RowReader, sequence: int) -> bytes:
    return b"".join(chain for (chain,) in reader.rows(_CHAIN, after=sequence))

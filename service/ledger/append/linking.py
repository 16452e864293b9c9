"""After each append that may change links, the ledger states what they now bring each seller.

So a term begins and ends with its path and cause, in one transaction. `refresh` states what time alone changes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import func, select, text

from scoring.base.enums import CaseState, CorrectionKind, Kind, LinkState, MeasureKind
from scoring.base.time import DAY
from scoring.entries.cases import LINK_RULE, OPEN_STATES, name_case
from scoring.entries.derivation import NewEntry
from scoring.entries.entry import Entry, derive_entry, prepare_trusted
from scoring.entries.incidents import derived_id
from scoring.entries.kinds.decisions import CaseChanged, EntryCorrected, MeasureChanged
from scoring.measures.record import MECHANISM
from scoring.network.links import count_decided
from scoring.network.terms import LinkTerm, find_terms
from service.ledger.append.acts import ActWriter, NewAct
from service.ledger.append.batch import Batch
from service.ledger.append.known import KnownContext
from service.ledger.clock.ledger_clock import LedgerClock, last_entry
from service.ledger.clock.mending import read_mended_times
from service.ledger.clock.server_clock import Present
from service.ledger.database.tables import (
    CASES,
    COUNTING,
    ENTRY,
    HERE,
    NAMED,
    ON_TERMS,
    RECORDED,
    RowReader,
    among,
    among_kinds,
    read_fact,
)
from service.ledger.queries.links import (
    LINKED,
    LINKS_OF_SELLERS,
    MOVING,
    read_links_of_sellers,
    read_precision,
    read_surroundings,
    read_violators,
)
from service.ledger.records import Act

DECIDE_DAYS = 30
REFRESHED_AT_ONCE = 100
_DECIDED = (int(LinkState.CONFIRMED), int(LinkState.SEVERED))
_E = ENTRY.c
_LINKED = select(_E.seller).distinct().where(HERE, among(_E.seller), text(LINKED))
_POINTED = select(_E.target).distinct().where(HERE, among(_E.target), among_kinds(Kind.LINK))
_DECIDING = select(_E.seller).distinct().where(HERE, text(LINKED), _E.status.in_(_DECIDED))
_VIOLATING = select(_E.seller).distinct().where(HERE, text(COUNTING))
_LINK_COUNT = select(func.count()).select_from(ENTRY).where(HERE, text(LINKED))
_CASES = RECORDED.where(HERE, among(_E.seller), text(ON_TERMS), among_kinds(Kind.CASE)).order_by(_E.seller, _E.sequence)
_OPEN_CASES = select(_E.seller).distinct().where(HERE, text(CASES), _E.target.like(f"{LINK_RULE}~%"))


class _CaseStatement(NamedTuple):
    fact: CaseChanged
    time: int
    number: int
    """Of statements about the case."""


def void_links(reader: RowReader, erasure: Entry, present: Present) -> None:
    """Void the links of a seller before its erasure is appended, so that no sealed text follows the erasure."""
    sequence, last_time = last_entry(reader.connection)
    batch = Batch(reader.marketplace, KnownContext(), sequence + 1, last_time, present)
    voids = batch.derivation.new_entries
    for row in reader.rows(LINKS_OF_SELLERS, [erasure.seller]):
        fact = EntryCorrected(row.entry_id, CorrectionKind.VOID, MECHANISM, "the seller was erased")
        voids.append(NewEntry(prepare_trusted(derive_entry(erasure, row.entry_id, fact)), erasure.seller))
    batch.insert(reader)
    if moved := find_moved(reader, voids):
        follow_links(reader, moved, present)


def find_moved(reader: RowReader, new_entries: Iterable[NewEntry]) -> set[str]:
    """Return the linked sellers whose new entries may change what links bring."""
    sellers = {new.seller for new in new_entries if new.item.kind in MOVING or _suspends(new)} - {""}
    return _find_linked(reader, sellers)


def _find_linked(reader: RowReader, sellers: Collection[str]) -> set[str]:
    return {seller for linked in (_LINKED, _POINTED) for (seller,) in reader.rows(linked, sellers)}


def _suspends(new: NewEntry) -> bool:
    fact = new.item.entry.fact
    return isinstance(fact, MeasureChanged) and fact.measure_kind is MeasureKind.SUSPENSION


def follow_links(reader: RowReader, moved: Collection[str], present: Present) -> int:
    """Append changes of cases around `moved`; return their number."""
    sequence, last_time = last_entry(reader.connection)
    batch = Batch(reader.marketplace, KnownContext(), sequence + 1, last_time, present)
    with read_mended_times(reader.connection, present.mendings):
        for entry in _list_changes(reader, moved, present.record_time(last_time)):
            batch.derivation.new_entries.append(NewEntry(prepare_trusted(entry), entry.seller))
    return batch.insert(reader)


def _list_changes(reader: RowReader, moved: Collection[str], time: int) -> Iterator[Entry]:
    roots = {*moved, *_find_causes(reader, moved)}
    while True:
        around = read_surroundings(reader, roots, time, 4)
        reached = around.list_within_steps(2)
        terms = find_terms(reached, around.graph, around.violators, time)
        suspended = {term.violator for term in terms if term.is_suspended}
        if suspended <= roots:
            break
        roots |= suspended
    wanted: dict[str, dict[str, LinkTerm]] = {}
    for term in terms:
        wanted.setdefault(term.seller, {})[name_case(LINK_RULE, term.cause)] = term
    cases = _read_cases(reader, reached)
    for seller in reached:
        yield from _list_changes_of_seller(seller, wanted.get(seller, {}), cases.get(seller, {}), time)


def _find_causes(reader: RowReader, sellers: Collection[str]) -> set[str]:
    facts = [case.fact for cases in _read_cases(reader, sellers).values() for case in cases.values()]
    causes = [fact.rests_on[-1] for fact in facts if fact.state in OPEN_STATES and fact.accounts]
    return {row.seller for row in reader.rows(NAMED, causes)}


def _read_cases(reader: RowReader, sellers: Collection[str]) -> dict[str, dict[str, _CaseStatement]]:
    by_seller: dict[str, dict[str, _CaseStatement]] = {}
    for row in reader.rows(_CASES, sellers):
        if row.target.startswith(f"{LINK_RULE}~"):
            cases = by_seller.setdefault(row.seller, {})
            count = cases[row.target].number if row.target in cases else 0
            cases[row.target] = _CaseStatement(read_fact(row), row.occur_time, count + 1)
    return by_seller


def _list_changes_of_seller(
    seller: str, wanted: Mapping[str, LinkTerm], recorded: Mapping[str, _CaseStatement], time: int
) -> Iterator[Entry]:
    for name, old in recorded.items():
        is_over = (old.fact.caution_end or 0) <= time
        if name not in wanted and old.fact.state in OPEN_STATES and not is_over:
            fact = CaseChanged(name, CaseState.WITHDRAWN, MECHANISM, "the link or its cause is gone")
            yield _entry_of(seller, fact, old.time, old.number)
    for name, term in wanted.items():
        last = recorded.get(name)
        if last is not None and last.fact.state not in (CaseState.OPENED, CaseState.WITHDRAWN):
            continue  # a person decided it
        fact = _describe(name, term)
        # The reason is sealed.
        if last is None or (replace(last.fact, reason=fact.reason), last.time) != (fact, term.start):
            yield _entry_of(seller, fact, term.start, 0 if last is None else last.number)


def _describe(name: str, term: LinkTerm) -> CaseChanged:
    kinds = [kind.name.lower() for kind in term.kinds]
    return CaseChanged(
        name,
        CaseState.OPENED,
        MECHANISM,
        f"linked by {' and '.join(kinds)} to an account with a confirmed violation",
        decide_by=min(term.start + DECIDE_DAYS * DAY, term.until),
        caution_end=term.until,
        rests_on=term.entries,
        strength_ppm=term.strength_ppm,
        link_kinds=tuple(kinds),
        accounts=term.accounts,
    )


def _entry_of(seller: str, fact: CaseChanged, time: int, count: int) -> Entry:
    return Entry(derived_id(fact.case, f"{seller}\x1f{count + 1}"), seller, fact, time)


class RefreshCounts(NamedTuple):
    links: int
    violators: int
    cases: int
    """Statements about cases appended."""


def refresh(clock: LedgerClock, marketplace: str, *, principal: str) -> RefreshCounts:
    """Append what changed in cases of links; record how often each kind of link was right, if it changed."""
    with clock.database.read() as connection:
        reader = RowReader(connection, marketplace)
        statements = read_links_of_sellers(reader, [seller for (seller,) in reader.rows(_DECIDING)])
        decided = {kind.name.lower(): [*counts] for kind, counts in sorted(count_decided(statements).items())}
        before = {kind.name.lower(): [*one.decided] for kind, one in read_precision(reader).items()}
        linked = _find_linked(reader, [seller for (seller,) in reader.rows(_VIOLATING)])
        violators = [*read_violators(reader, linked, clock.now())]
        [(links,)] = reader.rows(_LINK_COUNT)
        cases = {seller for (seller,) in reader.rows(_OPEN_CASES)}
    if decided != before:
        with ActWriter.open(clock, marketplace) as acting:
            acting.append([NewAct(Act.PRECISION, {"decided": decided})], principal=principal)
    moved, appended = sorted({*violators, *cases}), 0
    for begin in range(0, len(moved), REFRESHED_AT_ONCE):
        with clock.locked(clock.present(clock.read_end())) as (connection, present):
            part = moved[begin : begin + REFRESHED_AT_ONCE]
            appended += follow_links(RowReader(connection, marketplace), part, present)
    return RefreshCounts(links, len(violators), appended)

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
from service.ledger.clock.ledger_clock import LedgerClock, last_entry
from service.ledger.clock.mending import read_mended_times
from service.ledger.clock.server_clock import Present
from service.ledger.database.tables import (
    BY_SELLER,
    CASES,
    COUNTING,
    ENTRY,
    HERE,
    NAMED,
    ON_TERMS,
    SELLERS_HERE,
    RowReader,
    among,
    among_kinds,
    read_fact,
)
from service.ledger.queries.links import (
    KINDS_THAT_AFFECT_LINKS,
    LINKED,
    LINKS_OF_SELLERS,
    read_links_of_sellers,
    read_precision,
    read_surroundings,
    read_violators,
)
from service.ledger.records import Act

DECIDE_DAYS = 30
REFRESHED_AT_ONCE = 100
MAX_HOPS = 2
"""Links from a seller to the violator of a term."""
_DECIDED_STATES = (int(LinkState.CONFIRMED), int(LinkState.SEVERED))
_E = ENTRY.c
_LINKING_SELLERS = SELLERS_HERE.where(among(_E.seller), text(LINKED))
_LINKED_SELLERS = select(_E.target).distinct().where(HERE, among(_E.target), among_kinds(Kind.LINK))
_SELLERS_WITH_DECIDED_LINKS = SELLERS_HERE.where(text(LINKED), _E.status.in_(_DECIDED_STATES))
_VIOLATORS = SELLERS_HERE.where(text(COUNTING))
_LINK_COUNT = select(func.count()).select_from(ENTRY).where(HERE, text(LINKED))
_CASES = BY_SELLER.where(text(ON_TERMS), among_kinds(Kind.CASE))
_SELLERS_WITH_CASES = SELLERS_HERE.where(text(CASES), _E.target.like(f"{LINK_RULE}~%"))


class _CaseStatement(NamedTuple):
    fact: CaseChanged
    time: int
    number: int
    """Of statements about the case."""


def void_links(reader: RowReader, erasure: Entry, present: Present) -> None:
    """Void the links of a seller before its erasure is appended, so that no sealed text follows the erasure."""
    batch = Batch(reader, last_entry(reader.connection), present)
    voids = batch.derivation.new_entries
    for row in reader.rows(LINKS_OF_SELLERS, [erasure.seller]):
        fact = EntryCorrected(row.entry_id, CorrectionKind.VOID, MECHANISM, "the seller was erased")
        voids.append(NewEntry(prepare_trusted(derive_entry(erasure, row.entry_id, fact)), erasure.seller))
    batch.insert()
    if affected := find_affected_by_links(reader, voids):
        follow_links(reader, affected, present)


def find_affected_by_links(reader: RowReader, new_entries: Iterable[NewEntry]) -> set[str]:
    """Return the linked sellers whose new entries may change what links bring."""
    sellers = {new.seller for new in new_entries if new.item.kind in KINDS_THAT_AFFECT_LINKS or _suspends(new)} - {""}
    return _keep_linked(reader, sellers)


def _keep_linked(reader: RowReader, sellers: Collection[str]) -> set[str]:
    return {seller for query in (_LINKING_SELLERS, _LINKED_SELLERS) for (seller,) in reader.rows(query, sellers)}


def _suspends(new: NewEntry) -> bool:
    fact = new.item.entry.fact
    return isinstance(fact, MeasureChanged) and fact.measure_kind is MeasureKind.SUSPENSION


def follow_links(reader: RowReader, affected: Collection[str], present: Present) -> int:
    """Append changes of cases around the affected sellers; return their number."""
    batch = Batch(reader, last_entry(reader.connection), present)
    with read_mended_times(reader.connection, present.mendings):
        for entry in _list_case_changes(reader, affected, batch.record_time):
            batch.derivation.new_entries.append(NewEntry(prepare_trusted(entry), entry.seller))
    return batch.insert()


def _list_case_changes(reader: RowReader, affected: Collection[str], time: int) -> Iterator[Entry]:
    roots = {*affected, *_find_causing_sellers(reader, affected)}
    while True:
        surroundings = read_surroundings(reader, roots, time, 2 * MAX_HOPS)
        reached = [seller for seller, steps in surroundings.steps.items() if steps <= MAX_HOPS]
        terms = find_terms(reached, surroundings.graph, surroundings.violators, time)
        suspended = {term.violator for term in terms if term.is_suspended}
        if suspended <= roots:
            break
        roots |= suspended
    terms_of_sellers: dict[str, dict[str, LinkTerm]] = {}
    for term in terms:
        terms_of_sellers.setdefault(term.seller, {})[name_case(LINK_RULE, term.cause)] = term
    cases = _read_cases(reader, reached)
    for seller in reached:
        yield from _list_case_changes_of_seller(seller, terms_of_sellers.get(seller, {}), cases.get(seller, {}), time)


def _find_causing_sellers(reader: RowReader, sellers: Collection[str]) -> set[str]:
    """Return the violators whose violations opened the sellers' link cases that are still open."""
    facts = [case.fact for cases in _read_cases(reader, sellers).values() for case in cases.values()]
    causes = [fact.rests_on[-1] for fact in facts if fact.state in OPEN_STATES and fact.accounts]
    return {row.seller for row in reader.rows(NAMED, causes)}


def _read_cases(reader: RowReader, sellers: Collection[str]) -> dict[str, dict[str, _CaseStatement]]:
    """Return the last statement about each link case, by seller and case name."""
    by_seller: dict[str, dict[str, _CaseStatement]] = {}
    for row in reader.rows(_CASES, sellers):
        if row.target.startswith(f"{LINK_RULE}~"):
            cases = by_seller.setdefault(row.seller, {})
            count = cases[row.target].number if row.target in cases else 0
            cases[row.target] = _CaseStatement(read_fact(row), row.occur_time, count + 1)
    return by_seller


def _list_case_changes_of_seller(
    seller: str, terms: Mapping[str, LinkTerm], recorded: Mapping[str, _CaseStatement], time: int
) -> Iterator[Entry]:
    """Yield withdrawals of recorded cases without a term, and openings of terms that no case states so; by case name."""
    for name, last in recorded.items():
        is_over = (last.fact.caution_end or 0) <= time
        if name not in terms and last.fact.state in OPEN_STATES and not is_over:
            fact = CaseChanged(name, CaseState.WITHDRAWN, MECHANISM, "the link or its cause is gone")
            yield _make_entry(seller, fact, last.time, last.number)
    for name, term in terms.items():
        stated = recorded.get(name)
        if stated is not None and stated.fact.state not in (CaseState.OPENED, CaseState.WITHDRAWN):
            continue  # a person decided it
        fact = _describe_case(name, term)
        # The reason is sealed.
        if stated is None or (replace(stated.fact, reason=fact.reason), stated.time) != (fact, term.start):
            yield _make_entry(seller, fact, term.start, 0 if stated is None else stated.number)


def _describe_case(name: str, term: LinkTerm) -> CaseChanged:
    kinds = [kind.word for kind in term.kinds]
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


def _make_entry(seller: str, fact: CaseChanged, time: int, earlier_statements: int) -> Entry:
    return Entry(derived_id(fact.case, f"{seller}\x1f{earlier_statements + 1}"), seller, fact, time)


class RefreshCounts(NamedTuple):
    links: int
    violators: int
    cases: int
    """Statements about cases appended."""


def refresh(clock: LedgerClock, marketplace: str, *, principal: str) -> RefreshCounts:
    """Append what changed in cases of links; record how often each kind of link was right, if it changed."""
    with clock.database.read() as connection:
        reader = RowReader(connection, marketplace)
        statements = read_links_of_sellers(reader, [seller for (seller,) in reader.rows(_SELLERS_WITH_DECIDED_LINKS)])
        decided = {kind.word: [*counts] for kind, counts in sorted(count_decided(statements).items())}
        recorded = {kind.word: [*precision.decided] for kind, precision in read_precision(reader).items()}
        linked = _keep_linked(reader, [seller for (seller,) in reader.rows(_VIOLATORS)])
        violators = [*read_violators(reader, linked, clock.now())]
        [(links,)] = reader.rows(_LINK_COUNT)
        sellers_with_cases = {seller for (seller,) in reader.rows(_SELLERS_WITH_CASES)}
    if decided != recorded:
        with ActWriter.open(clock, marketplace) as acting:
            acting.append([NewAct(Act.PRECISION, {"decided": decided})], principal=principal)
    affected, appended = sorted({*violators, *sellers_with_cases}), 0
    for begin in range(0, len(affected), REFRESHED_AT_ONCE):
        with clock.locked(clock.present(clock.read_end())) as (connection, present):
            part = affected[begin : begin + REFRESHED_AT_ONCE]
            appended += follow_links(RowReader(connection, marketplace), part, present)
    return RefreshCounts(links, len(violators), appended)

"""The deposits, claims, complaints and cases that a batch changes, read under the lock."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Select, bindparam, or_, select, text

from scoring.base.enums import CaseState, Kind
from scoring.entries.accounts import ClaimBalance, DepositAccount
from scoring.entries.cases import OnPayouts, list_possible_entries
from scoring.entries.contests import Complaint
from scoring.entries.derivation_context import DerivationContext
from scoring.entries.entry import PreparedEntry, entry_from_content
from scoring.entries.kinds.conduct import StatusChanged
from scoring.entries.kinds.decisions import CaseChanged, MeasureChanged
from scoring.entries.kinds.settlement import (
    ClaimChanged,
    ComplaintDecided,
    ComplaintFiled,
    DepositChanged,
    PayoutsChanged,
)
from service.ledger.database.expressions import Texts, among, of_sellers
from service.ledger.database.tables import ENTRY, ON_TERMS

_E = ENTRY.c
_HERE = _E.marketplace == bindparam("marketplace")
_NAMES = bindparam("names", type_=Texts())
_STATED = select(
    *(
        _E.entry_id,
        _E.sequence,
        _E.kind,
        _E.seller,
        _E.target,
        _E.violation,
        _E.occur_time,
        _E.record_time,
        _E.principal,
    ),
    _E.content,
)
_DEPOSITS = _STATED.where(_HERE, among(_E.seller, _NAMES), text(ON_TERMS), _E.kind == int(Kind.DEPOSIT)).order_by(
    _E.seller, _E.sequence
)
_OF_TARGET = _STATED.where(_HERE, _E.target.is_not(None), among(_E.target, _NAMES)).order_by(_E.target, _E.sequence)
_IS_OF_SELLERS = of_sellers(_E.seller)
_CLAIMS = _OF_TARGET.where(or_(_E.kind == int(Kind.DEPOSIT), _E.kind == int(Kind.CLAIM)), _IS_OF_SELLERS)
_COMPLAINTS = _STATED.where(_HERE, among(_E.entry_id, _NAMES), _E.kind == int(Kind.COMPLAINT), _IS_OF_SELLERS)
_DECIDED = _OF_TARGET.where(_E.kind == int(Kind.COMPLAINT_DECISION))
_MEASURES = _OF_TARGET.where(_E.kind == int(Kind.MEASURE), _IS_OF_SELLERS)
_ON_PAYOUTS = _STATED.where(
    *(_HERE, among(_E.seller, _NAMES), text(ON_TERMS), or_(_E.kind == int(Kind.PAYOUTS), _E.kind == int(Kind.CASE)))
).order_by(_E.seller, _E.sequence)
_NO_NEW_FACTS = (
    *(Kind.MEASURE, Kind.OVERRIDE, Kind.CASE, Kind.PAYOUTS, Kind.COMPLAINT_DECISION, Kind.CORRECTION, Kind.ERASURE),
    Kind.CLOCK,
)
_CASES = _OF_TARGET.where(_E.kind == int(Kind.CASE), _IS_OF_SELLERS)
_SET_OFF = _STATED.where(_HERE, among(_E.entry_id, _NAMES), _IS_OF_SELLERS)
_CONFIRMED = _STATED.where(
    _HERE, _E.violation.is_not(None), among(_E.violation, _NAMES), _E.kind == int(Kind.STATUS)
).order_by(_E.violation, _E.sequence)


_OfClaim = DepositChanged | ClaimChanged


def load_accounts(
    connection: Connection, marketplace: str, met: DerivationContext, fresh: Sequence[PreparedEntry]
) -> None:
    changes = [item.entry for item in fresh if item.kind in {Kind.DEPOSIT, Kind.CLAIM}]
    sellers = {entry.seller for entry in changes if isinstance(entry.fact, DepositChanged)}
    for row in read_rows(connection, _DEPOSITS, marketplace, sellers):
        fact = cast(DepositChanged, entry_from_content(row.entry_id, row.content).fact)
        met.deposits[row.seller] = met.deposits.get(row.seller, DepositAccount()).apply(fact)
    claims = {cast(_OfClaim, entry.fact).claim for entry in changes} - {""}
    for row in read_rows(connection, _CLAIMS, marketplace, claims, sellers=[*{entry.seller for entry in changes}]):
        change, key = cast(_OfClaim, entry_from_content(row.entry_id, row.content).fact), (row.seller, row.target)
        met.claims[key] = met.claims.get(key, ClaimBalance()).apply(change)


def load_contests(
    connection: Connection, marketplace: str, met: DerivationContext, fresh: Sequence[PreparedEntry]
) -> None:
    entries = [item.entry for item in fresh if item.kind in {Kind.COMPLAINT, Kind.COMPLAINT_DECISION}]
    facts, sellers = [entry.fact for entry in entries], [*{entry.seller for entry in entries}]
    decided = {fact.complaint for fact in facts if isinstance(fact, ComplaintDecided)}
    about = {fact.measure for fact in facts if isinstance(fact, ComplaintFiled)}
    contests = met.contests
    for row in read_rows(connection, _COMPLAINTS, marketplace, decided, sellers=sellers):
        filed = cast(ComplaintFiled, entry_from_content(row.entry_id, row.content).fact)
        contests.complaints[row.entry_id] = Complaint(row.seller, filed.measure, row.principal or "")
        about.add(filed.measure)
    for row in read_rows(connection, _DECIDED, marketplace, contests.complaints):
        contests.mark_decided(row.target, row.entry_id)
    for row in read_rows(connection, _MEASURES, marketplace, about, sellers=sellers):
        stated = cast(MeasureChanged, entry_from_content(row.entry_id, row.content).fact)
        contests.state(stated, row.seller, row.record_time, row.principal or "")
    rests_on = {violation for measure in contests.measures.values() for violation in measure.violations}
    for item in fresh if about else ():
        fact = item.entry.fact
        if isinstance(fact, MeasureChanged) and fact.measure in about:
            rests_on.update(fact.violations)
    for row in read_rows(connection, _CONFIRMED, marketplace, rests_on):
        decision = cast(StatusChanged, entry_from_content(row.entry_id, row.content).fact)
        contests.note_decider(row.violation, decision.actor, row.principal or "")


def load_cases(
    connection: Connection, marketplace: str, met: DerivationContext, fresh: Sequence[PreparedEntry]
) -> None:
    """Add to `met` the last statement about each case that a batch decides.

    An unrecorded case is open if its namesake entry is of the same seller.
    """
    _load_stops(connection, marketplace, met, fresh)
    entries = [item.entry for item in fresh if item.kind is Kind.CASE]
    names, sellers = {cast(CaseChanged, one.fact).case for one in entries}, [*{one.seller for one in entries}]
    if not names:
        return
    after = {name: list_possible_entries(name) for name in names}
    known = {(item.entry.seller, item.entry.entry_id) for item in fresh}
    asked = {entry for possible in after.values() for entry in possible}
    known |= {
        (row.seller, row.entry_id) for row in read_rows(connection, _SET_OFF, marketplace, asked, sellers=sellers)
    }
    for seller in sellers:
        for name, possible in after.items():
            if any((seller, entry) in known for entry in possible):
                met.cases.states[seller, name] = CaseState.OPENED
    for row in read_rows(connection, _CASES, marketplace, names, sellers=sellers):
        stated = cast(CaseChanged, entry_from_content(row.entry_id, row.content).fact)
        met.cases.states[row.seller, stated.case] = stated.state


def _load_stops(
    connection: Connection, marketplace: str, met: DerivationContext, fresh: Sequence[PreparedEntry]
) -> None:
    entries = [item.entry for item in fresh if item.kind in {Kind.PAYOUTS, Kind.CASE}]
    sellers, last = [*{entry.seller for entry in entries}], dict.fromkeys((one.seller for one in entries), 0)
    for row in read_rows(connection, _ON_PAYOUTS, marketplace, sellers):
        fact = cast(PayoutsChanged | CaseChanged, entry_from_content(row.entry_id, row.content).fact)
        met.cases.on_payouts.setdefault(row.seller, []).append(OnPayouts(row.entry_id, row.occur_time, fact))
        if row.kind == Kind.PAYOUTS or cast(CaseChanged, fact).state is CaseState.EXTENDED:
            last[row.seller] = row.sequence
    named = {name for one in entries if isinstance(one.fact, CaseChanged) for name in one.fact.rests_on}
    for row in read_rows(connection, _SET_OFF, marketplace, named, sellers=sellers):
        if row.kind not in _NO_NEW_FACTS and row.sequence > last[row.seller]:
            met.cases.new_facts.add((row.seller, row.entry_id))
    met.cases.new_facts |= {(one.entry.seller, one.entry.entry_id) for one in fresh if one.kind not in _NO_NEW_FACTS}


def read_rows(
    connection: Connection, query: Select[Any], marketplace: str, names: Collection[str], **more: list[str]
) -> Iterator[Any]:
    if names:
        yield from connection.execute(query, {"marketplace": marketplace, "names": list(names), **more})

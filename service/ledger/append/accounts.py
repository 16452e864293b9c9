from collections.abc import Sequence
from typing import cast

from sqlalchemy import text

from scoring.base.enums import NOTICE_STATES, CaseState, Kind
from scoring.entries.accounts import ClaimBalance, DepositAccount
from scoring.entries.cases import PayoutStatement, list_possible_entries
from scoring.entries.contests import Complaint, is_contest
from scoring.entries.derivation_context import DerivationContext
from scoring.entries.entry import PreparedEntry
from scoring.entries.kinds.decisions import CaseChanged, MeasureChanged
from scoring.entries.kinds.settlement import (
    ClaimChanged,
    ComplaintDecided,
    ComplaintFiled,
    DepositChanged,
    PayoutsChanged,
)
from service.ledger.database.tables import (
    ENTRY,
    HERE,
    NAMED,
    OF_SELLERS,
    ON_TERMS,
    RECORDED,
    RowReader,
    among,
    among_kinds,
    read_fact,
)

_E = ENTRY.c
_ON_TERMS = RECORDED.where(HERE, among(_E.seller), text(ON_TERMS)).order_by(_E.seller, _E.sequence)
_DEPOSITS = _ON_TERMS.where(among_kinds(Kind.DEPOSIT))
_ON_PAYOUTS = _ON_TERMS.where(among_kinds(Kind.PAYOUTS, Kind.CASE))
_OF_TARGET = RECORDED.where(HERE, among(_E.target)).order_by(_E.target, _E.sequence)
_CLAIMS = _OF_TARGET.where(among_kinds(Kind.DEPOSIT, Kind.CLAIM), OF_SELLERS)
_DECIDED = _OF_TARGET.where(among_kinds(Kind.COMPLAINT_DECISION))
_MEASURES = _OF_TARGET.where(among_kinds(Kind.MEASURE), OF_SELLERS)
_CASES = _OF_TARGET.where(among_kinds(Kind.CASE), OF_SELLERS)
_NAMED = NAMED.where(OF_SELLERS)
_COMPLAINTS = _NAMED.where(among_kinds(Kind.COMPLAINT))
_DECISIONS = RECORDED.where(HERE, among(_E.violation), among_kinds(Kind.STATUS)).order_by(_E.violation, _E.sequence)
_NO_NEW_FACTS = frozenset(
    {
        *(Kind.MEASURE, Kind.OVERRIDE, Kind.CASE, Kind.PAYOUTS, Kind.COMPLAINT_DECISION),
        *(Kind.CORRECTION, Kind.ERASURE, Kind.CLOCK),
    }
)


def load_accounts(reader: RowReader, context: DerivationContext, fresh: Sequence[PreparedEntry]) -> None:
    """Add to `context` the recorded deposits and claims of the sellers that `fresh` changes, in minor units."""
    changes = [item.entry for item in fresh if item.kind in {Kind.DEPOSIT, Kind.CLAIM}]
    sellers = {entry.seller for entry in changes if isinstance(entry.fact, DepositChanged)}
    for row in reader.rows(_DEPOSITS, sellers):
        context.deposits[row.seller] = context.deposits.get(row.seller, DepositAccount()).apply(read_fact(row))
    claims = {cast(DepositChanged | ClaimChanged, entry.fact).claim for entry in changes} - {""}
    for row in reader.rows(_CLAIMS, claims, sellers=[*{entry.seller for entry in changes}]):
        key = row.seller, row.target
        context.claims[key] = context.claims.get(key, ClaimBalance()).apply(read_fact(row))


def load_contests(reader: RowReader, context: DerivationContext, fresh: Sequence[PreparedEntry]) -> None:
    """Add to `context` the recorded measures, complaints and deciders that contests in `fresh` refer to."""
    entries = [item.entry for item in fresh if is_contest(item.entry.fact)]
    facts, sellers = [entry.fact for entry in entries], [*{entry.seller for entry in entries}]
    decided = {fact.complaint for fact in facts if isinstance(fact, ComplaintDecided)}
    about = {fact.measure for fact in facts if isinstance(fact, ComplaintFiled | MeasureChanged)}
    contests = context.contests
    for row in reader.rows(_COMPLAINTS, decided, sellers=sellers):
        filed: ComplaintFiled = read_fact(row)
        caller, by = row.principal or "", filed.filed_by
        contests.complaints[row.entry_id] = Complaint(row.seller, filed.measure, caller, filed_by=by)
        about.add(filed.measure)
    for row in reader.rows(_DECIDED, contests.complaints):
        contests.mark_decided(row.target, row.entry_id)
    for row in reader.rows(_MEASURES, about, sellers=sellers):
        change: MeasureChanged = read_fact(row)
        if change.state in NOTICE_STATES:
            contests.state_notice(change, row.seller, row.record_time)
        else:
            contests.state_measure(change, row.seller, row.record_time, row.principal or "")
    rests_on = {violation for measure in contests.measures.values() for violation in measure.violations}
    for item in fresh if about else ():
        fact = item.entry.fact
        if isinstance(fact, MeasureChanged) and fact.measure in about:
            rests_on.update(fact.violations)
    for row in reader.rows(_DECISIONS, rests_on):
        contests.record_decider(row.violation, read_fact(row).actor, row.principal or "")


def load_cases(reader: RowReader, context: DerivationContext, fresh: Sequence[PreparedEntry]) -> None:
    """Add the last state of each case that `fresh` names, and its seller's statements on payouts.

    An unrecorded case is open if its namesake entry is of the same seller.
    """
    _load_stops(reader, context, fresh)
    entries = [item.entry for item in fresh if item.kind is Kind.CASE]
    names, sellers = {cast(CaseChanged, one.fact).case for one in entries}, [*{one.seller for one in entries}]
    if not names:
        return
    after = {name: list_possible_entries(name) for name in names}
    recorded = {(item.entry.seller, item.entry.entry_id) for item in fresh}
    entry_ids = {entry for possible in after.values() for entry in possible}
    recorded |= {(row.seller, row.entry_id) for row in reader.rows(_NAMED, entry_ids, sellers=sellers)}
    for seller in sellers:
        for name, possible in after.items():
            if any((seller, entry) in recorded for entry in possible):
                context.cases.states[seller, name] = CaseState.OPENED
    for row in reader.rows(_CASES, names, sellers=sellers):
        case: CaseChanged = read_fact(row)
        context.cases.states[row.seller, case.case] = case.state


def _load_stops(reader: RowReader, context: DerivationContext, fresh: Sequence[PreparedEntry]) -> None:
    entries = [item.entry for item in fresh if item.kind in {Kind.PAYOUTS, Kind.CASE}]
    sellers, last = [*{entry.seller for entry in entries}], dict.fromkeys((one.seller for one in entries), 0)
    for row in reader.rows(_ON_PAYOUTS, sellers):
        fact: PayoutsChanged | CaseChanged = read_fact(row)
        context.cases.payout_statements.setdefault(row.seller, []).append(
            PayoutStatement(row.entry_id, row.occur_time, fact)
        )
        if row.kind == Kind.PAYOUTS or cast(CaseChanged, fact).state is CaseState.EXTENDED:
            last[row.seller] = row.sequence
    named = {name for one in entries if isinstance(one.fact, CaseChanged) for name in one.fact.rests_on}
    for row in reader.rows(_NAMED, named, sellers=sellers):
        if row.kind not in _NO_NEW_FACTS and row.sequence > last[row.seller]:
            context.cases.new_facts.add((row.seller, row.entry_id))
    context.cases.new_facts |= {
        (one.entry.seller, one.entry.entry_id) for one in fresh if one.kind not in _NO_NEW_FACTS
    }

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
    BY_SELLER,
    BY_TARGET,
    BY_VIOLATION,
    NAMED,
    OF_SELLERS,
    ON_TERMS,
    RowReader,
    among_kinds,
    read_fact,
)

_TERM_ENTRIES = BY_SELLER.where(text(ON_TERMS))
_DEPOSITS = _TERM_ENTRIES.where(among_kinds(Kind.DEPOSIT))
_PAYOUT_ENTRIES = _TERM_ENTRIES.where(among_kinds(Kind.PAYOUTS, Kind.CASE))
_CLAIMS = BY_TARGET.where(among_kinds(Kind.DEPOSIT, Kind.CLAIM), OF_SELLERS)
_COMPLAINT_DECISIONS = BY_TARGET.where(among_kinds(Kind.COMPLAINT_DECISION))
_MEASURES = BY_TARGET.where(among_kinds(Kind.MEASURE), OF_SELLERS)
_CASES = BY_TARGET.where(among_kinds(Kind.CASE), OF_SELLERS)
_NAMED = NAMED.where(OF_SELLERS)
_COMPLAINTS = _NAMED.where(among_kinds(Kind.COMPLAINT))
_VIOLATION_DECISIONS = BY_VIOLATION.where(among_kinds(Kind.STATUS))
_NO_NEW_FACTS = frozenset(
    {
        *(Kind.MEASURE, Kind.OVERRIDE, Kind.CASE, Kind.PAYOUTS, Kind.COMPLAINT_DECISION),
        *(Kind.CORRECTION, Kind.ERASURE, Kind.CLOCK),
    }
)


def load_accounts(reader: RowReader, context: DerivationContext, unrecorded: Sequence[PreparedEntry]) -> None:
    """Add to `context` the recorded deposits and claims of the sellers that `unrecorded` changes, in minor units."""
    changes = [item.entry for item in unrecorded if item.kind in {Kind.DEPOSIT, Kind.CLAIM}]
    sellers = {entry.seller for entry in changes if isinstance(entry.fact, DepositChanged)}
    for row in reader.rows(_DEPOSITS, sellers):
        context.deposits[row.seller] = context.deposits.get(row.seller, DepositAccount()).apply(read_fact(row))
    claims = {cast(DepositChanged | ClaimChanged, entry.fact).claim for entry in changes} - {""}
    for row in reader.rows(_CLAIMS, claims, sellers=[*{entry.seller for entry in changes}]):
        key = row.seller, row.target
        context.claims[key] = context.claims.get(key, ClaimBalance()).apply(read_fact(row))


def load_contests(reader: RowReader, context: DerivationContext, unrecorded: Sequence[PreparedEntry]) -> None:
    """Add to `context` the recorded measures, complaints and deciders that contests in `unrecorded` refer to."""
    entries = [item.entry for item in unrecorded if is_contest(item.entry.fact)]
    facts, sellers = [entry.fact for entry in entries], [*{entry.seller for entry in entries}]
    complaint_ids = {fact.complaint for fact in facts if isinstance(fact, ComplaintDecided)}
    measure_ids = {fact.measure for fact in facts if isinstance(fact, ComplaintFiled | MeasureChanged)}
    contests = context.contests
    for row in reader.rows(_COMPLAINTS, complaint_ids, sellers=sellers):
        filed: ComplaintFiled = read_fact(row)
        complaint = Complaint(row.seller, filed.measure, row.principal or "", filed_by=filed.filed_by)
        contests.complaints[row.entry_id] = complaint
        measure_ids.add(filed.measure)
    for row in reader.rows(_COMPLAINT_DECISIONS, contests.complaints):
        contests.mark_decided(row.target, row.entry_id)
    for row in reader.rows(_MEASURES, measure_ids, sellers=sellers):
        change: MeasureChanged = read_fact(row)
        if change.state in NOTICE_STATES:
            contests.state_notice(change, row.seller, row.record_time)
        else:
            contests.state_measure(change, row.seller, row.record_time, row.principal or "")
    violations = {violation for measure in contests.measures.values() for violation in measure.violations}
    for fact in (item.entry.fact for item in unrecorded):
        if isinstance(fact, MeasureChanged) and fact.measure in measure_ids:
            violations.update(fact.violations)
    for row in reader.rows(_VIOLATION_DECISIONS, violations):
        contests.record_decider(row.violation, read_fact(row).actor, row.principal or "")


def load_cases(reader: RowReader, context: DerivationContext, unrecorded: Sequence[PreparedEntry]) -> None:
    """Add the last state of each case that `unrecorded` names: open if its triggering entry is of the same seller."""
    _load_payout_statements(reader, context, unrecorded)
    entries = [item.entry for item in unrecorded if item.kind is Kind.CASE]
    if not entries:
        return
    cases = {cast(CaseChanged, entry.fact).case for entry in entries}
    sellers = [*{entry.seller for entry in entries}]
    triggers = {case: list_possible_entries(case) for case in cases}
    trigger_ids = {entry_id for entry_ids in triggers.values() for entry_id in entry_ids}
    known = {(item.entry.seller, item.entry.entry_id) for item in unrecorded}
    known |= {(row.seller, row.entry_id) for row in reader.rows(_NAMED, trigger_ids, sellers=sellers)}
    for seller in sellers:
        for case, entry_ids in triggers.items():
            if any((seller, entry_id) in known for entry_id in entry_ids):
                context.cases.states[seller, case] = CaseState.OPENED
    for row in reader.rows(_CASES, cases, sellers=sellers):
        change: CaseChanged = read_fact(row)
        context.cases.states[row.seller, change.case] = change.state


def _load_payout_statements(reader: RowReader, context: DerivationContext, unrecorded: Sequence[PreparedEntry]) -> None:
    """Add sellers' statements on payouts, and the entries that are newer than the last of them."""
    entries = [item.entry for item in unrecorded if item.kind in {Kind.PAYOUTS, Kind.CASE}]
    last_statement = {entry.seller: 0 for entry in entries}
    sellers = [*last_statement]
    for row in reader.rows(_PAYOUT_ENTRIES, sellers):
        fact: PayoutsChanged | CaseChanged = read_fact(row)
        context.cases.payout_statements.setdefault(row.seller, []).append(
            PayoutStatement(row.entry_id, row.occur_time, fact)
        )
        if row.kind == Kind.PAYOUTS or cast(CaseChanged, fact).state is CaseState.EXTENDED:
            last_statement[row.seller] = row.sequence
    cited = {name for entry in entries if isinstance(entry.fact, CaseChanged) for name in entry.fact.rests_on}
    for row in reader.rows(_NAMED, cited, sellers=sellers):
        if row.kind not in _NO_NEW_FACTS and row.sequence > last_statement[row.seller]:
            context.cases.new_facts.add((row.seller, row.entry_id))
    context.cases.new_facts |= {
        (item.entry.seller, item.entry.entry_id) for item in unrecorded if item.kind not in _NO_NEW_FACTS
    }

"""Derivation: the entries that follow from a batch's entries, and the status and seller of each.

    - A pending decision is applied when its violation, or the decision it waited for, is appended.
    - A stop of payouts opens a case; a resumption ends it.
    - A violation of a product reaches every seller who listed it.
    - A decision about a product's violation is repeated for each derived violation,
      until a person decides about that one.

A derived entry has an `origin` and its own seller.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import NamedTuple

from scoring.base.enums import NOTICE_STATES, CorrectionKind, Kind, Severity, Status
from scoring.base.errors import EntryNotFound, FieldPath, LifecycleForbids, ViolationNotFound, invalid
from scoring.base.time import format_time
from scoring.entries.accounts import ClaimBalance, DepositAccount
from scoring.entries.contests import check_suspension
from scoring.entries.derivation_context import CorrectionTarget, DerivationContext, Listing, ProductReport
from scoring.entries.entry import Entry, PreparedEntry, prepare_trusted
from scoring.entries.incidents import DERIVED_ID_PREFIX, assign_incident, derived_id
from scoring.entries.kinds.conduct import (
    AttributionStated,
    IncidentChanged,
    ProductListed,
    ProductViolationReported,
    RemediationDone,
    StatusChanged,
    ViolationReported,
)
from scoring.entries.kinds.decisions import RULE_MEASURE_PREFIX, CaseChanged, EntryCorrected, MeasureChanged
from scoring.entries.kinds.settlement import (
    ClaimChanged,
    ComplaintDecided,
    ComplaintFiled,
    DepositChanged,
    PayoutsChanged,
)
from scoring.entries.kinds.table import KIND_OF
from scoring.entries.violation_state import TimedDecision, ViolationState

FactAboutViolation = StatusChanged | AttributionStated | RemediationDone | IncidentChanged

VIOLATION_KINDS = frozenset({Kind.VIOLATION, Kind.PRODUCT_VIOLATION})

INDEPENDENT_KINDS = (
    frozenset(Kind)
    - VIOLATION_KINDS
    - {*(Kind.STATUS, Kind.ATTRIBUTION, Kind.PRODUCT, Kind.REMEDIATION, Kind.MEASURE, Kind.INCIDENT, Kind.CORRECTION)}
    - {*(Kind.DEPOSIT, Kind.CLAIM, Kind.COMPLAINT, Kind.COMPLAINT_DECISION, Kind.CASE, Kind.PAYOUTS)}
)
"""Kinds without a link to other entries."""

UNCORRECTABLE_KINDS = frozenset(
    {
        *(Kind.STATUS, Kind.ATTRIBUTION, Kind.EXPOSURE, Kind.CORRECTION, Kind.ERASURE, Kind.CLOCK),
        *(Kind.PRODUCT, Kind.PRODUCT_VIOLATION, Kind.FLOW, Kind.DEPOSIT, Kind.PAYOUTS, Kind.CLAIM),
        *(Kind.COMPLAINT, Kind.COMPLAINT_DECISION, Kind.CASE),
    }
)
"""Kinds that are stated again instead, or have derived entries."""

MAX_WAITING = 100
"""Pending decisions of one seller per violation, all applied under the lock."""

REASON_WAITED = "stated before the violation was on record"

REASON_PRODUCT_DECIDED = "decided about the product, for all who listed it"


class NewEntry(NamedTuple):
    item: PreparedEntry
    seller: str
    status: Status | None = None
    """The status after a decision; None: the entry's status on arrival."""
    is_pending: bool = False
    """Whether the decision waits for its violation."""
    incident: str | None = None
    """For a correction that moves a report: the incident of the new week."""


class Derivation:
    def __init__(
        self,
        context: DerivationContext,
        date: int,
        record_time: int,
        caller: str = "",
        is_same_person: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Start a batch on the record; times in microseconds.

        `date` replaces empty times; no derived entry is dated later than `record_time`. `caller`: authenticated; empty
        without a server. `is_same_person`: whether a recorded caller may be it.
        """
        self.new_entries: list[NewEntry] = []
        self._context = context
        self._date = date
        self._latest = record_time
        self._caller = caller
        self._is_same_person = is_same_person

    def process(self, item: PreparedEntry, path: FieldPath) -> NewEntry:
        """Add an entry and its derived entries to `new_entries`; return the entry as it will be inserted.

        Raise ViolationNotFound, EntryNotFound or LifecycleForbids; things of another seller count as missing. Messages
        name `path`.
        """
        entry, fact = item.entry, item.entry.fact
        if item.kind in INDEPENDENT_KINDS or (
            item.kind is Kind.VIOLATION and entry.entry_id not in self._context.awaited_ids
        ):
            return self._append(NewEntry(item, entry.seller))
        if isinstance(fact, StatusChanged):
            return self._process_decision(item, fact, path)
        added = self._append(self._apply_fact(item, path))
        if isinstance(fact, ViolationReported):
            self._apply_waiting_decisions(entry.entry_id)
        elif isinstance(fact, ProductListed):
            listing = Listing(entry.seller, entry.occur_time or 0, self._report_time_of(entry), fact)
            self._context.listings.setdefault(fact.product, []).append(listing)
            for report in self._context.reports.get(fact.product, ()):
                self.derive_violation(report, listing)
        elif isinstance(fact, ProductViolationReported):
            report = ProductReport(entry.entry_id, entry.occur_time or 0, self._report_time_of(entry), fact)
            self._context.reports.setdefault(fact.product, []).append(report)
            for listing in self._context.listings.get(fact.product, ()):
                self.derive_violation(report, listing)
            self._apply_waiting_decisions(entry.entry_id)
        elif (
            isinstance(fact, ComplaintDecided)
            and (lifting := self._context.contests.lift_measure(entry, fact)) is not None
        ):
            self._append_derived(lifting)
        elif isinstance(fact, PayoutsChanged):
            statement = self._context.cases.follow_payouts(entry, fact, self._time_of(entry), path)
            if statement is not None:
                self._append_derived(statement)
        return added

    def derive_violation(self, report: ProductReport, listing: Listing) -> None:
        """Add a seller's violation derived from a product's, and its decisions, unless it exists or another batch or
        supplier is meant.
        """
        by_seller = self._context.derived_violations.setdefault(report.entry_id, {})
        if listing.seller in by_seller or not report.concerns(listing):
            return
        product_fact = report.fact
        fact = ViolationReported(
            violation_type=product_fact.violation_type,
            harm=product_fact.harm,
            source=product_fact.source,
            incident=report.entry_id,
            final=product_fact.final,
            identifier_verified=product_fact.identifier_verified,
            listing=listing.fact.listing,
            product_category=product_fact.product_category or listing.fact.product_category,
            ground=product_fact.ground,
            product=product_fact.product,
            batch=product_fact.batch or listing.fact.batch,
        )
        violation = derived_id(report.entry_id, listing.seller)
        # An unsafe product is a breach from its listing on; now bounds the times of a fast clock.
        occur, report_time = max(report.occur_time, listing.occur_time), max(report.report_time, listing.report_time)
        occur, report_time = min(occur, self._latest), min(report_time, self._latest)
        entry = Entry(violation, listing.seller, fact, occur, max(report_time, occur), origin=report.entry_id)
        self._append_derived(entry)
        by_seller[listing.seller] = violation
        self.repeat_decisions(report.entry_id, violation)

    def repeat_decisions(self, report: str, violation: str) -> None:
        """Add the missing decisions about the product's violation, in order, until a person decided about the derived
        violation itself.
        """
        for decision in self._context.product_decisions.get(report, ()):
            state = self._context.states[violation]
            if state.own_decision_time is None and decision.entry_id not in state.derived_decisions:
                self._derive_decision(
                    decision._replace(fact=replace(decision.fact, units=0)), violation, REASON_PRODUCT_DECIDED
                )

    def _apply_fact(self, item: PreparedEntry, path: FieldPath) -> NewEntry:
        entry, fact, seller = item.entry, item.entry.fact, item.entry.seller
        if isinstance(fact, EntryCorrected):
            owner = self._find_corrected_seller(fact, seller, path)
            return NewEntry(item, owner, incident=self._find_incident_of_new_week(fact))
        if isinstance(fact, MeasureChanged):
            check_suspension(fact, seller, self._context.states, path)
            if fact.state in NOTICE_STATES:
                self._context.contests.state_notice(fact, seller, self._latest, path)
            else:
                self._context.contests.state_measure(fact, seller, self._latest, self._caller)
        elif isinstance(fact, CaseChanged):
            self._context.cases.state_case(entry, fact, self._time_of(entry), self._context.states, path)
        elif isinstance(fact, DepositChanged | ClaimChanged):
            self._change_balance(fact, seller, path)
        elif isinstance(fact, ComplaintFiled):
            self._context.contests.file_complaint(entry, fact, self._time_of(entry), self._caller, path)
        elif isinstance(fact, ComplaintDecided):
            self._context.contests.decide_complaint(entry, fact, self._is_same_person, path)
        elif isinstance(fact, AttributionStated | RemediationDone | IncidentChanged) and fact.violation:
            state = self._find_state(fact, seller, path)
            seller = state.seller
            if isinstance(fact, AttributionStated):
                self._context.states[fact.violation] = state.set_attribution(fact.outcome, path)
        return NewEntry(item, seller or entry.seller)

    def _append_derived(self, entry: Entry, status: Status | None = None) -> None:
        self._append(NewEntry(prepare_trusted(entry), entry.seller, status))

    def _append(self, new: NewEntry) -> NewEntry:
        self.new_entries.append(new)
        item, entry = new.item, new.item.entry
        if item.kind in VIOLATION_KINDS and (entry.origin or entry.entry_id in self._context.awaited_ids):
            self._context.states[entry.entry_id] = ViolationState(
                new.seller,
                item.kind,
                Status(item.status or 0),
                Severity(item.severity or 0),
                self._report_time_of(entry),
            )
        if entry.entry_id in self._context.corrected_ids:
            target = CorrectionTarget(item.kind, new.seller, self._report_time_of(entry), entry)
            self._context.correction_targets[entry.entry_id] = target
        return new

    def _process_decision(self, item: PreparedEntry, fact: StatusChanged, path: FieldPath) -> NewEntry:
        entry, context = item.entry, self._context
        decision = TimedDecision(entry.entry_id, entry.seller, self._time_of(entry), self._report_time_of(entry), fact)
        # The ledger's own ids are either recorded or mistaken: no caller can know one before.
        if fact.violation not in context.states and entry.seller and not fact.violation.startswith(DERIVED_ID_PREFIX):
            waiting = context.waiting_decisions.setdefault(fact.violation, [])
            if sum(one.seller == entry.seller for one in waiting) >= MAX_WAITING:
                raise invalid(
                    (*path, "status", "violation"),
                    f"{MAX_WAITING} decisions wait for {fact.violation!r} already, which is the most; report it first",
                )
            waiting.append(decision)
            return self._append(NewEntry(item, entry.seller, is_pending=True))
        state = self._find_state(fact, entry.seller, path)
        is_of_product = state.kind is Kind.PRODUCT_VIOLATION
        if is_of_product and fact.units:
            raise invalid(
                (*path, "status", "units"),
                f"must be 0: {fact.violation!r} is of a product, and its units are not those of each seller; adjudicate"
                " units of the seller's own violation that was derived of it",
            )
        state = context.states[fact.violation] = state.decide(decision, path)
        context.contests.record_decider(fact.violation, fact.actor, self._caller)
        added = self._append(NewEntry(item, state.seller, state.status))
        if is_of_product:
            context.product_decisions.setdefault(fact.violation, []).append(decision)
            for violation in [*context.derived_violations.get(fact.violation, {}).values()]:
                self.repeat_decisions(fact.violation, violation)
        self._apply_waiting_decisions(fact.violation)
        return added

    def _find_state(self, fact: FactAboutViolation, seller: str, path: FieldPath) -> ViolationState:
        state = self._context.states.get(fact.violation)
        field_path = (*path, KIND_OF[type(fact)].word, "violation")
        if state is None or seller not in {"", state.seller}:
            advice = ", or name its seller to have it wait for the report" if isinstance(fact, StatusChanged) else ""
            advice = ", or leave seller empty if it is another one's" if seller else advice
            raise ViolationNotFound(
                f"no violation {fact.violation!r} is recorded{' of this seller' * bool(seller)}; report it first{advice}",
                {"violation": fact.violation},
                field_path,
            )
        if state.kind is Kind.PRODUCT_VIOLATION and not isinstance(fact, StatusChanged):
            raise invalid(
                field_path,
                f"{fact.violation!r} is of a product, whoever sells it; name the seller's own violation that was derived"
                " of it",
            )
        return state

    def _change_balance(self, fact: DepositChanged | ClaimChanged, seller: str, path: FieldPath) -> None:
        balances, path = self._context, (*path, KIND_OF[type(fact)].word)
        if isinstance(fact, DepositChanged):
            deposit = balances.deposits.get(seller, DepositAccount())
            balances.deposits[seller] = deposit.apply(fact, path)
        if fact.claim:
            claim = balances.claims.get((seller, fact.claim), ClaimBalance())
            balances.claims[seller, fact.claim] = claim.apply(fact, path)

    def _find_corrected_seller(self, fact: EntryCorrected, seller: str, path: FieldPath) -> str:
        if fact.entry not in self._context.correction_targets:
            raise EntryNotFound(
                f"no entry {fact.entry!r} is recorded; append it first",
                {"entry_id": fact.entry},
                (*path, "correction", "entry"),
            )
        kind, owner, report_time, about = self._context.correction_targets[fact.entry]
        is_of_rule = isinstance(about.fact, MeasureChanged) and about.fact.measure.startswith(RULE_MEASURE_PREFIX)
        is_void_violation = kind is Kind.VIOLATION and fact.correction is CorrectionKind.VOID
        if kind in UNCORRECTABLE_KINDS or is_void_violation or is_of_rule:
            raise invalid(
                (*path, "correction", "entry"),
                f"{fact.entry!r} is of the kind {kind.word}, which is not corrected like this:"
                " overturn a violation, state exposure and flow again with a higher revision, decide a status anew, correct"
                " or contest the violations that were derived of a product; of an attribution state REJECTED instead, of"
                " money, payouts and measures of rules the opposite change; complaints and what is decided about them stand",
            )
        if kind is Kind.VIOLATION and fact.moved_to is not None and fact.moved_to > report_time:
            raise invalid(
                (*path, "correction", "moved_to"),
                f"must not be later than {format_time(report_time)}, when the report's source knew of it",
            )
        if seller not in {"", owner}:
            raise invalid((*path, "seller"), f"must be empty or the corrected entry's seller, {owner!r}")
        return owner

    def _find_incident_of_new_week(self, fact: EntryCorrected) -> str | None:
        about = self._context.correction_targets[fact.entry].entry.fact
        if fact.moved_to is None or not isinstance(about, ViolationReported):
            return None
        return assign_incident(fact.entry, about, fact.moved_to)

    def _apply_waiting_decisions(self, violation: str) -> None:
        waiting_decisions = self._context.waiting_decisions.get(violation)
        if not waiting_decisions:
            return
        derive = partial(self._derive_decision, violation=violation, reason=REASON_WAITED)
        applicable = self._context.states[violation].select_applicable(waiting_decisions)
        for _, of_one_time in groupby(applicable, lambda decision: decision.occur_time):
            decisions_left = [*of_one_time]  # one may allow another of the same time
            while (allowed := next(filter(derive, decisions_left), None)) is not None:
                decisions_left.remove(allowed)

    def _derive_decision(self, decision: TimedDecision, violation: str, reason: str) -> bool:
        """Derive a decision, dated by the latest report time so far; return whether the violation allows it."""
        state, fact = self._context.states[violation], decision.fact
        try:
            state = state.decide(decision, origin=decision.entry_id)
        except LifecycleForbids:
            return False
        self._context.states[violation] = state
        self._context.contests.record_decider(violation, fact.actor, self._caller)
        known_time = min(state.known_time, self._latest)
        entry = Entry(
            derived_id(decision.entry_id, violation),
            state.seller,
            replace(fact, violation=violation, reason=reason),
            min(decision.occur_time, known_time),
            known_time,
            origin=decision.entry_id,
        )
        self._append_derived(entry, state.status)
        return True

    def _time_of(self, entry: Entry) -> int:
        return self._date if entry.occur_time is None else entry.occur_time

    def _report_time_of(self, entry: Entry) -> int:
        return self._date if entry.report_time is None else entry.report_time

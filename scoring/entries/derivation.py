"""What follows from an entry: the entries that the ledger derives from it, and where each stands. Pure.

Three things follow. A decision that waits is taken when its violation, or the change it waited for, comes. A violation of a
product reaches every seller who listed it, before or after. What is decided about it is decided about each of these, until
somebody decides about one by itself. What follows is an entry of its own, with `origin`, of the seller it is about, so that a
score rests on the entries of its seller alone.

The ledger loads what the entries of a batch meet (`Known`), asks once (`Derivation`), and inserts what it gets.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from scoring.entries.entry import Entry, PreparedEntry, prepared
from scoring.entries.incidents import AUTO, derived_id, incident_of
from scoring.entries.kinds.conduct import (
    AttributionStated,
    IncidentChanged,
    ProductListed,
    ProductViolationReported,
    RemediationDone,
    StatusChanged,
    ViolationReported,
)
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged
from scoring.entries.kinds.table import FIELD_OF, KIND_OF
from scoring.entries.lifecycle import COUNTING
from scoring.entries.violation_state import Decision, ViolationState
from scoring.enums import CorrectionKind, Kind, MeasureKind, MeasureState, Severity, Status
from scoring.errors import EntryNotFound, FieldPath, LifecycleForbids, ViolationNotFound, invalid
from scoring.time import format_time

About = StatusChanged | AttributionStated | RemediationDone | IncidentChanged
"""Facts that name the violation they are about."""

VIOLATIONS = frozenset({Kind.VIOLATION, Kind.PRODUCT_VIOLATION})
MEETS_NOTHING = (
    frozenset(Kind)
    - VIOLATIONS
    - {*(Kind.STATUS, Kind.ATTRIBUTION, Kind.PRODUCT, Kind.REMEDIATION, Kind.MEASURE, Kind.INCIDENT, Kind.CORRECTION)}
)
"""Kinds that neither look at what is on record nor have anything follow from them."""

NOT_CORRECTED = frozenset(
    {
        *(Kind.STATUS, Kind.ATTRIBUTION, Kind.EXPOSURE, Kind.CORRECTION, Kind.ERASURE, Kind.CLOCK),
        *(Kind.PRODUCT, Kind.PRODUCT_VIOLATION),
    }
)
"""Kinds that are stated anew, or from which entries have followed that would have to follow again."""

STATED_BEFORE = "stated before the violation was on record"
DECIDED_FOR_ALL = "decided about the product, for all who listed it"


class Listing(NamedTuple):
    """That a seller listed a product; times in microseconds."""

    seller: str
    occur_time: int
    report_time: int
    fact: ProductListed


class ProductReport(NamedTuple):
    """A violation of a product; times in microseconds."""

    entry_id: str
    occur_time: int
    report_time: int
    fact: ProductViolationReported

    def concerns(self, listing: Listing) -> bool:
        """Whether the listed goods are the ones it is about; what one side leaves open matches anything."""
        pairs = ((self.fact.batch, listing.fact.batch), (self.fact.supplier, listing.fact.supplier))
        return all(not mine or not theirs or mine == theirs for mine, theirs in pairs)


class Corrected(NamedTuple):
    """An entry that is corrected: its kind, its seller and when its source knew of it (microseconds)."""

    kind: Kind
    seller: str
    report_time: int
    entry: Entry


@dataclass(slots=True)
class Known:
    """What the entries of a batch meet on record, by id."""

    states: dict[str, ViolationState] = field(default_factory=dict)
    """Violations that entries are about, and what may follow for them."""
    waiting: dict[str, list[Decision]] = field(default_factory=dict)
    """By violation, the decisions that were appended before it was on record, taken since or not."""
    listings: dict[str, list[Listing]] = field(default_factory=dict)
    """By product, who listed it: for the violations of products in the batch."""
    reports: dict[str, list[ProductReport]] = field(default_factory=dict)
    """By product, the violations reported of it: for the listings in the batch."""
    changes: dict[str, list[Decision]] = field(default_factory=dict)
    """By violation of a product, what was decided about it, in its order."""
    reached: dict[str, dict[str, str]] = field(default_factory=dict)
    """By violation of a product, by seller, the violation that was derived from it."""
    corrected: dict[str, Corrected] = field(default_factory=dict)
    """Entries that the batch corrects."""
    awaited: set[str] = field(default_factory=set)
    """Ids under which a report would meet something: a decision that waits for it, or an entry of the batch about it."""
    to_correct: set[str] = field(default_factory=set)
    """Ids of all entries that the batch corrects, its own included."""


class Following(NamedTuple):
    """An entry to be inserted: as it was stated or as it was derived.

    `status`: the one it leads to, if not its own on arrival; `incident`: of a correction, that of the week it moves to.
    """

    item: PreparedEntry
    seller: str
    status: Status | None = None
    is_pending: bool = False
    incident: str | None = None


class Derivation:
    """One batch: what stands while its entries are taken in their order, and all that is to be inserted.

    `date` stands for the times that entries leave open; nothing is derived as of later than `record_time` (microseconds).
    Errors name the entry by its path.
    """

    def __init__(self, known: Known, date: int, record_time: int) -> None:
        self.following: list[Following] = []
        self._known = known
        self._date = date
        self._latest = record_time

    def take(self, item: PreparedEntry, path: FieldPath) -> Following:
        """Take one entry, which what follows comes behind; return it as it is to be inserted.

        ViolationNotFound, EntryNotFound, LifecycleForbids, InvalidInput for another seller than the violation's.
        """
        entry, fact = item.entry, item.entry.fact
        if item.kind in MEETS_NOTHING or (item.kind is Kind.VIOLATION and entry.entry_id not in self._known.awaited):
            plain = Following(item, entry.seller)
            if not self._known.to_correct:  # nothing of what a batch mostly holds is looked at again
                self.following.append(plain)
                return plain
            return self._add(plain)
        if isinstance(fact, StatusChanged):
            return self._decide(item, fact, path)
        added = self._add(self._placed(item, path))
        if isinstance(fact, ViolationReported):
            self._resolve(entry.entry_id)
        elif isinstance(fact, ProductListed):
            listing = Listing(entry.seller, entry.occur_time or 0, self._reported(entry), fact)
            self._known.listings.setdefault(fact.product, []).append(listing)
            for report in self._known.reports.get(fact.product, ()):
                self.reach(report, listing)
        elif isinstance(fact, ProductViolationReported):
            report = ProductReport(entry.entry_id, entry.occur_time or 0, self._reported(entry), fact)
            self._known.reports.setdefault(fact.product, []).append(report)
            for listing in self._known.listings.get(fact.product, ()):
                self.reach(report, listing)
            self._resolve(entry.entry_id)
        return added

    def reach(self, report: ProductReport, listing: Listing) -> None:
        """Derive the violation of one seller from one of a product, and what was decided about it since."""
        reached = self._known.reached.setdefault(report.entry_id, {})
        if listing.seller in reached or not report.concerns(listing):
            return
        about = report.fact
        fact = ViolationReported(
            violation_type=about.violation_type,
            harm=about.harm,
            source=about.source,
            incident=report.entry_id,
            final=about.final,
            identifier_verified=about.identifier_verified,
            listing=listing.fact.listing,
            product_category=about.product_category or listing.fact.product_category,
            ground=about.ground,
            product=about.product,
            batch=about.batch or listing.fact.batch,
        )
        violation = derived_id(report.entry_id, listing.seller)
        # Who lists what is known to be unsafe does so when it lists it; what a clock that ran ahead dated is known by now.
        occur, known = max(report.occur_time, listing.occur_time), max(report.report_time, listing.report_time)
        occur, known = min(occur, self._latest), min(known, self._latest)
        entry = Entry(violation, listing.seller, fact, occur, max(known, occur), origin=report.entry_id)
        self._add(Following(prepared(entry, Kind.VIOLATION), listing.seller))
        reached[listing.seller] = violation
        self.follow(report.entry_id, violation)

    def follow(self, report: str, violation: str) -> None:
        """Decide a derived violation as that of its product was, until somebody has decided about it by itself.

        In the order of all decisions about the product: one that an interrupted append has left is not overtaken by the next.
        """
        for decision in self._known.changes.get(report, ()):
            state = self._known.states[violation]
            if state.decided_time is None and decision.entry_id not in state.taken:
                self._derive(decision._replace(fact=replace(decision.fact, units=0)), violation, DECIDED_FOR_ALL)

    def _placed(self, item: PreparedEntry, path: FieldPath) -> Following:
        """The entry under the seller it is about, once what it says of others holds."""
        entry, fact, seller = item.entry, item.entry.fact, item.entry.seller
        if isinstance(fact, EntryCorrected):
            owner = self._corrected_seller(fact, seller, path)
            return Following(item, owner, incident=self._week_incident(fact))
        if isinstance(fact, MeasureChanged):
            self._check_measure(fact, seller, path)
        elif isinstance(fact, AttributionStated | RemediationDone | IncidentChanged) and fact.violation:
            state = self._state_of(fact, seller, path)
            seller = state.seller
            if isinstance(fact, AttributionStated):
                self._known.states[fact.violation] = state.attribute(fact.outcome, path)
        return Following(item, seller or entry.seller)

    def _add(self, following: Following) -> Following:
        """Have an entry inserted, and keep what stands after it."""
        self.following.append(following)
        item, entry = following.item, following.item.entry
        if item.kind in VIOLATIONS and (entry.origin or entry.entry_id in self._known.awaited):
            self._known.states[entry.entry_id] = ViolationState(
                following.seller,
                item.kind,
                Status(item.status or 0),
                Severity(item.severity or 0),
                self._reported(entry),
            )
        if entry.entry_id in self._known.to_correct:
            corrected = Corrected(item.kind, following.seller, self._reported(entry), entry)
            self._known.corrected[entry.entry_id] = corrected
        return following

    def _decide(self, item: PreparedEntry, fact: StatusChanged, path: FieldPath) -> Following:
        """A decision about a violation; it waits if the violation is not on record and the seller is named."""
        entry, known = item.entry, self._known
        occur_time = self._date if entry.occur_time is None else entry.occur_time
        decision = Decision(entry.entry_id, entry.seller, occur_time, self._reported(entry), fact)
        # An id of the ledger's own making is on record or a mistake: nobody can know it before.
        if fact.violation not in known.states and entry.seller and not fact.violation.startswith(AUTO):
            known.waiting.setdefault(fact.violation, []).append(decision)
            return self._add(Following(item, entry.seller, is_pending=True))
        state = self._state_of(fact, entry.seller, path)
        is_of_product = state.kind is Kind.PRODUCT_VIOLATION
        if is_of_product and fact.units:
            raise invalid(
                (*path, "status", "units"),
                f"must be 0: {fact.violation!r} is of a product, and its units are not those of each seller; adjudicate"
                " units of the seller's own violation that was derived of it",
            )
        state = known.states[fact.violation] = state.decide(decision, path)
        added = self._add(Following(item, state.seller, state.status))
        if is_of_product:
            known.changes.setdefault(fact.violation, []).append(decision)
            for violation in [*known.reached.get(fact.violation, {}).values()]:
                self.follow(fact.violation, violation)
        self._resolve(fact.violation)
        return added

    def _state_of(self, fact: About, seller: str, path: FieldPath) -> ViolationState:
        """The violation an entry is about, which is to be of the seller it names, if it names one."""
        state = self._known.states.get(fact.violation)
        field_path = (*path, FIELD_OF[KIND_OF[type(fact)]], "violation")
        if state is None:
            more = ", or name its seller to have it wait for the report" if isinstance(fact, StatusChanged) else ""
            raise ViolationNotFound(
                f"no violation {fact.violation!r} is recorded; report it first{more}",
                {"violation": fact.violation},
                field_path,
            )
        if seller not in {"", state.seller}:
            raise invalid((*path, "seller"), f"must be empty or the violation's seller, {state.seller!r}")
        if state.kind is Kind.PRODUCT_VIOLATION and not isinstance(fact, StatusChanged):
            raise invalid(
                field_path,
                f"{fact.violation!r} is of a product, whoever sells it; name the seller's own violation that was derived"
                " of it",
            )
        return state

    def _check_measure(self, fact: MeasureChanged, seller: str, path: FieldPath) -> None:
        """A suspension rests on confirmed violations of its seller: the model never punishes alone."""
        if fact.measure_kind is not MeasureKind.SUSPENSION or fact.state is not MeasureState.IMPOSED:
            return
        for name in fact.violations:
            state = self._known.states.get(name)
            if state is not None and state.seller == seller and state.status in COUNTING and not state.is_away:
                continue
            stands = "not on record" if state is None else state.status.name.lower()
            if state is not None and (state.seller != seller or state.is_away):
                stands = "of another seller"
            raise LifecycleForbids(
                f"{name!r} is {stands}; a suspension rests on confirmed violations of its seller",
                {"status": stands, "allowed": "confirmed"},
                (*path, "measure", "violations"),
            )

    def _corrected_seller(self, fact: EntryCorrected, seller: str, path: FieldPath) -> str:
        """The seller of the entry that is corrected."""
        if fact.entry not in self._known.corrected:
            raise EntryNotFound(
                f"no entry {fact.entry!r} is recorded; append it first",
                {"entry_id": fact.entry},
                (*path, "correction", "entry"),
            )
        kind, owner, report_time, _ = self._known.corrected[fact.entry]
        if kind in NOT_CORRECTED or (kind is Kind.VIOLATION and fact.correction is CorrectionKind.VOID):
            raise invalid(
                (*path, "correction", "entry"),
                f"{fact.entry!r} is of the kind {FIELD_OF[kind]}, which is not corrected like this:"
                " overturn a violation, state exposure again with a higher revision, decide a status anew, correct or"
                " contest the violations that were derived of a product; of an attribution state REJECTED instead",
            )
        if kind is Kind.VIOLATION and fact.moved_to is not None and fact.moved_to > report_time:
            raise invalid(
                (*path, "correction", "moved_to"),
                f"must not be later than {format_time(report_time)}, when the report's source knew of it",
            )
        if seller not in {"", owner}:
            raise invalid((*path, "seller"), f"must be empty or the corrected entry's seller, {owner!r}")
        return owner

    def _week_incident(self, fact: EntryCorrected) -> str | None:
        """The incident of the week to which a report is moved. Whether it goes there is for whoever reads it to say:
        `violation_state.incident_after_moves`.
        """
        about = self._known.corrected[fact.entry].entry.fact
        if fact.moved_to is None or not isinstance(about, ViolationReported):
            return None
        return incident_of(fact.entry, about, fact.moved_to)

    def _resolve(self, violation: str) -> None:
        """Take the waiting decisions that the violation allows by now, in the order in which they happened."""
        waiting = self._known.waiting.get(violation)
        while waiting and any(
            self._derive(one, violation, STATED_BEFORE) for one in self._known.states[violation].may_take(waiting)
        ):
            pass

    def _derive(self, decision: Decision, violation: str, reason: str) -> bool:
        """Take a decision for a violation, if that may be: as of when its source and those before it knew."""
        state, fact = self._known.states[violation], decision.fact
        try:
            state = state.decide(decision, origin=decision.entry_id)
        except LifecycleForbids:
            return False
        self._known.states[violation] = state
        known_time = min(state.known_time, self._latest)
        entry = Entry(
            derived_id(decision.entry_id, violation),
            state.seller,
            replace(fact, violation=violation, reason=reason),
            min(decision.occur_time, known_time),
            known_time,
            origin=decision.entry_id,
        )
        self._add(Following(prepared(entry, Kind.STATUS), state.seller, state.status))
        return True

    def _reported(self, entry: Entry) -> int:
        return self._date if entry.report_time is None else entry.report_time

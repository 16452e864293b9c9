from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from scoring.base.enums import NOTICE_STATES, UNIMPOSING_STATES, ComplaintOutcome, MeasureKind, MeasureState
from scoring.base.errors import ContestForbids, EntryNotFound, FieldPath, LifecycleForbids, MeasureNotFound
from scoring.base.frozen import frozen
from scoring.base.time import DAY, format_time
from scoring.entries.entry import Entry, derive_entry
from scoring.entries.kinds.common import list_deciders
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.entries.kinds.settlement import ComplaintDecided, ComplaintFiled
from scoring.entries.kinds.table import Fact
from scoring.entries.lifecycle import COUNTING_STATUSES
from scoring.entries.violation_state import ViolationState

COMPLAINT_DAYS = 184
"""Days to contest a measure after its last statement was recorded: the longest six months."""


@frozen
class RecordedMeasure:
    seller: str
    kind: MeasureKind
    state: MeasureState
    contestable_from: int
    """The later of the last statement and the begin, in microseconds."""
    actors: frozenset[str]
    callers: frozenset[str] = frozenset()
    violations: frozenset[str] = frozenset()


@frozen
class Complaint:
    seller: str
    measure: str
    caller: str = ""
    decided_by: str = ""
    """Empty while open."""
    filed_by: str = ""


def is_contest(fact: Fact) -> bool:
    return isinstance(fact, ComplaintFiled | ComplaintDecided) or (
        isinstance(fact, MeasureChanged) and fact.state in NOTICE_STATES
    )


def check_suspension(fact: MeasureChanged, seller: str, states: Mapping[str, ViolationState], path: FieldPath) -> None:
    """Raise LifecycleForbids for a suspension unless it rests on confirmed violations of its seller.

    Lifts, notices and measures of rules always pass.
    """
    is_told = fact.state in UNIMPOSING_STATES
    if fact.measure_kind is not MeasureKind.SUSPENSION or is_told or fact.rule:
        return  # a rule's measure rested on violations confirmed at that time, whatever happened since
    require_confirmed(fact.violations, seller, states, "a suspension rests on", (*path, "measure", "violations"))


def require_confirmed(
    violations: Iterable[str], seller: str, states: Mapping[str, ViolationState], clause: str, path: FieldPath
) -> None:
    """Raise LifecycleForbids naming the first violation that is unconfirmed or of another seller.

    `clause`: the words before "confirmed violations" in the error, such as "a suspension rests on".
    """
    for name in violations:
        state = states.get(name)
        if state is None or state.seller != seller:
            condition = "not on record for this seller"
        elif state.is_of_another_seller:
            condition = "of another seller"  # a person attributed it to that seller
        elif state.status in COUNTING_STATUSES:
            continue
        else:
            condition = state.status.word
        raise LifecycleForbids(
            f"{name!r} is {condition}; {clause} confirmed violations of its seller",
            {"status": condition, "allowed": "confirmed"},
            path,
        )


def build_unknown_measure(name: str, path: FieldPath) -> MeasureNotFound:
    text = f"no measure {name!r} is recorded against this seller; give the id that its entry states as `measure`"
    return MeasureNotFound(text, {"measure": name}, path)


@dataclass(slots=True)
class Contests:
    measures: dict[str, RecordedMeasure] = field(default_factory=dict)
    complaints: dict[str, Complaint] = field(default_factory=dict)
    deciders: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    """By violation, the (actor, authenticated caller) of each decision."""

    def state_measure(self, fact: MeasureChanged, seller: str, record_time: int, caller: str) -> None:
        """Record a measure's state, its deciders, and since when it can be contested."""
        before = self.measures.get(fact.measure)
        actors, callers, violations = {fact.actor}, {caller} - {""}, {*fact.violations}
        if before is not None:
            actors, callers = actors | before.actors, callers | before.callers
            violations |= before.violations
        frozen_sets = frozenset(actors), frozenset(callers), frozenset(violations)
        since = max(record_time, fact.since or 0)
        self.measures[fact.measure] = RecordedMeasure(seller, fact.measure_kind, fact.state, since, *frozen_sets)

    def state_notice(self, fact: MeasureChanged, seller: str, record_time: int, path: FieldPath = ()) -> None:
        """Record that the letter about a measure was sent or barred. A sent letter starts the time to contest.

        Raise MeasureNotFound if this seller has no such measure.
        """
        measure = self._require_measure(fact.measure, seller, (*path, "measure", "measure"))
        if fact.state is MeasureState.NOTICE_SENT:
            since = max(measure.contestable_from, record_time)
            self.measures[fact.measure] = replace(measure, contestable_from=since)

    def mark_decided(self, complaint: str, entry_id: str) -> None:
        self.complaints[complaint] = replace(self.complaints[complaint], decided_by=entry_id)

    def record_decider(self, violation: str, actor: str, caller: str) -> None:
        """Note who decided a violation, and so must not decide complaints about measures that rest on it."""
        self.deciders.setdefault(violation, set()).add((actor, caller))

    def file_complaint(self, entry: Entry, fact: ComplaintFiled, filed_time: int, caller: str, path: FieldPath) -> None:
        """Record a complaint, filed at `filed_time` (microseconds).

        Raise MeasureNotFound if this seller has no such measure; ContestForbids if it is too late, unless it offers a
        plan.
        """
        field = (*path, "complaint", "measure")
        measure = self._require_measure(fact.measure, entry.seller, field)
        last = measure.contestable_from + COMPLAINT_DAYS * DAY
        if filed_time > last and not fact.plan:
            raise ContestForbids(
                f"{fact.measure!r} could be contested until {format_time(last)}, six months after what was last stated"
                " about it was recorded",
                {"why": "LATE"},
                field,
            )
        self.complaints[entry.entry_id] = Complaint(entry.seller, fact.measure, caller, filed_by=fact.filed_by)

    def _require_measure(self, name: str, seller: str, field: FieldPath) -> RecordedMeasure:
        measure = self.measures.get(name)
        # One error for both: the caller may have a grant for this seller alone.
        if measure is None or measure.seller != seller:
            raise build_unknown_measure(name, field)
        return measure

    def decide_complaint(
        self,
        entry: Entry,
        fact: ComplaintDecided,
        is_same_person: Callable[[str], bool],
        path: FieldPath,
    ) -> None:
        """Record a decision about a complaint. `is_same_person`: whether a recorded caller may be the present one.

        Raise EntryNotFound if this seller has no such complaint. Raise ContestForbids if it is decided, or if actor or
        caller filed it. They must not have decided about its measure or the measure's violations, either.
        """
        path = (*path, "complaint_decision")
        complaint = self.complaints.get(fact.complaint)
        if complaint is None or complaint.seller != entry.seller:
            raise EntryNotFound(
                f"no complaint {fact.complaint!r} of this seller is recorded; file it first",
                {"entry_id": fact.complaint},
                (*path, "complaint"),
            )
        if complaint.decided_by:
            raise ContestForbids(
                f"{fact.complaint!r} was decided by {complaint.decided_by!r}; a complaint is decided once",
                {"why": "DECIDED"},
                (*path, "complaint"),
            )
        measure = self.measures[complaint.measure]
        deciders = {one for violation in measure.violations for one in self.deciders.get(violation, ())}
        actors = (complaint.filed_by, *measure.actors, *(actor for actor, _ in deciders))
        if fact.actor in {person for actor in actors for person in (actor, *list_deciders(actor))}:
            did = "filed the complaint" if fact.actor == complaint.filed_by else "decided about the measure before"
            raise ContestForbids(
                f"{fact.actor!r} {did}; another person decides about the complaint",
                {"why": "SAME_PERSON"},
                (*path, "actor"),
            )
        callers = (complaint.caller, *measure.callers, *(caller for _, caller in deciders))
        if any(is_same_person(caller) for caller in callers):
            raise ContestForbids(
                "the caller filed the complaint or decided about the measure before; let another caller decide",
                {"why": "SAME_PERSON"},
                (*path, "complaint"),
            )
        self.mark_decided(fact.complaint, entry.entry_id)

    def lift_measure(self, entry: Entry, fact: ComplaintDecided) -> Entry | None:
        """Lift the measure of an upheld complaint; return the entry that states this, if it was in force."""
        name = self.complaints[fact.complaint].measure
        measure = self.measures[name]
        if fact.outcome is not ComplaintOutcome.UPHELD or measure.state is MeasureState.LIFTED:
            return None
        self.measures[name] = replace(measure, state=MeasureState.LIFTED)
        change = MeasureChanged(name, measure.kind, MeasureState.LIFTED, fact.actor, fact.reason, ground=fact.ground)
        return derive_entry(entry, name, change)

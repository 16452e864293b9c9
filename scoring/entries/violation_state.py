"""The state of one violation: its one state machine.

    state = ViolationState(...)                 as reported
    state = state.decide(decision)              after a new decision, or LifecycleForbids
    state = state.apply(change)                 after a recorded entry

The ledger uses it to append; reads, bulk decisions and the queue show its state. The fold computes the same over
columns, for speed, and the parity gate computes it independently, on purpose. Property tests check that all three are
equal.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

from scoring.base.enums import Action, Attribution, Kind, Severity, Status
from scoring.base.errors import FieldPath, LifecycleForbids
from scoring.entries.kinds.conduct import StatusChanged
from scoring.entries.lifecycle import RETRACTED_STATUSES, allowed_actions, next_status


class TimedDecision(NamedTuple):
    """A status change with both times set, in microseconds."""

    entry_id: str
    seller: str
    occur_time: int
    report_time: int
    fact: StatusChanged


class RecordedChange(NamedTuple):
    """The fields of a recorded entry that can change a violation's state."""

    kind: Kind
    entry_id: str
    status: int
    """The status after a decision, or the outcome of an attribution."""
    severity: int | None
    """The severity after a reduction; None: unchanged."""
    origin: str | None
    """The entry from which this entry is derived; None for stated entries."""
    occur_time: int
    report_time: int
    held_back: bool = False


@dataclass(frozen=True, slots=True)
class ViolationState:
    """The state of one violation. Immutable: each step returns a new state."""

    seller: str
    kind: Kind
    """VIOLATION, or PRODUCT_VIOLATION, which has no seller."""
    status: Status
    severity: Severity
    known_time: int
    """The latest report time of the entries so far, in microseconds."""
    attribution: Attribution | None = None
    """Outcome of the last statement about whose goods they were; None without a statement."""
    own_decision_time: int | None = None
    """When the last decision about this violation by itself happened, in microseconds; None without one."""
    derived_decisions: frozenset[str] = frozenset()
    """Origins of its derived decisions: ids of pending decisions, or of decisions about its product."""
    decision_count: int = 0
    is_held_back: bool = False
    """Whether the last decision was a bulk decision that left the violation to a person."""

    @property
    def is_of_another_seller(self) -> bool:
        return self.attribution is Attribution.ACCEPTED

    @property
    def is_retracted(self) -> bool:
        """Return whether the violation counts as if never reported.

        It was dismissed, withdrawn or overturned, or its goods were another seller's.
        """
        return self.is_of_another_seller or self.status in RETRACTED_STATUSES

    def check_decision(self, fact: StatusChanged, path: FieldPath = ()) -> Status:
        """Return the status after a decision, without changing the state.

        Raise LifecycleForbids naming `path` if the status does not allow the action, or if a reduction does not lower
        the severity.
        """
        try:
            following = next_status(self.status, Action(fact.action))
        except LifecycleForbids as error:
            raise LifecycleForbids(error.text, error.metadata, (*path, "status", "action")) from None
        if fact.severity is not None and fact.severity >= self.severity:
            allowed = ", ".join(action.name.lower() for action in allowed_actions(self.status))
            raise LifecycleForbids(
                f"a reduction leaves less than the present severity, {self.severity.name.lower()}",
                {"status": self.status.name, "allowed": allowed},
                (*path, "status", "severity"),
            )
        return following

    def decide(self, decision: TimedDecision, path: FieldPath = (), origin: str | None = None) -> "ViolationState":
        """Return the state after a new decision.

        Raise LifecycleForbids naming `path` if the status does not allow the action, or if a reduction does not lower
        the severity. `origin`: the id of the decision from which the ledger derives this one; None for a caller's own.
        """
        following = self.check_decision(decision.fact, path)
        fact = decision.fact
        severity = None if fact.severity is None else int(fact.severity)
        return self.apply(
            RecordedChange(
                *(Kind.STATUS, decision.entry_id, int(following), severity, origin),
                *(decision.occur_time, decision.report_time, fact.held_back),
            )
        )

    def set_attribution(self, outcome: Attribution, path: FieldPath = ()) -> "ViolationState":
        """Return the state after an attribution.

        Raise LifecycleForbids naming `path` if an accepted attribution is contested again.
        """
        if self.is_of_another_seller and outcome is Attribution.CONTESTED:
            raise LifecycleForbids(
                "an attribution that is accepted cannot be contested; allowed: rejected",
                {"status": Attribution.ACCEPTED.name, "allowed": Attribution.REJECTED.name.lower()},
                (*path, "attribution", "outcome"),
            )
        return replace(self, attribution=outcome, decision_count=self.decision_count + 1)

    def apply(self, change: RecordedChange) -> "ViolationState":
        """Return the state after a recorded decision or attribution, unchecked. Other kinds change nothing."""
        if change.kind is Kind.ATTRIBUTION:
            return replace(self, attribution=Attribution(change.status), decision_count=self.decision_count + 1)
        if change.kind is not Kind.STATUS:
            return self
        decided, derived_decisions = self.own_decision_time, self.derived_decisions
        if change.origin is None:
            decided = change.occur_time if decided is None else max(decided, change.occur_time)
        else:
            derived_decisions |= {change.origin}
        return replace(
            self,
            status=Status(change.status),
            severity=Severity(change.severity or self.severity),
            known_time=max(self.known_time, change.report_time),
            own_decision_time=decided,
            derived_decisions=derived_decisions,
            decision_count=self.decision_count + 1,
            is_held_back=change.held_back,
        )

    def select_applicable(self, waiting: Iterable[TimedDecision]) -> list[TimedDecision]:
        """Return the pending decisions that may still be applied, in order of occurrence.

        They are of this seller, not applied yet, and no earlier than the last valid decision. An earlier decision would
        undo it, so it is never applied.
        """
        mine = [decision for decision in waiting if decision.seller == self.seller]
        last = max((decision.occur_time for decision in mine if decision.entry_id in self.derived_decisions), default=0)
        last = max(last, self.own_decision_time or 0)
        left = [one for one in mine if one.entry_id not in self.derived_decisions and one.occur_time >= last]
        return sorted(left, key=lambda decision: (decision.occur_time, decision.entry_id))


def is_held_back_for_person(changes: Iterable[RecordedChange]) -> bool:
    """Return whether the last decision is a bulk decision that left the violation to a person, as part of its sample.

    `changes`: in order; entries other than decisions are skipped.
    """
    decisions = [change for change in changes if change.kind is Kind.STATUS]
    return bool(decisions) and decisions[-1].held_back


Incident = TypeVar("Incident", str, int)


class ReportMove(NamedTuple, Generic[Incident]):
    """A correction that moved a report in time."""

    sequence: int
    incident: Incident


class IncidentMention(NamedTuple, Generic[Incident]):
    """A merge or a split."""

    sequence: int
    incidents: tuple[Incident, ...]
    """The incidents named; none for a split whose violation is retracted."""


def incident_after_moves(
    reported: Incident, moves: Iterable[ReportMove[Incident]], namings: Iterable[IncidentMention[Incident]]
) -> Incident:
    """Return the incident of a report after corrections of its time.

    A move puts the report into the incident of the new week, unless a merge or split named its present incident before:
    a date does not undo a person's decision. Worked: a report of w1 moved to w2 belongs to w2. Moved on to w3 after a
    merge that named w2, it stays in w2. If only a split named w2, and its violation was overturned since, it belongs to
    w3.
    """
    incident = reported
    named = sorted(namings)
    for move in sorted(moves):
        if not any(naming.sequence < move.sequence and incident in naming.incidents for naming in named):
            incident = move.incident
    return incident

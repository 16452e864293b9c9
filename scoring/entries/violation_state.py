"""What stands about one violation after the entries about it so far: the one state machine of a violation.

    state = ViolationState.of_report(...)       what was reported, on arrival
    state = state.decide(decision)              a decision that may be taken, or LifecycleForbids
    state = state.apply(change)                 an entry that is on record already

The ledger decides by it while it appends, reads show it, bulk decisions and the queue look at it. The fold works the same out
over columns, for speed, and the parity gate by itself, on purpose; property tests hold the three equal.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

from scoring.entries.kinds.conduct import StatusChanged
from scoring.entries.lifecycle import RETRACTED, allowed_actions, next_status
from scoring.enums import Action, Attribution, Kind, Severity, Status
from scoring.errors import FieldPath, LifecycleForbids


class Decision(NamedTuple):
    """A status change with the times at which it happened and its source knew of it, in microseconds."""

    entry_id: str
    seller: str
    occur_time: int
    report_time: int
    fact: StatusChanged


class Change(NamedTuple):
    """A recorded entry about a violation, as far as it moves what stands. Times in microseconds.

    `status` is the status that a decision led to, or the outcome of an attribution; `origin` the entry that a derived one
    follows from, or None.
    """

    kind: Kind
    entry_id: str
    status: int
    severity: int | None
    origin: str | None
    occur_time: int
    report_time: int
    held_back: bool = False


@dataclass(frozen=True, slots=True)
class ViolationState:
    """One violation as it stands. A value: every step gives another one."""

    seller: str
    kind: Kind
    """VIOLATION, or PRODUCT_VIOLATION, which has no seller."""
    status: Status
    severity: Severity
    known_time: int
    """When the last of the sources learned what it said (report time, microseconds)."""
    attribution: Attribution | None = None
    decided_time: int | None = None
    """When the last decision happened that somebody took about this violation by itself; None if nobody did."""
    taken: frozenset[str] = frozenset()
    """Ids of the decisions that the ledger took for it: those that waited, and those about its product."""
    decisions: int = 0
    """Decisions and attributions so far."""
    is_held_back: bool = False
    """Whether its last decision was that of a bulk decision which left it to a person."""

    @property
    def is_away(self) -> bool:
        """Whether the goods were somebody else's."""
        return self.attribution is Attribution.ACCEPTED

    @property
    def is_retracted(self) -> bool:
        """Whether it is as if it had never been reported."""
        return self.is_away or self.status in RETRACTED

    def check(self, fact: StatusChanged, path: FieldPath = ()) -> Status:
        """Return the status that a decision leads to. LifecycleForbids, under `path`, if it may not be taken."""
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

    def decide(self, decision: Decision, path: FieldPath = (), origin: str | None = None) -> "ViolationState":
        """Take a decision; `origin` is the one it follows from, if the ledger takes it. LifecycleForbids, under `path`."""
        following = self.check(decision.fact, path)
        fact = decision.fact
        severity = None if fact.severity is None else int(fact.severity)
        return self.apply(
            Change(
                *(Kind.STATUS, decision.entry_id, int(following), severity, origin),
                *(decision.occur_time, decision.report_time, fact.held_back),
            )
        )

    def attribute(self, outcome: Attribution, path: FieldPath = ()) -> "ViolationState":
        """Say whose the goods were. LifecycleForbids, under `path`: what was accepted is not contested again."""
        if self.is_away and outcome is Attribution.CONTESTED:
            raise LifecycleForbids(
                "an attribution that is accepted cannot be contested; allowed: rejected",
                {"status": Attribution.ACCEPTED.name, "allowed": Attribution.REJECTED.name.lower()},
                (*path, "attribution", "outcome"),
            )
        return replace(self, attribution=outcome, decisions=self.decisions + 1)

    def apply(self, change: Change) -> "ViolationState":
        """Apply an entry that is on record: a decision or an attribution. Others change nothing that stands."""
        if change.kind is Kind.ATTRIBUTION:
            return replace(self, attribution=Attribution(change.status), decisions=self.decisions + 1)
        if change.kind is not Kind.STATUS:
            return self
        decided, taken = self.decided_time, self.taken
        if change.origin is None:
            decided = change.occur_time if decided is None else max(decided, change.occur_time)
        else:
            taken |= {change.origin}
        return replace(
            self,
            status=Status(change.status),
            severity=Severity(change.severity or self.severity),
            known_time=max(self.known_time, change.report_time),
            decided_time=decided,
            taken=taken,
            decisions=self.decisions + 1,
            is_held_back=change.held_back,
        )

    def may_take(self, waiting: Iterable[Decision]) -> list[Decision]:
        """Of the decisions that wait for it, return those that may be taken yet, in the order in which they happened.

        One that happened before another decision that stands is retired for ever: it would undo what came after it.
        """
        mine = [decision for decision in waiting if decision.seller == self.seller]
        last = max((decision.occur_time for decision in mine if decision.entry_id in self.taken), default=0)
        last = max(last, self.decided_time or 0)
        left = [one for one in mine if one.entry_id not in self.taken and one.occur_time >= last]
        return sorted(left, key=lambda decision: (decision.occur_time, decision.entry_id))


def is_left_to_a_person(changes: Iterable[Change]) -> bool:
    """Return whether the last decision among these is one by which a bulk decision left the violation to a person."""
    decisions = [change for change in changes if change.kind is Kind.STATUS]
    return bool(decisions) and decisions[-1].held_back


Incident = TypeVar("Incident", str, int)
"""An incident by its id, or by its code in columns."""


class Move(NamedTuple, Generic[Incident]):
    """A correction that moved a report in time: its sequence, and the incident of the week that it moved to."""

    sequence: int
    incident: Incident


class Naming(NamedTuple, Generic[Incident]):
    """A merge or a split that names incidents; a split whose violation is retracted names none."""

    sequence: int
    incidents: tuple[Incident, ...]


def incident_after_moves(
    reported: Incident, moves: Iterable[Move[Incident]], namings: Iterable[Naming[Incident]]
) -> Incident:
    """Return the incident of a report that was moved in time: that of the week it moved to, unless its own was named before.

    A date does not undo what somebody decided. Worked: reported in w1 and moved to w2 it belongs to w2; moved on to w3 after
    a merge that named w2 it stays in w2; when only a split named w2 whose violation was overturned since, it belongs to w3.
    """
    incident = reported
    named = sorted(namings)
    for move in sorted(moves):
        if not any(naming.sequence < move.sequence and incident in naming.incidents for naming in named):
            incident = move.incident
    return incident

"""The state of one violation, for appends, reads, bulk decisions and the queue.

The fold computes the same over columns, and the parity gate independently.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Generic, NamedTuple, TypeVar

from scoring.base.enums import Action, Attribution, Kind, Severity, Status
from scoring.base.errors import FieldPath, LifecycleForbids
from scoring.base.frozen import frozen
from scoring.entries.kinds.conduct import StatusChanged
from scoring.entries.lifecycle import RETRACTED_STATUSES, allowed_actions, next_status


class TimedDecision(NamedTuple):
    """With both times set, in microseconds."""

    entry_id: str
    seller: str
    occur_time: int
    report_time: int
    fact: StatusChanged


class RecordedChange(NamedTuple):
    kind: Kind
    entry_id: str
    status: int
    """The status after a decision, or the outcome of an attribution."""
    severity: int | None
    """The severity after a reduction; None: unchanged."""
    origin: str | None
    """None for stated entries."""
    occur_time: int
    report_time: int
    held_back: bool = False


@frozen
class ViolationState:
    seller: str
    kind: Kind
    """VIOLATION, or PRODUCT_VIOLATION, without a seller."""
    status: Status
    severity: Severity
    known_time: int
    """The latest report time so far, in microseconds."""
    attribution: Attribution | None = None
    """None before a statement."""
    own_decision_time: int | None = None
    """The last decision about itself, in microseconds; None before one."""
    derived_decisions: frozenset[str] = frozenset()
    """Ids of its decisions' origins."""
    decision_count: int = 0
    is_held_back: bool = False
    """Whether the last bulk decision left it to a person."""

    @property
    def is_of_another_seller(self) -> bool:
        return self.attribution is Attribution.ACCEPTED

    @property
    def is_retracted(self) -> bool:
        """Return whether it counts as never reported: dismissed, withdrawn, overturned, or another seller's."""
        return self.is_of_another_seller or self.status in RETRACTED_STATUSES

    def decide(self, decision: TimedDecision, path: FieldPath = (), origin: str | None = None) -> "ViolationState":
        """Return the state after a new decision; `origin`: the decision it is derived from.

        Raise LifecycleForbids naming `path` if the status forbids it, or a reduction keeps or raises the severity.
        """
        fact = decision.fact
        following = next_status(self.status, Action(fact.action), (*path, "status", "action"))
        if fact.severity is not None and fact.severity >= self.severity:
            allowed = ", ".join(action.word for action in allowed_actions(self.status))
            raise LifecycleForbids(
                f"a reduction leaves less than the present severity, {self.severity.word}",
                {"status": self.status.name, "allowed": allowed},
                (*path, "status", "severity"),
            )
        severity = None if fact.severity is None else int(fact.severity)
        return self.apply(
            RecordedChange(
                kind=Kind.STATUS,
                entry_id=decision.entry_id,
                status=int(following),
                severity=severity,
                origin=origin,
                occur_time=decision.occur_time,
                report_time=decision.report_time,
                held_back=fact.held_back,
            )
        )

    def set_attribution(self, outcome: Attribution, path: FieldPath = ()) -> "ViolationState":
        """Return the state after an attribution; raise LifecycleForbids naming `path` if an accepted one is contested
        again.
        """
        if self.is_of_another_seller and outcome is Attribution.CONTESTED:
            raise LifecycleForbids(
                "an attribution that is accepted cannot be contested; allowed: rejected",
                {"status": Attribution.ACCEPTED.name, "allowed": Attribution.REJECTED.word},
                (*path, "attribution", "outcome"),
            )
        return replace(self, attribution=outcome, decision_count=self.decision_count + 1)

    def apply(self, change: RecordedChange) -> "ViolationState":
        """Return the state after a recorded entry, unchecked; only decisions and attributions change it."""
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
        """Return, of all decisions that name this violation and wait, those that now apply, in order.

        They were recorded before its report. One that is earlier than the last valid decision is never applied.
        """
        of_seller = [decision for decision in waiting if decision.seller == self.seller]
        last = max(
            (decision.occur_time for decision in of_seller if decision.entry_id in self.derived_decisions), default=0
        )
        last = max(last, self.own_decision_time or 0)
        applicable = [one for one in of_seller if one.entry_id not in self.derived_decisions and one.occur_time >= last]
        return sorted(applicable, key=lambda decision: (decision.occur_time, decision.entry_id))


def is_held_back_for_person(changes: Iterable[RecordedChange]) -> bool:
    """Return whether the last decision left the violation to a person, as a bulk decision's sample."""
    decisions = [change for change in changes if change.kind is Kind.STATUS]
    return bool(decisions) and decisions[-1].held_back


Incident = TypeVar("Incident", str, int)


class ReportMove(NamedTuple, Generic[Incident]):
    sequence: int
    incident: Incident


class IncidentMention(NamedTuple, Generic[Incident]):
    """A merge or a split."""

    sequence: int
    incidents: tuple[Incident, ...]
    """None for a split whose violation is retracted."""


def incident_after_moves(
    reported: Incident, moves: Iterable[ReportMove[Incident]], mentions: Iterable[IncidentMention[Incident]]
) -> Incident:
    """Return the incident of a report after corrections of its time.

    A move gives the incident of the new week, unless a merge or split named the present one before. Worked: w1 moved to
    w2 is w2; moved on to w3 after a merge named w2, it stays w2. If only a split of a violation overturned since named
    w2, it is w3.
    """
    incident = reported
    sorted_mentions = sorted(mentions)
    for move in sorted(moves):
        if not any(mention.sequence < move.sequence and incident in mention.incidents for mention in sorted_mentions):
            incident = move.incident
    return incident

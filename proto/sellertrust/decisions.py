"""The eight decisions about a violation, one method each."""

from typing import Any, Protocol, TypedDict, Unpack

import grpc

from sellertrust.requests import decision, invoke
from sellertrust.v1 import entry_pb2, ledger_service_pb2
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub


class _Stated(TypedDict):
    actor: str
    reason: str


class Decision(_Stated, total=False):
    """What is said of a decision: `actor` and `reason`, and where it applies the rest.

    `ground`: the legal or policy ground, required to reinstate. `severity`: the one that remains, to reduce. `units`:
    distinct units adjudicated, to confirm or reinstate. `entry_id` makes a repeated call safe; by default one is made,
    which covers retries.
    """

    ground: str
    severity: "entry_pb2.Severity.ValueType"
    units: int
    entry_id: str | None
    deadline_seconds: float | None


class Decided(Protocol):
    """The violation after a decision, and the decision's position in the ledger."""

    @property
    def violation(self) -> ledger_service_pb2.Violation: ...
    @property
    def sequence(self) -> int: ...


class Decisions:
    """The part of the client that decides about violations."""

    _ledger: LedgerServiceStub
    _write_seconds: float

    def review_violation(self, marketplace: str, violation: str, **said: Unpack[Decision]) -> Decided:
        """Takes an alleged violation up for review, or a dismissed one up again."""
        return self.decide_violation("review", marketplace, violation, **said)

    def confirm_violation(self, marketplace: str, violation: str, **said: Unpack[Decision]) -> Decided:
        """Confirms a violation: from now on it counts."""
        return self.decide_violation("confirm", marketplace, violation, **said)

    def dismiss_violation(self, marketplace: str, violation: str, **said: Unpack[Decision]) -> Decided:
        """Dismisses a violation as untrue or unproven."""
        return self.decide_violation("dismiss", marketplace, violation, **said)

    def withdraw_violation(self, marketplace: str, violation: str, **said: Unpack[Decision]) -> Decided:
        """Withdraws a violation on behalf of its notifier."""
        return self.decide_violation("withdraw", marketplace, violation, **said)

    def appeal_violation(self, marketplace: str, violation: str, **said: Unpack[Decision]) -> Decided:
        """Appeals a confirmed or reduced violation on behalf of the seller; it counts until it is overturned."""
        return self.decide_violation("appeal", marketplace, violation, **said)

    def reduce_violation(self, marketplace: str, violation: str, **said: Unpack[Decision]) -> Decided:
        """Confirms a violation with the lower `severity`."""
        return self.decide_violation("reduce", marketplace, violation, **said)

    def overturn_violation(self, marketplace: str, violation: str, **said: Unpack[Decision]) -> Decided:
        """Overturns a violation: scores are then as if it had never been reported."""
        return self.decide_violation("overturn", marketplace, violation, **said)

    def reinstate_violation(self, marketplace: str, violation: str, **said: Unpack[Decision]) -> Decided:
        """Confirms a dismissed or overturned violation again, by the legal order that `ground` names."""
        return self.decide_violation("reinstate", marketplace, violation, **said)

    def decide_violation(self, action: str, marketplace: str, violation: str, **said: Unpack[Decision]) -> Decided:
        """Decides by a word: review, confirm, dismiss, withdraw, appeal, reduce, overturn or reinstate.

        SellertrustCallError; ValueError if the action is no such word or takes no such argument.
        """
        name = f"{action.capitalize()}Violation"
        kind: Any = getattr(ledger_service_pb2, f"{name}Request", None)
        if kind is None:
            raise ValueError(f"{action!r} is no decision about a violation")
        stated: dict[str, Any] = {**said}
        seconds = stated.pop("deadline_seconds", None) or self._write_seconds
        head = decision(marketplace, violation, stated.pop("actor"), stated.pop("reason"), stated.pop("entry_id", None))
        method: grpc.UnaryUnaryMultiCallable[Any, Any] = getattr(self._ledger, name)
        decided: Decided = invoke(method, kind(**head, **stated), seconds)
        return decided

"""The eight decisions about a violation, one method each."""

from typing import Any, Protocol, TypedDict, Unpack

import grpc

from sellertrust.requests import decision, invoke
from sellertrust.stubs import Stubs
from sellertrust.v1 import entry_pb2, ledger_service_pb2


class _RequiredFields(TypedDict):
    actor: str
    reason: str


class Decision(_RequiredFields, total=False):
    """A decision: `actor` and `reason` are required, the other fields depend on the action."""

    ground: str
    """The legal or policy ground; required to reinstate."""
    severity: "entry_pb2.Severity.ValueType"
    """The severity that remains, to reduce."""
    units: int
    """Distinct units adjudicated, to confirm or reinstate."""
    entry_id: str | None
    """Makes a repeated call safe; by default a new one, which covers retries."""
    deadline_seconds: float | None
    """Replaces the client's deadline."""


class Decided(Protocol):
    """The violation after a decision, and the decision's position in the ledger."""

    @property
    def violation(self) -> ledger_service_pb2.Violation: ...
    @property
    def sequence(self) -> int: ...


class Decisions(Stubs):
    def review_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided:
        """Take an alleged violation up for review, or a dismissed one again."""
        return self.decide_violation("review", marketplace, violation, **fields)

    def confirm_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided:
        return self.decide_violation("confirm", marketplace, violation, **fields)

    def dismiss_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided:
        """Dismiss a violation as untrue or unproven."""
        return self.decide_violation("dismiss", marketplace, violation, **fields)

    def withdraw_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided:
        return self.decide_violation("withdraw", marketplace, violation, **fields)

    def appeal_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided:
        """Appeal a confirmed or reduced violation on behalf of the seller. It counts until it is overturned."""
        return self.decide_violation("appeal", marketplace, violation, **fields)

    def reduce_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided:
        """Confirm a violation with the lower `severity`."""
        return self.decide_violation("reduce", marketplace, violation, **fields)

    def overturn_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided:
        """Overturn a violation: scores are then as if it had never been reported."""
        return self.decide_violation("overturn", marketplace, violation, **fields)

    def reinstate_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided:
        """Confirm a dismissed or overturned violation again, by the legal order in `ground`."""
        return self.decide_violation("reinstate", marketplace, violation, **fields)

    def decide_violation(self, action: str, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided:
        """Make the decision that `action` names.

        One of review, confirm, dismiss, withdraw, appeal, reduce, overturn, reinstate. Raises SellertrustCallError;
        ValueError for another action, or for an argument that the action does not take.
        """
        name = f"{action.capitalize()}Violation"
        kind: Any = getattr(ledger_service_pb2, f"{name}Request", None)
        if kind is None:
            raise ValueError(f"{action!r} is no decision about a violation")
        arguments: dict[str, Any] = {**fields}
        seconds = arguments.pop("deadline_seconds", None) or self._write_seconds
        head = decision(
            marketplace, violation, arguments.pop("actor"), arguments.pop("reason"), arguments.pop("entry_id", None)
        )
        method: grpc.UnaryUnaryMultiCallable[Any, Any] = getattr(self._ledger, name)
        decided: Decided = invoke(method, kind(**head, **arguments), seconds)
        return decided

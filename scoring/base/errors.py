"""Every foreseen error as a type, which the service maps to one gRPC status and one exit code.

A message states the fault, its cause, and the next step. It never contains a stack trace, SQL or personal data.
"""

from collections.abc import Iterable, Mapping, Sequence

from scoring.base.frozen import frozen

FieldPath = tuple[str | int, ...]
"""Names, and after a list's name the index in it. Empty: the whole request."""


def field_name(path: FieldPath) -> str:
    """Return the path as text: `field_name(("entries", 17, "violation", "harm")) == "entries[17].violation.harm"`."""
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name


def split_item(path: FieldPath) -> tuple[int | None, FieldPath]:
    """Return (17, ("harm",)) for `("entries", 17, "harm")`; for a path without an index (None, path)."""
    if len(path) > 1 and isinstance(path[1], int):
        return path[1], path[2:]
    return None, path


class SellertrustError(Exception):
    reason: str = ""
    """`ErrorReason` without its prefix; empty if no caller can cause it."""

    def __init__(self, text: str, metadata: Mapping[str, str] | None = None, path: FieldPath = ()) -> None:
        super().__init__(text)
        self.text = text
        """The fault, its cause, and the next step."""
        self.metadata = dict(metadata or {})
        """The reason's data, as the contract states it."""
        self.path = path
        """The path of the wrong field; empty if the error is about no field."""

    @property
    def message(self) -> str:
        return f"{field_name(self.path)}: {self.text}" if self.path else self.text

    def __str__(self) -> str:
        return self.message


@frozen
class FieldViolation:
    path: FieldPath
    description: str

    @property
    def field(self) -> str:
        return field_name(self.path)


class InvalidInput(SellertrustError):
    """Wrong in any state of the ledger."""

    def __init__(self, violations: Iterable[FieldViolation]) -> None:
        self.violations = tuple(violations)
        self.first_violations = self.violations[:20]
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in self.first_violations))


class NotFound(SellertrustError):
    pass


class StateForbids(SellertrustError):
    """The ledger or the registry forbids it as it is now."""


class Unavailable(SellertrustError):
    """A retry may succeed."""


class SellerNotFound(NotFound):
    reason = "SELLER_NOT_FOUND"


class ViolationNotFound(NotFound):
    reason = "VIOLATION_NOT_FOUND"


class EntryNotFound(NotFound):
    reason = "ENTRY_NOT_FOUND"


class NotifierNotFound(NotFound):
    reason = "NOTIFIER_NOT_FOUND"


class EntryContentDiffers(SellertrustError):
    reason = "ENTRY_CONTENT_DIFFERS"

    def __init__(
        self,
        text: str,
        metadata: Mapping[str, str] | None = None,
        path: FieldPath = (),
        entries: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(text, metadata, path)
        self.entries = dict(entries or {})
        """All such entries of a batch: the fault, by index."""


class ExposureRevisionTaken(SellertrustError):
    reason = "EXPOSURE_REVISION_TAKEN"


class FlowRevisionTaken(ExposureRevisionTaken):
    reason = "FLOW_REVISION_TAKEN"


class MeasureNotFound(NotFound):
    reason = "MEASURE_NOT_FOUND"


class CaseNotFound(NotFound):
    reason = "CASE_NOT_FOUND"


class BalanceForbids(StateForbids):
    """A deposit or an open claim is less than the amount, or has another currency."""

    reason = "BALANCE_FORBIDS"


class ContestForbids(StateForbids):
    """A measure is contested too late; or a complaint is decided twice, or by a person who decided before."""

    reason = "CONTEST_FORBIDS"


class LifecycleForbids(StateForbids):
    reason = "LIFECYCLE_FORBIDS"


class SelectionChanged(StateForbids):
    """A bulk decision would decide other violations than its dry run showed."""

    reason = "SELECTION_CHANGED"


class LedgerUnavailable(Unavailable):
    reason = "LEDGER_UNAVAILABLE"


class ClockInDoubt(LedgerUnavailable):
    """Nothing was appended."""


class OccurTimeAhead(Unavailable):
    """A retry after `seconds` succeeds."""

    reason = "OCCUR_TIME_AHEAD"

    def __init__(self, text: str, metadata: Mapping[str, str], seconds: float, path: FieldPath = ()) -> None:
        super().__init__(text, metadata, path)
        self.seconds = seconds


class SequenceNotReached(StateForbids):
    reason = "SEQUENCE_NOT_REACHED"


class Unauthenticated(SellertrustError):
    reason = "CALLER_UNAUTHENTICATED"


class PermissionDenied(SellertrustError):
    """The message does not show if the resource exists."""

    reason = "CALLER_NOT_GRANTED"


class AuditUnavailable(Unavailable):
    reason = "AUDIT_UNAVAILABLE"


class ApprovalRequired(StateForbids):
    reason = "APPROVAL_REQUIRED"


class ProposalNotFound(NotFound):
    reason = "PROPOSAL_NOT_FOUND"


class ProposalClosed(StateForbids):
    """It expired, was withdrawn, or its basis changed."""

    reason = "PROPOSAL_CLOSED"


class TooStale(Unavailable):
    reason = "TOO_STALE"


class ServerBusy(Unavailable):
    """A retry soon may succeed."""

    reason = "SERVER_BUSY"


class TooManyCalls(SellertrustError):
    """No thread is left for another stream or waiting read, or a caller exceeds its own limits."""

    reason = "TOO_MANY_CALLS"

    def __init__(self, text: str, metadata: Mapping[str, str] | None = None, *, seconds: float = 1.0) -> None:
        super().__init__(text, metadata)
        self.seconds = seconds


class ServerStopping(Unavailable):
    reason = "SERVER_STOPPING"


class CallerGone(SellertrustError):
    """No caller sees this error."""


class DeadlinePassed(CallerGone):
    """No caller sees this error."""


class SourceUnavailable(SellertrustError):
    """A retry may succeed."""


class ProcessEnded(SellertrustError):
    """A retry with fewer processes may succeed."""


class EntryKindUnknown(StateForbids):
    """A kind of a later release, on which no answer may rest."""

    reason = "ENTRY_KIND_UNKNOWN"


class LedgerVersionUnknown(SellertrustError):
    """The database's schema is unknown to this release."""


class BackupRefused(SellertrustError):
    """A backup is damaged, fails verification, is of a newer release, or has no place to be restored to."""


class ArtifactRefused(StateForbids):
    reason = "MODEL_REFUSED"


class ModelNotFound(NotFound):
    reason = "MODEL_NOT_FOUND"


class ErasureRefused(StateForbids):
    """The database role may not delete sellers' keys."""

    reason = "ERASURE_REFUSED"


class GatesFailed(StateForbids):
    reason = "GATES_FAILED"


class PromiseGivenUp(StateForbids):
    """The model gives up a promise that every champion keeps, so it is never promoted."""

    reason = "PROMISE_GIVEN_UP"


class PolicyRefused(SellertrustError):
    def __init__(self, text: str, faults: Sequence[str] = ()) -> None:
        self.faults = tuple(faults) or (text,)
        """Each fault, by its path in the file."""
        lines = f" {faults[0]}" if len(faults) == 1 else "".join(f"\n  {fault}" for fault in faults)
        super().__init__(f"{text}:{lines}" if faults else text)

    def of(self, file: object) -> "PolicyRefused":
        """Return the error with the file's name before its text."""
        named_error = PolicyRefused(f"{file}: {self.text}")
        named_error.faults = self.faults
        return named_error


class CertificateRefused(SellertrustError):
    """A loss certificate, or its assumptions, are altered, incomplete, of another policy, or not proven."""


class PolicyNotFound(NotFound):
    """A policy of this digest, or any before the present one, was never served."""

    reason = "POLICY_NOT_FOUND"


class PolicyMoved(StateForbids):
    """The served policy differs from the policy that a commit or a rollback was to replace."""

    reason = "POLICY_MOVED"


class LossNotAccepted(StateForbids):
    """A verdict of the loss certificate fails, and no person accepted the sum."""

    reason = "LOSS_NOT_ACCEPTED"


class ConfigurationWrong(SellertrustError):
    """Also a study or a mapping."""


def invalid(field: str | FieldPath, description: str) -> InvalidInput:
    """Return (not raise) an `InvalidInput` about one field, given by its name or by its path."""
    return InvalidInput([FieldViolation((field,) if isinstance(field, str) else field, description)])


def seller_not_found(marketplace: str, seller: str) -> SellerNotFound:
    """Return (not raise) the error."""
    return SellerNotFound(
        f"No seller {seller!r} in marketplace {marketplace!r} has orders, an identity or a valid violation."
        " Check both names.",
        {"seller": f"marketplaces/{marketplace}/sellers/{seller}"},
    )

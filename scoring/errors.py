"""Everything that can be wrong, as types. The shell maps each to one gRPC status and one exit code.

A message says what is wrong, why, and what to do next. It never holds a stack trace, SQL or personal data.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class SellertrustError(Exception):
    """Base of every foreseen error. `reason` is a stable name of `ErrorReason` in the contract, `metadata` its data."""

    reason: str = ""

    def __init__(self, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field: its path, as in `entries[17].violation.harm`, and what it should be."""

    field: str
    description: str


class InvalidInput(SellertrustError):
    """The input is wrong whatever the state of the ledger. `violations` names every wrong field; what is shown to a
    caller is `shown`, the first 20 of them.
    """

    def __init__(self, violations: Iterable[FieldViolation]) -> None:
        self.violations = tuple(violations)
        self.shown = self.violations[:20]
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in self.shown))


class SellerNotFound(SellertrustError):
    """Nothing that stands is recorded of the seller."""

    reason = "SELLER_NOT_FOUND"


class ViolationNotFound(SellertrustError):
    """No violation of this name was recorded by then."""

    reason = "VIOLATION_NOT_FOUND"


class EntryNotFound(SellertrustError):
    """No entry of this id was recorded by then."""

    reason = "ENTRY_NOT_FOUND"


class NotifierNotFound(SellertrustError):
    """Nothing that this notifier reported was recorded by then."""

    reason = "NOTIFIER_NOT_FOUND"


class EntryContentDiffers(SellertrustError):
    """The `entry_id` stands for other content. `entries`: of a batch all such entries, by index, each with what is wrong."""

    reason = "ENTRY_CONTENT_DIFFERS"

    def __init__(
        self, message: str, metadata: Mapping[str, str] | None = None, entries: Mapping[int, str] | None = None
    ) -> None:
        super().__init__(message, metadata)
        self.entries = dict(entries or {})


class ExposureRevisionTaken(SellertrustError):
    """Another entry states the same day, product category and revision."""

    reason = "EXPOSURE_REVISION_TAKEN"


class LifecycleForbids(SellertrustError):
    """The violation's status does not allow the action."""

    reason = "LIFECYCLE_FORBIDS"


class SelectionChanged(SellertrustError):
    """What a bulk decision would decide is not what its dry run showed."""

    reason = "SELECTION_CHANGED"


class LedgerUnavailable(SellertrustError):
    """The ledger's database does not answer; a retry may succeed."""

    reason = "LEDGER_UNAVAILABLE"


class ClockInDoubt(LedgerUnavailable):
    """Other evidence contradicts the clock by which an append would be recorded; nothing was."""


class OccurTimeAhead(SellertrustError):
    """An entry is of a time that comes within seconds by the ledger's clock; a retry after `seconds` succeeds."""

    reason = "OCCUR_TIME_AHEAD"

    def __init__(self, message: str, metadata: Mapping[str, str], seconds: float) -> None:
        super().__init__(message, metadata)
        self.seconds = seconds


class SequenceNotReached(SellertrustError):
    """The ledger does not hold the sequence that is asked for, or not soon enough."""

    reason = "SEQUENCE_NOT_REACHED"


class TooManyCalls(SellertrustError):
    """No thread is left for one more stream, or for one more read that waits."""

    reason = "TOO_MANY_CALLS"


class ServerStopping(SellertrustError):
    """The server is about to stop; another one, or the same one later, answers."""

    reason = "SERVER_STOPPING"


class CallerGone(SellertrustError):
    """Nobody waits for the answer any more, since the caller has cancelled its call; no caller sees it."""


class DeadlinePassed(CallerGone):
    """Nobody waits for the answer any more, since the call's deadline has passed; no caller sees it."""


class SourceUnavailable(SellertrustError):
    """A broker or file that entries are read from does not answer; a retry may succeed."""


class LedgerVersionUnknown(SellertrustError):
    """The database's schema is newer, older or other than this release knows."""


class BackupRefused(SellertrustError):
    """A backup is damaged, does not verify or is of a newer release, or has no place to go to."""


class ArtifactRefused(SellertrustError):
    """A model artifact is damaged, altered, uncertified or made for another core."""

    reason = "MODEL_REFUSED"


class ModelNotFound(SellertrustError):
    """No published model has this name, or no attachment of the kind that is asked for."""

    reason = "MODEL_NOT_FOUND"


class GatesFailed(SellertrustError):
    """Gates that the model failed forbid its promotion, or ask for a named person."""

    reason = "GATES_FAILED"


class PolicyRefused(SellertrustError):
    """A policy does not hold together."""


class ConfigurationWrong(SellertrustError):
    """The configuration, a study or a mapping cannot be used as it is."""


def invalid(field: str, description: str) -> InvalidInput:
    """An `InvalidInput` about one field."""
    return InvalidInput([FieldViolation(field, description)])

"""Everything that can be wrong, as types. The shell maps each to one gRPC status and one exit code.

A message says what is wrong, why, and what to do next. It never holds a stack trace, SQL or personal data.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FieldPath = tuple[str | int, ...]
"""The way to a field of a request: names, and after the name of a list the place in it, from 0. Empty: the whole."""


def field_name(path: FieldPath) -> str:
    """Return a path as callers see it: `field_name(("entries", 17, "violation", "harm")) == "entries[17].violation.harm"`."""
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name


def split_item(path: FieldPath) -> tuple[int | None, FieldPath]:
    """Return the place of an item in the list of a request, and the path within it; None and the path if it is in none.

    `split_item(("entries", 17, "violation", "harm")) == (17, ("violation", "harm"))`.
    """
    if len(path) > 1 and isinstance(path[1], int):
        return path[1], path[2:]
    return None, path


class SellertrustError(Exception):
    """Base of every foreseen error. `reason` is a stable name of `ErrorReason` in the contract, `metadata` its data."""

    reason: str = ""

    def __init__(self, text: str, metadata: Mapping[str, str] | None = None, path: FieldPath = ()) -> None:
        super().__init__(text)
        self.text = text
        """What is wrong, why, and what to do next."""
        self.metadata = dict(metadata or {})
        """The data of the reason, as the contract states it."""
        self.path = path
        """The field that it is about; empty if it is about none."""

    @property
    def message(self) -> str:
        """The text behind the field that it is about, as callers see it."""
        return f"{field_name(self.path)}: {self.text}" if self.path else self.text

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field."""

    path: FieldPath
    """The way to it in the request."""
    description: str
    """What it should be."""

    @property
    def field(self) -> str:
        """The path as callers see it, as in `entries[17].violation.harm`."""
        return field_name(self.path)


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
    """The `entry_id` stands for other content."""

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
        """What is wrong with the id of each such entry of a batch, by its index."""


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

    def __init__(self, text: str, metadata: Mapping[str, str], seconds: float, path: FieldPath = ()) -> None:
        super().__init__(text, metadata, path)
        self.seconds = seconds


class SequenceNotReached(SellertrustError):
    """The ledger does not hold the sequence that is asked for, or not soon enough."""

    reason = "SEQUENCE_NOT_REACHED"


class Unauthenticated(SellertrustError):
    """The call shows nobody, or what it shows proves nobody."""

    reason = "CALLER_UNAUTHENTICATED"


class PermissionDenied(SellertrustError):
    """The caller is not granted what the call asks for, whether that exists or not."""

    reason = "CALLER_NOT_GRANTED"


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


def invalid(field: str | FieldPath, description: str) -> InvalidInput:
    """Return an `InvalidInput` about one field, given by its name or by its path."""
    return InvalidInput([FieldViolation((field,) if isinstance(field, str) else field, description)])

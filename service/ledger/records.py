"""What the ledger gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from scoring.entries.entry import Entry
from scoring.entries.lifecycle import COUNTING, OPEN
from scoring.enums import Action, Attribution, Category, Harm, IdentityLevel, Severity, Source, Status


class Appended(NamedTuple):
    """What became of one entry of a batch. `record_time` in microseconds.

    `pending`: a status change that waits for its violation; `erased`: it was there, and what it held was erased since.
    """

    entry_id: str
    sequence: int
    record_time: int
    already_present: bool
    pending: bool = False
    erased: bool = False


class Position(NamedTuple):
    """How far a partition of a source is read once a batch is appended: reading goes on at `next_position`."""

    source: str
    partition: int
    next_position: int


@dataclass(frozen=True, slots=True)
class Cut:
    """One set of entries, for ever: those up to `sequence`, which are those recorded before `known_time`.

    Of these an answer uses what occurred and was reported before `observe_time`. Times in microseconds.
    """

    observe_time: int
    known_time: int
    sequence: int


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """An entry as it was stated, and beside it what the ledger made of its defaults. Times in microseconds."""

    sequence: int
    record_time: int
    seller: str
    occur_time: int
    report_time: int
    entry: Entry
    pending: bool = False
    erased: bool = False


@dataclass(frozen=True, slots=True)
class ViolationView:
    """A violation, resolved from its entries. Times, in microseconds, are those of its report, corrected.

    `violation` is its id; `severity` the one after all changes; `attribution` is None unless it was contested whose goods
    they were; `entries` are the ids of its entries by sequence, the report first; `allowed_actions` what may be done to it;
    `sequence` that of its report.
    """

    violation: str
    seller: str
    incident: str
    violation_type: str
    category: Category
    severity: Severity
    harm: Harm
    source: Source
    notifier: str
    status: Status
    attribution: Attribution | None
    occur_time: int
    report_time: int
    record_time: int
    entries: tuple[str, ...]
    allowed_actions: tuple[Action, ...]
    sequence: int


@dataclass(frozen=True, slots=True)
class AsSeen:
    """What must still hold when a bulk decision's entries are appended, asked while the ledger is locked.

    `prefix`: how the ids of all entries of the decision begin; `own`: how those with its present parameters do; with others
    the append is refused. `decisions`: by entry id its violation and how many decisions about it were seen: an entry whose
    violation got another one since is left out.
    """

    decision_id: str
    prefix: str
    own: str
    decisions: Mapping[str, tuple[str, int]]


class Outcome(IntEnum):
    """What became of a report."""

    UPHELD = 1
    OVERTURNED = 2
    DISMISSED = 3
    WITHDRAWN = 4
    OPEN = 5


@dataclass(frozen=True, slots=True)
class Record:
    """What became of a notifier's reports, as numbers of reports."""

    upheld: int = 0
    overturned: int = 0
    dismissed: int = 0
    withdrawn: int = 0
    open: int = 0

    @property
    def reports(self) -> int:
        """All of them."""
        return self.upheld + self.overturned + self.dismissed + self.withdrawn + self.open


def outcome_of(status: Status, attribution: Attribution | None = None) -> Outcome:
    """What became of a report: appealed is upheld until it is overturned; goods that were not the seller's: overturned."""
    if attribution is Attribution.ACCEPTED:
        return Outcome.OVERTURNED
    if status in COUNTING:
        return Outcome.UPHELD
    return Outcome.OPEN if status in OPEN else Outcome[status.name]


class Identity(NamedTuple):
    """The identity of a seller that is in force."""

    seller: str
    level: IdentityLevel
    attributes: Mapping[str, str]

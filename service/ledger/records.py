"""What the ledger gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from scoring.base.enums import Action, Attribution, Category, Harm, IdentityLevel, Severity, Source, Status
from scoring.entries.entry import Entry
from scoring.entries.lifecycle import COUNTING_STATUSES, OPEN_STATUSES


class Appended(NamedTuple):
    """What became of one entry of a batch."""

    entry_id: str
    """Its id."""
    sequence: int
    """Where it stands."""
    record_time: int
    """When it was recorded, in microseconds."""
    already_present: bool
    """Whether it was there before."""
    pending: bool = False
    """Whether it is a status change that waits for its violation."""
    erased: bool = False
    """Whether it was there, and what it held was erased since."""


class Position(NamedTuple):
    """How far a partition of a source is read once a batch is appended."""

    source: str
    """The source."""
    partition: int
    """Its partition."""
    next_position: int
    """Where reading goes on."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One set of entries, for ever.

    Those up to `sequence`, which are those recorded before `known_time`. Of these an answer uses what occurred and was
    reported before `observe_time`. Times in microseconds.
    """

    observe_time: int
    known_time: int
    sequence: int


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """An entry as it was stated, and beside it what the ledger made of its defaults.

    Times in microseconds.
    """

    sequence: int
    """Its position."""
    record_time: int
    """When this ledger learned of it."""
    seller: str
    """Whose it is; empty for a fact about a product."""
    occur_time: int
    """When it happened."""
    report_time: int
    """When its source learned of it."""
    entry: Entry
    """What was stated."""
    pending: bool = False
    """Whether it is a status change that waits for its violation."""
    erased: bool = False
    """Whether its texts were erased."""
    principal: str = ""
    """Who called, authenticated; empty for what came by no server's call."""


@dataclass(frozen=True, slots=True)
class ViolationView:
    """A violation, resolved from its entries.

    Times, in microseconds, are those of its report, corrected.
    """

    violation: str
    """Its id."""
    seller: str
    """Whose it is; empty if it is of a product."""
    incident: str
    """Its incident, after moves, merges and splits."""
    violation_type: str
    """Its key in the table of violation types."""
    category: Category
    """Its category."""
    severity: Severity
    """The one after all changes."""
    harm: Harm
    """As reported."""
    source: Source
    """Who reported it, by kind."""
    notifier: str
    """Who reported it; empty if nobody is named."""
    status: Status
    """Its present status."""
    attribution: Attribution | None
    """None unless it was contested whose goods they were."""
    occur_time: int
    """When it happened."""
    report_time: int
    """When its source learned of it."""
    record_time: int
    """When this ledger learned of it."""
    entries: tuple[str, ...]
    """The ids of its entries by sequence, the report first."""
    allowed_actions: tuple[Action, ...]
    """What may be done to it."""
    sequence: int
    """That of its report."""


@dataclass(frozen=True, slots=True)
class AsSeen:
    """What must still hold when a bulk decision's entries are appended.

    It is asked while the ledger is locked.
    """

    decision_id: str
    """The id of the bulk decision."""
    prefix: str
    """How the ids of all entries of the decision begin."""
    own: str
    """How those with its present parameters do; with others the append is refused."""
    decisions: Mapping[str, tuple[str, int]]
    """By entry id its violation and how many decisions about it were seen: an entry whose violation got another one
    since is left out.
    """


class ReportOutcome(IntEnum):
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
        """Return the number of all reports of the notifier: the sum of the five outcomes."""
        return self.upheld + self.overturned + self.dismissed + self.withdrawn + self.open


def find_outcome(status: Status, attribution: Attribution | None = None) -> ReportOutcome:
    """Return what became of a report, by its violation's status and attribution.

    Confirmed, appealed and reduced are upheld; alleged and under review are open; the others are as their status states.
    If the goods were another seller's, it is overturned.
    """
    if attribution is Attribution.ACCEPTED:
        return ReportOutcome.OVERTURNED
    if status in COUNTING_STATUSES:
        return ReportOutcome.UPHELD
    return ReportOutcome.OPEN if status in OPEN_STATUSES else ReportOutcome[status.name]


class Identity(NamedTuple):
    """The identity of a seller that is in force."""

    seller: str
    """Whose it is."""
    level: IdentityLevel
    """How far it is verified."""
    attributes: Mapping[str, str]
    """What was verified, by key."""

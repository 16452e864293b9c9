from collections.abc import Mapping
from typing import NamedTuple

from scoring.base.enums import Action, Attribution, Category, Harm, IdentityLevel, Severity, Source, Status, WordEnum
from scoring.base.frozen import frozen
from scoring.entries.entry import Entry
from scoring.entries.lifecycle import COUNTING_STATUSES, OPEN_STATUSES


class Act(WordEnum):
    POLICY = 1001
    POLICY_TEXT = 1002
    PROPOSAL = 1003
    PRECISION = 1004


class AppendedEntry(NamedTuple):
    entry_id: str
    sequence: int
    record_time: int
    already_present: bool
    pending: bool = False
    erased: bool = False


class Position(NamedTuple):
    source: str
    partition: int
    next_position: int


@frozen
class Cut:
    """A fixed set of entries: those up to `sequence`, recorded before `known_time`.

    Answers use those that occurred and were reported before `observe_time`.
    """

    observe_time: int
    known_time: int
    sequence: int


@frozen
class RecordedEntry:
    sequence: int
    record_time: int
    seller: str
    occur_time: int
    report_time: int
    entry: Entry
    pending: bool = False
    erased: bool = False
    principal: str = ""


@frozen
class ViolationView:
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
    """None if the goods' owner is uncontested."""
    occur_time: int
    report_time: int
    record_time: int
    entries: tuple[str, ...]
    allowed_actions: tuple[Action, ...]
    sequence: int
    listing: str = ""
    ground: str = ""
    automated: bool = False
    trusted_flagger: bool = False


@frozen
class BulkCondition:
    """The state that must still be true when a bulk decision is appended."""

    decision_id: str
    decision_prefix: str
    """Of its entries' ids."""
    selection_prefix: str
    """Longer: entries of the decision without it had other parameters, and are rejected."""
    decisions: Mapping[str, tuple[str, int]]
    """Per entry id, its violation and the number of decisions seen; after a newer one the entry is left out."""


class ReportOutcome(WordEnum):
    UPHELD = 1
    OVERTURNED = 2
    DISMISSED = 3
    WITHDRAWN = 4
    OPEN = 5


@frozen
class Record:
    """The number of a notifier's reports by outcome."""

    upheld: int = 0
    overturned: int = 0
    dismissed: int = 0
    withdrawn: int = 0
    open: int = 0

    @property
    def reports(self) -> int:
        return self.upheld + self.overturned + self.dismissed + self.withdrawn + self.open


def find_outcome(status: Status, attribution: Attribution | None = None) -> ReportOutcome:
    """Return a report's outcome, by its violation's status and attribution.

    Confirmed, appealed and reduced are upheld; alleged and under review are open; other outcomes are named as their
    status. If the goods were another seller's, it is overturned.
    """
    if attribution is Attribution.ACCEPTED:
        return ReportOutcome.OVERTURNED
    if status in COUNTING_STATUSES:
        return ReportOutcome.UPHELD
    return ReportOutcome.OPEN if status in OPEN_STATUSES else ReportOutcome[status.name]


class IdentityInForce(NamedTuple):
    seller: str
    level: IdentityLevel
    attributes: Mapping[str, str]

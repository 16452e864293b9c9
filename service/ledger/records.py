"""What the ledger gives back."""

from dataclasses import dataclass
from typing import NamedTuple

from scoring.entries import Entry
from scoring.words import Action, Attribution, Category, Harm, Severity, Source, Status


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
    `sequence` that of its report, `changed_sequence` that of its last change.
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
    changed_sequence: int

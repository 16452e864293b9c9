import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scoring.base.errors import (
    EntryContentDiffers,
    FieldPath,
    InvalidInput,
    OccurTimeAhead,
    SellertrustError,
    field_name,
    split_item,
)
from scoring.base.frozen import frozen
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductViolationReported, ViolationReported
from scoring.entries.kinds.table import KIND_OF
from service.ingest.listed_entries import strip_listed_defaults
from service.ledger.records import AppendedEntry, Position
from service.ledger.store import Ledger

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._~:-]")


@dataclass(slots=True)
class AppendCounts:
    appended: int = 0
    waiting: int = 0
    """Waiting for their violation's report."""
    already_present: int = 0
    repeated: int = 0
    """Appended by this import before."""

    def add(self, other: "AppendCounts") -> None:
        for name in AppendCounts.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class AppendResult(AppendCounts):
    refused: dict[int, str] = field(default_factory=dict)


def format_field_error(path: FieldPath, description: str, entry: Entry) -> str:
    """Format an error for the rejects; `path` leads from the entry to the field."""
    field = field_name(path)
    if field != "entry_id":
        return f"{field}: {description}"
    forbidden = ", ".join(map(repr, sorted(set(_NOT_IN_IDS.findall(entry.entry_id)))))
    kind = KIND_OF[type(entry.fact)].word
    return f"{field}: {description}; that of the {kind} " + (
        f"has {forbidden}" if forbidden else "is empty or too long"
    )


@frozen
class PartialAppend:
    """An append of one batch that leaves out what is refused."""

    ledger: Ledger
    marketplace: str
    rows: Sequence[int] | None = None
    """The row of each entry; entries about a violation whose report on the same row is refused are refused too."""
    begun: int | None = None
    """The ledger's sequence when the import began; None: nothing counts as repeated."""
    result: AppendResult = field(default_factory=AppendResult)

    def append(
        self,
        entries: Sequence[Entry],
        position: Position | None = None,
        before_passing: Callable[[Mapping[int, str]], None] = lambda _: None,
    ) -> AppendResult:
        """Return what was appended, and what was refused and why.

        `position` is committed with the entries if none is refused. Otherwise `before_passing` gets the refused ones
        first, so that they outlive a crash; then the position is committed.
        """
        indexed = list(enumerate(strip_listed_defaults(self.ledger, self.marketplace, entries, keeps_report_time=True)))
        if not indexed or not self._append_all(indexed, position):
            before_passing(self.result.refused)
            if position is not None:
                self.ledger.positions.advance(position)
        return self.result

    def _append_all(self, batch: Sequence[tuple[int, Entry]], position: Position | None = None) -> bool:
        """Append (index, entry) pairs; return False after refusing some, and appending the others."""
        try:
            self._count_results(self._append_at_once([entry for _, entry in batch], position))
        except InvalidInput as error:
            reasons: dict[int, list[str]] = {}
            for wrong in error.violations:
                place, path = split_item(wrong.path)
                if place is not None:
                    text = format_field_error(path, wrong.description, batch[place][1])
                    reasons.setdefault(place, []).append(text)
            if not reasons:
                raise
            self._refuse(batch, {place: "; ".join(texts) for place, texts in reasons.items()})
        except SellertrustError as error:
            if isinstance(error, EntryContentDiffers) and error.entries:
                self._refuse(batch, {place: f"entry_id: {text}" for place, text in error.entries.items()})
            elif error.reason in ("LEDGER_UNAVAILABLE", ""):
                raise
            elif len(batch) == 1:
                error.path = split_item(error.path)[1]
                self._refuse(batch, {0: error.message})
            else:
                half = len(batch) // 2
                self._append_all(batch[:half])
                self._append_all(batch[half:])
        else:
            return True
        return False

    def _append_at_once(self, entries: Sequence[Entry], position: Position | None) -> list[AppendedEntry]:
        """Append all or none, once more if the clock lagged."""
        try:
            return self.ledger.append(self.marketplace, entries, imported=True, position=position)
        except OccurTimeAhead as error:
            time.sleep(error.seconds)
        return self.ledger.append(self.marketplace, entries, imported=True, position=position)

    def _count_results(self, results: Sequence[AppendedEntry]) -> None:
        counts = self.result
        present = [result for result in results if result.already_present]
        counts.already_present += len(present)
        if self.begun is not None:
            counts.repeated += sum(result.sequence > self.begun for result in present)
        counts.appended += len(results) - len(present)
        counts.waiting += sum(result.pending and not result.already_present for result in results)

    def _refuse(self, batch: Sequence[tuple[int, Entry]], reasons: dict[int, str]) -> None:
        """Refuse entries, and what is about a violation whose report on the same row is refused; append the others."""
        if self.rows is not None:
            reports = {
                (self.rows[index], entry.entry_id): reasons[place]
                for place, (index, entry) in enumerate(batch)
                if place in reasons and isinstance(entry.fact, ViolationReported | ProductViolationReported)
            }
            for place, (index, entry) in enumerate(batch):
                about = getattr(entry.fact, "violation", "")
                if place not in reasons and (reason := reports.get((self.rows[index], about))):
                    reasons[place] = f"{about}: its report on this row was rejected: {reason}"
        self.result.refused |= {batch[place][0]: reason for place, reason in reasons.items()}
        if others := [item for place, item in enumerate(batch) if place not in reasons]:
            self._append_all(others)

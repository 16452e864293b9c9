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
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductViolationReported, ViolationReported
from scoring.entries.kinds.table import KIND_OF, KINDS
from service.ingest.listed_entries import as_stated
from service.ledger.records import Appended, Position
from service.ledger.store import Ledger

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._~:-]")


@dataclass(slots=True)
class AppendResult:
    begun: int | None = None
    """The ledger's sequence when the import began; None: nothing counts as repeated."""
    appended: int = 0
    waiting: int = 0
    already_present: int = 0
    repeated: int = 0
    """Present entries appended after `begun`."""
    refused: dict[int, str] = field(default_factory=dict)


def format_field_error(path: FieldPath, description: str, entry: Entry) -> str:
    """Format a wrong field for a file of rejects; `path` leads from the entry to the field."""
    field = field_name(path)
    if field != "entry_id":
        return f"{field}: {description}"
    odd = ", ".join(map(repr, sorted(set(_NOT_IN_IDS.findall(entry.entry_id)))))
    kind = KINDS[KIND_OF[type(entry.fact)]].key
    return f"{field}: {description}; that of the {kind} " + (f"has {odd}" if odd else "is empty or too long")


def accept(
    ledger: Ledger,
    marketplace: str,
    entries: Sequence[Entry],
    position: Position | None = None,
    before_passing: Callable[[Mapping[int, str]], None] = lambda _: None,
    rows: Sequence[int] | None = None,
    begun: int | None = None,
) -> AppendResult:
    """Append a batch; return what was appended, and what was refused and why.

    `position` is committed with the entries if none is refused. Otherwise `before_passing` gets the refused ones first,
    so that they outlive a crash; then the position is committed. After LedgerUnavailable the batch may be given again.
    `rows` says which row made each entry: entries about a violation whose report on the same row is refused are refused
    too.
    """
    accepted = AppendResult(begun)
    indexed = list(enumerate(as_stated(ledger, marketplace, entries, keeps_report_time=True)))
    if indexed and _whole(ledger, marketplace, indexed, position, accepted, rows):
        return accepted
    before_passing(accepted.refused)
    if position is not None:
        ledger.positions.advance(position)
    return accepted


def _whole(
    ledger: Ledger,
    marketplace: str,
    batch: Sequence[tuple[int, Entry]],
    position: Position | None,
    accepted: AppendResult,
    rows: Sequence[int] | None,
) -> bool:
    if not batch:
        return False
    try:
        results = _append(ledger, marketplace, [entry for _, entry in batch], position)
    except InvalidInput as error:
        reasons: dict[int, list[str]] = {}
        for wrong in error.violations:
            place, path = split_item(wrong.path)
            if place is not None:
                text = format_field_error(path, wrong.description, batch[place][1])
                reasons.setdefault(place, []).append(text)
        if not reasons:
            raise
        return _without(ledger, marketplace, batch, reasons, accepted, rows)
    except SellertrustError as error:
        if isinstance(error, EntryContentDiffers) and error.entries:
            differing = {place: [f"entry_id: {text}"] for place, text in error.entries.items()}
            return _without(ledger, marketplace, batch, differing, accepted, rows)
        if error.reason in ("LEDGER_UNAVAILABLE", ""):
            raise
        if len(batch) == 1:
            error.path = split_item(error.path)[1]
            accepted.refused[batch[0][0]] = error.message
            return False
        half = len(batch) // 2
        _whole(ledger, marketplace, batch[:half], None, accepted, rows)
        _whole(ledger, marketplace, batch[half:], None, accepted, rows)
        return False
    present = sum(result.already_present for result in results)
    accepted.already_present += present
    if accepted.begun is not None:
        accepted.repeated += sum(r.already_present and r.sequence > accepted.begun for r in results)
    accepted.appended += len(results) - present
    accepted.waiting += sum(result.pending and not result.already_present for result in results)
    return True


def _without(
    ledger: Ledger,
    marketplace: str,
    batch: Sequence[tuple[int, Entry]],
    reasons: dict[int, list[str]],
    accepted: AppendResult,
    rows: Sequence[int] | None,
) -> bool:
    if rows is not None:
        _refuse_what_would_wait(batch, rows, reasons)
    accepted.refused |= {batch[place][0]: "; ".join(reason) for place, reason in reasons.items()}
    _whole(ledger, marketplace, [b for place, b in enumerate(batch) if place not in reasons], None, accepted, rows)
    return False


def _append(ledger: Ledger, marketplace: str, entries: Sequence[Entry], position: Position | None) -> list[Appended]:
    """Append entries; wait once for those that are seconds ahead of the ledger's clock."""
    try:
        return ledger.append(marketplace, entries, imported=True, position=position)
    except OccurTimeAhead as error:
        time.sleep(error.seconds)
    return ledger.append(marketplace, entries, imported=True, position=position)


def _refuse_what_would_wait(
    batch: Sequence[tuple[int, Entry]], rows: Sequence[int], reasons: dict[int, list[str]]
) -> None:
    reports = {
        (rows[index], entry.entry_id): reasons[place]
        for place, (index, entry) in enumerate(batch)
        if place in reasons and isinstance(entry.fact, ViolationReported | ProductViolationReported)
    }
    for place, (index, entry) in enumerate(batch):
        about = getattr(entry.fact, "violation", "")
        if place not in reasons and (why := reports.get((rows[index], about))):
            reasons[place] = [f"{about}: its report on this row was rejected: {'; '.join(why)}"]

"""Appending what comes from a file or a broker: what the ledger refuses is named and left out, the rest is appended."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductViolationReported, ViolationReported
from scoring.entries.kinds.table import KIND_OF, KINDS
from scoring.errors import (
    EntryContentDiffers,
    FieldPath,
    InvalidInput,
    OccurTimeAhead,
    SellertrustError,
    field_name,
    split_item,
)
from service.ingest.listed_entries import as_stated
from service.ledger.records import Appended, Position
from service.ledger.store import Ledger

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._~:-]")


@dataclass(slots=True)
class AppendResult:
    """What became of a batch."""

    begun: int | None = None
    """The ledger's sequence when the import began; None: nothing counts as repeated."""
    appended: int = 0
    """Entries appended."""
    waiting: int = 0
    """Those of them that wait for the report they are about."""
    already_present: int = 0
    """Entries found there already."""
    repeated: int = 0
    """Those of them that were appended after the ledger's sequence `begun`."""
    refused: dict[int, str] = field(default_factory=dict)
    """Why the others were refused, by their index."""


def format_field_error(path: FieldPath, description: str, entry: Entry) -> str:
    """Format what is wrong with a field of an entry, for a file of rejects.

    `path` leads from the entry to the field. Of a wrong id, also the kind of the entry is named, since one row may give
    entries of several kinds, and which of its characters are not allowed, or that it is empty or too long.
    """
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
    """Append a batch as an import does: what is refused does not hold up the rest.

    Entries that this ledger once listed are recognised. Returns what was appended, and what was refused and why.

    `position` is committed in the transaction of the entries if none is refused. Else `before_passing` gets what is, so
    that it can be kept where it outlives a crash, and the position is committed after that. LedgerUnavailable: the
    position stands where it stood, and the same batch may be given again.

    `rows`: of which row each entry was made. What is about a violation whose report on the same row is refused is refused
    too: it would wait for that report, and nobody would know. `begun`: the ledger's sequence when the import began; what
    is there already from after it was repeated by the import.
    """
    accepted = AppendResult(begun)
    indexed = list(enumerate(as_stated(ledger, marketplace, entries, keeps_report_time=True)))
    if indexed and _whole(ledger, marketplace, indexed, position, accepted, rows):
        return accepted
    before_passing(accepted.refused)
    if position is not None:
        ledger.advance(position)
    return accepted


def _whole(
    ledger: Ledger,
    marketplace: str,
    batch: Sequence[tuple[int, Entry]],
    position: Position | None,
    accepted: AppendResult,
    rows: Sequence[int] | None,
) -> bool:
    """Append a batch with its position, and return whether nothing was refused.

    What is appended goes to `accepted`.
    """
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
    """Refuse the entries that there are reasons against, and append the rest.

    Return False, since that was not the whole.
    """
    if rows is not None:
        _refuse_what_would_wait(batch, rows, reasons)
    accepted.refused |= {batch[place][0]: "; ".join(reason) for place, reason in reasons.items()}
    _whole(ledger, marketplace, [b for place, b in enumerate(batch) if place not in reasons], None, accepted, rows)
    return False


def _append(ledger: Ledger, marketplace: str, entries: Sequence[Entry], position: Position | None) -> list[Appended]:
    """Append entries; those that lie seconds ahead of the ledger's clock are waited for once."""
    try:
        return ledger.append(marketplace, entries, imported=True, position=position)
    except OccurTimeAhead as error:
        time.sleep(error.seconds)
    return ledger.append(marketplace, entries, imported=True, position=position)


def _refuse_what_would_wait(
    batch: Sequence[tuple[int, Entry]], rows: Sequence[int], reasons: dict[int, list[str]]
) -> None:
    """Add reasons for the entries about a violation whose report has reasons already.

    The report of the same row.
    """
    reports = {
        (rows[index], entry.entry_id): reasons[place]
        for place, (index, entry) in enumerate(batch)
        if place in reasons and isinstance(entry.fact, ViolationReported | ProductViolationReported)
    }
    for place, (index, entry) in enumerate(batch):
        about = getattr(entry.fact, "violation", "")
        if place not in reasons and (why := reports.get((rows[index], about))):
            reasons[place] = [f"{about}: its report on this row was rejected: {'; '.join(why)}"]

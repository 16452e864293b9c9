from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, select

from scoring.base.enums import CaseState, Kind
from scoring.base.errors import (
    EntryContentDiffers,
    ExposureRevisionTaken,
    FieldViolation,
    FlowRevisionTaken,
    InvalidInput,
    SellertrustError,
    invalid,
)
from scoring.entries.entry import Entry, PreparedEntry, prepare
from scoring.entries.field_types import ID_FORM, is_id
from scoring.entries.kinds.decisions import CaseChanged, ClockMended, MeasureChanged, SellerErased
from scoring.entries.kinds.settlement import FlowStated
from scoring.entries.kinds.table import Fact
from scoring.entries.kinds.trade import ExposureStated
from service.ledger.append.batch import Batch
from service.ledger.append.following import find_unfinished_among, progress_position
from service.ledger.append.linking import find_affected_by_links, follow_links
from service.ledger.append.own_reports import needs_own_report_check, refuse_own_reports
from service.ledger.clock.ledger_clock import last_entry
from service.ledger.clock.server_clock import Present, time_at_end
from service.ledger.database.database import Database
from service.ledger.database.tables import ENTRY, HERE, NAMED, RowReader, among, of_kind
from service.ledger.queries.entries import require_same_decision
from service.ledger.queries.positions import record_position
from service.ledger.queries.violations import read_decisions
from service.ledger.records import AppendedEntry, BulkCondition, Position
from service.ledger.seals.sealed_texts import key_id_of, keyed_digest, read_keys, remove_sealed

_E = ENTRY.c
_STORED_BY_ID = select(
    _E.entry_id, _E.digest, _E.sequence, _E.record_time, _E.status.is_(None) & (_E.kind == int(Kind.STATUS))
).where(HERE, among(_E.entry_id))
_REVISION_KEY = ("marketplace", "seller", "exposure_day", "product_category", "revision")
_STATING_ENTRY = {
    kind: select(_E.entry_id).where(of_kind(kind), *(_E[name] == bindparam(name) for name in _REVISION_KEY))
    for kind in (Kind.EXPOSURE, Kind.FLOW)
}

BULK_ID_PREFIX = "bulk~"

_ONLY_BY_RULE = "must be empty: the service alone states what a policy's rules ask for"
_LINK_FIELDS = ("strength_ppm", "link_kinds", "accounts")
_KINDS_WITH_CONSEQUENCES = (Kind.STATUS, Kind.PRODUCT_VIOLATION)


class _StoredEntry(NamedTuple):
    appended: AppendedEntry
    digest: bytes


class BatchResult(NamedTuple):
    results: list[AppendedEntry]
    unfinished: list[str]
    """Ids of entries whose consequences later appends finish."""


def is_recorded(reader: RowReader, entry_id: str) -> bool:
    return bool(reader.rows(_STORED_BY_ID, [entry_id]))


def require_marketplace_id(marketplace: str) -> None:
    if not is_id(marketplace):
        raise invalid("marketplace", f"must be {ID_FORM}")


def refuse_service_fields(
    entries: Sequence[Entry], *, imported: bool, by_rule: bool = False, in_bulk: bool = False
) -> None:
    """Raise InvalidInput, with each field, for what only the service may state.

    Measures of rules pass if `by_rule`; report times if `imported`; ids of bulk decisions if `imported` or `in_bulk`.
    """
    wrong = [
        FieldViolation(("entries", index, *path), problem)
        for index, entry in enumerate(entries)
        for path, problem in _find_service_only_fields(entry, imported, by_rule, in_bulk)
    ]
    if wrong:
        raise InvalidInput(wrong)


def _find_service_only_fields(
    entry: Entry, imported: bool, by_rule: bool, in_bulk: bool
) -> Iterator[tuple[tuple[str, ...], str]]:
    fact = entry.fact
    if entry.report_time is not None and not imported:
        yield ("report_time",), "must be empty: only imports may set it"
    if entry.origin:
        yield ("origin",), "must be empty: the ledger alone derives entries"
    if entry.entry_id.startswith(BULK_ID_PREFIX) and not (in_bulk or imported):
        yield ("entry_id",), f"must not begin with {BULK_ID_PREFIX}: such ids are of bulk decisions"
    if not by_rule:
        yield from _find_rule_only_fields(fact)
    if isinstance(fact, SellerErased):
        yield ("erasure",), "is made by: sellertrust ledger erase"
    if isinstance(fact, ClockMended):
        yield ("clock",), "is made by: sellertrust ledger mend-clock"


def _find_rule_only_fields(fact: Fact) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(fact, MeasureChanged):
        for name in ("rule", "policy", "at_sequence"):
            if getattr(fact, name):
                yield ("measure", name), _ONLY_BY_RULE
    if isinstance(fact, CaseChanged):
        of_extension = () if fact.state is CaseState.EXTENDED else ("decide_by", "rests_on")
        for name in ("rule", "caution_end", "policy", "at_sequence", *_LINK_FIELDS, *of_extension):
            if getattr(fact, name):
                yield ("case", name), _ONLY_BY_RULE
        if fact.state in {CaseState.OPENED, CaseState.WITHDRAWN}:
            yield ("case", "state"), "must be confirmed, ended or extended: the service opens cases, and withdraws them"


def append_batch(
    reader: RowReader, batch: Sequence[PreparedEntry], present: Present, position: Position | None = None
) -> BatchResult:
    """Append the unrecorded entries, in order, and those derived from them; the caller locks and commits.

    Returns one result per entry. With the entry's index it raises EntryContentDiffers, ViolationNotFound,
    EntryNotFound, LifecycleForbids, or PermissionDenied for the caller's own reports; also an error of
    `database.CONFLICT` for a taken revision.
    """
    stored = _read_stored(reader, batch)
    unrecorded = [item for item in batch if item.entry.entry_id not in stored]
    repeated_ids = [
        item.entry.entry_id for item in batch if item.kind in _KINDS_WITH_CONSEQUENCES and item.entry.entry_id in stored
    ]
    last = last_entry(reader.connection)
    now = time_at_end(present.clock, last.record_time)
    if last.record_time > now:
        _refuse_future(batch, stored, now)
    refuse_own_reports(reader, unrecorded)
    new_batch = Batch(reader, last, present, unrecorded)
    results = _add_unless_stored(reader, batch, stored, new_batch)
    new_entries = new_batch.derivation.new_entries
    sequence = last.sequence + new_batch.insert()
    if affected := find_affected_by_links(reader, new_entries):
        sequence += follow_links(reader, affected, present)
    unfinished = new_batch.known.unfinished
    positions = [progress_position(reader.marketplace, entry_id, last) for entry_id, last in unfinished.items()]
    for source_position in positions if position is None else [*positions, position]:
        record_position(reader.connection, source_position, sequence)
    interrupted = [entry.entry_id for entry in find_unfinished_among(reader, repeated_ids)]
    return BatchResult(results, [*unfinished, *interrupted])


def _add_unless_stored(
    reader: RowReader, batch: Sequence[PreparedEntry], stored: dict[str, _StoredEntry], new_batch: Batch
) -> list[AppendedEntry]:
    """Add the unstored entries to `new_batch`; answer each stored one as it was answered before."""
    resealed = _find_resealed_duplicates(reader, batch, stored)
    _refuse_differing(batch, stored, resealed)
    results: list[AppendedEntry] = []
    differing: dict[int, _StoredEntry] = {}
    for index, item in enumerate(batch):
        entry_id = item.entry.entry_id
        earlier = stored.get(entry_id)
        if earlier is None:
            try:
                results.append(new_batch.add(item, index))
            except SellertrustError:
                if differing:
                    break  # it may follow from the entry that was left out
                raise
            stored[entry_id] = _StoredEntry(results[-1], item.digest)
        elif earlier.digest == item.digest or index in resealed:
            results.append(earlier.appended._replace(already_present=True, erased=resealed.get(index, False)))
        else:
            differing[index] = earlier
    if differing:
        raise _content_differs_error(batch, differing)
    return results


def refuse_own_reports_early(database: Database, marketplace: str, batch: Sequence[PreparedEntry]) -> None:
    """Raise PermissionDenied for decisions about the caller's own reports, before the lock, which others need."""
    if needs_own_report_check(batch):
        with database.read() as connection:
            reader = RowReader(connection, marketplace)
            stored = _read_stored(reader, batch)
            refuse_own_reports(reader, [item for item in batch if item.entry.entry_id not in stored])


def find_overtaken(reader: RowReader, condition: BulkCondition) -> set[str]:
    """Return the ids of unrecorded entries whose violations got another decision since `condition` was seen.

    Raises EntryContentDiffers if another bulk decision has the id.
    """
    require_same_decision(reader, condition.decision_id, condition.decision_prefix, condition.selection_prefix)
    decisions = read_decisions(reader, [violation for violation, _ in condition.decisions.values()])
    overtaken = set()
    for entry_id, (violation, count) in condition.decisions.items():
        changes = decisions.get(violation, ())
        if len(changes) != count and all(change.entry_id != entry_id for change in changes):
            overtaken.add(entry_id)
    return overtaken


def _refuse_differing(
    batch: Sequence[PreparedEntry], stored: Mapping[str, _StoredEntry], resealed: Mapping[int, bool]
) -> None:
    """Raise EntryContentDiffers, but for `resealed` places: their stored texts are sealed, and equal."""
    differing = {}
    for index, item in enumerate(batch):
        earlier = stored.get(item.entry.entry_id)
        if earlier and earlier.digest != item.digest and index not in resealed:
            differing[index] = earlier
    if differing:
        raise _content_differs_error(batch, differing)


def _content_differs_error(
    batch: Sequence[PreparedEntry], differing: Mapping[int, _StoredEntry]
) -> EntryContentDiffers:
    texts = {
        index: f"{batch[index].entry.entry_id!r} has other content (sequence {earlier.appended.sequence}); give a new"
        " fact a new entry_id"
        for index, earlier in differing.items()
    }
    first = min(texts)
    entry_id = batch[first].entry.entry_id
    return EntryContentDiffers(texts[first], {"entry_id": entry_id}, ("entries", first, "entry_id"), texts)


def _refuse_future(batch: Sequence[PreparedEntry], stored: Mapping[str, _StoredEntry], now: int) -> None:
    """Raise InvalidInput for an unstored entry whose times lie after `now`."""
    for index, item in enumerate(batch):
        if item.entry.entry_id not in stored:
            prepare(item.entry, now, ("entries", index))


def find_taken_revision(reader: RowReader, batch: Sequence[PreparedEntry]) -> ExposureRevisionTaken | None:
    """Return the error if another entry stated the same day, category and revision, on record or in the batch."""
    id_by_day: dict[tuple[object, ...], str] = {}
    for index, item in enumerate(batch):
        fact, entry_id = item.entry.fact, item.entry.entry_id
        if not isinstance(fact, ExposureStated | FlowStated):
            continue
        values = (reader.marketplace, item.entry.seller, fact.day, fact.product_category, fact.revision)
        stating_id = id_by_day.setdefault((item.kind, *values), entry_id)
        if stating_id == entry_id:
            key = dict(zip(_REVISION_KEY, values, strict=True))
            stating_id = reader.connection.execute(_STATING_ENTRY[item.kind], key).scalar() or entry_id
        if stating_id != entry_id:
            text = (
                f"this day, product category and revision were stated by the entry {stating_id!r}; state the day again with"
                " a higher revision"
            )
            if item.kind is Kind.FLOW:
                return FlowRevisionTaken(text, {"entry_id": stating_id}, ("entries", index, "flow"))
            return ExposureRevisionTaken(text, {"entry_id": stating_id}, ("entries", index, "exposure"))
    return None


def _read_stored(reader: RowReader, batch: Sequence[PreparedEntry]) -> dict[str, _StoredEntry]:
    rows = reader.rows(_STORED_BY_ID, [item.entry.entry_id for item in batch])
    return {
        entry_id: _StoredEntry(AppendedEntry(entry_id, sequence, time, True, bool(is_pending)), bytes(digest))
        for entry_id, digest, sequence, time, is_pending in rows
    }


def _find_resealed_duplicates(
    reader: RowReader, batch: Sequence[PreparedEntry], stored: Mapping[str, _StoredEntry]
) -> dict[int, bool]:
    """Return the stored entries with an equal sealed text: by index in the batch, whether that text was erased.

    A key is in their stored digests, which differ from the batch's digests. After an erasure the unsealed part decides.
    """
    doubtful = {
        index: item
        for index, item in enumerate(batch)
        if item.sealed and (earlier := stored.get(item.entry.entry_id)) and earlier.digest != item.digest
    }
    rows = {row.entry_id: row for row in reader.rows(NAMED, {item.entry.entry_id for item in doubtful.values()})}
    keys = read_keys(reader, {row.seller for row in rows.values()})
    resealed: dict[int, bool] = {}
    for index, item in doubtful.items():
        row = rows[item.entry.entry_id]
        key_id, key = key_id_of(row.content), keys.get(row.seller)
        if key_id and (key is None or key.key_id != key_id):
            if remove_sealed(row.content) == item.content:
                resealed[index] = True
        elif key_id and key and keyed_digest(key, item.digest) == stored[item.entry.entry_id].digest:
            resealed[index] = False
    return resealed

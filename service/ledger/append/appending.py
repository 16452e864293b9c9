from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from scoring.base.enums import CaseState, Kind
from scoring.base.errors import (
    EntryContentDiffers,
    ExposureRevisionTaken,
    FieldViolation,
    FlowRevisionTaken,
    InvalidInput,
    invalid,
)
from scoring.entries.entry import Entry, PreparedEntry, prepare
from scoring.entries.field_types import ID_FORM, is_id
from scoring.entries.kinds.decisions import CaseChanged, ClockMended, MeasureChanged, SellerErased
from scoring.entries.kinds.settlement import FlowStated
from scoring.entries.kinds.trade import ExposureStated
from service.ledger.append.batch import Batch
from service.ledger.append.following import find_unfinished_among, position_after
from service.ledger.append.own_reports import may_decide_own, refuse_own
from service.ledger.clock.ledger_clock import last_entry
from service.ledger.clock.server_clock import Present
from service.ledger.database.database import Database
from service.ledger.database.expressions import HERE, among, of_kind
from service.ledger.database.row_reader import RowReader
from service.ledger.database.tables import ENTRY
from service.ledger.queries.entries import find_first_and_last_id
from service.ledger.queries.positions import record_position
from service.ledger.queries.violations import read_decisions
from service.ledger.records import Appended, AsSeen, Position
from service.ledger.seals.sealed_texts import key_id_of, keyed_digest, keys, plain_of

_E = ENTRY.c
_KNOWN = select(
    _E.entry_id, _E.digest, _E.sequence, _E.record_time, _E.status.is_(None) & (_E.kind == int(Kind.STATUS))
).where(HERE, among(_E.entry_id))
_STORED = select(_E.entry_id, _E.seller, _E.content).where(HERE, among(_E.entry_id))
_REVISION_KEY = ("marketplace", "seller", "exposure_day", "product_category", "revision")
_STATED_BY = {
    kind: select(_E.entry_id).where(of_kind(kind), *(_E[name] == bindparam(name) for name in _REVISION_KEY))
    for kind in (Kind.EXPOSURE, Kind.FLOW)
}

BULK_ID_PREFIX = "bulk~"

_BY_RULE = "must be empty: the service alone states what a policy's rules ask for"
_FOLLOWED = (Kind.STATUS, Kind.PRODUCT_VIOLATION)


@dataclass(frozen=True, slots=True)
class _Stored:
    appended: Appended
    digest: bytes


class AppendedBatch(NamedTuple):
    results: list[Appended]
    unfinished: list[str]
    """Ids of entries whose consequences later appends finish."""


def is_known(connection: Connection, marketplace: str, entry_id: str) -> bool:
    return bool(RowReader(connection, marketplace).rows(_KNOWN, [entry_id]))


def check_marketplace(marketplace: str) -> None:
    if not is_id(marketplace):
        raise invalid("marketplace", f"must be {ID_FORM}")


def refuse_output_only(
    entries: Sequence[Entry], imported: bool, *, by_rule: bool = False, in_bulk: bool = False
) -> None:
    """Raise InvalidInput, with each field, for what only the service may state.

    These are origins, measures of rules (unless `by_rule`), erasures and mended clocks; also report times, unless
    `imported`, and ids of bulk decisions, unless `imported` or `in_bulk`.
    """
    wrong = []
    for index, entry in enumerate(entries):
        if entry.report_time is not None and not imported:
            wrong.append(FieldViolation(("entries", index, "report_time"), "must be empty: only imports may set it"))
        if entry.origin:
            wrong.append(
                FieldViolation(("entries", index, "origin"), "must be empty: the ledger alone derives entries")
            )
        if entry.entry_id.startswith(BULK_ID_PREFIX) and not (in_bulk or imported):
            text = f"must not begin with {BULK_ID_PREFIX}: such ids are of bulk decisions"
            wrong.append(FieldViolation(("entries", index, "entry_id"), text))
        if isinstance(entry.fact, MeasureChanged) and not by_rule:
            stated = [name for name in ("rule", "policy", "at_sequence") if getattr(entry.fact, name)]
            wrong += [FieldViolation(("entries", index, "measure", name), _BY_RULE) for name in stated]
        if isinstance(entry.fact, CaseChanged) and not by_rule:
            wrong += [
                FieldViolation(("entries", index, "case", name), text)
                for name, text in _list_service_fields(entry.fact)
            ]
        if isinstance(entry.fact, SellerErased):
            wrong.append(FieldViolation(("entries", index, "erasure"), "is made by: sellertrust ledger erase"))
        if isinstance(entry.fact, ClockMended):
            wrong.append(FieldViolation(("entries", index, "clock"), "is made by: sellertrust ledger mend-clock"))
    if wrong:
        raise InvalidInput(wrong)


def _list_service_fields(fact: CaseChanged) -> Iterator[tuple[str, str]]:
    of_extension = () if fact.state is CaseState.EXTENDED else ("decide_by", "rests_on")
    names = ("rule", "caution_end", "policy", "at_sequence", *of_extension)
    yield from ((name, _BY_RULE) for name in names if getattr(fact, name))
    if fact.state in {CaseState.OPENED, CaseState.WITHDRAWN}:
        yield "state", "must be confirmed, ended or extended: the service opens cases, and withdraws them"


def append_batch(
    database: Database,
    connection: Connection,
    marketplace: str,
    batch: Sequence[PreparedEntry],
    present: Present,
    position: Position | None = None,
) -> "AppendedBatch":
    """Append the unrecorded entries, in order, and those derived from them; the caller locks and commits.

    With the entry's index it raises EntryContentDiffers, ViolationNotFound, EntryNotFound, LifecycleForbids, or
    PermissionDenied for the caller's own reports; also an error of `database.CONFLICT` for a taken revision.
    """
    sequence, last_time = last_entry(connection)
    known = _read_known(connection, marketplace, batch)
    resealed = _find_resealed_duplicates(connection, marketplace, batch, known)
    has_twins = len({item.entry.entry_id for item in batch}) < len(batch)
    if known:
        _refuse_differing(batch, known, resealed)
    fresh = [item for item in batch if item.entry.entry_id not in known]
    if last_time > present.at_end(last_time):
        _refuse_future(batch, known, present.at_end(last_time))
    refuse_own(connection, marketplace, fresh)
    new_batch, context = Batch.load_known(connection, marketplace, fresh, sequence + 1, last_time, present)
    results: list[Appended] = []
    for index, item in enumerate(batch):
        entry_id = item.entry.entry_id
        found = known.get(entry_id)
        if found is None:
            appended = new_batch.add(item, index)
            if has_twins:
                known[entry_id] = _Stored(appended._replace(already_present=True), item.digest)
            results.append(appended)
            continue
        if has_twins and found.digest != item.digest and index not in resealed:
            raise _content_differs_error(batch, {index: found})
        results.append(found.appended._replace(erased=resealed.get(index, False)))
    sequence += new_batch.insert(database, connection)
    for entry_id, reached in context.unfinished.items():
        record_position(connection, position_after(marketplace, entry_id, reached), sequence)
    if position is not None:
        record_position(connection, position, sequence)
    repeated_ids = [item.entry.entry_id for item in batch if item.kind in _FOLLOWED and item.entry.entry_id in known]
    unfinished = [
        *context.unfinished,
        *(left.entry_id for left in find_unfinished_among(connection, marketplace, repeated_ids)),
    ]
    return AppendedBatch(results, unfinished)


def refuse_own_early(database: Database, marketplace: str, batch: Sequence[PreparedEntry]) -> None:
    """Raise PermissionDenied for decisions about the caller's own reports, before the lock: tries hold up no one."""
    if may_decide_own(batch):
        with database.read() as connection:
            known = _read_known(connection, marketplace, batch)
            refuse_own(connection, marketplace, [item for item in batch if item.entry.entry_id not in known])


def find_overtaken(connection: Connection, marketplace: str, seen: AsSeen) -> set[str]:
    """Return the ids of a bulk decision's entries whose violations got another decision.

    Raises EntryContentDiffers if another bulk decision has the id.
    """
    for name in find_first_and_last_id(connection, marketplace, seen.prefix, seen.prefix + "g"):
        if not name.startswith(seen.own):
            raise decision_id_taken_error(seen.decision_id, name)
    found = read_decisions(RowReader(connection, marketplace), [violation for violation, _ in seen.decisions.values()])
    return {
        entry_id
        for entry_id, (violation, count) in seen.decisions.items()
        if len(changes := found.get(violation, ())) != count and all(change.entry_id != entry_id for change in changes)
    }


def decision_id_taken_error(decision_id: str, entry_id: str) -> EntryContentDiffers:
    return EntryContentDiffers(
        f"{decision_id!r} stands for another action, sample or selection; give a new decision a new id",
        {"entry_id": entry_id},
        ("decision_id",),
    )


def _refuse_differing(
    batch: Sequence[PreparedEntry], known: Mapping[str, _Stored], resealed: Mapping[int, bool]
) -> None:
    differing = {
        index: found
        for index, item in enumerate(batch)
        if (found := known.get(item.entry.entry_id)) and found.digest != item.digest and index not in resealed
    }
    if differing:
        raise _content_differs_error(batch, differing)


def _content_differs_error(batch: Sequence[PreparedEntry], stored: Mapping[int, _Stored]) -> EntryContentDiffers:
    texts = {
        index: f"{batch[index].entry.entry_id!r} stands for other content (sequence {found.appended.sequence}); give a new"
        " fact a new entry_id"
        for index, found in stored.items()
    }
    first = min(texts)
    entry_id = batch[first].entry.entry_id
    return EntryContentDiffers(texts[first], {"entry_id": entry_id}, ("entries", first, "entry_id"), texts)


def _refuse_future(batch: Sequence[PreparedEntry], known: dict[str, _Stored], now: int) -> None:
    for index, item in enumerate(batch):
        if item.entry.entry_id not in known:
            prepare(item.entry, now, ("entries", index))


def taken_revision(
    connection: Connection, marketplace: str, batch: Sequence[PreparedEntry]
) -> ExposureRevisionTaken | None:
    """Return the error if another entry stated the same day, category and revision, on record or in the batch; else
    None.

    The same entry id again is no clash.
    """
    stated: dict[tuple[object, ...], str] = {}
    for index, item in enumerate(batch):
        fact, entry_id = item.entry.fact, item.entry.entry_id
        if not isinstance(fact, ExposureStated | FlowStated):
            continue
        key = {
            "seller": item.entry.seller,
            "exposure_day": fact.day,
            "product_category": fact.product_category,
            "revision": fact.revision,
        }
        other = stated.setdefault((item.kind, *key.values()), entry_id)
        if other == entry_id:
            other = connection.execute(_STATED_BY[item.kind], {"marketplace": marketplace, **key}).scalar() or entry_id
        if other != entry_id:
            text = (
                f"this day, product category and revision were stated by the entry {other!r}; state the day again with a"
                " higher revision"
            )
            if isinstance(fact, FlowStated):
                return FlowRevisionTaken(text, {"entry_id": other}, ("entries", index, "flow"))
            return ExposureRevisionTaken(text, {"entry_id": other}, ("entries", index, "exposure"))
    return None


def _read_known(connection: Connection, marketplace: str, batch: Sequence[PreparedEntry]) -> dict[str, _Stored]:
    rows = RowReader(connection, marketplace).rows(_KNOWN, [item.entry.entry_id for item in batch])
    return {
        entry_id: _Stored(Appended(entry_id, sequence, time, True, bool(is_pending)), bytes(digest))
        for entry_id, digest, sequence, time, is_pending in rows
    }


def _find_resealed_duplicates(
    connection: Connection, marketplace: str, batch: Sequence[PreparedEntry], known: dict[str, _Stored]
) -> dict[int, bool]:
    """Return the known entries with an equal sealed text: by index in the batch, whether that text was erased.

    A key is in their stored digests, which differ from those of the batch. After an erasure the unsealed part decides.
    """
    doubtful = [
        (index, item)
        for index, item in enumerate(batch)
        if item.sealed and (found := known.get(item.entry.entry_id)) and found.digest != item.digest
    ]
    if not doubtful:
        return {}
    rows = RowReader(connection, marketplace).rows(_STORED, {item.entry.entry_id for _, item in doubtful})
    stored = {row.entry_id: row for row in rows}
    held = keys(connection, marketplace, {row.seller for row in stored.values()})
    resealed: dict[int, bool] = {}
    for index, item in doubtful:
        _, seller, content = stored[item.entry.entry_id]
        key_id, key = key_id_of(content), held.get(seller)
        if key_id and (key is None or key[0] != key_id):
            if plain_of(content) == item.content:
                resealed[index] = True
        elif key_id and key and keyed_digest(key[1], item.digest) == known[item.entry.entry_id].digest:
            resealed[index] = False
    return resealed

"""Appending a valid batch while the lock is held: what is known already, what is allowed, what is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, text

from scoring.entries import ExposureStated, IdentityVerified, PreparedEntry, StatusChanged, ViolationReported
from scoring.errors import EntryContentDiffers, ExposureRevisionTaken, LifecycleForbids, ViolationNotFound, invalid
from scoring.lifecycle import allowed_actions, next_status
from scoring.words import Action, Severity, Status
from service.ledger.database import Database, Texts, among
from service.ledger.records import Appended
from service.ledger.seals import seal
from service.ledger.tables import ENTRY

_E = ENTRY.c
_LAST = select(_E.sequence, _E.record_time).order_by(_E.sequence.desc()).limit(1)
_KNOWN = select(_E.entry_id, _E.digest, _E.sequence, _E.record_time).where(
    _E.marketplace == bindparam("marketplace"), among(_E.entry_id, bindparam("ids", type_=Texts()))
)
_STANDINGS = (
    select(_E.violation, _E.seller, _E.severity, _E.status)
    .where(
        _E.marketplace == bindparam("marketplace"),
        _E.violation.is_not(None),  # said, so that the partial index serves
        among(_E.violation, bindparam("violations", type_=Texts())),
    )
    .order_by(_E.violation, _E.sequence)
)
_REVISION_KEY = ("marketplace", "seller", "exposure_day", "product_category", "revision")
_STATED_BY = select(_E.entry_id).where(
    text("kind = 3"),  # no parameter, so that the partial index serves
    *(_E[name] == bindparam(name) for name in _REVISION_KEY),
)


@dataclass(slots=True)
class _Standing:
    """A violation as it stands at the end of the ledger, then within the batch."""

    seller: str
    severity: int
    status: int


def last(connection: Connection) -> tuple[int, int]:
    """(sequence, record_time) of the last entry; (0, 0) if there is none."""
    row = connection.execute(_LAST).first()
    return (0, 0) if row is None else (row[0], row[1])


def append_batch(
    database: Database, connection: Connection, marketplace: str, batch: Sequence[PreparedEntry], now: int
) -> list[Appended]:
    """Appends what is not there yet, in order. The caller holds the lock, and commits.

    EntryContentDiffers, ViolationNotFound, LifecycleForbids, InvalidInput for another seller than the violation's;
    each names the entry by its index. One of `database.CONFLICT` if an exposure's revision is taken.
    """
    sequence, last_time = last(connection)
    # Later than all before, so that "known before t" is one set for ever, also of appends in one microsecond.
    record_time = max(now, last_time + 1)
    known, digests = _known(connection, marketplace, batch)
    standings = _standings(connection, marketplace, [item for item in batch if item.entry.entry_id not in known])
    rows: list[tuple[Any, ...]] = []
    results: list[Appended] = []
    for index, item in enumerate(batch):
        entry = item.entry
        found = known.get(entry.entry_id)
        if found is not None:
            if digests[entry.entry_id] != item.digest:
                raise EntryContentDiffers(
                    f"entries[{index}].entry_id: {entry.entry_id!r} stands for other content (sequence"
                    f" {found.sequence}); give a new fact a new entry_id",
                    {"entry_id": entry.entry_id},
                )
            results.append(found._replace(already_present=True))
            continue
        sequence += 1
        seller, facts = _columns(item, index, standings)
        occur_time = record_time if item.occur_time is None else item.occur_time
        report_time = record_time if entry.report_time is None else entry.report_time
        head = (sequence, marketplace, seller, entry.entry_id, int(item.kind), occur_time, report_time, record_time)
        rows.append(head + facts + (item.content, item.digest))
        result = Appended(entry.entry_id, sequence, record_time, False)
        known[entry.entry_id], digests[entry.entry_id] = result, item.digest
        results.append(result)
    if rows:
        database.insert(connection, rows)
        seal(connection, rows)
    return results


def taken_revision(
    connection: Connection, marketplace: str, batch: Sequence[PreparedEntry]
) -> ExposureRevisionTaken | None:
    """The first exposure of a refused batch whose day, product category and revision another entry has stated."""
    stated: dict[tuple[object, ...], str] = {}
    for index, item in enumerate(batch):
        fact, entry_id = item.entry.fact, item.entry.entry_id
        if not isinstance(fact, ExposureStated):
            continue
        key = {
            "seller": item.entry.seller,
            "exposure_day": fact.day,
            "product_category": fact.product_category,
            "revision": fact.revision,
        }
        other = stated.setdefault(tuple(key.values()), entry_id)
        if other == entry_id:
            other = connection.execute(_STATED_BY, {"marketplace": marketplace, **key}).scalar() or entry_id
        if other != entry_id:
            return ExposureRevisionTaken(
                f"entries[{index}].exposure: this day, product category and revision were stated by the entry"
                f" {other!r}; state the day again with a higher revision",
                {"entry_id": other},
            )
    return None


def _known(
    connection: Connection, marketplace: str, batch: Sequence[PreparedEntry]
) -> tuple[dict[str, Appended], dict[str, bytes]]:
    """Of the batch's entries those that are there, and their digests, by entry id."""
    ids = [item.entry.entry_id for item in batch]
    rows = connection.execute(_KNOWN, {"marketplace": marketplace, "ids": ids}).all()
    known = {entry_id: Appended(entry_id, sequence, time, True) for entry_id, _, sequence, time in rows}
    return known, {entry_id: bytes(digest) for entry_id, digest, _, _ in rows}


def _standings(connection: Connection, marketplace: str, batch: Sequence[PreparedEntry]) -> dict[str, _Standing]:
    """The recorded violations that the batch changes, by id, after every change so far."""
    changed = list({fact.violation for item in batch if isinstance(fact := item.entry.fact, StatusChanged)})
    standings: dict[str, _Standing] = {}
    if not changed:
        return standings
    for violation, seller, severity, status in connection.execute(
        _STANDINGS, {"marketplace": marketplace, "violations": changed}
    ):
        standing = standings.setdefault(violation, _Standing(seller, severity, status))
        standing.severity = severity or standing.severity
        standing.status = status
    return standings


_NO_VIOLATION = _NO_EXPOSURE = (None,) * 5


def _columns(
    item: PreparedEntry, index: int, standings: dict[str, _Standing]
) -> tuple[str, tuple[str | int | None, ...]]:
    """The seller, and the columns from `violation` to `identity_level`. Keeps `standings` as of this entry."""
    entry, fact = item.entry, item.entry.fact
    if isinstance(fact, ExposureStated):
        exposure = (fact.day, fact.product_category, fact.revision, fact.settled_orders, fact.service_failures)
        return entry.seller, _NO_VIOLATION + exposure + (None,)
    if isinstance(fact, IdentityVerified):
        return entry.seller, _NO_VIOLATION + _NO_EXPOSURE + (int(fact.level),)
    if isinstance(fact, ViolationReported):
        severity, status = int(item.severity or 0), int(item.status or 0)
        standings[entry.entry_id] = _Standing(entry.seller, severity, status)
        return entry.seller, (
            entry.entry_id,
            fact.incident or entry.entry_id,
            item.category,
            severity,
            status,
            *_NO_EXPOSURE,
            None,
        )
    standing = _decide(fact, entry.seller, f"entries[{index}]", standings)
    reduced = None if fact.severity is None else int(fact.severity)
    return standing.seller, (fact.violation, None, None, reduced, standing.status, *_NO_EXPOSURE, None)


def _decide(fact: StatusChanged, seller: str, path: str, standings: dict[str, _Standing]) -> _Standing:
    """The violation after the change."""
    standing = standings.get(fact.violation)
    if standing is None:
        raise ViolationNotFound(
            f"{path}.status.violation: no violation {fact.violation!r} is recorded; report it first",
            {"violation": fact.violation},
        )
    if seller not in {"", standing.seller}:
        raise invalid(f"{path}.seller", f"must be empty or the violation's seller, {standing.seller!r}")
    status = Status(standing.status)
    try:
        following = next_status(status, Action(fact.action))
    except LifecycleForbids as error:
        raise LifecycleForbids(f"{path}.status.action: {error.message}", error.metadata) from None
    if fact.severity is not None and fact.severity >= standing.severity:
        allowed = ", ".join(a.name.lower() for a in allowed_actions(status))
        raise LifecycleForbids(
            f"{path}.status.severity: a reduction leaves less than the present severity,"
            f" {Severity(standing.severity).name.lower()}",
            {"status": status.name, "allowed": allowed},
        )
    standing.status = int(following)
    standing.severity = int(fact.severity or standing.severity)
    return standing

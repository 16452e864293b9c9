"""Consequences of one entry in several appends, for example a recall for very many sellers.

Each append derives up to `known.CHUNK` entries and commits its progress in `source_position`.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from scoring.base.enums import Kind
from scoring.entries.derivation_context import ProductReport
from scoring.entries.kinds.conduct import ProductViolationReported
from service.ledger.append.batch import Batch
from service.ledger.append.known import (
    CHANGES,
    KnownContext,
    load_decisions,
    load_listings,
    load_reached,
    load_reached_sellers,
)
from service.ledger.clock.ledger_clock import last_entry
from service.ledger.clock.mending import read_mended_times
from service.ledger.clock.server_clock import Present
from service.ledger.database.tables import NAMED, SOURCE_POSITION, RowReader, among, read_fact
from service.ledger.queries.positions import record_position
from service.ledger.records import Position

PREFIX = "follow:"

DONE = 2**63 - 1
_P = SOURCE_POSITION.c
_OPEN = (
    select(_P.source, func.max(_P.next_position))
    .where(_P.source >= PREFIX, _P.source < "follow;")
    .group_by(_P.source)
    .having(func.max(_P.next_position) < DONE)
)


class UnfinishedEntry(NamedTuple):
    marketplace: str
    entry_id: str
    after: int
    """The sequence of the last finished listing or violation."""


def position_after(marketplace: str, entry_id: str, sequence: int) -> Position:
    """Return how far an entry's consequences are derived: up to the listing or violation at `sequence`; 0: all."""
    return Position(f"{PREFIX}{marketplace}/{entry_id}", 0, sequence or DONE)


def find_unfinished(connection: Connection) -> list[UnfinishedEntry]:
    """Return the entries whose consequences are not all derived."""
    return [_unfinished_of(*row) for row in connection.execute(_OPEN)]


def _unfinished_of(source: str, after: int) -> UnfinishedEntry:
    marketplace, _, entry_id = source.removeprefix(PREFIX).partition("/")
    return UnfinishedEntry(marketplace, entry_id, after)


def find_unfinished_among(reader: RowReader, entry_ids: Iterable[str]) -> list[UnfinishedEntry]:
    """Return those of the entries whose consequences are not all derived."""
    names = [position_after(reader.marketplace, entry_id, 0).source for entry_id in entry_ids]
    return [_unfinished_of(*row) for row in reader.rows(_OPEN.where(among(_P.source)), names)]


def derive_next(connection: Connection, unfinished: UnfinishedEntry, present: Present) -> None:
    """Append an entry's consequences for the next `known.CHUNK` sellers, and record the progress; the caller commits."""
    sequence, last_time = last_entry(connection)
    reader = RowReader(connection, unfinished.marketplace)
    batch = Batch(unfinished.marketplace, KnownContext(), sequence + 1, last_time, present)
    with read_mended_times(connection, present.mendings):
        [entry] = reader.rows(NAMED, [unfinished.entry_id])
        derive = _derive_violations if entry.kind == Kind.PRODUCT_VIOLATION else _repeat_decisions
        reached = derive(reader, batch, unfinished.after, entry)
    sequence += batch.insert(reader)
    record_position(connection, position_after(unfinished.marketplace, unfinished.entry_id, reached), sequence)


def _derive_violations(reader: RowReader, batch: Batch, after: int, entry: Any) -> int:
    fact: ProductViolationReported = read_fact(entry)
    report = ProductReport(entry.entry_id, entry.occur_time, entry.report_time, fact)
    listings, reached = load_listings(reader, fact.product, after)
    load_reached_sellers(reader, batch.known, [(report, listing.seller) for listing in listings])
    batch.known.product_decisions = load_decisions(reader, CHANGES, [entry.entry_id])
    for listing in listings:
        batch.derivation.derive_violation(report, listing)
    return reached


def _repeat_decisions(reader: RowReader, batch: Batch, after: int, entry: Any) -> int:
    report: str = read_fact(entry).violation
    batch.known.product_decisions = load_decisions(reader, CHANGES, [report])
    reached = load_reached(reader, batch.known, report, after)
    for violation in batch.known.derived_violations.get(report, {}).values():
        batch.derivation.repeat_decisions(report, violation)
    return reached

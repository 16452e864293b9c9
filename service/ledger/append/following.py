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
    load_decisions,
    load_derived_violations,
    load_listings,
    load_sellers_with_violation,
)
from service.ledger.clock.ledger_clock import last_entry
from service.ledger.clock.mending import read_mended_times
from service.ledger.clock.server_clock import Present
from service.ledger.database.tables import NAMED, SOURCE_POSITION, RowReader, among, read_fact
from service.ledger.queries.positions import record_position
from service.ledger.records import Position

SOURCE_PREFIX = "follow:"

_AFTER_PREFIX = "follow;"
ALL_DERIVED = 2**63 - 1
_P = SOURCE_POSITION.c
_UNFINISHED = (
    select(_P.source, func.max(_P.next_position))
    .where(_P.source >= SOURCE_PREFIX, _P.source < _AFTER_PREFIX)
    .group_by(_P.source)
    .having(func.max(_P.next_position) < ALL_DERIVED)
)


class UnfinishedEntry(NamedTuple):
    marketplace: str
    entry_id: str
    after: int
    """The sequence of the last finished listing or violation."""


def progress_position(marketplace: str, entry_id: str, sequence: int) -> Position:
    """Return the position that records how far an entry's consequences are derived.

    Up to the listing or violation at `sequence`; 0: all.
    """
    return Position(f"{SOURCE_PREFIX}{marketplace}/{entry_id}", 0, sequence or ALL_DERIVED)


def find_unfinished(connection: Connection) -> list[UnfinishedEntry]:
    return [_parse_unfinished(*row) for row in connection.execute(_UNFINISHED)]


def _parse_unfinished(source: str, after: int) -> UnfinishedEntry:
    marketplace, _, entry_id = source.removeprefix(SOURCE_PREFIX).partition("/")
    return UnfinishedEntry(marketplace, entry_id, after)


def find_unfinished_among(reader: RowReader, entry_ids: Iterable[str]) -> list[UnfinishedEntry]:
    """Return those of the entries whose consequences are not all derived."""
    names = [progress_position(reader.marketplace, entry_id, 0).source for entry_id in entry_ids]
    return [_parse_unfinished(*row) for row in reader.rows(_UNFINISHED.where(among(_P.source)), names)]


def derive_next(connection: Connection, unfinished: UnfinishedEntry, present: Present) -> None:
    """Append an entry's consequences for the next `known.CHUNK` sellers, and record the progress; the caller commits."""
    last, reader = last_entry(connection), RowReader(connection, unfinished.marketplace)
    batch = Batch(reader, last, present)
    with read_mended_times(connection, present.mendings):
        [entry] = reader.rows(NAMED, [unfinished.entry_id])
        derive = _derive_violations if entry.kind == Kind.PRODUCT_VIOLATION else _repeat_decisions
        last_derived = derive(reader, batch, unfinished.after, entry)
    position = progress_position(unfinished.marketplace, unfinished.entry_id, last_derived)
    record_position(connection, position, last.sequence + batch.insert())


def _derive_violations(reader: RowReader, batch: Batch, after: int, entry: Any) -> int:
    """Add the violations of the next listings of a recalled product; return the last listing's sequence."""
    fact: ProductViolationReported = read_fact(entry)
    report = ProductReport(entry.entry_id, entry.occur_time, entry.report_time, fact)
    listings, last_derived = load_listings(reader, fact.product, after)
    load_sellers_with_violation(reader, batch.known, [(report, listing.seller) for listing in listings])
    batch.known.product_decisions = load_decisions(reader, CHANGES, [entry.entry_id])
    for listing in listings:
        batch.derivation.derive_violation(report, listing)
    return last_derived


def _repeat_decisions(reader: RowReader, batch: Batch, after: int, entry: Any) -> int:
    """Add a product's decisions to its next derived violations; return the last one's sequence."""
    report: str = read_fact(entry).violation
    batch.known.product_decisions = load_decisions(reader, CHANGES, [report])
    last_derived = load_derived_violations(reader, batch.known, report, after)
    for violation in batch.known.derived_violations.get(report, {}).values():
        batch.derivation.repeat_decisions(report, violation)
    return last_derived

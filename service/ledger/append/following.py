"""Consequences of one entry in several appends, for example a recall for very many sellers.

Each append derives up to `known.CHUNK` entries and commits its progress in `source_position`.
"""

from typing import cast

from sqlalchemy import Connection, bindparam, func, select

from scoring.base.enums import Kind
from scoring.entries.derivation_context import ProductReport
from scoring.entries.entry import entry_from_content
from scoring.entries.kinds.conduct import ProductViolationReported, StatusChanged
from service.ledger.append.batch import Batch
from service.ledger.append.known import KnownContext, load_changes, load_listings, load_reached, load_reached_sellers
from service.ledger.clock.mending import read_mended_times
from service.ledger.clock.server_clock import Present
from service.ledger.database.database import Database
from service.ledger.database.expressions import Texts, among
from service.ledger.database.tables import ENTRY, SOURCE_POSITION
from service.ledger.records import Position

PREFIX = "follow:"

DONE = 2**63 - 1
_E, _P = ENTRY.c, SOURCE_POSITION.c
_ENTRY = select(_E.kind, _E.entry_id, _E.seller, _E.occur_time, _E.report_time, _E.content).where(
    _E.marketplace == bindparam("marketplace"), _E.entry_id == bindparam("name")
)
_OPEN = (
    select(_P.source, func.max(_P.next_position))
    .where(_P.source >= PREFIX, _P.source < "follow;")
    .group_by(_P.source)
    .having(func.max(_P.next_position) < DONE)
)


def source_of(marketplace: str, entry_id: str) -> str:
    return f"{PREFIX}{marketplace}/{entry_id}"


def position_after(marketplace: str, entry_id: str, sequence: int) -> Position:
    """Return the position of progress up to the listing or violation `sequence`; 0: the end."""
    return Position(source_of(marketplace, entry_id), 0, sequence or DONE)


def find_unfinished(connection: Connection) -> list[tuple[str, str, int]]:
    found = connection.execute(_OPEN).all()
    return [(*source.removeprefix(PREFIX).split("/", 1), after) for source, after in found]


def find_unfinished_among(connection: Connection, marketplace: str, entry_ids: list[str]) -> list[tuple[str, str, int]]:
    names = [source_of(marketplace, entry_id) for entry_id in entry_ids]
    query = _OPEN.where(among(_P.source, bindparam("names", type_=Texts())))
    found = connection.execute(query, {"names": names}).all() if names else ()
    return [(marketplace, source.removeprefix(f"{PREFIX}{marketplace}/"), after) for source, after in found]


def follow_on(
    database: Database,
    connection: Connection,
    marketplace: str,
    entry_id: str,
    after: int,
    last: tuple[int, int],
    present: Present,
) -> tuple[int, int]:
    """Append the next part of what is derived from an entry, under the caller's lock.

    Returns (the ledger's last sequence, that of the last finished listing or violation, or 0 at the end). `after`: the
    latter of the part before.
    """
    sequence, last_time = last
    with read_mended_times(connection, present.mendings):
        kind, *stated = connection.execute(_ENTRY, {"marketplace": marketplace, "name": entry_id}).one()
    met = KnownContext()
    batch = Batch(marketplace, met, sequence + 1, last_time, present)
    part = _recall if kind == Kind.PRODUCT_VIOLATION else _decision
    with read_mended_times(connection, present.mendings):
        more = part(connection, marketplace, met, batch, after, *stated)
    return sequence + batch.insert(database, connection), more


def _recall(
    connection: Connection,
    marketplace: str,
    met: KnownContext,
    batch: Batch,
    after: int,
    entry_id: str,
    _: str,
    occur_time: int,
    report_time: int,
    content: str,
) -> int:
    fact = cast(ProductViolationReported, entry_from_content(entry_id, content).fact)
    report = ProductReport(entry_id, occur_time, report_time, fact)
    listings, more = load_listings(connection, marketplace, fact.product, after)
    load_reached_sellers(connection, marketplace, met, [(report, listing.seller) for listing in listings])
    met.product_decisions = load_changes(connection, marketplace, [entry_id])
    for listing in listings:
        batch.derivation.derive_violation(report, listing)
    return more


def _decision(
    connection: Connection,
    marketplace: str,
    met: KnownContext,
    batch: Batch,
    after: int,
    _entry_id: str,
    _seller: str,
    _occur_time: int,
    _report_time: int,
    content: str,
) -> int:
    report = cast(StatusChanged, entry_from_content("", content).fact).violation
    met.product_decisions = load_changes(connection, marketplace, [report])
    more = load_reached(connection, marketplace, met, report, after)
    for violation in met.derived_violations.get(report, {}).values():
        batch.derivation.repeat_decisions(report, violation)
    return more

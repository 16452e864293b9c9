"""Very many entries by one SQL statement, for benchmarks and tests of plans and migrations."""

import time

from sqlalchemy import Connection, select, text

from scoring.entries.entry import prepare
from service.ledger.database.tables import ENTRY
from service.ledger.seals.chain import LAST_SEAL, MAX_SEALED, leaf_of, seal
from tests.helpers.builders import NOW, exposure, violation

COLUMNS = (
    "sequence, marketplace, seller, entry_id, kind, occur_time, report_time, record_time, violation, incident, category,"
    " severity, status, exposure_day, product_category, revision, settled_orders, service_failures, content, digest"
)

_DAY = 86_400_000_000
_NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :entries) SELECT i FROM n",
    "postgresql": "SELECT i FROM generate_series(1, CAST(:entries AS bigint)) AS n(i)",
}
_DIGEST = {"sqlite": "randomblob(32)", "postgresql": "sha256(i::text::bytea)"}


def insert_entries(connection: Connection, entries: int, *, small: str = "small") -> None:
    """Insert unsealed entries: nine tenths days with orders, one tenth alleged violations.

    One in 500 is in the marketplace `small`, one in 5,000 in one of some tiny ones, all others in one huge marketplace
    with 10,000 sellers.
    """
    name = connection.dialect.name
    is_violation = "i % 10 = 0"
    contents = {kind: prepare(entry, NOW).content for kind, entry in (("a", violation()), ("b", exposure()))}
    connection.execute(
        text(f"""
            INSERT INTO entry ({COLUMNS})
            SELECT i, CASE WHEN i % 500 = 1 THEN :small WHEN i % 5000 = 2 THEN 'tiny' || (i % 7) ELSE 'huge' END,
                's' || (i % 10000), 'e' || i, CASE WHEN {is_violation} THEN 1 ELSE 3 END,
                CASE WHEN {is_violation} THEN 1000000 + i ELSE (i / 10000) * {_DAY} END, 1000000 + i, :recorded + i,
                CASE WHEN {is_violation} THEN 'e' || i END, CASE WHEN {is_violation} THEN 'e' || i END,
                CASE WHEN {is_violation} THEN 1 END, CASE WHEN {is_violation} THEN 2 END, CASE WHEN {is_violation} THEN 1 END,
                CASE WHEN {is_violation} THEN NULL ELSE i / 10000 END, CASE WHEN {is_violation} THEN NULL ELSE '' END,
                CASE WHEN {is_violation} THEN NULL ELSE i END, CASE WHEN {is_violation} THEN NULL ELSE 50 END,
                CASE WHEN {is_violation} THEN NULL ELSE 1 END, CASE WHEN {is_violation} THEN :a ELSE :b END, {_DIGEST[name]}
            FROM ({_NUMBERS[name]}) AS numbers
        """),
        {"entries": entries, "small": small, "recorded": time.time_ns() // 1000 - entries - 10**6} | contents,
    )


def seal_entries(connection: Connection) -> None:
    while True:
        found = connection.execute(LAST_SEAL).first()
        after = found.last_sequence if found else 0
        unsealed = select(ENTRY).where(ENTRY.c.sequence > after).order_by(ENTRY.c.sequence).limit(MAX_SEALED)
        if not (rows := connection.execute(unsealed).all()):
            return
        seal(connection, rows[0].sequence, [leaf_of(row) for row in rows])

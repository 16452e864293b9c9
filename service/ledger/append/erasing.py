"""Erasure removes a seller's sealed texts; the facts that count stay, and the chain still verifies.

Backups and PostgreSQL's archived journal still hold the key.
"""

import time
from contextlib import suppress

from sqlalchemy import Connection, delete, exc, select

from scoring.base.errors import ErasureRefused, LedgerUnavailable, seller_not_found
from scoring.entries.entry import Entry, prepare
from service.ledger.append.appending import append_batch, is_recorded
from service.ledger.append.linking import void_links
from service.ledger.clock.server_clock import Present
from service.ledger.database.database import Database
from service.ledger.database.drivers import INSUFFICIENT_PRIVILEGE, sqlstate_of
from service.ledger.database.tables import ENTRY, SELLER_KEY, RowReader
from service.ledger.records import AppendedEntry

JOURNAL_PATIENCE_SECONDS = 5


def erase(database: Database, marketplace: str, entry: Entry, present: Present) -> AppendedEntry:
    """Append an erasure and delete the seller's key, in one transaction; a retry deletes no key made since.

    Raises as `Ledger.erase`.
    """
    item = prepare(entry, present.clock)
    entries_of_seller = select(ENTRY.c.sequence).where(
        ENTRY.c.marketplace == marketplace, ENTRY.c.seller == entry.seller
    )
    with database.write() as connection:
        if connection.execute(entries_of_seller.limit(1)).first() is None:
            raise seller_not_found(marketplace, entry.seller)
        reader = RowReader(connection, marketplace)
        if not is_recorded(reader, entry.entry_id):
            void_links(reader, item.entry, present)
        [appended] = append_batch(reader, [item], present).results
        if not appended.already_present:
            _delete_key(connection, marketplace, entry.seller)
    _remove_deleted_bytes(database, entry.entry_id)
    return appended


def _delete_key(connection: Connection, marketplace: str, seller: str) -> None:
    try:
        connection.execute(
            delete(SELLER_KEY).where(SELLER_KEY.c.marketplace == marketplace, SELLER_KEY.c.seller == seller)
        )
    except exc.ProgrammingError as error:
        if sqlstate_of(error.orig) == INSUFFICIENT_PRIVILEGE:
            raise ErasureRefused(
                "this database role may not delete the keys of sellers, so it erases nobody; use one that may: the tables'"
                " owner grants it by `sellertrust ledger upgrade --role ROLE --eraser ROLE`"
            ) from None
        raise


def _remove_deleted_bytes(database: Database, entry_id: str) -> None:
    """Have the database overwrite the deleted key's bytes. Raises LedgerUnavailable, after which a retry finishes."""
    if database.is_sqlite:
        deadline = time.monotonic() + JOURNAL_PATIENCE_SECONDS
        while any(busy for busy, _, _ in database.maintain("PRAGMA wal_checkpoint(TRUNCATE)")):
            if time.monotonic() > deadline:
                raise LedgerUnavailable(
                    "the erasure is on record and the seller's key deleted, but the bytes of the key are still in the"
                    " database's journal, since a process reads it without end; once that has ended, finish the erasure by"
                    f" the same call, with the entry id {entry_id}"
                )
            time.sleep(0.1)
        return
    with suppress(exc.ProgrammingError):
        database.maintain("VACUUM (FULL) seller_key")

"""Erasure: a seller's sealed texts go, the facts that count stay, and the chain still verifies.

The key is deleted in the transaction that appends the erasure; afterwards its bytes are driven out of what the database
keeps of deleted rows. Backups and PostgreSQL's archived journal keep the key for as long as they are kept.
"""

import time
from contextlib import suppress

import psycopg
from sqlalchemy import Connection, delete, exc, select

from scoring.base.errors import ErasureRefused, LedgerUnavailable, seller_not_found
from scoring.entries.entry import Entry, prepare
from scoring.entries.kinds.decisions import SellerErased
from service.ledger.append import appending
from service.ledger.clock.server_clock import Present
from service.ledger.database.database import Database
from service.ledger.database.tables import ENTRY, SELLER_KEY
from service.ledger.records import Appended

PATIENCE = 5
"""Seconds for which an erasure waits for those who still read SQLite's journal."""


def erase(database: Database, marketplace: str, entry: Entry, present: Present) -> Appended:
    """Append an erasure and delete the seller's key, in one transaction; return the appended.

    InvalidInput names every wrong field; raises SellerNotFound if nothing is on record of the seller; ErasureRefused if the
    database role may not delete keys; LedgerUnavailable,
    with how to finish, if all of that is done but SQLite's journal still holds the key, since somebody reads it. A retry
    by the same entry id finishes, and deletes no key made since. TypeError if the entry states another fact.
    """
    if not isinstance(entry.fact, SellerErased):
        raise TypeError("an erasure states SellerErased")
    item = prepare(entry, present.clock)
    of_seller = select(ENTRY.c.sequence).where(ENTRY.c.marketplace == marketplace, ENTRY.c.seller == entry.seller)
    with database.write() as connection:
        if connection.execute(of_seller.limit(1)).first() is None:
            raise seller_not_found(marketplace, entry.seller)
        [appended] = appending.append_batch(database, connection, marketplace, [item], present).results
        if not appended.already_present:  # a retry leaves alone what was stated since
            _delete_key(connection, marketplace, entry.seller)
    _drive_out(database, entry.entry_id)
    return appended


def _delete_key(connection: Connection, marketplace: str, seller: str) -> None:
    """Delete a seller's key. ErasureRefused if the role may not."""
    try:
        connection.execute(
            delete(SELLER_KEY).where(SELLER_KEY.c.marketplace == marketplace, SELLER_KEY.c.seller == seller)
        )
    except exc.ProgrammingError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise ErasureRefused(
                "this database role may not delete the keys of sellers, so it erases nobody; use one that may: the tables'"
                " owner grants it by `sellertrust ledger upgrade --role ROLE --eraser ROLE`"
            ) from None
        raise


def _drive_out(database: Database, entry_id: str) -> None:
    """Remove deleted bytes from the disk.

    SQLite overwrites them (`secure_delete`) and empties its journal; PostgreSQL writes the table anew.
    """
    if database.is_sqlite:
        deadline = time.monotonic() + PATIENCE
        while any(busy for busy, _, _ in database.maintain("PRAGMA wal_checkpoint(TRUNCATE)")):
            if time.monotonic() > deadline:
                raise LedgerUnavailable(
                    "the erasure is on record and the seller's key deleted, but the bytes of the key are still in the"
                    " database's journal, since a process reads it without end; once that has ended, finish the erasure by"
                    f" the same call, with the entry id {entry_id}"
                )
            time.sleep(0.1)
        return
    with suppress(exc.ProgrammingError):  # only who may maintain the table can; autovacuum comes to it in time
        database.maintain("VACUUM (FULL) seller_key")

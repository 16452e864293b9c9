"""Erasure: a seller's sealed texts go, the facts that count stay, and the chain still verifies.

The key is deleted in the transaction that appends the erasure; afterwards its bytes are driven out of what the database
keeps of deleted rows. Backups and PostgreSQL's archived journal keep the key for as long as they are kept.
"""

from contextlib import suppress

from sqlalchemy import delete, exc

from scoring.entries import Entry, prepare
from scoring.kinds import SellerErased
from service.ledger import appending
from service.ledger.database import Database
from service.ledger.records import Appended
from service.ledger.tables import SELLER_KEY


def erase(database: Database, marketplace: str, entry: Entry, now: int) -> Appended:
    """Appends the erasure and deletes the seller's key, together. InvalidInput names every wrong field."""
    if not isinstance(entry.fact, SellerErased):
        raise TypeError("an erasure states SellerErased")
    item = prepare(entry, now)
    with database.write() as connection:
        [appended] = appending.append_batch(database, connection, marketplace, [item], now)
        if not appended.already_present:  # a retry leaves alone what was stated since
            here = (SELLER_KEY.c.marketplace == marketplace, SELLER_KEY.c.seller == entry.seller)
            connection.execute(delete(SELLER_KEY).where(*here))
    _drive_out(database)
    return appended


def _drive_out(database: Database) -> None:
    """Deleted bytes: SQLite overwrites them (`secure_delete`) and empties its journal; PostgreSQL writes the table anew."""
    if database.is_sqlite:
        database.maintain("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with suppress(exc.ProgrammingError):  # only who may maintain the table can; autovacuum comes to it in time
        database.maintain("VACUUM (FULL) seller_key")

"""The base of the ledger's parts that read."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from service.ledger.database.database import Database


class Reads:
    """The base of a part of the ledger that only reads."""

    _database: Database

    if TYPE_CHECKING:

        def _reading(self, sequence: int) -> AbstractContextManager[Connection]: ...

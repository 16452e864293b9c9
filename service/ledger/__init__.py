"""The ledger store: one append-only table of entries, on SQLite or PostgreSQL.

`Ledger` is all that the rest of the service sees of it, with `upgrade` and `schema_state` for the operator.
"""

from service.ledger.identities import StatedMatch
from service.ledger.notifiers import Selection
from service.ledger.reading import EXPORT_COLUMNS
from service.ledger.records import Appended, Cut, Position, RecordedEntry, ViolationView
from service.ledger.schema import SchemaState, schema_state, upgrade
from service.ledger.store import Ledger, wall_clock

__all__ = [
    "EXPORT_COLUMNS",
    "Appended",
    "Cut",
    "Ledger",
    "Position",
    "RecordedEntry",
    "SchemaState",
    "Selection",
    "StatedMatch",
    "ViolationView",
    "schema_state",
    "upgrade",
    "wall_clock",
]

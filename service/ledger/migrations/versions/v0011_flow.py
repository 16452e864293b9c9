"""Indexes of flow, and of what terms rest on: measures, deposits, claims, stopped payouts and complaints.

The release before may write on. It cannot list entries of the new kinds: append none while one is still running.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
writable_by = "0004"


def upgrade() -> None:
    """Upgrade from 0010."""
    key = ("marketplace", "seller", "exposure_day", "product_category", "revision")
    _index("entry_flow_once", key, "kind = 22", unique=True)
    _index("entry_on_terms", ("marketplace", "seller", "sequence", "kind"), "kind IN (16, 23, 24, 25, 26, 27)")


def _index(name: str, columns: tuple[str, ...], where: str, *, unique: bool = False) -> None:
    partial = sa.text(where)
    op.create_index(name, "entry", columns, unique=unique, sqlite_where=partial, postgresql_where=partial)

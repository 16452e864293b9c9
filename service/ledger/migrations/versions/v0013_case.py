"""Indexes of cases of cautions, which are among what scores and terms rest on.

The release before may write on. It cannot list entries of the new kind: decide no case while one is still running.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
writable_by = "0004"


def upgrade() -> None:
    """Upgrade from 0012."""
    for name in ("entry_counting", "entry_on_terms"):
        op.drop_index(name, "entry")
    counting = "(kind IN (2, 4, 5, 11, 17, 18, 19, 28) OR kind = 1 AND status = 3)"
    _index("entry_counting", ("marketplace", "seller", "sequence", "kind", "status"), counting)
    _index("entry_on_terms", ("marketplace", "seller", "sequence", "kind"), "kind IN (16, 23, 24, 25, 26, 27, 28)")
    _index("entry_cases", ("marketplace", "sequence"), "kind = 28")


def _index(name: str, columns: tuple[str, ...], where: str) -> None:
    partial = sa.text(where)
    op.create_index(name, "entry", columns, sqlite_where=partial, postgresql_where=partial)

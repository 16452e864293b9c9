"""An index of what a score may read: without it a score read every entry of its seller.

20,000 ratings, which no score uses, cost 240 ms a score. Older code writes on, since the database keeps an index by
itself; it reads by the index that it knows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
writable_by = "0004"

_COUNTING = sa.text("kind IN (1, 2, 3, 4, 5, 11, 17, 18, 19)")


def upgrade() -> None:
    """From 0004."""
    key = ("marketplace", "seller", "sequence", "kind")  # the kind, so that SQLite counts by the index alone
    op.create_index("entry_counting", "entry", key, sqlite_where=_COUNTING, postgresql_where=_COUNTING)

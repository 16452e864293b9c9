"""Indexes of what a score may read: without them a score read every entry of its seller.

20,000 ratings, which no score uses, cost 240 ms a score. Exposure, which most entries are, has an index already. Allegations
have an index of their own, the gravest at its end, so that however many are made of a seller, a score reads so many of them
and counts the others. Older code writes on, since the database keeps indexes by itself; it reads by those that it knows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
writable_by = "0004"

_INDEXES = (
    (
        "entry_counting",
        ("marketplace", "seller", "sequence", "kind", "status"),
        "(kind IN (2, 4, 5, 11, 17, 18, 19) OR kind = 1 AND status = 3)",
    ),
    (
        "entry_alleged",
        ("marketplace", "seller", "severity", "sequence", "occur_time", "report_time", "kind", "status"),
        "kind = 1 AND status = 1",
    ),
)


def upgrade() -> None:
    """Upgrade from 0004."""
    for name, columns, condition in _INDEXES:
        op.create_index(name, "entry", columns, sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))

"""Who called, authenticated, beside what an entry states of its actor.

A column that may be NULL: the release before may write on, whose entries then have no principal.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
writable_by = "0004"


def upgrade() -> None:
    """Upgrade from 0007."""
    op.add_column("entry", sa.Column("principal", sa.Text().with_variant(sa.Text(collation="C"), "postgresql")))

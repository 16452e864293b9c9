"""An index of inspections and disputes, which scores now read. Older code writes on, and reads none of them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
writable_by = "0004"


def upgrade() -> None:
    """Upgrade from 0006."""
    condition = sa.text("kind IN (7, 8)")
    columns = ("marketplace", "seller", "sequence", "kind")
    op.create_index("entry_found", "entry", columns, sqlite_where=condition, postgresql_where=condition)

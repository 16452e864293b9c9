"""An index to page through one marketplace's entries.

Without it SQLite sorts the whole marketplace for every page and every chunk of an export: 52 ms for a page of 200,000
entries, with it 1.3 ms.
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Upgrade from 0002."""
    op.create_index("entry_of_marketplace", "entry", ("marketplace", "sequence"))

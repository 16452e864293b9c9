"""Indexes of links between sellers, and of complaints."""

from alembic import op

revision, down_revision, writable_by = "0101", "0100", "0100"


def upgrade() -> None:
    op.execute("CREATE INDEX entry_links ON entry (marketplace, seller, sequence) WHERE kind = 14")
    op.execute("CREATE INDEX entry_complaints ON entry (marketplace, sequence) WHERE kind = 26")

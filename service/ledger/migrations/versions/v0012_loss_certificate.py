"""Columns of policy_move: the loss certificate that a commit rests on, its assumptions, and what was accepted.

They may be NULL, which the release before neither reads nor writes: it may go on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
writable_by = "0004"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Upgrade from 0011."""
    for name, kind in (
        ("certificate", _TEXT),
        ("assumptions", _TEXT),
        ("accepted", sa.Text()),
        ("assumptions_content", sa.Text()),
    ):
        op.add_column("policy_move", sa.Column(name, kind))

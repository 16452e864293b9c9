"""The table of the policies that were committed, and of which one was served when.

A table more, which the release before neither reads nor writes: it may go on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
writable_by = "0004"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_REFUSAL = "the ledger is append-only: which policy was served when stands"
_CHECKS = {
    "policy_move_number": "number >= 1",
    "policy_move_action": "action BETWEEN 1 AND 3",
    "policy_move_digest": "length(digest) = 64",
}
_SQLITE = (
    f"CREATE TRIGGER policy_move_no_update BEFORE UPDATE ON policy_move BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    f"CREATE TRIGGER policy_move_no_delete BEFORE DELETE ON policy_move BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
)
_POSTGRESQL = (
    "CREATE TRIGGER policy_move_no_change BEFORE UPDATE OR DELETE ON policy_move FOR EACH ROW"
    " EXECUTE FUNCTION entry_append_only()",
    "CREATE TRIGGER policy_move_no_truncate BEFORE TRUNCATE ON policy_move FOR EACH STATEMENT"
    " EXECUTE FUNCTION entry_append_only()",
)


def upgrade() -> None:
    """Upgrade from 0009."""
    op.create_table(
        "policy_move",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False),
        sa.Column("action", sa.SmallInteger, nullable=False),
        sa.Column("digest", _TEXT, nullable=False),
        sa.Column("move_time", sa.BigInteger, nullable=False),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("principal", "actor", "reason", "proposal")),
        sa.Column("content", sa.Text),
        sa.PrimaryKeyConstraint("number"),
        *(sa.CheckConstraint(text, name=name) for name, text in _CHECKS.items()),
    )
    where = sa.text("content IS NOT NULL")
    op.create_index(
        "policy_move_content_once", "policy_move", ["digest"], unique=True, sqlite_where=where, postgresql_where=where
    )
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)

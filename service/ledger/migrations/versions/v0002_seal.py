"""The table of seals: every batch of entries under a Merkle root, and every root under the chain of all before it.

Old releases do not know the table and would append without sealing, so this one cannot be written by them: its
version is refused there. Entries of before are sealed here, by runs of at most 10,000.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_REFUSAL = "the ledger is append-only: seals are never changed"
_CHECKS = {
    "seal_range": "first_sequence >= 1 AND last_sequence >= first_sequence",
    "seal_root": "length(root) = 32",
    "seal_chain": "length(chain) = 32",
}
_SQLITE = (
    f"CREATE TRIGGER seal_no_update BEFORE UPDATE ON seal BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    f"CREATE TRIGGER seal_no_delete BEFORE DELETE ON seal BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
)
_POSTGRESQL = (
    "CREATE TRIGGER seal_no_change BEFORE UPDATE OR DELETE ON seal FOR EACH ROW EXECUTE FUNCTION entry_append_only()",
    "CREATE TRIGGER seal_no_truncate BEFORE TRUNCATE ON seal FOR EACH STATEMENT EXECUTE FUNCTION entry_append_only()",
)


def upgrade() -> None:
    """Upgrade from 0001."""
    op.create_table(
        "seal",
        sa.Column("first_sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False),
        sa.Column("last_sequence", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("chain", sa.LargeBinary, nullable=False),
        sa.Column("leaves", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("first_sequence"),
        *(sa.CheckConstraint(text, name=name) for name, text in _CHECKS.items()),
    )
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
    # Imported here: the chain is defined once, and this migration seals by that definition.
    from service.ledger.seals import seal_unsealed

    seal_unsealed(op.get_bind())

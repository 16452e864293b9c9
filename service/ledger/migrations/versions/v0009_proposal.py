"""The table of proposals: what needs two persons, and who stands behind it.

A table more, which the release before neither reads nor writes: it may go on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
writable_by = "0004"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_REFUSAL = "the ledger is append-only: what was proposed and approved stands"
_CHECKS = {
    "proposal_number": "number >= 1",
    "proposal_step": "step BETWEEN 1 AND 4",
    "proposal_first": "(step = 1) = (method IS NOT NULL) AND (step = 1) = (expire_time IS NOT NULL)"
    " AND (step = 1) = (digest IS NOT NULL)",
    "proposal_digest": "length(digest) = 32",
}
_SQLITE = (
    f"CREATE TRIGGER proposal_no_update BEFORE UPDATE ON proposal BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    f"CREATE TRIGGER proposal_no_delete BEFORE DELETE ON proposal BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
)
_POSTGRESQL = (
    "CREATE TRIGGER proposal_no_change BEFORE UPDATE OR DELETE ON proposal FOR EACH ROW"
    " EXECUTE FUNCTION entry_append_only()",
    "CREATE TRIGGER proposal_no_truncate BEFORE TRUNCATE ON proposal FOR EACH STATEMENT"
    " EXECUTE FUNCTION entry_append_only()",
)


def upgrade() -> None:
    """Upgrade from 0008."""
    op.create_table(
        "proposal",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("marketplace", "proposal")),
        sa.Column("step", sa.SmallInteger, nullable=False),
        sa.Column("step_time", sa.BigInteger, nullable=False),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("principal", "seller")),
        sa.Column("method", _TEXT),
        sa.Column("expire_time", sa.BigInteger),
        sa.Column("digest", sa.LargeBinary),
        sa.Column("content", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        *(sa.CheckConstraint(text, name=name) for name, text in _CHECKS.items()),
    )
    _index("proposal_once", ("marketplace", "proposal"), unique=True, where="step = 1")
    _index("proposal_steps", ("marketplace", "proposal", "number"))
    _index("proposal_of_marketplace", ("marketplace", "number"), where="step = 1")
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)


def _index(name: str, columns: tuple[str, ...], *, unique: bool = False, where: str | None = None) -> None:
    partial = None if where is None else sa.text(where)
    op.create_index(name, "proposal", columns, unique=unique, sqlite_where=partial, postgresql_where=partial)

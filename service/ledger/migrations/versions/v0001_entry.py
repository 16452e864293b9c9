"""The table of entries, and the triggers that keep it append-only."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_REFUSAL = "the ledger is append-only: a correction is another entry"

_CHECKS = {
    "entry_sequence": "sequence >= 1",
    "entry_occur_time": "occur_time >= 0 AND occur_time <= record_time",
    "entry_report_time": "report_time >= 0 AND report_time <= record_time",
    "entry_digest": "length(digest) = 32",
    "entry_kind": "kind BETWEEN 1 AND 4",
    "entry_violation": "kind <> 1 OR (violation IS NOT NULL AND violation = entry_id AND incident IS NOT NULL"
    " AND category IS NOT NULL AND severity IS NOT NULL AND status IS NOT NULL AND status IN (1, 3))",
    "entry_status": "kind <> 2 OR (violation IS NOT NULL AND status IS NOT NULL AND status BETWEEN 2 AND 8"
    " AND (severity IS NOT NULL) = (status = 7))",
    "entry_exposure": "kind <> 3 OR (exposure_day IS NOT NULL AND occur_time = exposure_day * 86400000000"
    " AND product_category IS NOT NULL AND revision IS NOT NULL AND revision >= 0"
    " AND settled_orders IS NOT NULL AND service_failures IS NOT NULL"
    " AND service_failures BETWEEN 0 AND settled_orders)",
    "entry_identity": "kind <> 4 OR (identity_level IS NOT NULL AND identity_level BETWEEN 1 AND 4)",
    "entry_category": "category BETWEEN 1 AND 8",
    "entry_severity": "severity BETWEEN 1 AND 4",
}

_SQLITE = (
    f"CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    f"CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
)
_POSTGRESQL = (
    "CREATE FUNCTION entry_append_only() RETURNS trigger LANGUAGE plpgsql"
    f" AS $$BEGIN RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'restrict_violation'; END$$",
    "CREATE TRIGGER entry_no_change BEFORE UPDATE OR DELETE ON entry FOR EACH ROW EXECUTE FUNCTION entry_append_only()",
    "CREATE TRIGGER entry_no_truncate BEFORE TRUNCATE ON entry FOR EACH STATEMENT EXECUTE FUNCTION entry_append_only()",
)


def upgrade() -> None:
    """Upgrade from nothing."""
    op.create_table(
        "entry",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False),
        sa.Column("marketplace", _TEXT, nullable=False),
        sa.Column("seller", _TEXT, nullable=False),
        sa.Column("entry_id", _TEXT, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("occur_time", sa.BigInteger, nullable=False),
        sa.Column("report_time", sa.BigInteger, nullable=False),
        sa.Column("record_time", sa.BigInteger, nullable=False),
        sa.Column("violation", _TEXT),
        sa.Column("incident", _TEXT),
        sa.Column("category", sa.SmallInteger),
        sa.Column("severity", sa.SmallInteger),
        sa.Column("status", sa.SmallInteger),
        sa.Column("exposure_day", sa.Integer),
        sa.Column("product_category", _TEXT),
        sa.Column("revision", sa.Integer),
        sa.Column("settled_orders", sa.BigInteger),
        sa.Column("service_failures", sa.BigInteger),
        sa.Column("identity_level", sa.SmallInteger),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
        *(sa.CheckConstraint(text, name=name) for name, text in _CHECKS.items()),
    )
    _index("entry_id_once", "marketplace", "entry_id", unique=True)
    _index("entry_of_seller", "marketplace", "seller", "sequence")
    _index("entry_of_violation", "marketplace", "violation", "sequence", where="violation IS NOT NULL")
    _index("entry_reports", "marketplace", "sequence", where="kind = 1")
    _index("entry_recorded", "record_time", "sequence")
    key = ("marketplace", "seller", "exposure_day", "product_category", "revision")
    _index("entry_exposure_once", *key, unique=True, where="kind = 3")
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)


def _index(name: str, *columns: str, unique: bool = False, where: str | None = None) -> None:
    partial = None if where is None else sa.text(where)
    op.create_index(name, "entry", columns, unique=unique, sqlite_where=partial, postgresql_where=partial)

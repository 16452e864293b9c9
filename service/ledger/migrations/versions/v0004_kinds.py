"""Every kind of entry: columns for what they add to the fold, keys of sealed texts, positions of sources.

SQLite cannot change a CHECK, so there the table is written anew: 12 s for a million entries. Seals stay as they are,
since a leaf holds a later column only where it is not NULL. No older release may write on: it would not fold the new
kinds.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_REFUSAL = "the ledger is append-only: a correction is another entry"
_SAME = {
    "entry_sequence": "sequence >= 1",
    "entry_occur_time": "occur_time >= 0 AND occur_time <= record_time",
    "entry_report_time": "report_time >= 0 AND report_time <= record_time",
    "entry_digest": "length(digest) = 32",
    "entry_exposure": "kind <> 3 OR (exposure_day IS NOT NULL AND occur_time = exposure_day * 86400000000"
    " AND product_category IS NOT NULL AND revision IS NOT NULL AND revision >= 0"
    " AND settled_orders IS NOT NULL AND service_failures IS NOT NULL"
    " AND service_failures BETWEEN 0 AND settled_orders)",
    "entry_identity": "kind <> 4 OR (identity_level IS NOT NULL AND identity_level BETWEEN 1 AND 4)",
    "entry_category": "category BETWEEN 1 AND 8",
    "entry_severity": "severity BETWEEN 1 AND 4",
}
_OTHER = {
    "entry_kind": "kind >= 1",
    "entry_violation": "kind NOT IN (1, 13) OR (violation IS NOT NULL AND violation = entry_id AND incident IS NOT NULL"
    " AND category IS NOT NULL AND severity IS NOT NULL AND status IS NOT NULL AND status IN (1, 3))",
    "entry_status": "kind <> 2 OR (violation IS NOT NULL AND (status IS NULL OR (status BETWEEN 2 AND 8"
    " AND (severity IS NOT NULL) = (status = 7))))",
}
_NEW = {
    "entry_outcome": "kind NOT IN (5, 17, 18, 19) OR status IS NOT NULL",
    "entry_target": "kind NOT IN (12, 13, 18, 19) OR target IS NOT NULL",
    "entry_units": "units >= 0",
}
_ORDER = [
    *("sequence", "occur_time", "report_time", "digest", "kind", "violation", "status", "exposure", "identity"),
    *("category", "severity", "outcome", "target", "units"),
]
_INDEXES = (
    ("entry_id_once", ("marketplace", "entry_id"), True, None),
    ("entry_of_marketplace", ("marketplace", "sequence"), False, None),
    ("entry_of_seller", ("marketplace", "seller", "sequence"), False, None),
    ("entry_of_violation", ("marketplace", "violation", "sequence"), False, "violation IS NOT NULL"),
    ("entry_reports", ("marketplace", "sequence"), False, "kind = 1"),
    ("entry_recorded", ("record_time", "sequence"), False, None),
    (
        "entry_exposure_once",
        ("marketplace", "seller", "exposure_day", "product_category", "revision"),
        True,
        "kind = 3",
    ),
)


def upgrade() -> None:
    """Upgrade from 0003."""
    if op.get_bind().dialect.name == "sqlite":
        _write_anew()
    else:
        for column in _new_columns():
            op.add_column("entry", column)
        for name in _OTHER:
            op.drop_constraint(name, "entry")
        for name, condition in (_OTHER | _NEW).items():
            op.create_check_constraint(name, "entry", condition)
    _index("entry_of_target", ("marketplace", "target", "sequence"), False, "target IS NOT NULL")
    _index("entry_regroupings", ("marketplace", "seller", "sequence"), False, "kind = 18")
    _index("entry_pending", ("marketplace", "violation", "sequence"), False, "kind = 2 AND status IS NULL")
    _index("entry_of_notifier", ("marketplace", "notifier", "sequence"), False, "notifier IS NOT NULL")
    _create_tables()


def _new_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("notifier", _TEXT),
        sa.Column("target", _TEXT),
        sa.Column("units", sa.BigInteger),
        sa.Column("until_time", sa.BigInteger),
    ]


def _write_anew() -> None:
    for trigger in ("entry_no_update", "entry_no_delete"):
        op.execute(f"DROP TRIGGER {trigger}")
    for name, *_ in _INDEXES:
        op.drop_index(name, "entry")
    op.rename_table("entry", "entry_before")
    op.create_table(
        "entry",
        sa.Column("sequence", sa.Integer, autoincrement=False),
        *(sa.Column(name, _TEXT, nullable=False) for name in ("marketplace", "seller", "entry_id")),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("occur_time", "report_time", "record_time")),
        *(sa.Column(name, _TEXT) for name in ("violation", "incident")),
        *(sa.Column(name, sa.SmallInteger) for name in ("category", "severity", "status")),
        sa.Column("exposure_day", sa.Integer),
        sa.Column("product_category", _TEXT),
        sa.Column("revision", sa.Integer),
        *(sa.Column(name, sa.BigInteger) for name in ("settled_orders", "service_failures")),
        sa.Column("identity_level", sa.SmallInteger),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        *_new_columns(),
        sa.PrimaryKeyConstraint("sequence"),
        *(sa.CheckConstraint((_SAME | _OTHER | _NEW)[f"entry_{name}"], name=f"entry_{name}") for name in _ORDER),
    )
    op.execute("INSERT INTO entry SELECT *, NULL, NULL, NULL, NULL FROM entry_before ORDER BY sequence")
    op.drop_table("entry_before")
    for index in _INDEXES:
        _index(*index)
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER entry_no_{change.lower()} BEFORE {change} ON entry"
            f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )


def _create_tables() -> None:
    op.create_table(
        "seller_key",
        sa.Column("key_id", _TEXT, nullable=False),
        sa.Column("marketplace", _TEXT, nullable=False),
        sa.Column("seller", _TEXT, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("key_id"),
        sa.CheckConstraint("length(key) = 32", name="seller_key_length"),
    )
    op.create_index("seller_key_once", "seller_key", ("marketplace", "seller"), unique=True)
    op.create_table(
        "source_position",
        sa.Column("source", _TEXT, nullable=False),
        sa.Column("partition", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("next_position", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("source", "partition", "next_position"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER source_position_no_{change.lower()} BEFORE {change} ON source_position"
                f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )
        return
    for name, change, level in (("change", "UPDATE OR DELETE", "ROW"), ("truncate", "TRUNCATE", "STATEMENT")):
        op.execute(
            f"CREATE TRIGGER source_position_no_{name} BEFORE {change} ON source_position FOR EACH {level}"
            " EXECUTE FUNCTION entry_append_only()"
        )


def _index(name: str, columns: tuple[str, ...], unique: bool, where: str | None) -> None:
    partial = None if where is None else sa.text(where)
    op.create_index(name, "entry", columns, unique=unique, sqlite_where=partial, postgresql_where=partial)

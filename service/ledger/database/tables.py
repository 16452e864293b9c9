"""The ledger's tables, which Alembic's migrations make."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, LargeBinary, SmallInteger, Table, Text, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from scoring.base.enums import Kind, Status
from scoring.features.facts import COUNTING_KINDS
from scoring.features.findings import FINDING_KINDS


class TableBase(SQLModel, registry=registry()):
    """A separate registry, hence separate metadata."""


_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _index(name: str, *columns: str, unique: bool = False, where: str | None = None) -> Index:
    partial = None if where is None else text(where)
    return Index(name, *columns, unique=unique, sqlite_where=partial, postgresql_where=partial)


_SURE = ", ".join(str(int(kind)) for kind in sorted(COUNTING_KINDS - FINDING_KINDS - {Kind.VIOLATION, Kind.EXPOSURE}))
_REPORT = f"kind = {int(Kind.VIOLATION)} AND status ="
COUNTING = f"(kind IN ({_SURE}) OR {_REPORT} {int(Status.CONFIRMED)})"
FOUND = f"kind IN ({', '.join(str(int(kind)) for kind in sorted(FINDING_KINDS))})"
EXPOSED = f"kind = {int(Kind.EXPOSURE)}"
ALLEGED = f"{_REPORT} {int(Status.ALLEGED)}"
FLOWING = f"kind = {int(Kind.FLOW)}"
_TERMS = (Kind.MEASURE, Kind.DEPOSIT, Kind.PAYOUTS, Kind.CLAIM, Kind.COMPLAINT, Kind.COMPLAINT_DECISION, Kind.CASE)
CASES = f"kind = {int(Kind.CASE)}"
ON_TERMS = f"kind IN ({', '.join(str(int(kind)) for kind in _TERMS)})"
FACTS, ACTING = "kind < 1000", "kind > 1000"
LATER = f"kind > {int(max(Kind))} AND {FACTS}"
"""Queries repeat these conditions, without parameters."""


class EntryRow(TableBase, table=True):
    """One entry: typed columns for what is folded or looked up, canonical JSON for the whole.

    Times are microseconds since 1970; `exposure_day` is in days. A column is NULL if the kind lacks it. `violation`:
    for a report, its own `entry_id`. Every key but `sequence` begins with the marketplace, so that the table can be
    partitioned.

    `status`: the status after an entry (NULL: a pending change), or an outcome. `target`: what the entry is about or
    derived from. `until_time`: when it ends by itself. `principal`: NULL without a call. `content` holds personal data
    only under the seller's key.
    """

    __tablename__ = "entry"
    __table_args__ = (
        CheckConstraint("sequence >= 1", name="entry_sequence"),
        CheckConstraint("occur_time >= 0 AND occur_time <= record_time", name="entry_occur_time"),
        CheckConstraint("report_time >= 0 AND report_time <= record_time", name="entry_report_time"),
        CheckConstraint("length(digest) = 32", name="entry_digest"),
        CheckConstraint("kind >= 1", name="entry_kind"),
        CheckConstraint(
            "kind NOT IN (1, 13) OR (violation IS NOT NULL AND violation = entry_id AND incident IS NOT NULL"
            " AND category IS NOT NULL AND severity IS NOT NULL AND status IS NOT NULL AND status IN (1, 3))",
            name="entry_violation",
        ),
        CheckConstraint(
            "kind <> 2 OR (violation IS NOT NULL AND (status IS NULL OR (status BETWEEN 2 AND 8"
            " AND (severity IS NOT NULL) = (status = 7))))",
            name="entry_status",
        ),
        CheckConstraint(
            "kind <> 3 OR (exposure_day IS NOT NULL AND occur_time = exposure_day * 86400000000"
            " AND product_category IS NOT NULL AND revision IS NOT NULL AND revision >= 0"
            " AND settled_orders IS NOT NULL AND service_failures IS NOT NULL"
            " AND service_failures BETWEEN 0 AND settled_orders)",
            name="entry_exposure",
        ),
        CheckConstraint(
            "kind <> 4 OR (identity_level IS NOT NULL AND identity_level BETWEEN 1 AND 4)", name="entry_identity"
        ),
        CheckConstraint("category BETWEEN 1 AND 8", name="entry_category"),
        CheckConstraint("severity BETWEEN 1 AND 4", name="entry_severity"),
        CheckConstraint("kind NOT IN (5, 17, 18, 19) OR status IS NOT NULL", name="entry_outcome"),
        CheckConstraint("kind NOT IN (12, 13, 18, 19) OR target IS NOT NULL", name="entry_target"),
        CheckConstraint("units >= 0", name="entry_units"),
        _index("entry_id_once", "marketplace", "entry_id", unique=True),
        _index("entry_of_marketplace", "marketplace", "sequence"),
        _index("entry_of_seller", "marketplace", "seller", "sequence"),
        _index("entry_counting", "marketplace", "seller", "sequence", "kind", "status", where=COUNTING),
        _index(
            "entry_alleged",
            *("marketplace", "seller", "severity", "sequence", "occur_time", "report_time", "kind", "status"),
            where=ALLEGED,
        ),
        _index("entry_found", "marketplace", "seller", "sequence", "kind", where=FOUND),
        _index("entry_of_violation", "marketplace", "violation", "sequence", where="violation IS NOT NULL"),
        _index("entry_reports", "marketplace", "sequence", where="kind = 1"),
        _index("entry_of_target", "marketplace", "target", "sequence", where="target IS NOT NULL"),
        _index("entry_of_notifier", "marketplace", "notifier", "sequence", where="notifier IS NOT NULL"),
        _index("entry_pending", "marketplace", "violation", "sequence", where="kind = 2 AND status IS NULL"),
        _index("entry_regroupings", "marketplace", "seller", "sequence", where="kind = 18"),
        _index("entry_clock", "sequence", where="kind = 21"),
        _index("entry_recorded", "record_time", "sequence"),
        _index(
            "entry_exposure_once",
            *("marketplace", "seller", "exposure_day", "product_category", "revision"),
            unique=True,
            where=EXPOSED,
        ),
        _index(
            "entry_flow_once",
            *("marketplace", "seller", "exposure_day", "product_category", "revision"),
            unique=True,
            where=FLOWING,
        ),
        _index("entry_cases", "marketplace", "sequence", where=CASES),
        _index("entry_on_terms", "marketplace", "seller", "sequence", "kind", where=ON_TERMS),
        _index("entry_acts", "kind", "marketplace", "sequence", where=ACTING),
        _index("entry_later", "marketplace", "seller", "sequence", where=LATER),
    )

    # On SQLite only INTEGER makes a primary key the row's own key.
    sequence: int = Field(
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False)
    )
    marketplace: str = Field(sa_type=_TEXT)
    seller: str = Field(sa_type=_TEXT)
    entry_id: str = Field(sa_type=_TEXT)
    kind: int = Field(sa_type=SmallInteger)
    occur_time: int = Field(sa_type=BigInteger)
    report_time: int = Field(sa_type=BigInteger)
    record_time: int = Field(sa_type=BigInteger)
    violation: str | None = Field(default=None, sa_type=_TEXT)
    incident: str | None = Field(default=None, sa_type=_TEXT)
    category: int | None = Field(default=None, sa_type=SmallInteger)
    severity: int | None = Field(default=None, sa_type=SmallInteger)
    status: int | None = Field(default=None, sa_type=SmallInteger)
    exposure_day: int | None = Field(default=None, sa_type=Integer)
    product_category: str | None = Field(default=None, sa_type=_TEXT)
    revision: int | None = Field(default=None, sa_type=Integer)
    settled_orders: int | None = Field(default=None, sa_type=BigInteger)
    service_failures: int | None = Field(default=None, sa_type=BigInteger)
    identity_level: int | None = Field(default=None, sa_type=SmallInteger)
    content: str = Field(sa_type=Text)
    digest: bytes = Field(sa_type=LargeBinary)
    notifier: str | None = Field(default=None, sa_type=_TEXT)
    target: str | None = Field(default=None, sa_type=_TEXT)
    units: int | None = Field(default=None, sa_type=BigInteger)
    until_time: int | None = Field(default=None, sa_type=BigInteger)
    principal: str | None = Field(default=None, sa_type=_TEXT)


class SealRow(TableBase, table=True):
    """The seal of one batch (`service.ledger.seals.chain`).

    `leaves`: the first 8 bytes of each leaf, in order.
    """

    __tablename__ = "seal"
    __table_args__ = (
        CheckConstraint("first_sequence >= 1 AND last_sequence >= first_sequence", name="seal_range"),
        CheckConstraint("length(root) = 32", name="seal_root"),
        CheckConstraint("length(chain) = 32", name="seal_chain"),
    )

    first_sequence: int = Field(
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False)
    )
    last_sequence: int = Field(sa_type=BigInteger)
    root: bytes = Field(sa_type=LargeBinary)
    chain: bytes = Field(sa_type=LargeBinary)
    leaves: bytes = Field(sa_type=LargeBinary)


class SellerKeyRow(TableBase, table=True):
    """An erasure deletes it. `seller` is empty for products' facts."""

    __tablename__ = "seller_key"
    __table_args__ = (
        CheckConstraint("length(key) = 32", name="seller_key_length"),
        _index("seller_key_once", "marketplace", "seller", unique=True),
    )

    key_id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    marketplace: str = Field(sa_type=_TEXT)
    seller: str = Field(sa_type=_TEXT)
    key: bytes = Field(sa_type=LargeBinary)


class SourcePositionRow(TableBase, table=True):
    """A partition's committed position; the highest one counts.

    Reading goes on at `next_position`; `sequence` was then the ledger's last.
    """

    __tablename__ = "source_position"

    source: str = Field(sa_column=Column(_TEXT, primary_key=True))
    partition: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    next_position: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    sequence: int = Field(sa_type=BigInteger)


ENTRY: Table = TableBase.metadata.tables["entry"]
SEAL: Table = TableBase.metadata.tables["seal"]
SELLER_KEY: Table = TableBase.metadata.tables["seller_key"]
SOURCE_POSITION: Table = TableBase.metadata.tables["source_position"]

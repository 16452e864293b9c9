"""The ledger's tables, for queries. Alembic's migrations make them, with their checks, indexes and triggers."""

from sqlalchemy import BigInteger, Integer, LargeBinary, SmallInteger, Table, Text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from scoring.base.enums import Kind, Status
from scoring.features.facts import COUNTING_KINDS
from scoring.features.findings import FINDING_KINDS


class TableBase(SQLModel, registry=registry()):
    """A separate registry, hence separate metadata."""


_SURE = ", ".join(str(int(kind)) for kind in sorted(COUNTING_KINDS - FINDING_KINDS - {Kind.VIOLATION, Kind.EXPOSURE}))
_REPORT = f"kind = {int(Kind.VIOLATION)} AND status ="
COUNTING = f"(kind IN ({_SURE}) OR {_REPORT} {int(Status.CONFIRMED)})"
FOUND = f"kind IN ({', '.join(str(int(kind)) for kind in sorted(FINDING_KINDS))})"
EXPOSED = f"kind = {int(Kind.EXPOSURE)}"
ALLEGED = f"{_REPORT} {int(Status.ALLEGED)}"
FLOWING = f"kind = {int(Kind.FLOW)}"
_TERMS = (Kind.MEASURE, Kind.DEPOSIT, Kind.PAYOUTS, Kind.CLAIM, Kind.COMPLAINT, Kind.COMPLAINT_DECISION, Kind.CASE)
CASES = f"kind = {int(Kind.CASE)}"
COMPLAINTS = f"kind = {int(Kind.COMPLAINT)}"
ON_TERMS = f"kind IN ({', '.join(str(int(kind)) for kind in _TERMS)})"
FACTS, ACTING = "kind < 1000", "kind > 1000"
LATER = f"kind > {int(max(Kind))} AND {FACTS}"
"""The conditions of partial indexes; queries repeat them, without parameters."""


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

    sequence: int = Field(sa_type=BigInteger, primary_key=True)
    marketplace: str = Field(sa_type=Text)
    seller: str = Field(sa_type=Text)
    entry_id: str = Field(sa_type=Text)
    kind: int = Field(sa_type=SmallInteger)
    occur_time: int = Field(sa_type=BigInteger)
    report_time: int = Field(sa_type=BigInteger)
    record_time: int = Field(sa_type=BigInteger)
    violation: str | None = Field(default=None, sa_type=Text)
    incident: str | None = Field(default=None, sa_type=Text)
    category: int | None = Field(default=None, sa_type=SmallInteger)
    severity: int | None = Field(default=None, sa_type=SmallInteger)
    status: int | None = Field(default=None, sa_type=SmallInteger)
    exposure_day: int | None = Field(default=None, sa_type=Integer)
    product_category: str | None = Field(default=None, sa_type=Text)
    revision: int | None = Field(default=None, sa_type=Integer)
    settled_orders: int | None = Field(default=None, sa_type=BigInteger)
    service_failures: int | None = Field(default=None, sa_type=BigInteger)
    identity_level: int | None = Field(default=None, sa_type=SmallInteger)
    content: str = Field(sa_type=Text)
    digest: bytes = Field(sa_type=LargeBinary)
    notifier: str | None = Field(default=None, sa_type=Text)
    target: str | None = Field(default=None, sa_type=Text)
    units: int | None = Field(default=None, sa_type=BigInteger)
    until_time: int | None = Field(default=None, sa_type=BigInteger)
    principal: str | None = Field(default=None, sa_type=Text)


class SealRow(TableBase, table=True):
    """The seal of one batch (`service.ledger.seals.chain`).

    `leaves`: the first 8 bytes of each leaf, in order.
    """

    __tablename__ = "seal"

    first_sequence: int = Field(sa_type=BigInteger, primary_key=True)
    last_sequence: int = Field(sa_type=BigInteger)
    root: bytes = Field(sa_type=LargeBinary)
    chain: bytes = Field(sa_type=LargeBinary)
    leaves: bytes = Field(sa_type=LargeBinary)


class SellerKeyRow(TableBase, table=True):
    """An erasure deletes it. `seller` is empty for products' facts."""

    __tablename__ = "seller_key"

    key_id: str = Field(sa_type=Text, primary_key=True)
    marketplace: str = Field(sa_type=Text)
    seller: str = Field(sa_type=Text)
    key: bytes = Field(sa_type=LargeBinary)


class SourcePositionRow(TableBase, table=True):
    """A partition's committed position; the highest one counts.

    Reading goes on at `next_position`; `sequence` was then the ledger's last.
    """

    __tablename__ = "source_position"

    source: str = Field(sa_type=Text, primary_key=True)
    partition: int = Field(sa_type=Integer, primary_key=True)
    next_position: int = Field(sa_type=BigInteger, primary_key=True)
    sequence: int = Field(sa_type=BigInteger)


ENTRY: Table = TableBase.metadata.tables["entry"]
SEAL: Table = TableBase.metadata.tables["seal"]
SELLER_KEY: Table = TableBase.metadata.tables["seller_key"]
SOURCE_POSITION: Table = TableBase.metadata.tables["source_position"]

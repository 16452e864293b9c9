"""The ledger's tables, and the conditions and readers of its queries. Alembic's migrations make them."""

import json
from collections.abc import Collection, Sequence
from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Select,
    SmallInteger,
    Table,
    Text,
    TextClause,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import registry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel

from scoring.base.enums import Kind, Status
from scoring.base.frozen import frozen
from scoring.entries.entry import entry_from_content
from scoring.features.facts import COUNTING_KINDS
from scoring.features.findings import FINDING_KINDS
from service.ledger.records import Act

LongText = Annotated[str, Field(sa_type=Text)]
Int64 = Annotated[int, Field(sa_type=BigInteger)]
NullableText = Annotated[str | None, Field(sa_type=Text)]
NullableInt16 = Annotated[int | None, Field(sa_type=SmallInteger)]
NullableInt64 = Annotated[int | None, Field(sa_type=BigInteger)]


class TableBase(SQLModel, registry=registry()):
    """A separate registry, hence separate metadata."""


_COUNTING_KINDS = ", ".join(
    str(int(kind)) for kind in sorted(COUNTING_KINDS - FINDING_KINDS - {Kind.VIOLATION, Kind.EXPOSURE})
)
_REPORT = f"kind = {int(Kind.VIOLATION)} AND status ="
COUNTING = f"(kind IN ({_COUNTING_KINDS}) OR {_REPORT} {int(Status.CONFIRMED)})"
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
    marketplace: LongText
    seller: LongText
    entry_id: LongText
    kind: int = Field(sa_type=SmallInteger)
    occur_time: Int64
    report_time: Int64
    record_time: Int64
    violation: NullableText
    incident: NullableText
    category: NullableInt16
    severity: NullableInt16
    status: NullableInt16
    exposure_day: int | None
    product_category: NullableText
    revision: int | None
    settled_orders: NullableInt64
    service_failures: NullableInt64
    identity_level: NullableInt16
    content: LongText
    digest: bytes
    notifier: NullableText
    target: NullableText
    units: NullableInt64
    until_time: NullableInt64
    principal: NullableText


class SealRow(TableBase, table=True):
    """The seal of one batch (`service.ledger.seals.chain`).

    `leaves`: the first 8 bytes of each leaf, in order.
    """

    __tablename__ = "seal"

    first_sequence: int = Field(sa_type=BigInteger, primary_key=True)
    last_sequence: Int64
    root: bytes
    chain: bytes
    leaves: bytes


class SellerKeyRow(TableBase, table=True):
    """An erasure deletes it. `seller` is empty for products' facts."""

    __tablename__ = "seller_key"

    key_id: str = Field(sa_type=Text, primary_key=True)
    marketplace: LongText
    seller: LongText
    key: bytes


class SourcePositionRow(TableBase, table=True):
    """A partition's committed position; the highest one counts.

    Reading goes on at `next_position`; `sequence` was then the ledger's last.
    """

    __tablename__ = "source_position"

    source: str = Field(sa_type=Text, primary_key=True)
    partition: int = Field(primary_key=True)
    next_position: int = Field(sa_type=BigInteger, primary_key=True)
    sequence: Int64


ENTRY: Table = TableBase.metadata.tables["entry"]
SEAL: Table = TableBase.metadata.tables["seal"]
SELLER_KEY: Table = TableBase.metadata.tables["seller_key"]
SOURCE_POSITION: Table = TableBase.metadata.tables["source_position"]


class TextList(TypeDecorator[Sequence[str]]):
    """A list as one parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        return json.dumps(list(value or ())) if dialect.name == "sqlite" else list(value or ())


class _Among(FunctionElement[Any]):
    """SQLAlchemy's IN of 1,000 parameters took PostgreSQL 15 times as long."""

    # A Boolean type would append "... = 1" on SQLite, and no index serves that.
    inherit_cache = True


class _Member(FunctionElement[str]):
    type = Text()
    inherit_cache = True


class only(FunctionElement[Any]):  # noqa: N801 (used as a function)
    """Return the condition that the column has the value, for a query ordered by the column and another one.

    With `marketplace = m` PostgreSQL took 37 ms for nine entries among 300,000; with a list of one 0.3 ms.
    """

    inherit_cache = True


_FORMS: dict[type[FunctionElement[Any]], dict[str, str]] = {
    _Among: {"sqlite": "{} IN (SELECT value FROM json_each({}))", "postgresql": "{} = ANY ({})"},
    _Member: {
        "sqlite": "json_extract({}, '$.' || {})",
        # An old text with U+0000 would fail the query of all rows.
        "postgresql": "(replace({}, '\\u0000', '\\ufffd')::json ->> {})",
    },
    only: {"sqlite": "{} = {}", "postgresql": "{} = ANY (ARRAY[{}])"},
}


def _register_form(element: type[FunctionElement[Any]], dialect: str, form: str) -> None:
    @compiles(element, dialect)
    def write(function: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
        return form.format(*(compiler.process(clause, **options) for clause in function.clauses))


for _element, _forms in _FORMS.items():
    for _dialect, _form in _forms.items():
        _register_form(_element, _dialect, _form)


NAMES: BindParameter[Sequence[str]] = bindparam("names", type_=TextList())
SELLERS: BindParameter[Sequence[str]] = bindparam("sellers", type_=TextList())
HERE = ENTRY.c.marketplace == bindparam("marketplace")
ONLY_HERE = only(ENTRY.c.marketplace, bindparam("marketplace", type_=Text()))
UP_TO_LAST = ENTRY.c.sequence <= bindparam("last")
BEYOND = (HERE, ENTRY.c.sequence > bindparam("after"), UP_TO_LAST)
SEEN = (ENTRY.c.occur_time < bindparam("observe_time"), ENTRY.c.report_time < bindparam("observe_time"))
AS_OF_CUT = (UP_TO_LAST, *SEEN)
"""`LedgerClock.rows_as_of` binds `last` and `observe_time`."""


def among(column: ColumnElement[Any], texts: ColumnElement[Any] = NAMES) -> ColumnElement[bool]:
    """Return the condition that a column is one of the texts.

    It states that a nullable column is not NULL, so that a partial index serves.
    """
    is_among = _Among(column, texts)
    return and_(column.is_not(None), is_among) if isinstance(column, Column) and column.nullable else is_among


def select_distinct(column: Column[Any], *conditions: ColumnElement[bool]) -> Select[Any]:
    """Return the query of a column's next `limit` values after `after`, ascending, one step along an index for each."""
    lowest = select(func.min(column).label("value"))
    steps = lowest.where(*conditions, column > bindparam("after", type_=Text())).cte("steps", recursive=True)
    following = select(func.min(column)).where(*conditions, column > steps.c.value).scalar_subquery()
    steps = steps.union_all(select(following).where(steps.c.value.is_not(None)))
    return select(steps.c.value).where(steps.c.value.is_not(None)).limit(bindparam("limit"))


def of_kind(kind: Kind) -> TextClause:
    """Return the condition `kind = 3`, without a parameter, so that a partial index serves."""
    return text(f"kind = {int(kind)}")


def act_clause(act: Act) -> TextClause:
    """Return a condition such as `kind > 1000 AND kind = 1001`: the first half lets the partial index of acts serve."""
    return text(f"{ACTING} AND kind = {int(act)}")


def among_kinds(*kinds: Kind) -> ColumnElement[bool]:
    """Return the condition `kind = ? OR kind = ?`: with parameters, so that no partial index of a kind serves."""
    return or_(*(ENTRY.c.kind == int(kind) for kind in kinds))


def read_content(key: str) -> ColumnElement[str]:
    """Return the expression of a top-level value in the JSON content."""
    return _Member(ENTRY.c.content, literal_column(f"'{key}'"))


OF_SELLERS = among(ENTRY.c.seller.concat(""), SELLERS)
"""It keeps a database from walking along sellers where names are given."""


_NAMES = (
    *("sequence", "entry_id", "kind", "seller", "violation", "incident", "target", "severity", "status", "occur_time"),
    *("report_time", "record_time", "principal", "content"),
)
SELLERS_HERE = select(ENTRY.c.seller).distinct().where(HERE)
RECORDED = select(*(ENTRY.c[name] for name in _NAMES))
NAMED = RECORDED.where(HERE, among(ENTRY.c.entry_id))


def _select_by(column: Column[Any]) -> Select[Any]:
    return RECORDED.where(HERE, among(column)).order_by(column, ENTRY.c.sequence)


BY_SELLER, BY_VIOLATION, BY_TARGET = (_select_by(ENTRY.c[name]) for name in ("seller", "violation", "target"))


@frozen
class RowReader:
    """Reads rows of one marketplace, up to the sequence `last` and before `observe_time`, in an open transaction."""

    connection: Connection
    marketplace: str
    last: int = 2**63 - 1
    observe_time: int = 2**63 - 1

    def rows(self, query: Select[Any], names: Collection[str] = ("",), **values: Any) -> Sequence[Any]:
        """Return the rows of a query of `marketplace`, `last`, `observe_time` and `names`; none if `names` is empty."""
        if not names:
            return ()
        bounds = {"marketplace": self.marketplace, "last": self.last, "observe_time": self.observe_time}
        return self.connection.execute(query, {**bounds, "names": list(names), **values}).all()


def read_fact(row: Any) -> Any:
    """Return the fact in a row's content, without sealed texts."""
    return entry_from_content(row.entry_id, row.content).fact

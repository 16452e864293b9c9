import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Select,
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
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from scoring.base.enums import Kind
from service.ledger.database.tables import ACTING, ENTRY
from service.ledger.records import Act


class TextList(TypeDecorator[Sequence[str]]):
    """A list as one parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column's type: `text[]` on PostgreSQL, JSON text on SQLite."""
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        """Convert texts for the column; None becomes an empty list."""
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


def _register(element: type[FunctionElement[Any]], dialect: str, form: str) -> None:
    @compiles(element, dialect)
    def write(found: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
        return form.format(*(compiler.process(clause, **options) for clause in found.clauses))


for _element, _forms in _FORMS.items():
    for _dialect, _form in _forms.items():
        _register(_element, _dialect, _form)


NAMES: BindParameter[Sequence[str]] = bindparam("names", type_=TextList())
SELLERS: BindParameter[Sequence[str]] = bindparam("sellers", type_=TextList())
HERE = ENTRY.c.marketplace == bindparam("marketplace")
ONLY_HERE = only(ENTRY.c.marketplace, bindparam("marketplace", type_=Text()))
UP_TO_LAST = ENTRY.c.sequence <= bindparam("last")
SEEN = (ENTRY.c.occur_time < bindparam("observe_time"), ENTRY.c.report_time < bindparam("observe_time"))
AS_OF_CUT = (UP_TO_LAST, *SEEN)
"""`LedgerClock.rows_as_of` binds `last` and `observe_time`."""


def among(column: ColumnElement[Any], texts: ColumnElement[Any] = NAMES) -> ColumnElement[bool]:
    """Return the condition that a column is one of the texts.

    It states that a nullable column is not NULL, so that a partial index serves.
    """
    found = _Among(column, texts)
    return and_(column.is_not(None), found) if isinstance(column, Column) and column.nullable else found


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

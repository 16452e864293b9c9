"""Expressions that SQLite and PostgreSQL write differently: lists as one parameter, members of JSON, pages by an index."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Text, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from scoring.base.enums import Kind


class Texts(TypeDecorator[Sequence[str]]):
    """A list of texts as one parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        return json.dumps(list(value or ())) if dialect.name == "sqlite" else list(value or ())


class among(FunctionElement[Any]):  # noqa: N801 (used as a function)
    """`among(column, bindparam("names", type_=Texts()))`: the column is one of the names.

    One statement whatever their number: SQLAlchemy's IN of 1,000 parameters took PostgreSQL 15 times as long.
    """

    # No Boolean type: on SQLite SQLAlchemy would write "... = 1" behind it, which no index can serve.
    inherit_cache = True


def of_kind(kind: Kind) -> TextClause:
    """Return the SQL condition that an entry is of a kind, such as `kind = 3`.

    The number stands in the text, without a parameter, so that a partial index of the kind serves.
    """
    return text(f"kind = {int(kind)}")


class member(FunctionElement[str]):  # noqa: N801 (used as a function)
    """`member(column, literal_column("'source'"))`: the text under a key of canonical JSON.

    NULL if it is not stated.
    """

    type = Text()
    inherit_cache = True


class only(FunctionElement[Any]):  # noqa: N801 (used as a function)
    """`only(column, value)`: whether the column has the value.

    For a query ordered by the column and then another. By `marketplace = m`, PostgreSQL knows that the order by
    (marketplace, sequence) is the one by sequence, and would rather walk the primary key, past the entries of all other
    marketplaces: a page of a marketplace with nine among 300,000 took 37 ms. By a list of one, it walks the index that
    begins with the marketplace: 0.3 ms.
    """

    inherit_cache = True


_FORMS: dict[type[FunctionElement[Any]], dict[str, str]] = {
    among: {"sqlite": "{} IN (SELECT value FROM json_each({}))", "postgresql": "{} = ANY ({})"},
    member: {
        "sqlite": "json_extract({}, '$.' || {})",
        # A text with U+0000, from before it was refused, would fail the query of all rows; after "\\\\" this is sound, too.
        "postgresql": "(replace({}, '\\u0000', '\\ufffd')::json ->> {})",
    },
    only: {"sqlite": "{} = {}", "postgresql": "{} = ANY (ARRAY[{}])"},
}
"""The SQL of each expression by database, around its two clauses."""


def _register(element: type[FunctionElement[Any]], dialect: str, form: str) -> None:
    @compiles(element, dialect)
    def write(found: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
        return form.format(*(compiler.process(clause, **options) for clause in found.clauses))


for _element, _forms in _FORMS.items():
    for _dialect, _form in _forms.items():
        _register(_element, _dialect, _form)


def of_sellers(seller: ColumnElement[str]) -> ColumnElement[bool]:
    """Return whether a column's seller is one of the parameter `sellers`.

    No index serves it, so that rows found by what names them are not looked for among all of a long-standing seller's.
    """
    return among(seller.concat(""), bindparam("sellers", type_=Texts()))

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    text,
    union_all,
)

from scoring.base.arrays import NEVER
from scoring.base.enums import INSPECTORS, Kind, Source, Status
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.columns import FactRow, FactTable, Omitted, tabulate
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.expressions import Texts, among, member
from service.ledger.database.rows import require_known
from service.ledger.database.tables import ALLEGED, COUNTING, ENTRY, EXPOSED, FOUND, LATER
from service.ledger.records import Cut

_E = ENTRY.c
_STATES_SOURCE = or_(_E.kind == int(Kind.INSPECTION), _E.kind == int(Kind.VIOLATION))
_FACT_COLUMNS = (
    *(_E[name] for name in FactRow._fields[:-4]),
    case(
        (
            _STATES_SOURCE,
            member(_E.content, literal_column("'source'")),
        )
    ),
    case((_E.kind == int(Kind.VIOLATION), member(_E.content, literal_column("'violation_type'")))),
    case((or_(_E.kind == int(Kind.IDENTITY), _E.kind > int(max(Kind))), _E.content)),
    case((_E.kind == int(Kind.VIOLATION), member(_E.content, literal_column("'listing'")))),
)
_HERE = (_E.marketplace == bindparam("marketplace"), text("+sequence <= :last"))
_OF_SELLERS = (*_HERE, among(_E.seller, bindparam("sellers", type_=Texts())))
_OF_SELLER = (*_HERE, _E.seller == bindparam("seller"))
_SEEN = (_E.occur_time < bindparam("observe_time"), _E.report_time < bindparam("observe_time"))
_FACTS = union_all(
    *(select(*_FACT_COLUMNS).where(*_OF_SELLERS, text(which)) for which in (COUNTING, FOUND, LATER, EXPOSED, ALLEGED)),
)
_REST = union_all(
    *(select(*_FACT_COLUMNS).where(*_OF_SELLERS, text(which)) for which in (COUNTING, FOUND, LATER, ALLEGED)),
)
_SALE_COLUMNS = (
    *(_E.report_time, _E.exposure_day, _E.product_category, _E.revision, _E.settled_orders, _E.service_failures),
)
_SALES = select(_E.seller, *_SALE_COLUMNS).where(*_OF_SELLERS, text(EXPOSED))
_SALES_OF_SELLER = select(*_SALE_COLUMNS).where(*_OF_SELLER, text(EXPOSED))
_NUMBERS = union_all(
    *(
        select(_E.seller, func.count(), literal_column(number))
        .where(_E.marketplace == bindparam("marketplace"), _OF_SELLERS[-1], text(which))
        .group_by(_E.seller)
        for which, number in ((COUNTING, "0"), (FOUND, "0"), (EXPOSED, "0"), (ALLEGED, "1"))
    ),
)
_VALUES = select(
    _E.entry_id, *(member(_E.content, literal_column(f"'{name}'")) for name in ("currency", "value_minor"))
).where(*_OF_SELLER, text(EXPOSED))
_VALUED_SALES = _SALES.add_columns(
    *(member(_E.content, literal_column(f"'{name}'")) for name in ("currency", "value_minor"))
)
_ALLEGATIONS = select(*_FACT_COLUMNS).where(*_OF_SELLER, text(ALLEGED))
_GRAVEST_FIRST = (_E.severity.desc(), _E.sequence.desc())
_FACTS_OF_SELLER = union_all(
    *(select(*_FACT_COLUMNS).where(*_OF_SELLER, text(which)) for which in (COUNTING, FOUND, LATER, EXPOSED)),
    select(_ALLEGATIONS.order_by(*_GRAVEST_FIRST).limit(bindparam("limit")).subquery()),
)
_REST_OF_SELLER = union_all(
    *(select(*_FACT_COLUMNS).where(*_OF_SELLER, text(which)) for which in (COUNTING, FOUND, LATER)),
    select(_ALLEGATIONS.order_by(*_GRAVEST_FIRST).limit(bindparam("limit")).subquery()),
)
_GRAVEST = _ALLEGATIONS.where(*_SEEN).order_by(*_GRAVEST_FIRST).limit(bindparam("limit"))
_GRAVEST_BY_SOURCE = [
    _ALLEGATIONS.where(
        *_SEEN, member(_E.content, literal_column("'source'")).in_([source.name.lower() for source in sorted(sources)])
    )
    .order_by(*_GRAVEST_FIRST)
    .limit(bindparam("limit"))
    for sources in (INSPECTORS, {Source.PLATFORM_DETECTION})
]
"""Otherwise very many grave complaints could hide an authority's report."""
_NAMED = select(*_FACT_COLUMNS).where(
    *_HERE, among(_E.entry_id, bindparam("names", type_=Texts())), _E.kind == int(Kind.VIOLATION)
)
_SEEN_AFTER = case((_E.occur_time > _E.report_time, _E.occur_time), else_=_E.report_time)
_ALLEGATIONS_SEEN = select(
    func.count(case((and_(*_SEEN), 1))), func.min(case((bindparam("observe_time") <= _SEEN_AFTER, _SEEN_AFTER)))
).where(*_OF_SELLER, text(ALLEGED))


@dataclass(frozen=True, slots=True)
class FactQueries:
    clock: LedgerClock

    def count(self, marketplace: str, sellers: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return (rows, allegations) of `fact_rows` by seller.

        No sequence bounds it, so that it reads indexes alone.
        """
        with self.clock.database.read() as connection:
            found: dict[str, tuple[int, int]] = {}
            for seller, number, alleges in connection.execute(
                _NUMBERS, {"marketplace": marketplace, "sellers": sellers}
            ):
                rows, alleged = found.get(seller, (0, 0))
                found[seller] = (rows + number, alleged + number * alleges)
            return found

    def rows(self, marketplace: str, sellers: Sequence[str], sequence: int) -> list[FactRow]:
        with self.clock.as_of(sequence) as connection:
            values = {"marketplace": marketplace, "sellers": sellers, "last": sequence}
            return sorted(_fact_rows(connection.execute(_FACTS, values)), key=lambda row: (row.seller, row.sequence))

    def of_seller(self, marketplace: str, seller: str, cut: Cut, limit: int) -> tuple[list[FactRow], Omitted]:
        """Return one seller's rows for scores, with at most `limit` allegations, and the number left out.

        Inspectors' allegations come first, then the platform's, then others, the gravest first in each group. A
        violation named by a decision, a correction or a split is always among the rows.
        """
        with self.clock.as_of(cut.sequence) as connection:
            here = {"marketplace": marketplace, "last": cut.sequence}
            of_seller = here | {"seller": seller, "observe_time": cut.observe_time}
            rows = _fact_rows(connection.execute(_FACTS_OF_SELLER, of_seller | {"limit": limit + 1}))
            others = [row for row in rows if not _alleges(row)]
            omitted = Omitted(0)
            if len(rows) - len(others) > limit:
                named = {name for row in others for name in (row.violation, row.target) if name is not None}
                gravest = _read_gravest(connection, of_seller, limit)
                named -= {row.entry_id for row in (*others, *gravest)}
                found = _fact_rows(connection.execute(_NAMED, here | {"names": sorted(named)}))
                allegations = [*gravest, *(row for row in found if row.seller == seller)]
                rows = [*others, *allegations]
                seen = sum(max(row.occur_time, row.report_time) < cut.observe_time for row in allegations)
                number, next_seen_after = connection.execute(_ALLEGATIONS_SEEN, of_seller).one()
                omitted = Omitted(number - seen, NEVER if next_seen_after is None else next_seen_after + 1)
            return sorted(rows, key=lambda row: row.sequence), omitted

    def table(
        self, marketplace: str, sellers: Sequence[str], cut: Cut, limit: int
    ) -> tuple[FactTable, dict[str, Omitted]]:
        """Return (entries as a score reads them, number left out by seller), up to the cut.

        For one seller only the `limit` gravest allegations, as `of_seller`; for several, all.
        """
        values: dict[str, Any] = {"marketplace": marketplace, "last": cut.sequence}
        if len(sellers) == 1:
            values |= {"seller": sellers[0], "observe_time": cut.observe_time}
            with self.clock.as_of(cut.sequence) as connection:
                rows = _fact_rows(connection.execute(_REST_OF_SELLER, values | {"limit": limit + 1}))
                if len(rows) <= limit or sum(map(_alleges, rows)) <= limit:
                    return tabulate(rows, sellers, _sale_rows(connection, _SALES_OF_SELLER, values)), {}
            rows, omitted = self.of_seller(marketplace, sellers[0], cut, limit)
            return tabulate(rows, sellers), {sellers[0]: omitted}
        values |= {"sellers": sellers}
        with self.clock.as_of(cut.sequence) as connection:
            rows = _fact_rows(connection.execute(_REST, values))
            return tabulate(rows, sellers, _sale_rows(connection, _SALES, values)), {}

    def values(self, marketplace: str, seller: str, cut: Cut, currency: str) -> dict[str, int]:
        with self.clock.as_of(cut.sequence) as connection:
            found = connection.execute(_VALUES, {"marketplace": marketplace, "seller": seller, "last": cut.sequence})
            return {entry_id: int(value or 0) for entry_id, stated, value in found if stated == currency}

    def valued_sales(self, marketplace: str, sellers: Sequence[str], cut: Cut, currency: str) -> list[tuple[Any, ...]]:
        with self.clock.as_of(cut.sequence) as connection:
            values = {"marketplace": marketplace, "sellers": [*sellers], "last": cut.sequence}
            return [
                (*sale[:5], int(value or 0) if stated == currency else 0, 0)
                for *sale, stated, value in connection.execute(_VALUED_SALES, values)
            ]


def _read_gravest(connection: Connection, of_seller: Mapping[str, Any], limit: int) -> list[FactRow]:
    found: dict[str, FactRow] = {}
    for query in (*_GRAVEST_BY_SOURCE, _GRAVEST):
        if len(found) < limit:
            found |= {row.entry_id: row for row in _fact_rows(connection.execute(query, {**of_seller, "limit": limit}))}
    return list(found.values())[:limit]


def _sale_rows(connection: Connection, query: Select[Any], values: dict[str, Any]) -> Sequence[Any]:
    result = connection.execute(query, values)
    if result.cursor is None:
        raise RuntimeError("a query of exposure gave no rows to read")
    rows: Sequence[Any] = result.cursor.fetchall()
    result.close()
    return rows


def _fact_rows(rows: Iterable[Any]) -> list[FactRow]:
    make = FactRow._make
    return [make(row) if row[-2] is None and row[-4] is None else _fact_row(row) for row in rows]


def _fact_row(row: Any) -> FactRow:
    *columns, source, violation_type, content, listing = row
    require_known(row.kind, row.sequence)
    number = None if source is None else int(Source[source.upper()])
    kind = None if violation_type is None else TYPE_NUMBERS.get(violation_type)
    return FactRow._make((*columns, number, kind, None if content is None else _attributes(content), listing))


def _alleges(row: FactRow) -> bool:
    return row.kind == Kind.VIOLATION and row.status == Status.ALLEGED


def _attributes(content: str) -> dict[str, str]:
    attributes: dict[str, str] = json.loads(content).get("attributes", {})
    return attributes

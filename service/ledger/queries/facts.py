import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
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

from scoring.base.arrays import NEVER, Ints, split_sizes
from scoring.base.enums import INSPECTORS, Kind, Source, Status
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.entries.kinds.trade import FAILURES
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.columns import FactRow, FactTable, OmittedAllegations, tabulate
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.rows import require_known
from service.ledger.database.tables import (
    ALLEGED,
    COUNTING,
    ENTRY,
    EXPOSED,
    FOUND,
    HERE,
    LATER,
    SEEN,
    SELLERS,
    among,
    read_content,
)
from service.ledger.queries.supposed import NOTHING_SUPPOSED, SALE_VALUES, SupposedEntries
from service.ledger.records import Cut

MAX_BATCH_ROWS = 16_000
"""With the most day-ends of a policy about 300 MB."""

MAX_ALLEGATIONS = 2_000

_E = ENTRY.c
_IS_REPORT = _E.kind == int(Kind.VIOLATION)
_FACT_COLUMNS = (
    *(_E[name] for name in FactRow._fields[:-4]),
    case((or_(_E.kind == int(Kind.INSPECTION), _IS_REPORT), read_content("source"))),
    case((_IS_REPORT, read_content("violation_type"))),
    case((or_(_E.kind == int(Kind.IDENTITY), _E.kind > int(max(Kind))), _E.content)),
    case((_IS_REPORT, read_content("listing"))),
)
_UP_TO_LAST = (HERE, text("+sequence <= :last"))
_OF_SELLERS = (*_UP_TO_LAST, among(_E.seller, SELLERS))
_OF_SELLER = (*_UP_TO_LAST, _E.seller == bindparam("seller"))


def _select_facts(of_sellers: Sequence[Any], *conditions: str) -> list[Select[Any]]:
    return [select(*_FACT_COLUMNS).where(*of_sellers, text(condition)) for condition in conditions]


_FACTS = union_all(*_select_facts(_OF_SELLERS, COUNTING, FOUND, LATER, ALLEGED))
_EVERY_FACT = union_all(*_select_facts(_OF_SELLERS, COUNTING, FOUND, LATER, ALLEGED, EXPOSED))
_SALE_COLUMNS = (
    *(_E.report_time, _E.exposure_day, _E.product_category, _E.revision, _E.settled_orders, _E.service_failures),
)
_SALES = select(_E.seller, *_SALE_COLUMNS).where(*_OF_SELLERS, text(EXPOSED))
_SALES_OF_SELLER = select(*_SALE_COLUMNS).where(*_OF_SELLER, text(EXPOSED))
_ROW_COUNTS = union_all(
    *(
        select(_E.seller, func.count(), literal_column(number))
        .where(HERE, among(_E.seller, SELLERS), text(which))
        .group_by(_E.seller)
        for which, number in ((COUNTING, "0"), (FOUND, "0"), (EXPOSED, "0"), (ALLEGED, "1"))
    ),
)
[_ALLEGATIONS] = _select_facts(_OF_SELLER, ALLEGED)
_GRAVEST = _ALLEGATIONS.order_by(_E.severity.desc(), _E.sequence.desc()).limit(bindparam("limit"))
_FACTS_OF_SELLER = union_all(*_select_facts(_OF_SELLER, COUNTING, FOUND, LATER), select(_GRAVEST.subquery()))
_GRAVEST_SEEN = _GRAVEST.where(*SEEN)
_GRAVEST_BY_SOURCE = [
    _GRAVEST_SEEN.where(read_content("source").in_([source.word for source in sorted(sources)]))
    for sources in (INSPECTORS, {Source.PLATFORM_DETECTION})
]
"""Otherwise very many grave complaints could hide an authority's report."""
_NAMED = select(*_FACT_COLUMNS).where(*_UP_TO_LAST, among(_E.entry_id), _IS_REPORT)
_SEEN_AFTER = case((_E.occur_time > _E.report_time, _E.occur_time), else_=_E.report_time)
_ALLEGATIONS_SEEN = select(
    func.count(case((and_(*SEEN), 1))), func.min(case((bindparam("observe_time") <= _SEEN_AFTER, _SEEN_AFTER)))
).where(*_OF_SELLER, text(ALLEGED))

_EXPOSED_SEEN = (*_OF_SELLER, text(EXPOSED), *SEEN, _E.exposure_day < bindparam("today"))
_HELD_BACK = select(
    _E.exposure_day, _E.product_category, _E.revision, read_content("value_held_minor"), read_content("currency")
).where(
    *_EXPOSED_SEEN,
    _E.exposure_day == select(func.max(_E.exposure_day)).where(*_EXPOSED_SEEN).scalar_subquery(),
)


class HeldBack(NamedTuple):
    day: int
    """UTC, since 1970-01-01: the amount is of its end."""
    amount_minor: int
    currency: str


@frozen
class FactQueries:
    clock: LedgerClock
    max_allegations: int = MAX_ALLEGATIONS
    """Read of one seller: inspectors' first, then the platform's, then the gravest. All are counted."""

    def count(self, marketplace: str, sellers: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return (rows for scores, allegations among them) by seller, at any sequence, from indexes alone."""
        counts: dict[str, tuple[int, int]] = {}
        for seller, number, is_alleged in self.clock.database.rows(
            _ROW_COUNTS, marketplace=marketplace, sellers=sellers
        ):
            rows, alleged = counts.get(seller, (0, 0))
            counts[seller] = (rows + number, alleged + number * is_alleged)
        return counts

    def rows(self, marketplace: str, sellers: Sequence[str], sequence: int) -> list[FactRow]:
        """Return all rows for scores up to a sequence, by seller and sequence."""
        values = {"marketplace": marketplace, "sellers": sellers, "last": sequence}
        with self.clock.as_of(sequence) as connection:
            rows = _make_fact_rows(connection.execute(_EVERY_FACT, values))
        return sorted(rows, key=attrgetter("seller", "sequence"))

    def table(
        self,
        marketplace: str,
        sellers: Sequence[str],
        cut: Cut,
        value_names: Collection[str] = (),
        supposed: SupposedEntries = NOTHING_SUPPOSED,
    ) -> tuple[FactTable, dict[str, OmittedAllegations]]:
        """Return (entries as a score reads them, number left out by seller), up to the cut.

        At most `max_allegations` allegations of a single seller are read, besides those that a decision, correction or
        split names. `value_names`: currencies whose settled values are read, too, and names of failures. `supposed`: of
        the only seller.
        """
        is_single = len(sellers) == 1
        values: dict[str, Any] = {"marketplace": marketplace, "last": cut.sequence}
        if is_single:
            limit = self.max_allegations + 1
            values |= {"seller": sellers[0], "observe_time": cut.observe_time, "limit": limit}
        else:
            values |= {"sellers": sellers}
        sales_query, width = (_SALES_OF_SELLER if is_single else _SALES), len(_SALE_COLUMNS) + (not is_single)
        failures = [name for name in FAILURES if name in value_names]
        names = [*(SALE_VALUES[:2] if len(failures) < len(value_names) else ()), *failures]
        omitted: dict[str, OmittedAllegations] = {}
        with self.clock.as_of(cut.sequence) as connection:
            rows = _make_fact_rows(connection.execute(_FACTS_OF_SELLER if is_single else _FACTS, values))
            sales = _read_sales(connection, sales_query.add_columns(*map(read_content, names)), values)
            if is_single and len(rows) > self.max_allegations and sum(map(_is_allegation, rows)) > self.max_allegations:
                others = [*(row for row in rows if not _is_allegation(row)), *supposed.facts]
                allegations = _read_gravest_and_named(connection, values | {"limit": self.max_allegations}, others)
                rows = [*others, *allegations]
                omitted[sellers[0]] = _count_omitted(connection, values, allegations)
            else:
                rows += supposed.facts
            if supposed.sales:
                places = [*range(width), *(width + SALE_VALUES.index(name) for name in names)]
                sales = [*sales, *(tuple(sale[place] for place in places) for sale in supposed.sales)]
        if not names:
            return tabulate(rows, sellers, sales), omitted
        columns = {name: [sale[width + place] for sale in sales] for place, name in enumerate(names)}
        values_by_name = {name: [int(count or 0) for count in columns[name]] for name in failures}
        for currency in {*value_names} - {*failures}:
            stated = zip(columns["currency"], columns["value_minor"], strict=True)
            values_by_name[currency] = [int(value or 0) if unit == currency else 0 for unit, value in stated]
        return tabulate(rows, sellers, [sale[:width] for sale in sales], values_by_name), omitted

    def find_held_back(self, marketplace: str, seller: str, cut: Cut) -> HeldBack | None:
        """Return what the marketplace held back at the end of the last whole day with exposure, of all product categories.

        None if that day states no such value, or values in several currencies.
        """
        today = cut.observe_time // DAY
        rows = self.clock.rows_as_of(cut, _HELD_BACK, marketplace=marketplace, seller=seller, today=today)
        last_revisions = {row.product_category: row for row in sorted(rows, key=attrgetter("revision"))}
        amounts = [HeldBack(day, int(held), currency) for day, *_, held, currency in last_revisions.values() if held]
        if len({amount.currency for amount in amounts}) != 1:
            return None
        return amounts[0]._replace(amount_minor=sum(amount.amount_minor for amount in amounts))

    def batches(self, marketplace: str, sellers: Sequence[str]) -> Iterator[Sequence[str]]:
        """Split sellers, in order, into batches that fit in memory."""
        if len(sellers) == 1:
            yield sellers
            return
        counts = self.count(marketplace, sellers)
        rows, alleged = np.array([counts.get(seller, (0, 0)) for seller in sellers]).reshape(-1, 2).T
        yield from split_batches(sellers, rows, alleged, self.max_allegations)


def split_batches(sellers: Sequence[str], rows: Ints, alleged: Ints, most: int) -> Iterator[Sequence[str]]:
    """Split sellers, in order, by their numbers of rows; one with more than `most` allegations stays alone."""
    for part in split_sizes(np.where(alleged > most, MAX_BATCH_ROWS + 1, rows), MAX_BATCH_ROWS):
        yield sellers[part]


def _read_gravest_and_named(
    connection: Connection, of_seller: Mapping[str, Any], others: Sequence[FactRow]
) -> Sequence[FactRow]:
    """Return a seller's `limit` allegations, inspectors' first, and those that its `others` entries name."""
    candidates: dict[str, FactRow] = {}
    for query in (*_GRAVEST_BY_SOURCE, _GRAVEST_SEEN):
        if len(candidates) < of_seller["limit"]:
            candidates |= {row.entry_id: row for row in _make_fact_rows(connection.execute(query, of_seller))}
    gravest = dict(list(candidates.items())[: of_seller["limit"]])
    named = {name for row in others for name in (row.violation, row.target) if name is not None}
    named -= {*gravest, *(row.entry_id for row in others)}
    named_rows = _make_fact_rows(connection.execute(_NAMED, {**of_seller, "names": sorted(named)}))
    return [*gravest.values(), *(row for row in named_rows if row.seller == of_seller["seller"])]


def _count_omitted(
    connection: Connection, of_seller: Mapping[str, Any], allegations: Sequence[FactRow]
) -> OmittedAllegations:
    observe_time = of_seller["observe_time"]
    seen = sum(max(row.occur_time, row.report_time) < observe_time for row in allegations)
    number, next_seen_after = connection.execute(_ALLEGATIONS_SEEN, of_seller).one()
    return OmittedAllegations(number - seen, NEVER if next_seen_after is None else next_seen_after + 1)


def _read_sales(connection: Connection, query: Select[Any], values: dict[str, Any]) -> Sequence[Any]:
    result: Any = connection.execute(query, values)
    rows: Sequence[Any] = result.cursor.fetchall()
    result.close()
    return rows


def _make_fact_rows(rows: Iterable[Any]) -> list[FactRow]:
    # Most rows have neither a source nor attributes, and need no conversion.
    return [FactRow._make(row) if row[-2] is None and row[-4] is None else _convert_row(row) for row in rows]


def _convert_row(row: Any) -> FactRow:
    """Convert the texts of a row's source, violation type and content into numbers and attributes."""
    *columns, source, violation_type, content, listing = row
    require_known(row.kind, row.sequence)
    source_number = None if source is None else int(Source[source.upper()])
    type_number = None if violation_type is None else TYPE_NUMBERS.get(violation_type)
    attributes = None if content is None else json.loads(content).get("attributes", {})
    return FactRow._make((*columns, source_number, type_number, attributes, listing))


def _is_allegation(row: FactRow) -> bool:
    return row.kind == Kind.VIOLATION and row.status == Status.ALLEGED

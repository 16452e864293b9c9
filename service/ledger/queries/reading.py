"""The ledger's queries. Each is bounded by a sequence, so that what it reads is one set for ever."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    union_all,
)

from scoring.arrays import NEVER
from scoring.entries.entry import entry_from_content
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.enums import INSPECTORS, Kind, Source, Status
from scoring.features.columns import FactRow, FactTable, Omitted, tabulate
from service.ledger.database.expressions import Texts, among, member, of_kind, only
from service.ledger.database.rows import require_known
from service.ledger.database.tables import ALLEGED, COUNTING, ENTRY, EXPOSED, FACTS, FOUND, LATER
from service.ledger.queries.resolving import REPORT, resolve
from service.ledger.records import Cut, RecordedEntry, ViolationView
from service.ledger.seals.sealed_texts import Key, key_id_of, keys, unseal

_E = ENTRY.c
EXPORT_COLUMNS: tuple[str, ...] = tuple(
    c.name for c in _E if c.name not in {"marketplace", "digest", "notifier", "principal"}
)
"""Names of the columns that `Ledger.export_rows` yields: all but what the caller knows, what `content` implies, and who
reported or called, which never enters a model.
"""

_STATES_SOURCE = or_(_E.kind == int(Kind.INSPECTION), _E.kind == int(Kind.VIOLATION))
_FACT_COLUMNS = (
    *(_E[name] for name in FactRow._fields[:-3]),
    case(
        (
            _STATES_SOURCE,
            member(_E.content, literal_column("'source'")),
        )
    ),
    case((_E.kind == int(Kind.VIOLATION), member(_E.content, literal_column("'violation_type'")))),
    case((or_(_E.kind == int(Kind.IDENTITY), _E.kind > int(max(Kind))), _E.content)),
)
# The plus keeps SQLite from walking another index for the sake of the bound, which nearly all entries are within.
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
"""Those that are read first, whatever crowds allege: else very many grave complaints hide one report of an authority."""

_NAMED = select(*_FACT_COLUMNS).where(
    *_HERE, among(_E.entry_id, bindparam("names", type_=Texts())), _E.kind == int(Kind.VIOLATION)
)
_SEEN_AFTER = case((_E.occur_time > _E.report_time, _E.occur_time), else_=_E.report_time)
_ALLEGATIONS_SEEN = select(
    func.count(case((and_(*_SEEN), 1))), func.min(case((bindparam("observe_time") <= _SEEN_AFTER, _SEEN_AFTER)))
).where(*_OF_SELLER, text(ALLEGED))
_ENTRIES = select(
    *(_E.sequence, _E.record_time, _E.seller, _E.occur_time, _E.report_time, _E.entry_id, _E.kind, _E.content),
    (_E.kind == int(Kind.STATUS)) & _E.status.is_(None),
    _E.principal,
)
_REPORTS = REPORT.where(of_kind(Kind.VIOLATION))
_IS_REPORT = _E.kind.in_([int(Kind.VIOLATION), int(Kind.PRODUCT_VIOLATION)])
_EXPORT = (
    select(*(_E[name] for name in EXPORT_COLUMNS))
    .where(
        only(_E.marketplace, bindparam("marketplace", type_=Text())),
        text(FACTS),
        _E.sequence > bindparam("after"),
        _E.sequence <= bindparam("last"),
    )
    .order_by(_E.marketplace, _E.sequence)
    .limit(bindparam("chunk"))
)


def fact_counts(connection: Connection, marketplace: str, sellers: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return (rows, rows that allege a violation) that `fact_rows` would give, by seller.

    Sellers without rows are left out. For sizes: no sequence bounds it, so that indexes alone are read.
    """
    found: dict[str, tuple[int, int]] = {}
    for seller, number, alleges in connection.execute(_NUMBERS, {"marketplace": marketplace, "sellers": sellers}):
        rows, alleged = found.get(seller, (0, 0))
        found[seller] = (rows + number, alleged + number * alleges)
    return found


def fact_rows(connection: Connection, marketplace: str, sellers: Sequence[str], sequence: int) -> list[FactRow]:
    """Return the sellers' entries up to `sequence` of the kinds that scores depend on.

    Sorted by (seller, sequence).
    """
    values = {"marketplace": marketplace, "sellers": sellers, "last": sequence}
    return sorted(_fact_rows(connection.execute(_FACTS, values)), key=lambda row: (row.seller, row.sequence))


def facts_of_seller(
    connection: Connection, marketplace: str, seller: str, cut: Cut, limit: int
) -> tuple[list[FactRow], Omitted]:
    """Return the rows of one seller that a score depends on, with at most `limit` allegations.

    Those by inspectors stay, then those that the platform detected, of each the gravest; the second value counts those left
    out, all of which are open as of the cut: whatever a decision, a correction or a split names is among the rows.
    """
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


def _read_gravest(connection: Connection, of_seller: Mapping[str, Any], limit: int) -> list[FactRow]:
    """Return the `limit` open allegations that are read: the gravest by inspectors, by the platform, then by anybody."""
    found: dict[str, FactRow] = {}
    for query in (*_GRAVEST_BY_SOURCE, _GRAVEST):
        if len(found) < limit:
            found |= {row.entry_id: row for row in _fact_rows(connection.execute(query, {**of_seller, "limit": limit}))}
    return list(found.values())[:limit]


def settled_values(
    connection: Connection, marketplace: str, seller: str, sequence: int, currency: str
) -> dict[str, int]:
    """Return the value of each exposure entry of a seller up to `sequence`, by entry id.

    In minor units; only values in this currency. Which of them count follows from the facts.
    """
    found = connection.execute(_VALUES, {"marketplace": marketplace, "seller": seller, "last": sequence})
    return {entry_id: int(value or 0) for entry_id, stated, value in found if stated == currency}


def valued_sales(
    connection: Connection, marketplace: str, sellers: Sequence[str], sequence: int, currency: str
) -> list[tuple[Any, ...]]:
    """Return the exposure of sellers as `fact_table` reads it, with values in a currency in place of settled orders."""
    values = {"marketplace": marketplace, "sellers": [*sellers], "last": sequence}
    return [
        (*sale[:5], int(value or 0) if stated == currency else 0, 0)
        for *sale, stated, value in connection.execute(_VALUED_SALES, values)
    ]


def fact_table(
    connection: Connection, marketplace: str, sellers: Sequence[str], cut: Cut, limit: int
) -> tuple[FactTable, dict[str, Omitted]]:
    """Return (entries of sellers as a score reads them, what is left out by seller).

    Up to the cut. Of one seller only the `limit` gravest allegations are read, as in `facts_of_seller`; of several all
    are. Exposure is read apart, since no correction concerns it: it is stated again.
    """
    values: dict[str, Any] = {"marketplace": marketplace, "last": cut.sequence}
    if len(sellers) == 1:
        values |= {"seller": sellers[0], "observe_time": cut.observe_time}
        rows = _fact_rows(connection.execute(_REST_OF_SELLER, values | {"limit": limit + 1}))
        if len(rows) > limit and sum(map(_alleges, rows)) > limit:
            rows, omitted = facts_of_seller(connection, marketplace, sellers[0], cut, limit)
            return tabulate(rows, sellers), {sellers[0]: omitted}
        sold = _sale_rows(connection, _SALES_OF_SELLER, values)
    else:
        values |= {"sellers": sellers}
        rows = _fact_rows(connection.execute(_REST, values))
        sold = _sale_rows(connection, _SALES, values)
    return tabulate(rows, sellers, sold), {}


def _sale_rows(connection: Connection, query: Select[Any], values: dict[str, Any]) -> Sequence[Any]:
    """Return the rows as the driver gives them: to make an object of each would take longer than to read them."""
    result = connection.execute(query, values)
    if result.cursor is None:
        raise RuntimeError("a query of exposure gave no rows to read")
    rows: Sequence[Any] = result.cursor.fetchall()
    result.close()
    return rows


def _fact_rows(rows: Iterable[Any]) -> list[FactRow]:
    make = FactRow._make
    return [make(row) if row[-1] is None and row[-3] is None else _fact_row(row) for row in rows]


def _fact_row(row: Any) -> FactRow:
    *columns, source, violation_type, content = row
    require_known(row.kind, row.sequence)
    number = None if source is None else int(Source[source.upper()])
    kind = None if violation_type is None else TYPE_NUMBERS.get(violation_type)
    return FactRow._make((*columns, number, kind, None if content is None else _attributes(content)))


def _alleges(row: FactRow) -> bool:
    return row.kind == Kind.VIOLATION and row.status == Status.ALLEGED


def entries(
    connection: Connection,
    marketplace: str,
    cut: Cut,
    sellers: Collection[str] | None,
    after_sequence: int,
    limit: int,
) -> list[RecordedEntry]:
    """Return the first `limit` entries after a sequence, as of the cut, in their order.

    Sealed texts are opened with the seller's key, if it has one. `sellers`: only their entries.
    """
    query = _page(_ENTRIES, marketplace, cut, sellers, after_sequence, limit)
    rows = connection.execute(query).all()
    sealed = {row.seller for row in rows if key_id_of(row.content)}
    held = keys(connection, marketplace, sealed)
    return [_recorded_entry(row, held.get(row.seller)) for row in rows]


def _recorded_entry(row: Any, key: Key | None) -> RecordedEntry:
    sequence, record_time, seller, occur_time, report_time, entry_id, kind, content, is_pending, principal = row
    require_known(kind, sequence)
    text, erased = unseal(entry_id, content, key)
    entry = entry_from_content(entry_id, content, text)
    return RecordedEntry(
        sequence, record_time, seller, occur_time, report_time, entry, bool(is_pending), erased, principal or ""
    )


def violation(
    connection: Connection, marketplace: str, violation_id: str, cut: Cut, seller: str = ""
) -> ViolationView | None:
    """Return one violation as of the cut, by its id; with `seller` only if it is of that one.

    None if it was not reported, or had not happened, by then.
    """
    query = REPORT.where(
        *(_E.marketplace == marketplace, _E.entry_id == violation_id, _IS_REPORT),
        *(_E.sequence <= cut.sequence, *_by(cut)),
    )
    if seller:  # asked here, so that another seller's takes no longer than one that is not on record
        query = query.where(_E.seller == seller)
    return next(iter(resolve(connection, marketplace, cut, connection.execute(query).all())), None)


def violations(
    connection: Connection,
    marketplace: str,
    cut: Cut,
    sellers: Collection[str] | None,
    after_sequence: int,
    limit: int,
) -> tuple[list[ViolationView], int | None]:
    """Return the first `limit` violations after a sequence, as of the cut, and where to go on.

    By the sequence of their reports; the second value is the sequence for the next page, None at the end. No correction
    moves one into the cut or out of it: what is reported by then happened by then.
    """
    query = _page(_REPORTS, marketplace, cut, sellers, after_sequence, limit + 1)
    reports = connection.execute(query).all()
    page = reports[:limit]
    return resolve(connection, marketplace, cut, page), page[-1][0] if len(reports) > limit else None


def named_violations(
    connection: Connection, marketplace: str, names: Collection[str], cut: Cut
) -> dict[str, ViolationView]:
    """Return those of the named violations that were reported as of the cut, by their id."""
    query = REPORT.where(
        *(_E.marketplace == marketplace, among(_E.entry_id, bindparam("names", type_=Texts())), _IS_REPORT),
        *(_E.sequence <= cut.sequence, *_by(cut)),
    )
    reports = connection.execute(query, {"names": list(names)}).all()
    return {view.violation: view for view in resolve(connection, marketplace, cut, reports)}


def export_rows(
    connection: Connection, marketplace: str, cut: Cut, after_sequence: int, chunk: int, bounded: bool
) -> list[tuple[Any, ...]]:
    """Return the next `chunk` entries of the cut's set after a sequence, with EXPORT_COLUMNS.

    As tuples, by sequence. If `bounded`, only what occurred and was reported before the cut's observe time.
    """
    query = _EXPORT
    if bounded:
        query = query.where(_E.occur_time < cut.observe_time, _E.report_time < cut.observe_time)
    bounds = {"marketplace": marketplace, "after": after_sequence, "last": cut.sequence, "chunk": chunk}
    return [tuple(row) for row in connection.execute(query, bounds)]


def _page(
    query: Select[Any], marketplace: str, cut: Cut, sellers: Collection[str] | None, after_sequence: int, limit: int
) -> Select[Any]:
    """Return the query's first `limit` entries after `after_sequence` and up to the cut, in order; of these sellers alone."""
    bounds: tuple[Any, ...] = (text(FACTS), _E.sequence > after_sequence, _E.sequence <= cut.sequence, *_by(cut))
    if sellers is not None and len(sellers) != 1:
        # The sums keep a database from walking all entries in their order, past those of other sellers.
        within: tuple[Any, ...] = (
            text(FACTS),
            _E.sequence > after_sequence,
            _E.sequence + 0 <= cut.sequence,
            *_by(cut),
        )
        theirs = (
            query.with_only_columns(_E.sequence)
            .where(_E.marketplace == marketplace, among(_E.seller, literal(list(sellers), Texts())), *within)
            .order_by(_E.sequence + 0)
            .limit(limit)
        )
        bounds = (_E.sequence.in_(theirs),)
    elif sellers is not None:
        bounds = (_E.seller == next(iter(sellers)), *bounds)
    query = query.where(only(_E.marketplace, literal(marketplace, Text())), *bounds)
    return query.order_by(_E.marketplace, _E.sequence).limit(limit)


def _by(cut: Cut) -> Iterator[ColumnElement[bool]]:
    """Return the condition that an entry had happened, and was reported, by the cut's observe time."""
    yield _E.occur_time < cut.observe_time
    yield _E.report_time < cut.observe_time


def _attributes(content: str) -> dict[str, str]:
    attributes: dict[str, str] = json.loads(content).get("attributes", {})
    return attributes

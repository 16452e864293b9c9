"""Queries about who reports, and about violations that wait for a decision. Each is bounded by a cut."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Boolean, Connection, Text, and_, bindparam, case, func, literal_column, or_, select, text

from scoring.entries.violation_state import RecordedChange, ViolationState
from scoring.enums import Attribution, Category, Kind, Severity, Source, Status
from scoring.time import day_of
from service.ledger.database.expressions import Texts, among, member, of_kind, only
from service.ledger.database.tables import ENTRY
from service.ledger.records import Cut, Record, find_outcome

ORDER_DAYS = 30
"""Days of settled orders that stand for the orders still shipping."""

_E = ENTRY.c
_C = ENTRY.alias("change").c
_SOURCE = member(_E.content, literal_column("'source'"))
_VISIBLE = (
    only(_E.marketplace, bindparam("marketplace", type_=Text())),
    _E.sequence <= bindparam("last"),
    _E.occur_time < bindparam("observe_time"),
    _E.report_time < bindparam("observe_time"),
)


def _latest(kind: Kind) -> Any:
    """Return the last word of a kind about the report in hand.

    As in the score, by knowledge alone: what is decided today corrects what holds of an earlier time.
    """
    return (
        select(_C.status)
        .where(
            _C.marketplace == _E.marketplace,
            _C.violation.is_not(None),  # stated, so that the partial index serves
            _C.violation == _E.violation,
            _C.kind == int(kind),
            _C.status.is_not(None),
            _C.sequence <= bindparam("last"),
        )
        .order_by(_C.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )


_STATUS = func.coalesce(_latest(Kind.STATUS), _E.status)
_ATTRIBUTION = func.coalesce(_latest(Kind.ATTRIBUTION), 0)
_REPORTS = (
    select(
        _E.notifier,
        _SOURCE.label("source"),
        _STATUS.label("status"),
        _ATTRIBUTION.label("attribution"),
    )
    .where(_E.notifier.is_not(None), among(_E.notifier, bindparam("names", type_=Texts())), *_VISIBLE)
    .subquery()
)
_COUNTS = select(*_REPORTS.c, func.count()).group_by(*_REPORTS.c)
# From one notifier to the next by one look into the index, however many reports lie between them.
_NOTIFIERS = text("""
    WITH RECURSIVE following(notifier) AS (
        SELECT min(notifier) FROM entry
            WHERE marketplace = :marketplace AND notifier IS NOT NULL AND notifier > :after
        UNION ALL
        SELECT (SELECT min(entry.notifier) FROM entry
            WHERE entry.marketplace = :marketplace AND entry.notifier IS NOT NULL
                AND entry.notifier > following.notifier)
        FROM following WHERE following.notifier IS NOT NULL
    )
    SELECT notifier FROM following WHERE notifier IS NOT NULL LIMIT :count
""")
_OPEN = (
    select(_E.entry_id, _E.sequence, _E.seller, _E.category, _E.severity, _E.notifier, _SOURCE, _STATUS)
    .where(
        of_kind(Kind.VIOLATION),
        *_VISIBLE,
        _STATUS.in_([int(Status.ALLEGED), int(Status.UNDER_REVIEW)]),
        _ATTRIBUTION.is_distinct_from(int(Attribution.ACCEPTED)),
        (_E.category == int(Category.SAFETY)) == bindparam("is_safety", type_=Boolean()),
    )
    .order_by(_E.marketplace.desc(), _E.sequence.desc())
    .limit(bindparam("count"))
)
_HISTORY = (
    select(
        *(_E.violation, _E.kind, _E.entry_id, _E.status, _E.severity, _E.target, _E.occur_time, _E.report_time),
        case((_E.kind == int(Kind.STATUS), member(_E.content, literal_column("'held_back'")))),
    )
    .where(
        _E.marketplace == bindparam("marketplace"),
        _E.violation.is_not(None),
        among(_E.violation, bindparam("names", type_=Texts())),
        _E.kind.in_([int(Kind.STATUS), int(Kind.ATTRIBUTION)]),
        _E.status.is_not(None),
        _E.sequence <= bindparam("last"),
    )
    .order_by(_E.violation, _E.sequence)
)
_DAYS = (
    select(
        _E.seller,
        _E.settled_orders,
        func.row_number()
        .over(
            partition_by=(_E.seller, _E.exposure_day, _E.product_category),
            order_by=_E.revision.desc(),
        )
        .label("place"),
    )
    .where(
        of_kind(Kind.EXPOSURE),
        _E.marketplace == bindparam("marketplace"),
        among(_E.seller, bindparam("names", type_=Texts())),
        _E.exposure_day >= bindparam("first_day"),
        _E.exposure_day < bindparam("day"),
        _E.sequence <= bindparam("last"),
        _E.report_time < bindparam("observe_time"),
    )
    .subquery()
)
_ORDERS = select(_DAYS.c.seller, func.sum(_DAYS.c.settled_orders)).where(_DAYS.c.place == 1).group_by(_DAYS.c.seller)


_REACHED = select(_E.target, _E.entry_id).where(
    _E.marketplace == bindparam("marketplace"),
    _E.target.is_not(None),  # stated, so that the partial index serves
    among(_E.target, bindparam("names", type_=Texts())),
    _E.kind == int(Kind.VIOLATION),
    _E.sequence <= bindparam("last"),
)
_IDS = select(_E.entry_id).where(
    _E.marketplace == bindparam("marketplace"),
    _E.entry_id >= bindparam("first"),
    _E.entry_id < bindparam("end"),
)


class OpenViolation(NamedTuple):
    """A violation that waits for a decision, as of a cut."""

    violation: str
    """Its id."""
    sequence: int
    """The sequence of its report."""
    seller: str
    """Whose it is."""
    category: int
    """The number of its category."""
    severity: int
    """The number of its present severity."""
    notifier: str | None
    """Who reported it; None if nobody is named."""
    source: Source
    """The source of its report."""
    status: Status
    """ALLEGED or UNDER_REVIEW."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which reports a bulk decision is about: those that all conditions agree on.

    Times in microseconds.
    """

    violation_types: tuple[str, ...] = ()
    """Any of these; empty: all."""
    notifier: str = ""
    """Reported by this notifier."""
    seller: str = ""
    """Of this seller."""
    reported_from: int | None = None
    """Learned of by the source at this time or later; None: whenever."""
    reported_before: int | None = None
    """Learned of by the source before this time; None: whenever."""
    listing: str = ""
    """About this listing."""
    right: str = ""
    """About this right."""


class SelectedReport(NamedTuple):
    """A report that a selection names."""

    sequence: int
    """Its sequence."""
    violation: str
    """The id of the violation."""
    record_time: int
    """When it was recorded, in microseconds."""
    state: ViolationState
    """Where it stood on arrival."""


def records(
    connection: Connection, marketplace: str, cut: Cut, names: Collection[str]
) -> dict[str, dict[Source, Record]]:
    """Return how many reports of each notifier came to which outcome: by notifier, then source.

    As of the cut; notifiers without a report by then are left out.
    """
    found: dict[str, dict[Source, dict[str, int]]] = {}
    values = _bounds(marketplace, cut) | {"names": list(names)}
    rows: Sequence[Any] = connection.execute(_COUNTS, values).all() if names else ()
    for notifier, source, status, attribution, count in rows:
        outcome = find_outcome(Status(status), Attribution(attribution) if attribution else None).name.lower()
        counts = found.setdefault(notifier, {}).setdefault(Source[source.upper()], {})
        counts[outcome] = counts.get(outcome, 0) + count
    return {
        notifier: {source: Record(**counts) for source, counts in sources.items()}
        for notifier, sources in found.items()
    }


def notifier_ids(connection: Connection, marketplace: str, after: str, count: int) -> list[str]:
    """Return the ids of up to `count` notifiers of a marketplace that come after `after`.

    In ascending order. A notifier is one who reports violations; "" comes before all ids.
    """
    values = {"marketplace": marketplace, "after": after, "count": count}
    return list(connection.execute(_NOTIFIERS, values).scalars())


def open_violations(
    connection: Connection, marketplace: str, cut: Cut, count: int, *, is_safety: bool
) -> list[OpenViolation]:
    """Return the `count` newest violations that are alleged or under review, newest first.

    As of the cut: those of the category safety if `is_safety`, else all others.
    """
    values = _bounds(marketplace, cut) | {"count": count, "is_safety": is_safety}
    rows: Sequence[Any] = connection.execute(_OPEN, values).all()
    return [
        OpenViolation(name, sequence, seller, category, severity, notifier, Source[source.upper()], Status(status))
        for name, sequence, seller, category, severity, notifier, source, status in rows
    ]


def decision_histories(
    connection: Connection, marketplace: str, sequence: int, names: Collection[str]
) -> dict[str, list[RecordedChange]]:
    """Return a list of the decisions about each of these violations, by the violation's id.

    Up to a sequence, in their order; violations without a decision are left out.
    """
    found: dict[str, list[RecordedChange]] = {}
    values = {"marketplace": marketplace, "last": sequence, "names": list(names)}
    rows: Iterable[Any] = connection.execute(_HISTORY, values) if names else ()
    for violation, kind, entry_id, status, severity, origin, occur, report, flag in rows:
        held_back = str(flag).lower() in ("1", "true")  # of JSON a flag is text on PostgreSQL, and a number on SQLite
        change = RecordedChange(Kind(kind), entry_id, status, severity, origin, occur, report, held_back)
        found.setdefault(violation, []).append(change)
    return found


def recent_orders(connection: Connection, marketplace: str, cut: Cut, sellers: Iterable[str]) -> dict[str, int]:
    """Return the orders settled in the 30 days before the cut's day, by seller, as of the cut.

    Sellers without any are left out.
    """
    day = day_of(cut.observe_time)
    values = _bounds(marketplace, cut) | {"names": sorted(set(sellers)), "day": day, "first_day": day - ORDER_DAYS}
    return {seller: int(orders) for seller, orders in connection.execute(_ORDERS, values)}


def select_reports(
    connection: Connection, marketplace: str, cut: Cut, selection: Selection, after: int, count: int
) -> list[SelectedReport]:
    """Return the first `count` reports after a sequence that meet all conditions of a selection.

    Reports of products and of sellers, without the violations that the ledger derived from a product's; of a selection with
    a seller all violations of that seller, derived ones too. As the ledger was at the cut, by sequence.
    """
    columns = (_E.sequence, _E.entry_id, _E.record_time, _E.seller, _E.kind, _E.status, _E.severity, _E.report_time)
    query = select(*columns).where(*_VISIBLE, _E.sequence > after)
    direct = and_(of_kind(Kind.VIOLATION), _E.target.is_(None))
    query = query.where(of_kind(Kind.VIOLATION) if selection.seller else or_(of_kind(Kind.PRODUCT_VIOLATION), direct))
    if selection.notifier:
        query = query.where(_E.notifier.is_not(None), _E.notifier == selection.notifier)
    if selection.seller:
        query = query.where(_E.seller == selection.seller)
    if selection.violation_types:
        stated_type = member(_E.content, literal_column("'violation_type'"))
        query = query.where(stated_type.in_(selection.violation_types))
    if selection.listing:
        query = query.where(member(_E.content, literal_column("'listing'")) == selection.listing)
    if selection.right:
        query = query.where(member(_E.content, literal_column("'right'")) == selection.right)
    if selection.reported_from is not None:
        query = query.where(_E.report_time >= selection.reported_from)
    if selection.reported_before is not None:
        query = query.where(_E.report_time < selection.reported_before)
    rows = connection.execute(query.order_by(_E.marketplace, _E.sequence).limit(count), _bounds(marketplace, cut))
    return [
        SelectedReport(
            *(sequence, entry_id, record_time),
            ViolationState(seller, Kind(kind), Status(status), Severity(severity), report_time),
        )
        for sequence, entry_id, record_time, seller, kind, status, severity, report_time in rows
    ]


def find_derived_violations(
    connection: Connection, marketplace: str, sequence: int, names: Collection[str]
) -> dict[str, list[str]]:
    """Return the ids of sellers' violations derived from each of these products' violations.

    By the id of the latter, up to a sequence; those without any are left out.
    """
    found: dict[str, list[str]] = {}
    values = {"marketplace": marketplace, "last": sequence, "names": list(names)}
    for report, violation in connection.execute(_REACHED, values) if names else ():
        found.setdefault(report, []).append(violation)
    return found


def find_first_and_last_id(connection: Connection, marketplace: str, first: str, end: str) -> list[str]:
    """Return [first id, last id] of the marketplace's entries with `first` <= id < `end`.

    Empty if there is none; the two are equal if there is one.
    """
    values = {"marketplace": marketplace, "first": first, "end": end}
    orders = (_E.entry_id, _E.entry_id.desc())
    found = [connection.execute(_IDS.order_by(order).limit(1), values).scalar() for order in orders]
    return [name for name in found if name is not None]


def _bounds(marketplace: str, cut: Cut) -> dict[str, Any]:
    return {"marketplace": marketplace, "last": cut.sequence, "observe_time": cut.observe_time}

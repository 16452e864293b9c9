from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    Connection,
    Text,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
)

from scoring.base.enums import Attribution, Category, Kind, Severity, Source, Status
from scoring.base.errors import ViolationNotFound
from scoring.base.time import format_time
from scoring.entries.violation_state import RecordedChange, ViolationState
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.expressions import Texts, among, member, of_kind, only
from service.ledger.database.tables import ENTRY
from service.ledger.queries.entries import seen_by, select_page
from service.ledger.queries.resolving import REPORT, resolve
from service.ledger.records import Cut, ViolationView

_E = ENTRY.c
_C = ENTRY.alias("change").c
SOURCE = member(_E.content, literal_column("'source'"))
VISIBLE = (
    only(_E.marketplace, bindparam("marketplace", type_=Text())),
    _E.sequence <= bindparam("last"),
    _E.occur_time < bindparam("observe_time"),
    _E.report_time < bindparam("observe_time"),
)


def _latest(kind: Kind) -> Any:
    return (
        select(_C.status)
        .where(
            _C.marketplace == _E.marketplace,
            _C.violation.is_not(None),
            _C.violation == _E.violation,
            _C.kind == int(kind),
            _C.status.is_not(None),
            _C.sequence <= bindparam("last"),
        )
        .order_by(_C.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )


STATUS = func.coalesce(_latest(Kind.STATUS), _E.status)
ATTRIBUTION = func.coalesce(_latest(Kind.ATTRIBUTION), 0)
_OPEN = (
    select(_E.entry_id, _E.sequence, _E.seller, _E.category, _E.severity, _E.notifier, SOURCE, STATUS)
    .where(
        of_kind(Kind.VIOLATION),
        *VISIBLE,
        STATUS.in_([int(Status.ALLEGED), int(Status.UNDER_REVIEW)]),
        ATTRIBUTION.is_distinct_from(int(Attribution.ACCEPTED)),
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
_DERIVED = select(_E.target, _E.entry_id).where(
    _E.marketplace == bindparam("marketplace"),
    _E.target.is_not(None),  # stated, so that the partial index serves
    among(_E.target, bindparam("names", type_=Texts())),
    _E.kind == int(Kind.VIOLATION),
    _E.sequence <= bindparam("last"),
)
_REPORTS = REPORT.where(of_kind(Kind.VIOLATION))
_IS_REPORT = _E.kind.in_([int(Kind.VIOLATION), int(Kind.PRODUCT_VIOLATION)])


class OpenViolation(NamedTuple):
    violation: str
    sequence: int
    seller: str
    category: int
    severity: int
    notifier: str | None
    source: Source
    status: Status


@dataclass(frozen=True, slots=True)
class Selection:
    """The reports of a bulk decision: those that meet all conditions.

    Times in microseconds. None and empty admit every report.
    """

    violation_types: tuple[str, ...] = ()
    notifier: str = ""
    seller: str = ""
    reported_from: int | None = None
    reported_before: int | None = None
    listing: str = ""
    right: str = ""


class SelectedReport(NamedTuple):
    sequence: int
    violation: str
    record_time: int
    state: ViolationState


@dataclass(frozen=True, slots=True)
class ViolationQueries:
    clock: LedgerClock

    def find(self, marketplace: str, violation_id: str, cut: Cut, seller: str = "") -> ViolationView:
        """Return one violation.

        Raises ViolationNotFound if it had not happened or been reported by the cut, or is not of the given `seller`.
        """
        query = REPORT.where(
            *(_E.marketplace == marketplace, _E.entry_id == violation_id, _IS_REPORT),
            *(_E.sequence <= cut.sequence, *seen_by(cut)),
        )
        if seller:
            query = query.where(_E.seller == seller)
        with self.clock.as_of(cut.sequence) as connection:
            found = resolve(connection, marketplace, cut, connection.execute(query).all())
        if not found:
            raise ViolationNotFound(
                f"no violation {violation_id!r} was recorded by {format_time(cut.known_time)}; a violation is named"
                " by the entry_id of its report",
                {"violation": violation_id},
            )
        return found[0]

    def list(
        self,
        marketplace: str,
        cut: Cut,
        *,
        sellers: Collection[str] | None = None,
        statuses: Collection[Status] = (),
        after_sequence: int = 0,
        limit: int = 100,
    ) -> tuple[Sequence[ViolationView], int | None]:
        """Return a page of violations by the sequence of reports, and the next page's `after_sequence` (None at the
        end).

        A page looks at `limit` violations and returns those that have one of the `statuses`, if given. No correction
        moves a violation into the cut or out of it.
        """
        query = select_page(_REPORTS, marketplace, cut, sellers, after_sequence, limit + 1)
        with self.clock.as_of(cut.sequence) as connection:
            reports = connection.execute(query).all()
            views = resolve(connection, marketplace, cut, reports[:limit])
        after = reports[limit - 1][0] if len(reports) > limit else None
        return [view for view in views if not statuses or view.status in statuses], after

    def named(self, marketplace: str, names: Collection[str], cut: Cut) -> dict[str, ViolationView]:
        with self.clock.as_of(cut.sequence) as connection:
            query = REPORT.where(
                *(_E.marketplace == marketplace, among(_E.entry_id, bindparam("names", type_=Texts())), _IS_REPORT),
                *(_E.sequence <= cut.sequence, *seen_by(cut)),
            )
            reports = connection.execute(query, {"names": list(names)}).all()
            return {view.violation: view for view in resolve(connection, marketplace, cut, reports)}

    def list_open(self, marketplace: str, cut: Cut, count: int, *, is_safety: bool) -> Sequence[OpenViolation]:
        """Return the `count` newest violations that are alleged or under review, newest first.

        `is_safety`: of the category safety; otherwise all others.
        """
        with self.clock.as_of(cut.sequence) as connection:
            values = bounds_of(marketplace, cut) | {"count": count, "is_safety": is_safety}
            rows: Sequence[Any] = connection.execute(_OPEN, values).all()
            return [
                OpenViolation(
                    name, sequence, seller, category, severity, notifier, Source[source.upper()], Status(status)
                )
                for name, sequence, seller, category, severity, notifier, source, status in rows
            ]

    def decisions(
        self, marketplace: str, sequence: int, names: Collection[str]
    ) -> Mapping[str, Sequence[RecordedChange]]:
        with self.clock.database.read() as connection:
            return read_decisions(connection, marketplace, sequence, names)

    def select(
        self, marketplace: str, cut: Cut, selection: Selection, after: int, count: int
    ) -> Sequence[SelectedReport]:
        """Return the first `count` reports after a sequence that meet all conditions.

        Violations derived from a product's report need a seller in the selection.
        """
        with self.clock.as_of(cut.sequence) as connection:
            columns = (
                _E.sequence,
                _E.entry_id,
                _E.record_time,
                _E.seller,
                _E.kind,
                _E.status,
                _E.severity,
                _E.report_time,
            )
            query = select(*columns).where(*VISIBLE, _E.sequence > after)
            direct = and_(of_kind(Kind.VIOLATION), _E.target.is_(None))
            query = query.where(
                of_kind(Kind.VIOLATION) if selection.seller else or_(of_kind(Kind.PRODUCT_VIOLATION), direct)
            )
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
            rows = connection.execute(
                query.order_by(_E.marketplace, _E.sequence).limit(count), bounds_of(marketplace, cut)
            )
            return [
                SelectedReport(
                    *(sequence, entry_id, record_time),
                    ViolationState(seller, Kind(kind), Status(status), Severity(severity), report_time),
                )
                for sequence, entry_id, record_time, seller, kind, status, severity, report_time in rows
            ]

    def derived(self, marketplace: str, sequence: int, names: Collection[str]) -> Mapping[str, Sequence[str]]:
        with self.clock.database.read() as connection:
            found: dict[str, list[str]] = {}
            values = {"marketplace": marketplace, "last": sequence, "names": list(names)}
            for report, violation in connection.execute(_DERIVED, values) if names else ():
                found.setdefault(report, []).append(violation)
            return found


def read_decisions(
    connection: Connection, marketplace: str, sequence: int, names: Collection[str]
) -> dict[str, list[RecordedChange]]:
    found: dict[str, list[RecordedChange]] = {}
    values = {"marketplace": marketplace, "last": sequence, "names": list(names)}
    rows: Iterable[Any] = connection.execute(_HISTORY, values) if names else ()
    for violation, kind, entry_id, status, severity, origin, occur, report, flag in rows:
        held_back = str(flag).lower() in ("1", "true")
        change = RecordedChange(Kind(kind), entry_id, status, severity, origin, occur, report, held_back)
        found.setdefault(violation, []).append(change)
    return found


def bounds_of(marketplace: str, cut: Cut) -> dict[str, Any]:
    return {"marketplace": marketplace, "last": cut.sequence, "observe_time": cut.observe_time}

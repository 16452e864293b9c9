from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, exists, func, or_, select, text

from scoring.base.enums import Attribution, Category, Kind, Severity, Source, Status
from scoring.base.errors import ViolationNotFound
from scoring.base.time import format_time
from scoring.entries.violation_state import RecordedChange, ViolationState
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import (
    AS_OF_CUT,
    ENTRY,
    HERE,
    ONLY_HERE,
    RECORDED,
    UP_TO_LAST,
    RowReader,
    among,
    among_kinds,
    of_kind,
    read_content,
    read_fact,
)
from service.ledger.queries.entries import read_page
from service.ledger.queries.resolving import REPORT, change_of, resolve, state_on_arrival
from service.ledger.queries.waiting import WaitingList
from service.ledger.records import Cut, ViolationView

MAX_LISTED = 20_001

_E = ENTRY.c
_C = ENTRY.alias("change").c
SOURCE = read_content("source")
VISIBLE = (ONLY_HERE, *AS_OF_CUT)


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


def _of_notifier(notifier: str) -> Any:
    return and_(_E.notifier.is_not(None), _E.notifier == notifier)


def _changed_by(prefix: str) -> Any:
    change = (_C.marketplace == _E.marketplace, _C.violation.is_not(None), _C.violation == _E.violation)
    return exists().where(*change, _C.entry_id >= prefix, _C.entry_id < f"{prefix}g")


STATUS = func.coalesce(_latest(Kind.STATUS), _E.status)
ATTRIBUTION = func.coalesce(_latest(Kind.ATTRIBUTION), 0)
_OPEN = select(-_E.sequence, _E.entry_id, _E.seller, _E.category, _E.severity, _E.notifier, SOURCE, STATUS).where(
    *VISIBLE,
    STATUS.in_([int(Status.ALLEGED), int(Status.UNDER_REVIEW)]),
    ATTRIBUTION.is_distinct_from(int(Attribution.ACCEPTED)),
)
CHANGED = select(_E.violation).where(
    *(HERE, _E.violation.is_not(None), _E.sequence > bindparam("after"), UP_TO_LAST),
    among_kinds(Kind.VIOLATION, Kind.PRODUCT_VIOLATION, Kind.STATUS, Kind.ATTRIBUTION),
)
_HISTORY = RECORDED.where(
    HERE, among(_E.violation), among_kinds(Kind.STATUS, Kind.ATTRIBUTION), _E.status.is_not(None), UP_TO_LAST
).order_by(_E.violation, _E.sequence)
_DERIVED = select(_E.target, _E.entry_id).where(HERE, among(_E.target), among_kinds(Kind.VIOLATION), UP_TO_LAST)
_REPORTS = REPORT.where(of_kind(Kind.VIOLATION))
_NAMED = REPORT.where(HERE, among(_E.entry_id), among_kinds(Kind.VIOLATION, Kind.PRODUCT_VIOLATION), *AS_OF_CUT)


class OpenViolation(NamedTuple):
    order: int
    violation: str
    seller: str
    category: Category
    severity: Severity
    notifier: str | None
    source: Source
    status: Status

    @property
    def sequence(self) -> int:
        return -self.order


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
    changed_by: str = ""
    """The beginning of the entry id of one change."""


class SelectedReport(NamedTuple):
    sequence: int
    violation: str
    record_time: int
    state: ViolationState


class ViolationQueries:
    def __init__(self, clock: LedgerClock) -> None:
        self.clock = clock
        self._open = {is_safety: _list_waiting(clock, is_safety=is_safety) for is_safety in (True, False)}

    def find(self, marketplace: str, violation_id: str, cut: Cut, seller: str = "") -> ViolationView:
        """Return one violation.

        Raises ViolationNotFound if it happened or was reported after the cut, or is another seller's.
        """
        with self.clock.open_reader(marketplace, cut) as reader:
            reports = reader.rows(_NAMED, [violation_id])
            # Another seller's violation must take no longer than a missing one, so it is left out before it is resolved.
            views = resolve(reader, [report for report in reports if not seller or report.seller == seller])
        if not views:
            raise ViolationNotFound(
                f"no violation {violation_id!r} was recorded by {format_time(cut.known_time)}; a violation is named"
                " by the entry_id of its report",
                {"violation": violation_id},
            )
        return views[0]

    def list(
        self,
        marketplace: str,
        cut: Cut,
        *,
        sellers: Collection[str] | None = None,
        statuses: Collection[Status] = (),
        notifier: str = "",
        after_sequence: int = 0,
        limit: int = 100,
    ) -> tuple[Sequence[ViolationView], int | None]:
        """Return a page of violations by the sequence of reports, and the next page's `after_sequence` (None at the
        end).

        A page looks at `limit` violations and returns those that have one of the `statuses`, if given. Reports about
        products are left out; `sellers` None means all. No correction moves a violation into the cut or out of it.
        """
        reports_of = _REPORTS.where(_of_notifier(notifier)) if notifier else _REPORTS
        with self.clock.open_reader(marketplace, cut) as reader:
            reports = read_page(reader, reports_of, sellers, after_sequence, limit + 1)
            views = resolve(reader, reports[:limit])
        after = reports[limit - 1][0] if len(reports) > limit else None
        return [view for view in views if not statuses or view.status in statuses], after

    def find_views(self, marketplace: str, names: Collection[str], cut: Cut) -> dict[str, ViolationView]:
        """Return the violations that the cut sees, by id, products' reports included."""
        with self.clock.open_reader(marketplace, cut) as reader:
            return {view.violation: view for view in resolve(reader, reader.rows(_NAMED, names))}

    def list_open(self, marketplace: str, cut: Cut, count: int, *, is_safety: bool) -> Sequence[OpenViolation]:
        """Return the `count` newest violations that are alleged or under review, newest first.

        `is_safety`: of the category safety; otherwise all others.
        """
        return self._open[is_safety].read(marketplace, cut)[:count]

    def find_decisions(
        self, marketplace: str, sequence: int, names: Collection[str]
    ) -> Mapping[str, Sequence[RecordedChange]]:
        """Return the changes of status and attribution up to a sequence, by violation; those without any are missing."""
        with self.clock.database.read() as connection:
            return read_decisions(RowReader(connection, marketplace, sequence), names)

    def select(
        self, marketplace: str, cut: Cut, selection: Selection, after: int, count: int
    ) -> Sequence[SelectedReport]:
        """Return the first `count` reports after a sequence that meet all conditions.

        Violations derived from a product's report need a seller in the selection.
        """
        direct = and_(of_kind(Kind.VIOLATION), _E.target.is_(None))
        of_seller = of_kind(Kind.VIOLATION) if selection.seller else or_(of_kind(Kind.PRODUCT_VIOLATION), direct)
        conditions = (
            (selection.notifier, _of_notifier(selection.notifier)),
            (selection.seller, _E.seller == selection.seller),
            (selection.violation_types, read_content("violation_type").in_(selection.violation_types)),
            (selection.listing, read_content("listing") == selection.listing),
            (selection.right, read_content("right") == selection.right),
            (selection.changed_by, _changed_by(selection.changed_by)),
            (selection.reported_from is not None, _E.report_time >= (selection.reported_from or 0)),
            (selection.reported_before is not None, _E.report_time < (selection.reported_before or 0)),
        )
        chosen = (condition for is_stated, condition in conditions if is_stated)
        query = REPORT.where(*VISIBLE, _E.sequence > after, of_seller, *chosen)
        query = query.order_by(_E.marketplace, _E.sequence).limit(count)
        return [
            SelectedReport(row.sequence, row.entry_id, row.record_time, state_on_arrival(row))
            for row in self.clock.rows_as_of(cut, query, marketplace=marketplace)
        ]

    def find_derived(self, marketplace: str, sequence: int, names: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return the derived violations by product's report, up to a sequence."""
        violations_of_reports: dict[str, list[str]] = {}
        with self.clock.database.read() as connection:
            for report, violation in RowReader(connection, marketplace, sequence).rows(_DERIVED, names):
                violations_of_reports.setdefault(report, []).append(violation)
        return violations_of_reports


def _list_waiting(clock: LedgerClock, *, is_safety: bool) -> WaitingList:
    safety = int(Category.SAFETY)
    open_ones = _OPEN.where(_E.category == safety if is_safety else _E.category != safety)
    query = open_ones.where(of_kind(Kind.VIOLATION)).order_by(_E.marketplace.desc(), _E.sequence.desc())
    query = query.limit(bindparam("limit"))
    # With + SQLite finds the rows by their ids instead of walking all reports.
    named = open_ones.where(text(f"+entry.kind = {int(Kind.VIOLATION)}"), among(_E.entry_id))
    return WaitingList(clock, query, named, CHANGED, most=MAX_LISTED, make=_make_open)


def _make_open(row: Any) -> OpenViolation:
    order, name, seller, category, severity, notifier, source, status = row
    found = Category(category), Severity(severity), notifier, Source[source.upper()], Status(status)
    return OpenViolation(order, name, seller, *found)


def read_decisions(reader: RowReader, names: Collection[str]) -> dict[str, list[RecordedChange]]:
    """Return the changes of status and of attribution by decided violation, in order."""
    found: dict[str, list[RecordedChange]] = {}
    for row in reader.rows(_HISTORY, names):
        held_back = row.kind == Kind.STATUS and read_fact(row).held_back
        found.setdefault(row.violation, []).append(change_of(row)._replace(held_back=held_back))
    return found

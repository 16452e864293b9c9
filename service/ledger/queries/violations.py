from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, or_, select, text

from scoring.base.enums import Attribution, Category, CorrectionKind, IncidentChange, Kind, Severity, Source, Status
from scoring.base.errors import ViolationNotFound
from scoring.base.frozen import frozen
from scoring.base.time import format_time
from scoring.entries.derivation import VIOLATION_KINDS
from scoring.entries.kinds.conduct import ProductViolationReported, ViolationReported
from scoring.entries.lifecycle import allowed_actions
from scoring.entries.violation_state import (
    IncidentMention,
    RecordedChange,
    ReportMove,
    ViolationState,
    incident_after_moves,
)
from scoring.features.corrections import find_merged_incident
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import (
    AS_OF_CUT,
    BEYOND,
    BY_SELLER,
    BY_TARGET,
    BY_VIOLATION,
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
    select_distinct,
)
from service.ledger.queries.entries import read_page
from service.ledger.queries.waiting import ALL, KeptValue, WaitingList
from service.ledger.records import Cut, Record, ViolationView, find_outcome

_E = ENTRY.c
REPORT = RECORDED.add_columns(_E.category)
ABOUT = BY_VIOLATION.where(
    UP_TO_LAST,
    among_kinds(Kind.VIOLATION, Kind.PRODUCT_VIOLATION, Kind.STATUS, Kind.ATTRIBUTION),
    _E.status.is_not(None),
)
CORRECTIONS = BY_TARGET.where(UP_TO_LAST, among_kinds(Kind.CORRECTION))
_REGROUPINGS = BY_SELLER.where(UP_TO_LAST, of_kind(Kind.INCIDENT))


@dataclass(slots=True)
class _ReportHistory:
    state: ViolationState
    changes: list[Any] = field(default_factory=list)
    splits: list[Any] = field(default_factory=list)
    corrections: list[Any] = field(default_factory=list)


def resolve_reports(reader: RowReader, reports: Sequence[Any]) -> list[ViolationView]:
    """Resolve reports (rows of REPORT) into violations as they are now known, in order."""
    histories = {report.entry_id: _ReportHistory(state_on_arrival(report)) for report in reports}
    for row in reader.rows(ABOUT, histories):
        if row.kind in (Kind.STATUS, Kind.ATTRIBUTION):
            history = histories[row.violation]
            history.changes.append(row)
            history.state = history.state.apply(change_of(row))
    for row in reader.rows(CORRECTIONS, histories):
        histories[row.target].corrections.append(row)
    regroupings = _read_valid_regroupings(reader, {report.seller for report in reports})
    for row in regroupings:
        if row.status == IncidentChange.SPLIT and row.violation in histories:
            histories[row.violation].splits.append(row)
    merged_into = _follow_merges(regroupings)
    mentions: dict[str, list[IncidentMention[str]]] = {}
    if any(row.incident for history in histories.values() for row in history.corrections):
        mentions = _list_mentions(reader, regroupings)
    return [
        _make_view(report, histories[report.entry_id], merged_into, mentions.get(report.seller, ()))
        for report in reports
    ]


def _follow_merges(regroupings: Iterable[Any]) -> dict[tuple[str, str], str]:
    """Return, by (seller, incident), the incident that a merge put it into; that one may be merged in turn."""
    merged_into: dict[tuple[str, str], str] = {}
    for row in regroupings:
        if row.status != IncidentChange.SPLIT:
            merged = find_merged_incident(merged_into, row.seller, row.incident)
            remaining = find_merged_incident(merged_into, row.seller, row.target)
            if merged != remaining:
                merged_into[row.seller, merged] = remaining
    return merged_into


def fold_states(rows: Iterable[Any]) -> dict[str, ViolationState]:
    """Return the states of violations, by id, from rows about them: each violation's by sequence."""
    states: dict[str, ViolationState] = {}
    for row in rows:
        if row.kind in VIOLATION_KINDS:
            states[row.violation] = state_on_arrival(row)
        elif row.violation in states and row.status is not None:
            states[row.violation] = states[row.violation].apply(change_of(row))
    return states


def change_of(row: Any) -> RecordedChange:
    return RecordedChange(
        Kind(row.kind), row.entry_id, row.status, row.severity, row.target, row.occur_time, row.report_time
    )


def state_on_arrival(report: Any) -> ViolationState:
    severity, status = Severity(report.severity), Status(report.status)
    return ViolationState(report.seller, Kind(report.kind), status, severity, report.report_time)


def _read_valid_regroupings(reader: RowReader, sellers: Collection[str]) -> list[Any]:
    """Return the merges and splits of sellers' incidents that no correction voids, by sequence."""
    rows = reader.rows(_REGROUPINGS, sellers)
    corrections = reader.rows(CORRECTIONS, [row.entry_id for row in rows])
    last_status = {row.target: row.status for row in corrections}
    valid = [row for row in rows if last_status.get(row.entry_id) != CorrectionKind.VOID]
    return sorted(valid, key=attrgetter("sequence"))


def _list_mentions(reader: RowReader, regroupings: Sequence[Any]) -> dict[str, list[IncidentMention[str]]]:
    """Return by seller, in order, the incidents that regroupings name, without splits of retracted violations."""
    splits = {row.violation for row in regroupings if row.status == IncidentChange.SPLIT}
    states = fold_states(reader.rows(ABOUT, splits))
    mentions: dict[str, list[IncidentMention[str]]] = {}
    for row in regroupings:
        if row.status == IncidentChange.SPLIT and states[row.violation].is_retracted:
            continue
        names = tuple(name for name in (row.incident, row.target) if name is not None)
        mentions.setdefault(row.seller, []).append(IncidentMention(row.sequence, names))
    return mentions


def _make_view(
    report: Any,
    history: _ReportHistory,
    merged_into: dict[tuple[str, str], str],
    mentions: Iterable[IncidentMention[str]],
) -> ViolationView:
    fact: ViolationReported | ProductViolationReported = read_fact(report)
    state = history.state
    moves = [ReportMove(row.sequence, row.incident) for row in history.corrections if row.incident]
    incident = incident_after_moves(report.incident, moves, mentions)
    last_correction = history.corrections[-1] if history.corrections else report
    later = sorted([*history.changes, *history.splits, *history.corrections], key=attrgetter("sequence"))
    return ViolationView(
        violation=report.entry_id,
        seller=report.seller,
        incident=find_merged_incident(
            merged_into, report.seller, history.splits[-1].target if history.splits else incident
        ),
        violation_type=fact.violation_type,
        category=Category(report.category),
        severity=state.severity,
        harm=fact.harm,
        source=fact.source,
        notifier=fact.notifier,
        status=state.status,
        attribution=state.attribution,
        occur_time=last_correction.occur_time,
        report_time=report.report_time,
        record_time=report.record_time,
        entries=tuple(row.entry_id for row in (report, *later)),
        allowed_actions=allowed_actions(state.status),
        sequence=report.sequence,
        listing=getattr(fact, "listing", ""),
        ground=fact.ground,
        automated=getattr(fact, "automated", False),
        trusted_flagger=getattr(fact, "trusted_flagger", False),
    )


MAX_LISTED = 20_001

_C = ENTRY.alias("change").c
_OF_VIOLATION = (_C.marketplace == _E.marketplace, _C.violation.is_not(None), _C.violation == _E.violation)
SOURCE = read_content("source")
VISIBLE = (ONLY_HERE, *AS_OF_CUT)


def _select_latest_status(kind: Kind) -> Any:
    return (
        select(_C.status)
        .where(
            *_OF_VIOLATION,
            _C.kind == int(kind),
            _C.status.is_not(None),
            _C.sequence <= bindparam("last"),
        )
        .order_by(_C.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )


def _is_by_notifier(notifier: str) -> Any:
    return and_(_E.notifier.is_not(None), _E.notifier == notifier)


def _has_change(prefix: str) -> Any:
    return exists().where(*_OF_VIOLATION, _C.entry_id >= prefix, _C.entry_id < f"{prefix}g")


STATUS = func.coalesce(_select_latest_status(Kind.STATUS), _E.status)
ATTRIBUTION = func.coalesce(_select_latest_status(Kind.ATTRIBUTION), 0)
_OPEN_VIOLATIONS = select(
    -_E.sequence, _E.entry_id, _E.seller, _E.category, _E.severity, _E.notifier, SOURCE, STATUS
).where(
    *VISIBLE,
    STATUS.in_([int(Status.ALLEGED), int(Status.UNDER_REVIEW)]),
    ATTRIBUTION.is_distinct_from(int(Attribution.ACCEPTED)),
)
CHANGED = select(_E.violation).where(
    *BEYOND,
    _E.violation.is_not(None),
    among_kinds(Kind.VIOLATION, Kind.PRODUCT_VIOLATION, Kind.STATUS, Kind.ATTRIBUTION),
)
_HISTORY = BY_VIOLATION.where(among_kinds(Kind.STATUS, Kind.ATTRIBUTION), _E.status.is_not(None), UP_TO_LAST)
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


@frozen
class Selection:
    """The conditions on the reports of a bulk decision; None and empty admit every report."""

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
            views = resolve_reports(reader, [report for report in reports if not seller or report.seller == seller])
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
        notifier: str = "",
        after_sequence: int = 0,
        limit: int = 100,
    ) -> tuple[Sequence[ViolationView], int | None]:
        """Return a page of violations by their reports' sequence, and the next page's `after_sequence` (None: the end).

        Reports about products are left out; `sellers` None means all. No correction moves a violation into the cut or
        out of it.
        """
        query = _REPORTS.where(_is_by_notifier(notifier)) if notifier else _REPORTS
        with self.clock.open_reader(marketplace, cut) as reader:
            reports = read_page(reader, query, sellers, after_sequence, limit + 1)
            views = resolve_reports(reader, reports[:limit])
        after = reports[limit - 1][0] if len(reports) > limit else None
        return views, after

    def find_views(self, marketplace: str, names: Collection[str], cut: Cut) -> dict[str, ViolationView]:
        """Return the violations that the cut sees, by id, products' reports included."""
        with self.clock.open_reader(marketplace, cut) as reader:
            return {view.violation: view for view in resolve_reports(reader, reader.rows(_NAMED, names))}

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
        """Return the first `count` selected reports after a sequence; derived violations need a selected seller."""
        direct = and_(of_kind(Kind.VIOLATION), _E.target.is_(None))
        of_seller = of_kind(Kind.VIOLATION) if selection.seller else or_(of_kind(Kind.PRODUCT_VIOLATION), direct)
        conditions = (
            (selection.notifier, _is_by_notifier(selection.notifier)),
            (selection.seller, _E.seller == selection.seller),
            (selection.violation_types, read_content("violation_type").in_(selection.violation_types)),
            (selection.listing, read_content("listing") == selection.listing),
            (selection.right, read_content("right") == selection.right),
            (selection.changed_by, _has_change(selection.changed_by)),
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
    open_violations = _OPEN_VIOLATIONS.where(_E.category == safety if is_safety else _E.category != safety)
    query = open_violations.where(of_kind(Kind.VIOLATION)).order_by(_E.marketplace.desc(), _E.sequence.desc())
    query = query.limit(bindparam("limit"))
    # With + SQLite finds the rows by their ids instead of walking all reports.
    named = open_violations.where(text(f"+entry.kind = {int(Kind.VIOLATION)}"), among(_E.entry_id))
    return WaitingList(clock, query, named, CHANGED, most=MAX_LISTED, make=_parse_open)


def _parse_open(row: Any) -> OpenViolation:
    order, name, seller, category, severity, notifier, source, status = row
    return OpenViolation(
        order,
        name,
        seller,
        Category(category),
        Severity(severity),
        notifier,
        Source[source.upper()],
        Status(status),
    )


def read_decisions(reader: RowReader, names: Collection[str]) -> dict[str, list[RecordedChange]]:
    """Return the changes of status and of attribution by decided violation, in order."""
    changes: dict[str, list[RecordedChange]] = {}
    for row in reader.rows(_HISTORY, names):
        held_back = row.kind == Kind.STATUS and read_fact(row).held_back
        changes.setdefault(row.violation, []).append(change_of(row)._replace(held_back=held_back))
    return changes


Counts = dict[str, Counter[tuple[str, int, int]]]
"""Reports by notifier, then by source, status and attribution."""


def _select_counts(*conditions: ColumnElement[bool]) -> Select[Any]:
    outcome = SOURCE.label("source"), STATUS.label("status"), ATTRIBUTION.label("attribution")
    # With a limit SQLite computes the outcome of a report once, not also for GROUP BY.
    reports = select(_E.notifier, *outcome).where(*conditions, *AS_OF_CUT).limit(ALL).subquery()
    return select(*reports.c, func.count()).group_by(*reports.c)


_COUNTS_BY_NOTIFIER = _select_counts(ONLY_HERE, among(_E.notifier))
_COUNTS_OF_VIOLATIONS = _select_counts(HERE, among(_E.entry_id), _E.notifier.is_not(None))
_NOTIFIERS = select_distinct(_E.notifier, HERE, _E.notifier.is_not(None))


class NotifierQueries:
    def __init__(self, clock: LedgerClock) -> None:
        self.clock = clock
        self._waiting: KeptValue[Counts] = KeptValue(clock, lambda _: {}, CHANGED, _COUNTS_OF_VIOLATIONS, _apply_counts)

    def records(self, marketplace: str, cut: Cut, names: Collection[str]) -> dict[str, dict[Source, Record]]:
        """Return the number of reports per outcome, by notifier, then source."""
        with self.clock.open_reader(marketplace, cut) as reader:
            return _list_records({}, reader, names)

    def records_of_waiting(self, marketplace: str, cut: Cut, names: Collection[str]) -> dict[str, dict[Source, Record]]:
        """Return `records`; it keeps those of the same names for the next call."""
        return self._waiting.use(marketplace, cut, lambda kept, reader: _list_records(kept, reader, names))

    def list(self, marketplace: str, after: str, count: int) -> Sequence[str]:
        """Return up to `count` notifiers' ids after `after`, ascending; "" is before all."""
        rows = self.clock.database.rows(_NOTIFIERS, marketplace=marketplace, after=after, limit=count)
        return [notifier for (notifier,) in rows]


def _list_records(kept: Counts, reader: RowReader, names: Collection[str]) -> dict[str, dict[Source, Record]]:
    """Return the records of these names, and keep no other ones."""
    for name in kept.keys() - names:
        del kept[name]
    missing = [name for name in names if name not in kept]
    kept |= {name: Counter() for name in missing}
    _apply_counts(kept, (), reader.rows(_COUNTS_BY_NOTIFIER, missing))
    records: dict[str, dict[Source, Record]] = {}
    for notifier, counts in kept.items():
        outcomes: dict[Source, dict[str, int]] = {}
        for key, number in counts.items():
            if number:
                source, outcome = _find_outcome(*key)
                numbers = outcomes.setdefault(source, {})
                numbers[outcome] = numbers.get(outcome, 0) + number
        if outcomes:
            records[notifier] = {source: Record(**numbers) for source, numbers in outcomes.items()}
    return records


@cache
def _find_outcome(source: str, status: int, attribution: int) -> tuple[Source, str]:
    outcome = find_outcome(Status(status), Attribution(attribution) if attribution else None)
    return Source[source.upper()], outcome.word


def _apply_counts(kept: Counts, former: Sequence[Any], now: Sequence[Any]) -> bool:
    """Take the `former` rows from the kept notifiers' counts, and add those of `now`."""
    for rows, sign in ((former, -1), (now, 1)):
        for notifier, *outcome, number in rows:
            if notifier in kept:
                kept[notifier][tuple(outcome)] += sign * number
    return True

"""The figures of the public report, counted from entries along the parts of Regulation (EU) 2024/2835."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from statistics import median
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from scoring.answers.hiding import LEAST, Amount, ShownCount, show
from scoring.base.enums import (
    AUTHORITIES,
    Attribution,
    Category,
    ComplaintOutcome,
    CorrectionKind,
    InspectionResult,
    Kind,
    MeasureKind,
    MeasureState,
    ShownState,
    Source,
    Status,
    TransparencyUnit,
    WordEnum,
)
from scoring.base.errors import invalid
from scoring.base.frozen import frozen
from scoring.base.time import DAY, SECOND
from scoring.sampling.sample import find_interval

HOUR = 3_600 * SECOND
PPM = 1_000_000
_PERIOD = re.compile("([0-9]{4})(?:-(0[1-9]|1[0-2]))?")
MONTHS_TO_PUBLISH = 2
"""Article 2 of the regulation."""

NOTICE_SOURCES = frozenset({Source.BRAND, Source.BUYER, Source.PARTNER})
"""Sources of notices. Authorities order; the other sources are the marketplace's own."""


class ReportRow(NamedTuple):
    """An entry, as far as the report counts it. Times in microseconds."""

    sequence: int
    seller: str
    entry_id: str
    kind: int
    occur_time: int
    report_time: int
    violation: str | None
    category: int | None
    status: int | None
    target: str | None
    content: str


class Figure(NamedTuple):
    part: str
    unit: TransparencyUnit
    splits: Mapping[str, Sequence[str]] = MappingProxyType({})
    """By dimension, the cells that add up to it."""


def _list_words(words: Iterable[WordEnum]) -> list[str]:
    return [one.word for one in words]


_CATEGORY = {"category": _list_words(Category)}
_OUTCOME = {"outcome": ("confirmed", "dismissed", "withdrawn", "overturned", "open")}
_PART_OF_SOURCE = (
    {source.word: "own_initiative" for source in Source}
    | {source.word: "orders" for source in AUTHORITIES}
    | {source.word: "notices" for source in NOTICE_SOURCES}
)
_CATEGORY_WORDS = {int(category): category.word for category in Category}
_OWN_SOURCES = [source for source in Source if source not in AUTHORITIES | NOTICE_SOURCES]
_REPORTED = _CATEGORY | _OUTCOME
_SOURCES = {"source": _list_words(Source)}

FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        "active_sellers": Figure("denominators", TransparencyUnit.COUNT),
        "settled_orders": Figure("denominators", TransparencyUnit.COUNT),
        "orders": Figure("orders", TransparencyUnit.COUNT, {"source": _list_words(sorted(AUTHORITIES)), **_REPORTED}),
        "orders_hours": Figure("orders", TransparencyUnit.HOURS),
        "notices": Figure(
            "notices", TransparencyUnit.COUNT, {"source": _list_words(sorted(NOTICE_SOURCES)), **_REPORTED}
        ),
        "notices_hours": Figure("notices", TransparencyUnit.HOURS),
        "own_initiative": Figure(
            "own_initiative",
            TransparencyUnit.COUNT,
            {"source": _list_words(_OWN_SOURCES), "detection": ("software", "person"), **_REPORTED},
        ),
        "own_initiative_hours": Figure("own_initiative", TransparencyUnit.HOURS),
        "confirmed": Figure("actions", TransparencyUnit.COUNT, _SOURCES | _CATEGORY),
        "listings": Figure("actions", TransparencyUnit.COUNT),
        "measures": Figure(
            "actions", TransparencyUnit.COUNT, {"kind": _list_words(MeasureKind), "decider": ("rule", "person")}
        ),
        # With a measure by a person, or that rests on violations.
        "sellers_measured": Figure("actions", TransparencyUnit.COUNT),
        "appeals": Figure(
            "complaints", TransparencyUnit.COUNT, {"outcome": ("confirmed", "reduced", "overturned", "open")}
        ),
        "appeals_hours": Figure("complaints", TransparencyUnit.HOURS),
        "complaints": Figure(
            "complaints", TransparencyUnit.COUNT, {"outcome": (*_list_words(ComplaintOutcome), "open")}
        ),
        "complaints_hours": Figure("complaints", TransparencyUnit.HOURS),
        "overturned": Figure("complaints", TransparencyUnit.COUNT, _SOURCES),
        "overturned_share": Figure("complaints", TransparencyUnit.SHARE),
        "audited": Figure("automated", TransparencyUnit.COUNT),
        "accuracy": Figure("automated", TransparencyUnit.SHARE),
        "precision": Figure("automated", TransparencyUnit.SHARE),
        "recall": Figure("automated", TransparencyUnit.SHARE),
    }
)

NOT_FROM_LEDGER = (
    *("trusted_flaggers", "information_orders", "removed_listings", "dispute_bodies", "suspended_notifiers"),
    *("human_resources", "recipients", "qualitative"),
)


@frozen
class Period:
    text: str
    """`2026` or `2026-03`."""
    first: int
    """Its first month, counted from January of the year 0."""
    count: int

    @property
    def months(self) -> range:
        return range(self.first, self.first + self.count)

    @property
    def start(self) -> int:
        """Return its first microsecond."""
        return start_of_month(self.first)

    @property
    def end(self) -> int:
        """Return the first microsecond after it."""
        return start_of_month(self.first + self.count)

    @property
    def publish_time(self) -> int:
        """Return when its report is due, in microseconds."""
        return start_of_month(self.first + self.count + MONTHS_TO_PUBLISH)


def parse_period(text: str) -> Period:
    """Return the period; raise InvalidInput unless it is a year from 1970 to 9998, or a month of one."""
    match = _PERIOD.fullmatch(text)
    if match is None or not 1970 <= int(match[1]) <= 9998:
        raise invalid("period", "must be a year such as 2026, or a month such as 2026-03")
    january = int(match[1]) * 12
    return Period(text, january, 12) if match[2] is None else Period(text, january + int(match[2]) - 1, 1)


def start_of_month(month: int) -> int:
    """Return its begin, in microseconds: `start_of_month(1970 * 12) == 0`."""
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()) * SECOND


class ReportExposure(NamedTuple):
    active_sellers: int
    """Sellers with a settled order."""
    settled_orders: int


class FigureValue(NamedTuple):
    shown: ShownCount
    """The count; of a median or share, the cases behind it."""
    value: float | None = None
    """The median or the share, if shown and measurable."""
    low: float | None = None
    high: float | None = None
    """Ends of a share's 95 % interval."""
    months: tuple[ShownCount, ...] = ()
    """Each month of a year."""


@dataclass(slots=True)
class _Case:
    report: ReportRow
    source: str
    is_automated: bool
    listings: frozenset[str]
    status: Status
    decided: int | None = None
    """The first decision, in microseconds."""
    confirmed: int | None = None
    is_of_another_seller: bool = False
    appeals: list[tuple[int, int | None, str]] = field(default_factory=list)
    """Filed, decided, outcome."""

    def apply(self, status: Status, time: int) -> None:
        if self.status is Status.APPEALED and self.appeals:
            self.appeals[-1] = (self.appeals[-1][0], time, status.word)
        if status is Status.APPEALED:
            self.appeals.append((time, None, "open"))
        if status is Status.CONFIRMED and self.confirmed is None:
            self.confirmed = time
        if status in (Status.CONFIRMED, Status.DISMISSED) and self.decided is None:
            self.decided = time
        self.status = status

    @property
    def is_overturned(self) -> bool:
        return self.is_of_another_seller or self.status is Status.OVERTURNED

    @property
    def outcome(self) -> str:
        if self.is_overturned:
            return "overturned"
        if self.status in (Status.DISMISSED, Status.WITHDRAWN):
            return self.status.word
        return "open" if self.status in (Status.ALLEGED, Status.UNDER_REVIEW) else "confirmed"


class FigureTally:
    """Exact counts of a period, by figure and month; `show` hides what is small."""

    def __init__(self, period: Period, exposed: ReportExposure) -> None:
        self._months = period.months
        self._exposed = exposed
        self._counts: defaultdict[tuple[str, int], Counter[tuple[str, ...]]] = defaultdict(Counter)
        """By figure and month, then by a cell of each split."""
        self._hours: dict[str, list[float]] = {}
        self._sellers: dict[int, set[str]] = {}
        self.audits: list[tuple[bool, bool, float]] = []
        """(failed, reported by software, probability of its draw)."""

    def add(self, key: str, time: int, cells: tuple[str, ...] = (), amount: int = 1) -> None:
        """Count a figure (`key`), and a cell of each split, in the month of a time (microseconds) of the period."""
        month = _month_of(time)
        if month in self._months:
            self._counts[key, month][cells] += amount

    def add_hours(self, key: str, since: int, until: int) -> None:
        """Record the hours of a case that began in the period; times in microseconds."""
        if _month_of(since) in self._months:
            self._hours.setdefault(key, []).append(max(until - since, 0) / HOUR)

    def add_seller(self, time: int, seller: str) -> None:
        """Note that a measure reached a seller at a time (microseconds); each seller counts once a month."""
        self._sellers.setdefault(_month_of(time), set()).add(seller)

    def amounts(self, key: str) -> list[Amount]:
        """Return the exact amount of a figure that counts, in each month; of denominators, of the period."""
        if key == "sellers_measured":
            return [Amount(len(self._sellers.get(month, ()))) for month in self._months]
        if key == "audited":
            return [Amount(len(self.audits))]
        if key in ReportExposure._fields:
            return [Amount(getattr(self._exposed, key))]
        return [_build_amount(key, self._counts[key, month]) for month in self._months]

    def show(self) -> dict[str, FigureValue]:
        """Return each figure by its key, as published: counts of 1 to 4 are hidden, other figures may hide with them."""
        figures = {
            key: _build_count(self.amounts(key))
            for key, figure in FIGURES.items()
            if figure.unit is TransparencyUnit.COUNT
        }
        # A seller of two months is one of the year, so the months do not add up to it.
        sellers = {name for month in self._months for name in self._sellers.get(month, ())}
        figures["sellers_measured"] = figures["sellers_measured"]._replace(shown=show([Amount(len(sellers))]))
        for key, figure in FIGURES.items():
            if figure.unit is TransparencyUnit.HOURS:
                hours = self._hours.get(key, [])
                figures[key] = FigureValue(show([Amount(len(hours))]), median(hours) if len(hours) >= LEAST else None)
        figures["overturned_share"] = _build_share(figures["overturned"].shown, figures["confirmed"].shown)
        return figures | _judge_software(self.audits)


def _build_amount(key: str, counts: Counter[tuple[str, ...]]) -> Amount:
    splits = {name: dict.fromkeys(cells, 0) for name, cells in FIGURES[key].splits.items()}
    for cells, number in counts.items():
        for split, cell in zip(splits.values(), cells, strict=True):
            split[cell] += number
    return Amount(counts.total(), splits)


def _build_count(amounts: Sequence[Amount]) -> FigureValue:
    return FigureValue(show(amounts), months=tuple(show([amount]) for amount in amounts) if len(amounts) > 1 else ())


def _build_share(part: ShownCount, whole: ShownCount) -> FigureValue:
    if part.state is whole.state is ShownState.EXACT and whole.count:
        return FigureValue(replace(whole, splits={}), part.count / whole.count)
    return FigureValue(replace(whole, splits={}))


def _judge_software(audits: Sequence[tuple[bool, bool, float]]) -> dict[str, FigureValue]:
    """Return the shares of random inspections in which software was right, weighted by 1 / probability of the draw.

    Accuracy: of all. Precision: of those reported by software before. Recall: of those that failed. All are hidden if
    one of the four combinations is small, since a share would tell it.
    """
    if any(count < LEAST for count in Counter((failed, flagged) for failed, flagged, _ in audits).values()):
        return dict.fromkeys(("accuracy", "precision", "recall"), FigureValue(ShownCount(ShownState.HIDDEN)))
    audits_by_figure = {
        "accuracy": audits,
        "precision": [audit for audit in audits if audit[1]],
        "recall": [audit for audit in audits if audit[0]],
    }
    values = {}
    for key, chosen in audits_by_figure.items():
        shown = show([Amount(len(chosen))])
        values[key] = FigureValue(shown)
        if shown.count:
            failed, flagged, chance = np.array(chosen, dtype=np.float64).T
            weight, stratum = 1 / chance, np.zeros(len(chosen), dtype=np.int64)
            hits = (failed == flagged).astype(np.float64)
            values[key] = FigureValue(shown, *find_interval(hits, chance, weight / weight.sum(), stratum))
    return values


def count(
    period: Period,
    exposed: ReportExposure,
    cases: Iterable[ReportRow],
    terms: Iterable[ReportRow],
    inspections: Iterable[ReportRow],
    corrections: Iterable[ReportRow],
) -> FigureTally:
    """Count the figures of a period from entries, by sequence; entries outside the period count nothing.

    `cases`: reports, decisions, attributions, together for each violation; those of the period and of each seller
    inspected in it.
    `terms`: measures, complaints, their decisions. `corrections`: of terms and inspections.
    """
    tally = FigureTally(period, exposed)
    corrected = {row.target: row for row in corrections}
    flagged: dict[tuple[str, str], int] = {}
    for case in _trace_cases(cases):
        _count_case(tally, case)
        for listing in {"", *case.listings} if case.is_automated and case.source != "random_audit" else ():
            listing_key, time = (case.report.seller, listing), case.report.report_time
            flagged[listing_key] = min(flagged.get(listing_key, time), time)
    _count_terms(tally, [*_apply_corrections(terms, corrected)])
    for row in _apply_corrections(inspections, corrected):
        fact = json.loads(row.content)
        chance = fact.get("selection_probability_ppm", 0)
        if _month_of(row.occur_time) in period.months and fact["source"] == "random_audit" and chance:
            before = flagged.get((row.seller, fact.get("listing", "")), row.occur_time)
            tally.audits.append((row.status == InspectionResult.FAILED, before < row.occur_time, chance / PPM))
    return tally


def _trace_cases(rows: Iterable[ReportRow]) -> Iterator[_Case]:
    for _, of_violation in groupby(rows, attrgetter("violation")):
        report, *changes = of_violation
        # A report with a target was derived from a product's violation, which counts.
        if report.kind == Kind.PRODUCT_VIOLATION or (report.kind == Kind.VIOLATION and report.target is None):
            yield _follow_case(report, changes)


def _follow_case(report: ReportRow, changes: Iterable[ReportRow]) -> _Case:
    fact = json.loads(report.content)
    listings = [name for name in (fact.get("listing"), *fact.get("more_listings", ())) if name]
    case = _Case(report, fact["source"], bool(fact.get("automated")), frozenset(listings), Status.ALLEGED)
    if report.status != Status.ALLEGED:
        case.apply(Status(report.status or 0), report.report_time)
    for row in changes:
        if row.kind == Kind.ATTRIBUTION:
            case.is_of_another_seller = row.status == Attribution.ACCEPTED
        else:
            case.apply(Status(row.status or 0), row.occur_time)
    return case


def _count_case(tally: FigureTally, case: _Case) -> None:
    key, source, time = _PART_OF_SOURCE[case.source], (case.source,), case.report.report_time
    category = _CATEGORY_WORDS[case.report.category or 0]
    detection = () if key != "own_initiative" else ("software" if case.is_automated else "person",)
    tally.add(key, time, (*source, *detection, category, case.outcome))
    if case.decided is not None:
        tally.add_hours(f"{key}_hours", time, case.decided)
    if case.confirmed is not None:
        tally.add("confirmed", case.confirmed, (*source, category))
        tally.add("listings", case.confirmed, amount=len(case.listings))
        if case.is_overturned:
            tally.add("overturned", case.confirmed, source)
    for filed, decided, outcome in case.appeals:
        tally.add("appeals", filed, (outcome,))
        if decided is not None:
            tally.add_hours("appeals_hours", filed, decided)


def _count_terms(tally: FigureTally, rows: Sequence[ReportRow]) -> None:
    decisions = {row.target: row for row in rows if row.kind == Kind.COMPLAINT_DECISION}
    for row in rows:
        if row.kind == Kind.MEASURE and row.status == MeasureState.IMPOSED:
            fact = json.loads(row.content)
            decider = "rule" if fact.get("rule") else "person"
            tally.add("measures", row.occur_time, (fact["measure_kind"], decider))
            if decider == "person" or fact.get("violations"):  # else general terms, as for new sellers
                tally.add_seller(row.occur_time, row.seller)
        elif row.kind == Kind.COMPLAINT:
            decision = decisions.get(row.entry_id)
            outcome = "open" if decision is None else ComplaintOutcome(decision.status or 0).word
            tally.add("complaints", row.occur_time, (outcome,))
            if decision is not None:
                tally.add_hours("complaints_hours", row.occur_time, decision.occur_time)


def _apply_corrections(rows: Iterable[ReportRow], corrected: Mapping[str | None, ReportRow]) -> Iterator[ReportRow]:
    for row in rows:
        correction = corrected.get(row.entry_id)
        if correction is None:
            yield row
        elif correction.status == CorrectionKind.MOVED:
            yield row._replace(occur_time=correction.occur_time)


def _month_of(time: int) -> int:
    return _month_of_day(time // DAY)


@lru_cache(maxsize=4_096)
def _month_of_day(day: int) -> int:
    date = datetime.fromtimestamp(day * DAY // SECOND, UTC)
    return date.year * 12 + date.month - 1


def format_month(month: int) -> str:
    """Return it as text: `format_month(2014 * 12) == "2014-01"`."""
    return f"{month // 12:04}-{month % 12 + 1:02}"

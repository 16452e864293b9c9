"""Snapshots: what was known of each seller at an observation point, and what became of it.

Features come from what was reported before the observation point. Labels come from the truth known at one fixed
maturity after the window, less whatever was overturned since. What occurred before the point and was reported after it
is neither.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoring.arrays import Bools, Floats, Ints, first_of_runs
from scoring.features.facts import Facts, resolve
from scoring.features.fold import Folder, Sums
from scoring.features.table import AttributeFeature, matrix
from scoring.time import DAY
from training.observation.chunks import of_sellers
from training.observation.context import fill_context
from training.observation.events import Moved, moved_cases
from training.observation.export import LedgerTable
from training.observation.labels import Labels, Outcome, Windows, final_facts, label, market_cut_of, staying_weights
from training.study.definition import Observation, Study

Texts = NDArray[np.object_]
RULE_POINTS = np.array([0, 1, 2, 4, 12], dtype=np.int64)
"""Points of the hand-made rule, by severity."""
RULE_EXPIRY_DAYS = 180
"""Days after which a violation has no points of the hand-made rule any more."""
RAW_COUNT_DAYS = 730
"""Days back over which `raw_count` counts: 24 months."""

Exclusions = Mapping[str, int]
"""Number of rows that were left out, by reason; the first reason that applies counts.

Reasons: `no_orders_in_window`, `bad_without_orders_in_window` (the same, of those that are bad),
`too_few_orders_in_window` and `bad_with_too_few_orders`, `not_active_before`, `not_active_in_window`, `indeterminate`
(closed with open claims), `left` (before enough of the window was over).
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """n observed sellers in the order of (observation point, seller); arrays of shape (n,)."""

    x: Floats
    """Inputs of the model, shape (n, features)."""
    bad: Floats
    """0 or 1."""
    seller: Ints
    """Code of the seller in the export."""
    day: Ints
    """Observation day."""
    window_orders: Floats
    """Settled orders in the window."""
    orders: Floats
    """Settled orders before the window."""
    rule_points: Floats
    """Points of the hand-made rule."""
    clean: Bools
    """Whether the seller has had no incident so far."""
    outcome: NDArray[np.int8]
    """As in `labels.Outcome`."""
    weight: Floats
    """How many rows it stands for: 1, unless the study weights rows by staying, or by orders."""
    loss: Floats
    """In severity weight; see `labels.Labels`."""
    raw_count: Floats
    """Incidents that count of the last 24 months."""
    tenure_days: Ints
    """Days since the first exposure or identity."""
    country: Texts
    """Country of the identity in force; '' where unknown."""
    product_category: Texts
    """Product category with the most settled orders so far; '' where unknown."""
    inspected: Bools
    """Whether an inspection drew the seller at random in the window."""

    def take(self, index: Bools | Ints) -> "Snapshot":
        """Return a snapshot of the rows at `index`, in its order."""
        return Snapshot(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def settled(self) -> "Snapshot":
        """Return the rows whose outcome is good or bad; no indeterminate ones, none that left.

        Models learn from them and are judged by them.
        """
        known = self.outcome <= Outcome.BAD
        return self if known.all() else self.take(known)


@dataclass(frozen=True, slots=True)
class EligibleRows:
    """The eligible rows of one observation point, and what was left out."""

    rows: Snapshot
    """All eligible rows, those of unknown outcome among them."""
    exclusions: Exclusions
    """Rows that were left out, by reason."""


@dataclass(frozen=True, slots=True)
class KnownFacts:
    """What was known of every seller at an observation point."""

    facts: Facts
    """Facts, from what was reported before the point."""
    sums: Sums
    """The sums over the facts of each seller."""


class FeatureBuffer:
    """Memory for the inputs of many rows, filled from the front, so that `join` need not copy them.

    Only what is filled is ever touched, so it may be too large by far.
    """

    def __init__(self, rows: int, features: int) -> None:
        self._x = np.empty((rows, features), dtype=np.float64)
        self._filled = 0

    def take(self, rows: int) -> Floats:
        """Return the buffer's next `rows` rows, to be filled; each call returns those after."""
        start, self._filled = self._filled, self._filled + rows
        return self._x[start : self._filled]


def snapshot(table: LedgerTable, study: Study, point: Observation, final: Facts | None = None) -> Snapshot:
    """Return the sellers eligible at one observation point whose outcome is good or bad."""
    return observe(table, study, point, final).rows.settled()


def observe(
    table: LedgerTable, study: Study, point: Observation, final: Facts | None = None, room: FeatureBuffer | None = None
) -> EligibleRows:
    """Compute features and labels of each eligible seller at a point, or at a span's events.

    `final`: from `final_facts`, if it is known already. `room`: memory for the inputs, allocated here if not given;
    events have memory of their own. Rows are weighted as the study asks.
    """
    if point.last_day is not None:
        return _weighed(_together([_of_events(moved, study) for moved in moved_cases(table, study, point)]), study)
    return _weighed(_observe_day(table, study, point, final or final_facts(table), room), study)


def _observe_day(
    table: LedgerTable, study: Study, point: Observation, final: Facts, room: FeatureBuffer | None
) -> EligibleRows:
    """Observe every eligible seller at a point that is one day, in parts of bounded memory.

    Rows have weights for staying if the study asks for them; weights by orders come later (`_weighed`).
    """
    room = room or FeatureBuffer(table.columns.cases, len(study.features))
    everyone = _windows(table.columns.cases, point)
    cut = market_cut_of(table, study, everyone, final)  # the market is the whole table, not a part of it
    parts = []
    for cases, columns in of_sellers(table.columns, AT_ONCE):
        part = replace(table, columns=columns)
        parts.append(_observe(part, study, point, final.part(cases), room, cases.start, cut))
    found = _together([EligibleRows(part.rows, part.exclusions) for part in parts])
    if study.eligible.left != "weight":
        return found
    share = np.concatenate([part.share for part in parts])
    weight = staying_weights(found.rows.outcome, share, found.rows.orders)
    return replace(found, rows=replace(found.rows, weight=weight))


def count_bad(table: LedgerTable, study: Study, point: Observation, final: Facts) -> int:
    """Count the bad rows of one observation point, without making their features.

    The point must be a day, not a span of events.
    """
    cut = market_cut_of(table, study, _windows(table.columns.cases, point), final)
    found = 0
    for cases, columns in of_sellers(table.columns, AT_ONCE):
        part, theirs = replace(table, columns=columns), final.part(cases)
        labels = label(part, study, _windows(columns.cases, point), theirs, cut)
        known = resolve(columns, np.full(columns.cases, point.day * DAY), as_reported=True)
        keep, _ = _eligible(study, point, known, theirs, labels)
        found += int((keep & (labels.outcome == Outcome.BAD)).sum())
    return found


AT_ONCE = 100_000
"""Entries that are observed at a time: their columns stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of some sellers."""

    rows: Snapshot
    """The rows, those of unknown outcome among them."""
    exclusions: dict[str, int]
    """Rows that were left out, by reason."""
    share: Floats
    """Share of its window that each row was there for, or until it was bad."""


def _windows(cases: int, point: Observation) -> Windows:
    """Return the window of a point, the same for each of so many cases."""
    return Windows(np.full(cases, point.day), np.full(cases, point.window_end))


def _weighed(found: EligibleRows, study: Study) -> EligibleRows:
    """Weight rows by orders in the window over their mean (1 on average), if the study weighs so."""
    rows = found.rows
    if study.bad.weigh_by != "orders" or not len(rows.bad):
        return found
    weight = rows.weight * rows.window_orders / rows.window_orders.mean()
    return replace(found, rows=replace(rows, weight=weight))


def _observe(
    table: LedgerTable, study: Study, point: Observation, final: Facts, room: FeatureBuffer, first: int, cut: float
) -> _Part:
    """Observe the sellers of a part of the table.

    `first`: the number of its first seller among all; `cut`: that of the whole market.
    """
    known = known_at(table, study, point)
    windows = _windows(table.columns.cases, point)
    labels = label(table, study, windows, final, cut)
    keep, exclusions = _eligible(study, point, known.facts, final, labels)
    kept = np.flatnonzero(keep).astype(np.int64)
    outcome = labels.outcome[kept]
    exclusions |= {o.name.lower(): int((outcome == o).sum()) for o in (Outcome.INDETERMINATE, Outcome.LEFT)}
    ended = np.where(labels.outcome == Outcome.LEFT, labels.left_day, np.minimum(labels.bad_day, windows.end))
    rows = Snapshot(
        x=features_of(known, table, study, point, kept, room.take(len(kept))),
        bad=(outcome == Outcome.BAD).astype(np.float64),
        seller=kept + first,
        day=windows.day[kept],
        window_orders=labels.window_orders[kept],
        orders=known.sums.total_orders[kept],
        rule_points=_rule_points(known.facts)[kept],
        clean=known.sums.incidents[kept] == 0,
        outcome=outcome,
        weight=np.ones(len(kept)),
        loss=labels.loss[kept],
        raw_count=_raw_count(known.facts)[kept],
        tenure_days=known.sums.tenure_days[kept],
        country=_countries(table, known.facts)[kept],
        product_category=_product_categories(table, known.facts)[kept],
        inspected=labels.inspected[kept],
    )
    return _Part(rows, exclusions, ((ended - windows.day) / (windows.end - windows.day))[kept])


def known_at(table: LedgerTable, study: Study, point: Observation) -> KnownFacts:
    """Return facts and sums of every seller, by what was reported before the observation point."""
    facts = resolve(table.columns, np.full(table.columns.cases, point.day * DAY), as_reported=True)
    return KnownFacts(facts, Folder(study.constants).fold(facts))


def features_of(
    known: KnownFacts, table: LedgerTable, study: Study, point: Observation, cases: Ints, out: Floats | None = None
) -> Floats:
    """Return the model's input of some sellers, shape (n, features), with context as it was.

    `out`: the array to write it to.
    """
    attributes: list[Mapping[str, str]] | None = None
    if any(isinstance(feature, AttributeFeature) for feature in study.features):
        empty: Mapping[str, str] = {}
        attributes = [table.attributes.get(row, empty) for row in known.facts.identity_row[cases].tolist()]
    x = matrix(known.sums, study.features, attributes, cases, out)
    fill_context(x, table, study, point, cases)
    return x


def _of_events(moved: Moved, study: Study) -> EligibleRows:
    """Return the observed events of one part, with their own sellers and days."""
    found = _observe_day(moved.table, study, moved.point, final_facts(moved.table), None)
    rows = found.rows
    return replace(found, rows=replace(rows, seller=moved.seller[rows.seller], day=moved.day[rows.seller]))


def _together(parts: list[EligibleRows]) -> EligibleRows:
    """Join parts into one, and add up their exclusions."""
    exclusions: Counter[str] = Counter()
    for part in parts:
        exclusions.update(part.exclusions)
    return EligibleRows(join([part.rows for part in parts]), dict(exclusions))


def join(snapshots: list[Snapshot]) -> Snapshot:
    """Join snapshots one after the other.

    Inputs that lie so in memory already (see `FeatureBuffer`) are not copied.
    """
    names = [name for name in Snapshot.__dataclass_fields__ if name != "x"]
    joined = {name: np.concatenate([getattr(s, name) for s in snapshots]) for name in names}
    return Snapshot(x=_stacked([s.x for s in snapshots]), **joined)


def _stacked(inputs: list[Floats]) -> Floats:
    """Return inputs one after the other, as a view where they lie so in one buffer already."""
    inputs = [x for x in inputs if len(x)] or inputs[:1]
    if len(inputs) == 1:
        return inputs[0]
    room = inputs[0].base
    begin = [x.ctypes.data for x in inputs]
    end = [start + x.nbytes for start, x in zip(begin, inputs, strict=True)]
    if room is None or any(x.base is not room for x in inputs) or begin[1:] != end[:-1]:
        return np.concatenate(inputs)
    first = (begin[0] - room.ctypes.data) // room.strides[0]
    shared: Floats = room[first : first + sum(map(len, inputs))]
    return shared


def _eligible(
    study: Study, point: Observation, facts: Facts, final: Facts, labels: Labels
) -> tuple[Bools, dict[str, int]]:
    """Return which sellers known at the point are eligible, and the exclusions by reason.

    A seller that fails several conditions counts under the first.
    """
    conditions = {}
    if study.orders_needed:
        # Bad sellers that are left out are counted apart: the model learns nothing of them, which the report must show.
        is_good, sold = labels.outcome != Outcome.BAD, labels.window_orders
        conditions["bad_without_orders_in_window"] = is_good | (sold > 0)
        conditions["no_orders_in_window"] = sold > 0
        if study.orders_needed > 1:
            conditions["bad_with_too_few_orders"] = is_good | (sold >= study.orders_needed)
            conditions["too_few_orders_in_window"] = sold >= study.orders_needed
    if study.eligible.active_before_months is not None:
        since = point.day - round(study.eligible.active_before_months * 365.25 / 12)
        conditions["not_active_before"] = _active(facts, since, point.day)
    if study.eligible.active_in_window:
        conditions["not_active_in_window"] = _active(final, point.day, point.window_end)
    keep, exclusions = facts.exists, {}
    for why, holds in conditions.items():
        exclusions[why] = int((keep & ~holds).sum())
        keep = keep & holds
    return keep, exclusions


def _active(facts: Facts, first: int, end: int) -> Bools:
    """Return which sellers have settled orders or a counted violation on a day in [first, end)."""
    inside = (facts.exposure_day >= first) & (facts.exposure_day < end) & (facts.exposure_orders > 0)
    active = np.zeros(facts.cases, dtype=bool)
    active[facts.exposure_case[inside]] = True
    inside = (facts.violations.day >= first) & (facts.violations.day < end)
    active[facts.violations.case[inside]] = True
    return active


def _rule_points(facts: Facts) -> Floats:
    """Return the points of the hand-made rule, by case.

    1, 2, 4 or 12 points by severity, for 180 days, the largest one of each incident.
    """
    v = facts.violations
    age = facts.observe_day[v.case] - v.day
    points = np.where(age < RULE_EXPIRY_DAYS, RULE_POINTS[v.severity], 0)
    return _by_incident(facts, points)


def _raw_count(facts: Facts) -> Floats:
    """Count the incidents that count of the last 24 months, by case."""
    age = facts.observe_day[facts.violations.case] - facts.violations.day
    return _by_incident(facts, (age < RAW_COUNT_DAYS).astype(np.int64))


def _by_incident(facts: Facts, value: Ints) -> Floats:
    """Sum, by case, the largest value of each incident; values are by violation."""
    v = facts.violations
    new = first_of_runs(v.case, v.incident)
    starts = np.flatnonzero(new)
    largest = np.maximum.reduceat(value, starts) if len(starts) else value
    return np.bincount(v.case[starts], weights=largest, minlength=facts.cases).astype(np.float64)


def _countries(table: LedgerTable, facts: Facts) -> Texts:
    """Return the country of each seller's identity in force; '' without one."""
    row = facts.identity_row
    code = np.where(row >= 0, table.stated.country[row], 0)  # no identity: row -1, and no country
    texts: Texts = table.stated.countries[code]
    return texts


def _product_categories(table: LedgerTable, facts: Facts) -> Texts:
    """Return the product category with the most settled orders of each case.

    Of equal ones the first by name; '' where unknown.
    """
    names = np.array([*table.products, ""], dtype=object)
    kinds = len(names)
    slot, place = np.unique(facts.exposure_case * kinds + facts.exposure_product % kinds, return_inverse=True)
    orders = np.bincount(place, weights=facts.exposure_orders, minlength=len(slot))
    best = slot[np.lexsort((-(slot % kinds), orders, slot // kinds))]
    main = np.full(facts.cases, kinds - 1)
    main[best // kinds] = best % kinds  # the last assignment wins
    texts: Texts = names[main]
    return texts

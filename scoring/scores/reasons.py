"""Reasons: the causes of lost points, each with its entries or days.

The page's rows are read from three states of the same sums:

- orders alone; FEW_ORDERS has the exposure table and the half event that a rate without decay expects;

- without incidents: the change belongs to failed orders, failed inspections and lost disputes;

- complete: the change by incidents is shared between their categories by Shapley, in exact whole numbers, none of the
wrong sign.

Below 0 or above 1000 points LIMIT closes the sum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import factorial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import Bools, Floats, Ints, first_of_runs, reduce_runs
from scoring.base.enums import Category, Kind, Severity
from scoring.base.frozen import frozen
from scoring.features.columns import FactRow, list_coded_texts
from scoring.features.facts import Facts
from scoring.features.findings import FindingKind
from scoring.features.fold import Sums
from scoring.features.resolved import SellerFacts, attributes_of
from scoring.features.selections import fold_each_incident
from scoring.features.table import CONDUCT, AnyFeature, Feature, Subject, matrix
from scoring.features.violations import Violations
from scoring.model.artifact import Artifact
from scoring.model.page import Page
from scoring.model.scale import MAX_POINTS
from scoring.scores.answer import ExposureDay, IncidentEffect, Reason

MAX_LISTED = 1_000
"""Most listed incidents, entries or days; the others are counted."""

_ABOUT_VIOLATIONS = (Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION)
LIMIT = "LIMIT"
THIN_FILE = "THIN_FILE"
CLEAR_DAYS_PENDING = "CLEAR_DAYS_PENDING"
NO_MODEL = "NO_MODEL"
OVERRIDDEN = "OVERRIDDEN"
NOTICE = "NOTICE"
STANDING = "STANDING"

REASON_CODES: Mapping[str, str] = MappingProxyType(
    {f"{c.name}_CONFIRMED": f"Incidents with confirmed {c.word} violations" for c in Category}
    | {
        Subject.FAILURES: "Orders cancelled, late, returned or not received, as the marketplace stated them; no confirmed"
        " violation",
        Subject.INSPECTIONS: "Inspections failed, of authorities, test buys or random audits",
        Subject.DISPUTES: "Disputes decided for the buyer",
        Subject.ORDERS: "Few settled orders yet: they say little about the seller",
        Subject.TENURE: "A short time since the first exposure or identity",
        Subject.IDENTITY: "The identity is verified at a lower level than others, or is not verified",
        Subject.ATTRIBUTES: "Attributes of the stated identity that the model counts",
        Subject.CONTEXT: "The reference of the context, equal for every seller",
        LIMIT: "The sum of the page is below 0 or above 1000, where points end",
        THIN_FILE: "Too little history to rate",
        CLEAR_DAYS_PENDING: "The points have risen, the tier follows after enough clear days",
        STANDING: "Confirmed violations add up to a standing that allows no better tier, whatever the points",
        OVERRIDDEN: "A person set the tier for a time",
        NOTICE: "A change of the policy or the model lowers the tier, and the notice of it still runs",
        NO_MODEL: "The server has no model",
    }
)
"""Stable codes with their meaning."""


@frozen
class Incident:
    code: int
    category: Category
    severity: Severity
    places: tuple[int, ...]
    """Indices of its violations in `Violations`."""


def group_incidents(violations: Violations) -> list[Incident]:
    """Return one seller's incidents, each with its gravest severity and category."""
    starts, category, severity = _find_gravest_by_incident(violations)
    ends = np.append(starts, len(violations.case))[1:]
    columns = (violations.incident[starts], category, severity, starts, ends)
    return [
        Incident(code, Category(category), Severity(severity), tuple(range(start, end)))
        for code, category, severity, start, end in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _find_gravest_by_incident(violations: Violations) -> tuple[NDArray[np.intp], Ints, Ints]:
    """Return the first row, the gravest category and its severity of each incident."""
    starts = np.flatnonzero(first_of_runs(violations.case, violations.incident))
    span = max(Category) + 1
    gravest = reduce_runs(np.minimum, violations.category - span * violations.severity, starts)
    return starts, gravest % span, -(gravest // span)


def reason_code(category: Category) -> str:
    return f"{category.name}_CONFIRMED"


def count_incidents_by_case(violations: Violations, n: int) -> Ints:
    return np.bincount(violations.case[first_of_runs(violations.case, violations.incident)], minlength=n)


def rank_reason_codes(violations: Violations, n: int) -> list[tuple[str, ...]]:
    """Return the reason codes of the incidents of each of n cases, each once, the gravest category first.

    An incident has its gravest violation's category. If severities are equal, the category with more incidents is first.
    """
    codes: list[tuple[str, ...]] = [()] * n
    starts, category, severity = _find_gravest_by_incident(violations)
    if not len(starts):
        return codes
    case = violations.case[starts]
    order = np.lexsort((category, case))
    starts = np.flatnonzero(first_of_runs(case[order], category[order]))
    worst = np.maximum.reduceat(severity[order], starts)
    count = np.diff(starts, append=len(order))
    case, category = case[order][starts], category[order][starts]
    for row in np.lexsort((category, -count, -worst, case)).tolist():
        codes[case[row]] += (reason_code(Category(category[row])),)
    return codes


def find_lost_points(sums: Sums, x: Floats, page: Page, features: Sequence[AnyFeature | None]) -> dict[str, Ints]:
    """Return the points, below 0 if lost, by reason code, incidents apart: int64 of shape (n,), for the input `x`."""
    n = len(x)
    x_of_orders_alone, sums_of_orders_alone = x.copy(), sums.without_conduct(n)
    for column, feature in enumerate(features):
        if isinstance(feature, Feature) and feature.subject in CONDUCT:
            x_of_orders_alone[:, column] = feature.compute(sums_of_orders_alone)
    parts, parts_of_orders_alone = np.split(page.parts(np.concatenate([x, x_of_orders_alone])), 2)
    lost: dict[str, Ints] = {}
    for column, feature in enumerate(features):
        if feature is None:
            continue
        subject = feature.subject
        if subject in CONDUCT:
            few_orders = Subject.ORDERS.value
            lost[few_orders] = lost.get(few_orders, 0) + parts_of_orders_alone[:, column]
        if subject is not Subject.INCIDENTS:
            points = parts[:, column] - parts_of_orders_alone[:, column] if subject in CONDUCT else parts[:, column]
            lost[subject.value] = lost.get(subject.value, 0) + points
    return lost


def rank_codes_beside_incidents(
    sums: Sums, x: Floats, page: Page, features: Sequence[AnyFeature | None]
) -> list[tuple[str, ...]]:
    """Return the reason codes, incidents apart, that cost each row of `x` points, the costliest first."""
    lost = find_lost_points(sums, x, page, features)
    codes = sorted(lost)
    if not codes:
        return [()] * len(x)
    table = np.stack([lost[code] for code in codes], axis=1)
    order = np.argsort(table, axis=1, kind="stable")
    return [
        tuple(codes[place] for place in places if points[place] < 0)
        for places, points in zip(order.tolist(), table.tolist(), strict=True)
    ]


def compute_reasons(seller_facts: SellerFacts, facts: Facts, artifact: Artifact) -> tuple[Reason, ...]:
    """Return the reasons of one seller's points, the costliest first, LIMIT last.

    `facts`: now. The reasons sum exactly to the points less the base.
    """
    rows = seller_facts.table.rows
    [attributes] = attributes_of(rows, facts.identity_row.tolist())
    incidents = group_incidents(facts.violations)
    categories = sorted({incident.category for incident in incidents})
    group = np.array([categories.index(incident.category) for incident in incidents], dtype=np.int64)
    sums, history = fold_each_incident(facts, artifact.folder)
    chosen = sums.of_subsets(group, len(categories)).followed_by(sums.without_each()).joined_with(history)
    x = matrix(chosen, artifact.read_features, [attributes] * chosen.cases)
    totals: list[int] = (artifact.page.base + artifact.page.parts(x).sum(axis=1)).tolist()
    values, without_each = totals[: 1 << len(categories)], totals[1 << len(categories) :]
    points = min(max(values[-1], 0), MAX_POINTS)
    x = matrix(history, artifact.read_features, [attributes])
    lost = find_lost_points(history, x, artifact.page, artifact.read_features)
    reasons = [_build_reason(code, int(taken[0]), facts, rows) for code, taken in lost.items() if taken[0]]
    if incidents:
        gains = (np.clip(without_each, 0, MAX_POINTS) - points).tolist()
        effects = _build_effects(incidents, gains, facts.violations, seller_facts)
        for category, share in zip(categories, shapley_shares(values, len(categories)), strict=True):
            of_category = [effect for effect in effects if effect.category is category]
            listed = tuple(of_category[:MAX_LISTED])
            omitted = len(of_category) - len(listed)
            reasons.append(Reason(reason_code(category), share, listed, omitted, counted=len(of_category)))
    reasons.sort(key=lambda reason: (reason.points, reason.reason_code))
    if values[-1] != points:
        reasons.append(Reason(LIMIT, points - values[-1], counted=values[-1]))
    return tuple(reasons)


def _build_reason(code: str, points: int, facts: Facts, rows: Sequence[FactRow]) -> Reason:
    orders, reason = int(facts.exposure_orders.sum()), Reason(code, points)
    match code:
        case Subject.FAILURES:
            days = _list_exposure_days(facts, facts.exposure_failures > 0)
            failures = int(facts.exposure_failures.sum())
            omitted = max(len(days) - MAX_LISTED, 0)
            return replace(reason, days=days[:MAX_LISTED], days_omitted=omitted, counted=failures, compared=orders)
        case Subject.INSPECTIONS:
            inspected = int((facts.findings.finding != FindingKind.DISPUTE_LOST).sum())
            return _cite_findings(reason, facts, rows, FindingKind.INSPECTION_FAILED, inspected)
        case Subject.DISPUTES:
            return _cite_findings(reason, facts, rows, FindingKind.DISPUTE_LOST, orders)
        case Subject.ORDERS:
            return replace(reason, counted=orders)
        case Subject.TENURE:
            day = int(facts.start_day[0])
            started = _list_exposure_days(facts, facts.exposure_day == day) or (ExposureDay(day, 0, 0),)
            return replace(reason, days=started, counted=int(facts.observe_day[0]) - day)
        case Subject.IDENTITY | Subject.ATTRIBUTES if (row := int(facts.identity_row[0])) >= 0:
            reason = replace(reason, entries=(rows[row].entry_id,), counted=int(facts.level[0]))
    return reason


def _list_exposure_days(facts: Facts, is_chosen: Bools) -> tuple[ExposureDay, ...]:
    sums_by_day: dict[int, list[int]] = {}
    columns = (facts.exposure_day, facts.exposure_orders, facts.exposure_failures)
    for day, orders, failures in zip(*(column[is_chosen].tolist() for column in columns), strict=True):
        sums = sums_by_day.setdefault(day, [0, 0])
        sums[0] += orders
        sums[1] += failures
    return tuple(ExposureDay(day, *sums) for day, sums in sorted(sums_by_day.items(), reverse=True))


def _cite_findings(
    reason: Reason, facts: Facts, rows: Sequence[FactRow], finding: FindingKind, compared: int
) -> Reason:
    chosen = facts.findings.finding == finding
    places = facts.findings.row[chosen][np.argsort(-facts.findings.day[chosen], kind="stable")].tolist()
    entries = tuple(rows[place].entry_id for place in places[:MAX_LISTED])
    omitted = len(places) - len(entries)
    return replace(reason, entries=entries, entries_omitted=omitted, counted=len(places), compared=compared)


def _build_effects(
    incidents: Sequence[Incident], gains: Sequence[int], violations: Violations, seller_facts: SellerFacts
) -> list[IncidentEffect]:
    rows, corrected = seller_facts.table.rows, seller_facts.columns
    names = list_coded_texts(rows)
    occur_time = dict(zip(corrected.row.tolist(), corrected.occur_time.tolist(), strict=True))
    entries = group_entries_by_violation([rows[row] for row in occur_time])
    row_of = violations.row.tolist()
    effects = []
    for incident, gain in zip(incidents, gains, strict=True):
        reports = [(occur_time[row], rows[row]) for row in (row_of[place] for place in incident.places)]
        reports.sort(key=lambda report: (report[0], report[1].entry_id))
        effects.append(
            IncidentEffect(
                incident=names[incident.code],
                category=incident.category,
                severity=incident.severity,
                occur_time=reports[-1][0],
                points_if_overturned=gain,
                entries=tuple(entry for _, row in reports for entry in entries[str(row.violation)]),
            )
        )
    return sorted(effects, key=lambda e: (-e.points_if_overturned, -e.occur_time, e.incident))


def shapley_shares(values: Sequence[int], players: int) -> list[int]:
    """Return the Shapley share of each player, in whole numbers with the sum `values[-1] - values[0]`, none positive.

    `values[s]` is the worth of the subset with bits `s`, which must not rise when a player joins. Worked: 700, 650,
    680, 600 of {}, {a}, {b}, {a, b}: a has ((650 - 700) + (600 - 680)) / 2 = -65, b -35.
    """
    orders = factorial(players)
    losses = []
    for player in range(players):
        loss = 0
        for subset in range(1 << players):
            if not subset >> player & 1:
                size = subset.bit_count()
                weight = factorial(size) * factorial(players - size - 1)
                loss += weight * (values[subset] - values[subset | 1 << player])
        losses.append(loss)
    shares = [loss // orders for loss in losses]
    missing = (values[0] - values[-1]) - sum(shares)
    by_remainder = sorted(range(players), key=lambda p: (-(losses[p] % orders), p))
    for player in by_remainder[:missing]:
        shares[player] += 1
    return [-share for share in shares]


def group_entries_by_violation(rows: Sequence[FactRow]) -> dict[str, list[str]]:
    entries: dict[str, list[str]] = {}
    for row in sorted((row for row in rows if row.violation is not None), key=lambda r: r.sequence):
        if row.kind in _ABOUT_VIOLATIONS and row.violation is not None:
            entries.setdefault(row.violation, []).append(row.entry_id)
    return entries

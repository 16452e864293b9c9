"""Reasons: the incidents that cost a seller points, and what overturning each would give back.

The players are groups of the seller's incidents, one a category, at most eight. v(S) is the points of the fold of exposure,
identity and the incidents in S. Shapley shares over the 2^8 subsets sum to the gap between the seller without violations and
the seller, exactly, in whole numbers; with a certified model no share can have the wrong sign. What failed inspections and
lost disputes cost the seller without violations comes next, kind by kind, never above 0. The gap from there to the clean
baseline seller is one item, HISTORY, of either sign.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import factorial
from types import MappingProxyType

import numpy as np

from scoring.answer import IncidentEffect, Reason
from scoring.arrays import Floats, Ints
from scoring.enums import Category, CorrectionKind, Kind, Severity
from scoring.features.columns import FactRow, list_coded_texts
from scoring.features.facts import Facts
from scoring.features.findings import Finding
from scoring.features.fold import Sums
from scoring.features.selections import IncidentSums, fold_each_incident
from scoring.features.table import matrix
from scoring.features.violations import Violations
from scoring.model.artifact import Artifact

MAX_LISTED_INCIDENTS = 1_000
"""Incidents that a reason lists, those with the largest effect; of the others it states the number."""

_ABOUT_VIOLATIONS = (Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION)
HISTORY = "HISTORY"
FINDING_CODES: Mapping[Finding, str] = MappingProxyType(
    {Finding.INSPECTION_FAILED: "INSPECTIONS_FAILED", Finding.DISPUTE_LOST: "DISPUTES_LOST"}
)
"""Reason codes of findings that can cost points, in the order in which an explanation takes them away."""

THIN_FILE = "THIN_FILE"
CLEAR_DAYS_PENDING = "CLEAR_DAYS_PENDING"
NO_MODEL = "NO_MODEL"
OVERRIDDEN = "OVERRIDDEN"
STANDING = "STANDING"

REASON_CODES: Mapping[str, str] = MappingProxyType(
    {f"{c.name}_CONFIRMED": f"Incidents with confirmed {c.name.lower()} violations" for c in Category}
    | {
        FINDING_CODES[Finding.INSPECTION_FAILED]: "Inspections failed, of authorities, test buys or random audits",
        FINDING_CODES[Finding.DISPUTE_LOST]: "Disputes decided for the buyer",
        HISTORY: "What exposure, tenure, identity and attributes explain, against the clean baseline seller",
        THIN_FILE: "Too little history to rate",
        CLEAR_DAYS_PENDING: "The points have risen, the tier follows after enough clear days",
        STANDING: "Confirmed violations add up to a standing that allows no better tier, whatever the points",
        OVERRIDDEN: "A person set the tier for a time",
        NO_MODEL: "No model is served, so there is no score",
    }
)
"""Every reason code with its meaning. Codes are stable."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident of one seller, with its counted violations."""

    code: int
    """The incident's number in the columns."""
    category: Category
    """Category of its gravest violation."""
    severity: Severity
    """Severity of its gravest violation."""
    places: tuple[int, ...]
    """Indices of its violations in `Violations`."""


def group_incidents(violations: Violations, places: Sequence[int]) -> list[Incident]:
    """Return the incidents of one seller, in the order of their codes.

    `places`: the indices of its counted violations. An incident has the category and severity of its gravest violation.
    """
    index = np.array(places, dtype=np.int64)
    columns = (violations.incident, violations.severity, violations.category)
    by_code: dict[int, list[tuple[int, int, int]]] = {}
    for place, code, severity, category in zip(places, *(c[index].tolist() for c in columns), strict=True):
        by_code.setdefault(code, []).append((-severity, category, place))
    found = []
    for code, of_code in sorted(by_code.items()):
        severity, category, _ = min(of_code)
        found.append(Incident(code, Category(category), Severity(-severity), tuple(place for *_, place in of_code)))
    return found


def reason_code(category: Category) -> str:
    """Return the reason code of a category's incidents, such as `COUNTERFEIT_CONFIRMED`."""
    return f"{category.name}_CONFIRMED"


def rank_reason_codes(incidents: Sequence[Incident]) -> tuple[str, ...]:
    """Return the reason codes of a seller's incidents, each once, the gravest category first.

    Each category has one code. Of equal severities the category with more incidents is first, then by category.
    """
    worst: dict[Category, tuple[int, int]] = {}
    for incident in incidents:
        severity, count = worst.get(incident.category, (0, 0))
        worst[incident.category] = (max(severity, incident.severity), count + 1)
    ranked = sorted(worst, key=lambda c: (-worst[c][0], -worst[c][1], c))
    return tuple(reason_code(category) for category in ranked)


def compute_reasons(
    facts: Facts,
    artifact: Artifact,
    rows: Sequence[FactRow],
    attributes: Mapping[str, str],
    check: Callable[[], None] = lambda: None,
) -> tuple[Reason, ...]:
    """Return the reasons of one seller's points: groups of incidents by share, then HISTORY.

    `facts`: of a single case. Their points sum to the seller's points less the artifact's `baseline_points`, exactly.
    `check` is called between the parts of the work and may raise to end it.
    """
    incidents = group_incidents(facts.violations, range(len(facts.violations.case)))
    categories = sorted({incident.category for incident in incidents})
    group = np.array([categories.index(incident.category) for incident in incidents], dtype=np.int64)
    sums, history = fold_each_incident(facts, artifact.folder)
    subsets, without_each = sums.of_subsets(group, len(categories)), sums.without_each()
    points = _score_selections([*subsets.parts(), *without_each.parts()], history, artifact, attributes, check)
    values, without = points[: len(subsets)].tolist(), points[len(subsets) :]

    gains = dict(zip((incident.code for incident in incidents), (without - values[-1]).tolist(), strict=True))
    names, rows = list_coded_texts(rows), _apply_corrections(rows)
    entries = group_entries_by_violation(rows)
    effects = {
        category: [
            _build_effect(incident, names[incident.code], gains[incident.code], facts.violations, rows, entries)
            for incident in incidents
            if incident.category is category
        ]
        for category in categories
    }
    reasons = []
    for category, share in zip(categories, shapley_shares(values, len(categories)), strict=True):
        ranked = sorted(effects[category], key=lambda e: (-e.points_if_overturned, -e.occur_time, e.incident))
        listed = tuple(ranked[:MAX_LISTED_INCIDENTS])
        reasons.append(Reason(reason_code(category), share, listed, len(ranked) - len(listed)))
    reasons.sort(key=lambda reason: (reason.points, reason.reason_code))
    found, left = _reasons_of_findings(history, values[0], artifact, attributes)
    return (*reasons, *found, Reason(HISTORY, left - artifact.baseline_points))


def _reasons_of_findings(
    history: Sums, points: int, artifact: Artifact, attributes: Mapping[str, str]
) -> tuple[list[Reason], int]:
    """Return what findings cost a seller without violations, kind by kind.

    Beside it the seller's points without any of them. `history` are the sums of no incidents, which give `points`. A
    kind costs what it costs once those before it are gone.
    """
    reasons = []
    for finding, code in FINDING_CODES.items():
        kept = np.arange(1, len(Finding) + 1) != finding
        history = replace(history, findings={h: found * kept for h, found in history.findings.items()})
        without = int(artifact.points(matrix(history, artifact.features, [attributes]))[0])
        if without != points:
            reasons.append(Reason(code, points - without))
        points = without
    return reasons, points


def finding_codes(findings: Mapping[int, Floats], case: int, artifact: Artifact) -> tuple[str, ...]:
    """Return the reason codes of what inspections and disputes found about one case.

    Only of findings that a feature of the model counts. `findings`: as in `Sums`.
    """
    found = findings[max(findings)][case].tolist()
    return tuple(
        code for finding, code in FINDING_CODES.items() if found[finding - 1] > 0 and finding in artifact.heard
    )


def shapley_shares(values: Sequence[int], players: int) -> list[int]:
    """Return the Shapley share of each player, as whole numbers that sum to the whole.

    `values[s]` is the worth of the subset whose bits are `s`, which must not rise when a player joins. Exact in integers;
    rounded by the largest remainder, so the shares sum to `values[-1] - values[0]` and none is positive. Worked: values
    700, 650, 680, 600 of {}, {a}, {b}, {a, b}: a has ((650 - 700) + (600 - 680)) / 2 = -65, b has ((680 - 700) + (600 -
    650)) / 2 = -35.
    """
    whole = factorial(players)
    losses = []
    for player in range(players):
        loss = 0
        for subset in range(1 << players):
            if not subset >> player & 1:
                size = subset.bit_count()
                weight = factorial(size) * factorial(players - size - 1)
                loss += weight * (values[subset] - values[subset | 1 << player])
        losses.append(loss)
    shares = [loss // whole for loss in losses]
    missing = (values[0] - values[-1]) - sum(shares)
    by_remainder = sorted(range(players), key=lambda p: (-(losses[p] % whole), p))
    for player in by_remainder[:missing]:
        shares[player] += 1
    return [-share for share in shares]


def _score_selections(
    parts: Iterable[IncidentSums],
    history: Sums,
    artifact: Artifact,
    attributes: Mapping[str, str],
    check: Callable[[], None],
) -> Ints:
    """Return the points of one seller for each selection of its incidents.

    Computed part by part.
    """
    found = []
    for part in parts:
        check()
        sums = part.joined_with(history)
        found.append(artifact.points(matrix(sums, artifact.features, [attributes] * sums.cases)))
    return np.concatenate(found)


def _apply_corrections(rows: Sequence[FactRow]) -> list[FactRow]:
    """Return the rows with corrections applied; a void row is about no violation."""
    corrections = sorted((row for row in rows if row.kind == Kind.CORRECTION), key=lambda r: r.sequence)
    last = {row.target: row for row in corrections}
    found = []
    for row in rows:
        by = last.get(row.entry_id)
        if by is not None:
            void = by.status == CorrectionKind.VOID
            row = row._replace(violation=None) if void else row._replace(occur_time=by.occur_time)  # noqa: PLW2901
        found.append(row)
    return found


def group_entries_by_violation(rows: Sequence[FactRow]) -> dict[str, list[str]]:
    """Return the ids of the entries about each violation, in the order of their sequence."""
    entries: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda r: r.sequence):
        if row.kind in _ABOUT_VIOLATIONS and row.violation is not None:
            entries.setdefault(row.violation, []).append(row.entry_id)
    return entries


def _build_effect(
    incident: Incident,
    name: str,
    gain: int,
    violations: Violations,
    rows: Sequence[FactRow],
    entries: Mapping[str, Sequence[str]],
) -> IncidentEffect:
    """Return the effect of one incident; `gain`: the points that overturning it would give back."""
    reports = sorted(
        (rows[violations.row[place]] for place in incident.places), key=lambda r: (r.occur_time, r.entry_id)
    )
    return IncidentEffect(
        incident=name,
        category=incident.category,
        severity=incident.severity,
        occur_time=max(report.occur_time for report in reports),
        points_if_overturned=gain,
        entries=tuple(entry for report in reports for entry in entries[str(report.violation)]),
    )

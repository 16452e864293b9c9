"""The feature table: the only definition of every input of a model.

A feature is `name@version`, with a function over the fold's sums. Definitions are never changed or removed, so old
models replay.

Direction +1: a higher value never lowers points; -1: never raises them; 0: free.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scoring.base.arrays import Floats, Ints
from scoring.base.enums import Category, Severity
from scoring.base.frozen import frozen
from scoring.features.decay import HALF_LIVES
from scoring.features.findings import FindingKind
from scoring.features.fold import ALL_CATEGORIES, FAILURES, FINDING_HALF_LIVES, FLOOR_PLACES, FLOORS, Sums

MAX_DAYS = 3650
"""Cap of days in features; also the value of "never"."""

HALF_AN_EVENT = 0.5
"""Events that rates without decay assume in the first `rate_damping` orders."""


class Subject(StrEnum):
    """The reason that a feature's points belong to. INCIDENTS have one for each category."""

    INCIDENTS = "INCIDENTS"
    FAILURES = "SERVICE_FAILURES"
    INSPECTIONS = "INSPECTIONS_FAILED"
    DISPUTES = "DISPUTES_LOST"
    ORDERS = "FEW_ORDERS"
    TENURE = "SHORT_TENURE"
    IDENTITY = "IDENTITY_LEVEL"
    ATTRIBUTES = "IDENTITY_ATTRIBUTES"
    CONTEXT = "CONTEXT"


CONDUCT = (Subject.INCIDENTS, Subject.FAILURES, Subject.INSPECTIONS, Subject.DISPUTES)


@frozen
class Feature:
    """`compute` maps the sums of n cases to finite float64 of shape (n,)."""

    name: str
    unit: str
    definition: str
    compute: Callable[[Sums], Floats]
    subject: Subject = Subject.INCIDENTS
    direction: int = -1
    version: int = 1

    @property
    def key(self) -> str:
        return f"{self.name}@{self.version}"


_FLOORS = (
    (Severity.MINOR, "incident", "Incidents"),
    (Severity.MODERATE, "moderate", "Incidents of moderate or higher severity"),
    (Severity.MAJOR, "severe", "Incidents of major or critical severity"),
)


def _list_features() -> Iterator[Feature]:
    for category in Category:
        for half_life in HALF_LIVES:
            yield _category_mass(category, half_life)
    for half_life in HALF_LIVES:
        yield from (_floor_mass(*floor, half_life) for floor in _FLOORS)
        yield from (_floor_rate(*floor, half_life) for floor in _FLOORS)
        yield from _decayed_rates(half_life)
    yield from (_floor_rate_ever(*floor) for floor in _FLOORS)
    yield _FAILURES_EVER
    for half_life in FINDING_HALF_LIVES:
        yield from _finding_features(half_life)
    yield from _SINGLES


def _describe_divisor(half_life: int) -> str:
    return f"over settled orders likewise (half-life {half_life} days) plus rate_damping"


def _category_mass(category: Category, half_life: int) -> Feature:
    name = category.word
    return Feature(
        f"{name}_mass_{half_life}d",
        "severity weight",
        f"Incidents with {name} violations that count, each by its largest severity weight x decay (half-life {half_life}"
        " days) in this category",
        lambda sums: sums.decayed(category - 1, half_life),
    )


def _floor_mass(floor: Severity, name: str, title: str, half_life: int) -> Feature:
    return Feature(
        f"{name}_mass_{half_life}d",
        "incidents",
        f"{title} that count, each by decay (half-life {half_life} days)",
        lambda sums: sums.decayed(FLOOR_PLACES[floor], half_life),
    )


def _floor_rate(floor: Severity, name: str, title: str, half_life: int) -> Feature:
    return Feature(
        f"{name}_rate_{half_life}d",
        "incidents per order",
        f"{title} that count, each by decay, {_describe_divisor(half_life)}",
        lambda sums: sums.decayed(FLOOR_PLACES[floor], half_life) / sums.damped_orders(half_life),
    )


def _decayed_rates(half_life: int) -> list[Feature]:
    return [
        Feature(
            f"violation_rate_{half_life}d",
            "severity weight per order",
            f"Sum over incidents of the largest severity weight x decay, {_describe_divisor(half_life)}",
            lambda sums: sums.decayed(ALL_CATEGORIES, half_life) / sums.damped_orders(half_life),
        ),
        Feature(
            f"service_failure_rate_{half_life}d",
            "failed orders per order",
            f"Orders cancelled, late, returned or not received by decay, {_describe_divisor(half_life)}",
            lambda sums: sums.decayed(FAILURES, half_life) / sums.damped_orders(half_life),
            Subject.FAILURES,
        ),
    ]


_RATE_EVER = "plus half of one, over all settled orders plus rate_damping; without decay"


def _floor_rate_ever(floor: Severity, name: str, title: str) -> Feature:
    return Feature(
        f"{name}_rate_ever",
        "incidents per order",
        f"{title} that count, {_RATE_EVER}",
        lambda sums: (sums.ever[FLOORS.index(floor)] + HALF_AN_EVENT) / (sums.total_orders + sums.rate_damping),
    )


_FAILURES_EVER = Feature(
    "service_failure_rate_ever",
    "failed orders per order",
    f"Orders cancelled, late, returned or not received, {_RATE_EVER}",
    lambda sums: (sums.total_failures + HALF_AN_EVENT) / (sums.total_orders + sums.rate_damping),
    Subject.FAILURES,
)


def _finding_features(half_life: int) -> list[Feature]:
    def share_failed(sums: Sums) -> Floats:
        passed, failed, _ = sums.findings[FINDING_HALF_LIVES.index(half_life)]
        return np.asarray(failed / (failed + passed + 1.0))

    def rate_lost(sums: Sums) -> Floats:
        lost = sums.findings[FINDING_HALF_LIVES.index(half_life), FindingKind.DISPUTE_LOST - 1]
        return np.asarray(lost / sums.damped_orders(half_life))

    return [
        Feature(
            f"failed_inspection_share_{half_life}d",
            "share",
            "Inspections failed by decay, over all with a result likewise (half-life "
            f"{half_life} days) plus one; by authorities, test buys and random audits alone; 0 without any",
            share_failed,
            Subject.INSPECTIONS,
        ),
        Feature(
            f"lost_dispute_rate_{half_life}d",
            "disputes per order",
            f"Disputes decided for the buyer by decay, {_describe_divisor(half_life)}; for studies that name it in"
            " features.with",
            rate_lost,
            Subject.DISPUTES,
        ),
    ]


_SINGLES = [
    Feature("incidents", "incidents", "Incidents that count, without decay", lambda s: s.ever[0]),
    Feature(
        "incidents_365d", "incidents", "Incidents that count and happened in the last 365 days", lambda s: s.recent
    ),
    Feature(
        "days_since_incident",
        "days",
        f"Days since the last incident that counts, at most {MAX_DAYS}; {MAX_DAYS} if none",
        lambda s: np.minimum(s.days_since[0], MAX_DAYS).astype(np.float64),
        direction=+1,
    ),
    Feature(
        "days_since_severe",
        "days",
        f"Days since the last incident of major or critical severity that counts, at most {MAX_DAYS}, also if none",
        lambda s: np.minimum(s.days_since[1], MAX_DAYS).astype(np.float64),
        direction=+1,
    ),
    Feature(
        "worst_severity_730d",
        "severity",
        "Highest severity (1 minor to 4 critical, 0 none) of what counts and happened in the last 730 days",
        lambda s: s.worst,
    ),
    Feature(
        "exposure",
        "share",
        "All settled orders over themselves plus the artifact's exposure_scale: 0 for none, towards 1 for many",
        lambda s: s.total_orders / (s.total_orders + s.exposure_scale),
        Subject.ORDERS,
        direction=+1,
    ),
    Feature(
        "tenure_days",
        "days",
        f"Days since the first exposure or identity, at most {MAX_DAYS}",
        lambda s: np.minimum(s.tenure_days, MAX_DAYS).astype(np.float64),
        Subject.TENURE,
        direction=+1,
    ),
    Feature(
        "identity_level",
        "level",
        "Level of identity: 0 unstated, 1 unverified, 2 basic, 3 business, 4 enhanced",
        lambda s: s.level,
        Subject.IDENTITY,
        direction=+1,
    ),
]

FEATURES: Mapping[str, Feature] = MappingProxyType({feature.key: feature for feature in _list_features()})


@frozen
class AttributeFeature:
    """An attribute of a seller's identity as a feature, declared by a study and pinned by the artifact.

    With `equals`, 1 if the attribute has this text, else 0. Otherwise its number, if finite, else `default`.
    """

    attribute: str
    equals: str | None = None
    default: float = 0.0
    direction: int = 0
    subject: ClassVar = Subject.ATTRIBUTES

    @property
    def key(self) -> str:
        """Return `attribute.NAME@1`, or `attribute.NAME=TEXT@1`."""
        return f"attribute.{self.attribute}{'' if self.equals is None else '=' + self.equals}@1"

    def value(self, text: str | None) -> float:
        """Return 1 or 0 if it asks for one text; else the number, or the default if the text is no finite one."""
        if self.equals is not None:
            return float(text == self.equals)
        try:
            number = float(text) if text is not None else self.default
        except ValueError:
            return self.default
        return number if np.isfinite(number) else self.default

    def values(self, texts: "NDArray[np.object_]") -> Floats:
        """Return `value` of each text, as float64; a text is None if the seller stated none."""
        value_of: dict[str | None, float] = {}
        return np.array(
            [value_of.setdefault(t, self.value(t)) if t not in value_of else value_of[t] for t in texts], dtype=float
        )


@frozen
class ContextFeature:
    """Context as a feature: the way of detection, or the rules in force.

    Training uses the true value. Serving gives every seller the pinned `reference`, so no seller is judged by its
    inspector.
    """

    context: str
    equals: str | None = None
    reference: float = 0.0
    direction: ClassVar = 0
    """No fact of conduct moves it."""
    subject: ClassVar = Subject.CONTEXT

    @property
    def key(self) -> str:
        """Return `context.NAME@1`, or `context.NAME=TEXT@1`."""
        return f"context.{self.context}{'' if self.equals is None else '=' + self.equals}@1"


AnyFeature = Feature | AttributeFeature | ContextFeature


def at_reference(x: Floats, features: "tuple[AnyFeature, ...]") -> Floats:
    """Return a copy of the model's input, (n, features), with context features at their reference."""
    out = np.array(x, dtype=np.float64, copy=True)
    for column, feature in enumerate(features):
        if isinstance(feature, ContextFeature):
            out[..., column] = feature.reference
    return out


BLOCK_ROWS = 512
"""Rows written at a time, to stay in the processor's cache."""


def matrix(
    sums: Sums,
    features: "tuple[AnyFeature | None, ...]",
    attributes: "Sequence[Mapping[str, str]] | None" = None,
    cases: "Ints | None" = None,
) -> Floats:
    """Return the model's input, float64 of shape (n, features); context features at reference, and 0 for None.

    `cases`: the n cases by index, default all. `attributes`: of each of the n cases, text by name.
    """
    rows = sums.cases if cases is None else len(cases)
    columns = [
        (place, _column(sums, feature, attributes, cases, rows))
        for place, feature in enumerate(features)
        if feature is not None
    ]
    out = np.zeros((rows, len(features)))
    for begin in range(0, rows, BLOCK_ROWS):
        block = slice(begin, begin + BLOCK_ROWS)
        for place, column in columns:
            out[block, place] = column[block]
    return out


def _column(
    sums: Sums,
    feature: AnyFeature,
    attributes: "Sequence[Mapping[str, str]] | None",
    cases: "Ints | None",
    rows: int,
) -> Floats:
    if isinstance(feature, Feature):
        values = feature.compute(sums)
        return values if cases is None else values[cases]
    if isinstance(feature, ContextFeature):
        return np.full(rows, feature.reference)
    if attributes is None:
        return np.full(rows, feature.value(None))
    return feature.values(np.array([a.get(feature.attribute) for a in attributes], dtype=object))

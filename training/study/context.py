"""Context and events of a study: circumstances of detection, and observation points at events."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from scoring.base.enums import Kind, MeasureKind
from scoring.base.time import parse_day
from scoring.features.table import ContextFeature
from training.study.reader import Reader

COUNTED = ("detections_per_month", "detections_per_order", "selection_probability", "measures_in_force")

LOOK_BACK = frozenset(COUNTED) - {"selection_probability"}

OF_INSPECTION = ("inspector", "method", "source", "product_category")
"""Fields of an inspection that may be context, as `inspection.FIELD`; the result would be the outcome itself."""

ATTRIBUTE = "inspection.attributes."
_KEYS = frozenset(["name", "source", "one_of", "reference", "days", "measure_kind"])


@dataclass(frozen=True, slots=True)
class ContextSource:
    """One `[[context]]` of a study: a circumstance of an observation, fixed to a reference when serving."""

    name: str
    source: str
    """Origin of its value: one of COUNTED, `inspection.FIELD` or `inspection.attributes.NAME`."""
    reference: str | float
    one_of: tuple[str, ...] | None = None
    """The texts that training distinguishes; None: the value is a number."""
    days: int = 365
    """Number of days before the point in which detections are counted."""
    measure_kind: MeasureKind | None = None

    @property
    def looks_back(self) -> bool:
        return self.source in LOOK_BACK

    @property
    def features(self) -> tuple[ContextFeature, ...]:
        """Return one feature for a number, one for each text."""
        if self.one_of is None:
            return (ContextFeature(self.name, reference=float(self.reference)),)
        return tuple(
            ContextFeature(self.name, equals=text, reference=float(text == self.reference)) for text in self.one_of
        )


@dataclass(frozen=True, slots=True)
class EventPoints:
    """Observation at events: each entry of `kind` is an observation point.

    Days since 1970-01-01, last days included.
    """

    kind: Kind
    train_from: int
    train_to: int
    test_from: int
    test_to: int


def read_context(r: Reader) -> tuple[ContextSource, ...]:
    """Read every `[[context]]` of a study, in order; add invalid ones to the reader's problems."""
    text = "context must list tables of name, source and reference, and at most one_of, days and measure_kind"
    found = [r.attempt(text, partial(_context, row)) for row in r.take("context", list, [])]
    return tuple(source for source in found if source is not None)


def _context(row: Mapping[str, Any]) -> ContextSource:
    if unknown := sorted(set(row) - _KEYS):
        raise ValueError(f"{', '.join(unknown)} is no part of it")
    name, source, reference, one_of = row["name"], row["source"], row["reference"], row.get("one_of")
    if (
        not isinstance(name, str)
        or not isinstance(source, str)
        or (source not in COUNTED and not _of_inspection(source))
    ):
        known = ", ".join((*COUNTED, *(f"inspection.{field}" for field in OF_INSPECTION), f"{ATTRIBUTE}NAME"))
        raise ValueError(f"source of {name} must be one of {known}")
    if one_of is None and (not isinstance(reference, int | float) or isinstance(reference, bool)):
        raise ValueError(f"reference of {name} must be a number, unless one_of lists texts")
    if one_of is not None:
        if source in COUNTED or not isinstance(one_of, list) or not one_of:
            raise ValueError(f"one_of of {name} must list the texts of an inspection's field")
        if reference not in one_of:
            raise ValueError(f"reference of {name} must be one of {', '.join(map(str, one_of))}")
    days, kind = row.get("days", 365), row.get("measure_kind")
    if (
        not isinstance(days, int)
        or isinstance(days, bool)
        or days < 1
        or ("days" in row and "detections" not in source)
    ):
        raise ValueError(f"days of {name} must be a whole number above 0, and is for detections alone")
    if kind is not None and (source != "measures_in_force" or str(kind).upper() not in MeasureKind.__members__):
        known = ", ".join(word.name.lower() for word in MeasureKind)
        raise ValueError(f"measure_kind of {name} must be one of {known}, and is for measures_in_force alone")
    return ContextSource(
        name=name,
        source=source,
        reference=reference,
        one_of=None if one_of is None else tuple(map(str, one_of)),
        days=days,
        measure_kind=None if kind is None else MeasureKind[str(kind).upper()],
    )


def _of_inspection(source: str) -> bool:
    if source.startswith(ATTRIBUTE):
        return source != ATTRIBUTE
    return source.startswith("inspection.") and source.removeprefix("inspection.") in OF_INSPECTION


def read_events(r: Reader) -> EventPoints | None:
    """Read `observation.at` with its four days.

    None for a study that observes at given days, or after an error, which is added to the reader's problems.
    """
    at = r.take("observation.at", str, None)
    days = {name: r.take(f"observation.{name}", str, None) for name in _DAYS}
    if at is None:
        r.check(not any(days.values()), f"observation.{', '.join(_DAYS)} go with observation.at")
        return None
    r.check(at == "inspection", "observation.at must be inspection")
    r.check(None not in days.values(), f"observation.at needs {', '.join(_DAYS)}")
    r.check(
        not r.take("observation.train", list, []), "observation.at needs no train and test: each inspection is a point"
    )
    if None in days.values():
        return None
    read = r.attempt(
        "observation has a day that is none", lambda: {name: parse_day(str(d)) for name, d in days.items()}
    )
    if read is None:
        return None
    points = EventPoints(Kind.INSPECTION, **read)
    in_order = points.train_from <= points.train_to < points.test_from <= points.test_to
    r.check(in_order, "observation.train_from, train_to, test_from and test_to must be in order of time")
    return points


_DAYS = ("train_from", "train_to", "test_from", "test_to")

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from scoring.base.arrays import Bools
from scoring.base.enums import (
    Attribution,
    CaseState,
    CorrectionKind,
    IncidentChange,
    InspectionResult,
    Kind,
    Source,
    Status,
)
from scoring.base.time import DAY
from scoring.features.columns import FactRow
from scoring.features.facts import COUNTING_KINDS
from scoring.features.table import AttributeFeature, matrix
from scoring.model.artifact import Artifact
from tests.helpers.answers import explain
from tests.helpers.worlds import (
    ALL_FEATURES,
    NOW,
    TODAY,
    artifact,
    certified,
    decision,
    exposure,
    facts_of,
    identity,
    numbered,
    policy,
    population,
    sellers,
    status,
)

COUNTING = settings(max_examples=60, deadline=None)


UNITS = st.sampled_from([0, 4, 9, 10, 999, 1000])


RETRACTIONS = st.sampled_from([[Status.DISMISSED], [Status.WITHDRAWN], [Status.CONFIRMED, Status.OVERTURNED],
                               [Status.CONFIRMED, Status.APPEALED, Status.OVERTURNED]])  # fmt: skip


def answer(rows: list[FactRow], observe_time: int = NOW) -> object:
    return explain(numbered(rows), "s", observe_time, artifact(), policy())


def points(rows: list[FactRow], observe_time: int = NOW) -> int:
    facts = facts_of(rows, observe_time)
    model = artifact()
    return int(model.points(matrix(model.folder.fold(facts), model.features))[0])


def merge(name: str, one: str, into: str) -> FactRow:
    return decision(Kind.INCIDENT, name, incident=one, target=into, status=IncidentChange.MERGED)


def split(name: str, violation_id: str, into: str) -> FactRow:
    return decision(Kind.INCIDENT, name, violation=violation_id, target=into, status=IncidentChange.SPLIT)


def with_units(rows: list[FactRow], units: list[int]) -> list[FactRow]:
    changed = iter(units * 99)
    return [row._replace(units=next(changed)) if row.kind == Kind.VIOLATION else row for row in rows]


HOUR = DAY // 24


EVENING = TODAY * DAY + DAY


TIMES = st.one_of(
    st.integers(TODAY * DAY, EVENING + 2),
    st.sampled_from([NOW - 1, NOW, NOW + 1, NOW + HOUR, EVENING - 1, EVENING, TODAY * DAY - DAY, TODAY * DAY]),
)


SOMETIME = st.one_of(st.just(TODAY * DAY - HOUR), TIMES)


NAMES = [*(f"v{n}" for n in range(4)), *(f"o{n}" for n in range(8)), "i0", "x0"]


ESTABLISHED = [exposure(f"e{day}", TODAY - day, 60) for day in range(1, 120)]


@st.composite
def around(draw: st.DrawFn) -> list[FactRow]:
    found = []
    for n in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from([*sorted(COUNTING_KINDS), Kind.OVERRIDE, Kind.EXPOSURE]))
        row = FactRow(0, f"o{n}", "s", kind, draw(SOMETIME), draw(SOMETIME))
        row = row._replace(**draw(COLUMNS[kind]))
        found.append(row._replace(violation=row.entry_id) if kind == Kind.VIOLATION else row)
    return found


def columns(**of: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({k: v if isinstance(v, st.SearchStrategy) else st.just(v) for k, v in of.items()})


IN_FILE = st.sampled_from(NAMES)


INCIDENTS = st.sampled_from(["incident-0", "incident-1", "other"])


SEVERITIES = st.integers(1, 4)


COLUMNS = {
    Kind.VIOLATION: columns(
        incident=INCIDENTS, category=st.integers(1, 8), severity=SEVERITIES,
        status=st.sampled_from([Status.CONFIRMED, Status.ALLEGED]), units=st.sampled_from([None, 10]),
    ),
    Kind.STATUS: columns(
        violation=IN_FILE, severity=st.none() | SEVERITIES,
        status=st.none() | st.sampled_from([Status.CONFIRMED, Status.DISMISSED, Status.APPEALED, Status.OVERTURNED]),
    ),
    Kind.EXPOSURE: columns(
        exposure_day=st.integers(TODAY - 2, TODAY + 1), product_category="", revision=st.integers(0, 3),
        settled_orders=st.integers(0, 500), service_failures=0,
    ),
    Kind.IDENTITY: columns(identity_level=st.integers(1, 4)),
    Kind.INSPECTION: columns(
        status=st.sampled_from([*InspectionResult]), source=st.sampled_from([Source.CUSTOMS, Source.BUYER])
    ),
    Kind.DISPUTE: columns(status=st.integers(1, 3)),
    Kind.CASE: columns(status=st.sampled_from([*CaseState]), target=st.sampled_from(["r~v0", "r~o1"])),
    Kind.ATTRIBUTION: columns(violation=IN_FILE, status=st.sampled_from([*Attribution])),
    Kind.CONTROL: columns(status=1),
    Kind.INCIDENT: columns(
        violation=IN_FILE, incident=INCIDENTS, target=INCIDENTS, status=st.sampled_from([*IncidentChange])
    ),
    Kind.CORRECTION: columns(target=IN_FILE, status=st.sampled_from([*CorrectionKind])),
    Kind.OVERRIDE: columns(status=st.integers(1, 5), until_time=st.integers(NOW, EVENING)),
}  # fmt: skip


DECISIONS = st.lists(
    st.tuples(st.integers(0, 11), st.sampled_from([*Status]), st.integers(TODAY - 30, TODAY - 1)), max_size=12
)


REGROUPINGS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.booleans()), max_size=6)


CORRECTED = [*(f"v{n}" for n in range(9)), *(f"d{n}" for n in range(4)), *(f"g{n}" for n in range(5)), "i0"]


CORRECTIONS = st.lists(
    st.tuples(st.sampled_from(CORRECTED), st.booleans(), st.integers(TODAY - 30, TODAY - 1)), max_size=5
)


RECENTLY = st.lists(st.integers(TODAY - 20, TODAY), max_size=3)


def regroupings(changes: list[tuple[int, int, bool]]) -> list[FactRow]:
    found = []
    for n, (one, other, is_split) in enumerate(changes):
        row = FactRow(0, f"g{n}", "s", Kind.INCIDENT, NOW - 9, NOW - 9, target=f"incident-{other}")
        if is_split:
            found.append(row._replace(violation=f"v{one}", status=IncidentChange.SPLIT))
        else:
            found.append(row._replace(incident=f"incident-{one}", status=IncidentChange.MERGED))
    return found


def corrections(of: list[tuple[str, bool, int]]) -> list[FactRow]:
    row = FactRow(0, "", "s", Kind.CORRECTION, NOW - 9, NOW - 9)
    return [
        row._replace(entry_id=f"c{n}", target=name, status=CorrectionKind.VOID)
        if is_void
        else row._replace(entry_id=f"c{n}", target=name, status=CorrectionKind.MOVED, occur_time=day * DAY + 5)
        for n, (name, is_void, day) in enumerate(of)
    ]


@st.composite
def files(draw: st.DrawFn) -> list[FactRow]:
    decided = [
        status(f"d{n}", f"v{which}", to, day, severity=1 if to is Status.REDUCED else None)._replace(units=draw(UNITS))
        for n, (which, to, day) in enumerate(draw(DECISIONS))
        if to is not Status.ALLEGED
    ]
    rows = [
        *with_units(draw(sellers()), draw(st.lists(UNITS, min_size=1, max_size=4))),
        *decided,
        *draw(around()),
        *(identity(f"n{n}", day, 1 + n) for n, day in enumerate(draw(RECENTLY))),
        *(decision(Kind.CONTROL, f"k{n}", day, status=1) for n, day in enumerate(draw(RECENTLY))),
        *regroupings(draw(REGROUPINGS)),
        *corrections(draw(CORRECTIONS)),
        *draw(st.sampled_from([[], ESTABLISHED])),
    ]
    return draw(st.permutations(rows)) if draw(st.booleans()) else rows


INSPECTOR = AttributeFeature("inspector", equals="harsh")
AREA = AttributeFeature("area", default=20.0)
FEATURES: tuple[Any, ...] = (*ALL_FEATURES, INSPECTOR, AREA)
DIRECTIONS = np.array([feature.direction for feature in FEATURES])


@cache
def models() -> tuple[Artifact, ...]:
    x, _ = population()
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        attributes = np.stack([rng.integers(0, 2, len(x)).astype(float), rng.uniform(0, 100, len(x))], axis=1)
        ranks = np.argsort(np.argsort(x[:, rng.permutation(x.shape[1])[:12]], axis=0), axis=0) / len(x)
        raw = ranks @ rng.normal(size=12) + 2 * attributes[:, 0] * np.sin(attributes[:, 1] / 8)
        bad = (raw + rng.normal(size=len(x)) > np.median(raw)).astype(float)
        found.append(certified(np.hstack([x, attributes]), bad, FEATURES, 80))
    return tuple(found)


def seen(cases: Sequence[list[FactRow]], context: dict[str, str], moment: int = NOW) -> tuple[np.ndarray, np.ndarray]:
    inputs = []
    for rows in cases:
        facts = facts_of(rows, moment)
        inputs.append(matrix(models()[0].folder.fold(facts), FEATURES, [context])[0])
    x = np.array(inputs)
    return x, np.array([model.points(x) for model in models()])


def name_features(mask: Bools) -> list[str]:
    return [feature.key for feature, is_meant in zip(FEATURES, mask.tolist(), strict=True) if is_meant]


def assert_no_better(worse: list[FactRow], better: list[FactRow], context: dict[str, str]) -> None:
    """Every feature of `worse` is at least as bad, and so are its points under every model."""
    inputs, points = seen((better, worse), context)
    is_better = (inputs[1] - inputs[0]) * DIRECTIONS > 0
    is_moved = (inputs[1] != inputs[0]) & (DIRECTIONS == 0)
    assert name_features(is_better | is_moved) == []
    assert (points[:, 1] <= points[:, 0]).all()

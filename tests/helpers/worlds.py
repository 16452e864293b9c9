import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from hypothesis import strategies as st

from scoring.base.enums import Category, DisputeOutcome, InspectionResult, Kind, Severity, Source, Status, Tier
from scoring.base.time import DAY, parse_day
from scoring.features.columns import FactRow, columns_of
from scoring.features.facts import Facts, resolve
from scoring.features.fold import DEFAULT_WEIGHTS, Constants, Folder
from scoring.features.table import FEATURES, AnyFeature, matrix
from scoring.model.artifact import Artifact, ModelParts, load, pack
from scoring.model.page import Page
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from training.fitting.curves import add_up_trees, make_page

TODAY = parse_day("2026-03-01")
NOW = TODAY * DAY + 12 * 3600 * 1_000_000
SPAN = 800
ALL_FEATURES = tuple(FEATURES.values())
CONSTANTS = Constants(DEFAULT_WEIGHTS)


def violation(
    name: str,
    day: int,
    category: int = 1,
    severity: int = 3,
    status: Status = Status.CONFIRMED,
    incident: str = "",
    violation_type: int | None = None,
) -> FactRow:
    moment = day * DAY + 1
    return FactRow(
        *(0, name, "s", Kind.VIOLATION, moment, moment, name, incident or name, category, severity, int(status)),
        violation_type=violation_type,
    )


def status(name: str, violation_id: str, to: Status, day: int = TODAY, severity: int | None = None) -> FactRow:
    moment = day * DAY + 2
    return FactRow(0, name, "s", Kind.STATUS, moment, moment, violation_id, severity=severity, status=int(to))


def exposure(name: str, day: int, orders: int, failures: int = 0, revision: int = 0) -> FactRow:
    return FactRow(
        0, name, "s", Kind.EXPOSURE, day * DAY, day * DAY + DAY - 1, exposure_day=day, product_category="",
        revision=revision, settled_orders=orders, service_failures=failures,
    )  # fmt: skip


def identity(name: str, day: int, level: int = 3) -> FactRow:
    return FactRow(0, name, "s", Kind.IDENTITY, day * DAY, day * DAY, identity_level=level)


def inspection(name: str, day: int, result: InspectionResult, source: Source = Source.MARKET_REGULATOR) -> FactRow:
    return FactRow(0, name, "s", Kind.INSPECTION, day * DAY, day * DAY + 1, status=int(result), source=int(source))


def dispute(name: str, day: int, outcome: DisputeOutcome) -> FactRow:
    return FactRow(0, name, "s", Kind.DISPUTE, day * DAY, day * DAY + 1, status=int(outcome))


def override(name: str, time: int, tier: Tier, until: int) -> FactRow:
    return FactRow(0, name, "s", Kind.OVERRIDE, time, time, status=int(tier), until_time=until)


def decision(kind: Kind, name: str, day: int = TODAY - 1, **columns: Any) -> FactRow:
    return FactRow(0, name, "s", kind, day * DAY + 3, day * DAY + 3, **columns)


def numbered(rows: list[FactRow]) -> list[FactRow]:
    return [row._replace(sequence=i + 1) for i, row in enumerate(rows)]


def facts_of(rows: list[FactRow], observe_time: int = NOW) -> Facts:
    return resolve(columns_of(numbered(rows), ["s"]), np.array([observe_time]))


days = st.integers(TODAY - SPAN, TODAY - 1)
violations = st.lists(
    st.tuples(
        days,
        st.sampled_from([int(c) for c in Category]),
        st.sampled_from([int(s) for s in Severity]),
        st.sampled_from([Status.CONFIRMED, Status.CONFIRMED, Status.ALLEGED]),
        st.integers(0, 5),
    ),
    max_size=12,
).map(lambda items: [violation(f"v{i}", d, c, s, t, f"incident-{n}") for i, (d, c, s, t, n) in enumerate(items)])
exposures = st.lists(
    st.tuples(days, st.integers(0, 500), st.integers(0, 20)), max_size=30, unique_by=lambda item: item[0]
).map(lambda items: [exposure(f"x{i}", d, orders, min(f, orders)) for i, (d, orders, f) in enumerate(items)])


findings = st.lists(
    st.one_of(
        st.tuples(st.just(inspection), days, st.sampled_from([*InspectionResult])),
        st.tuples(st.just(dispute), days, st.sampled_from([*DisputeOutcome])),
    ),
    max_size=6,
).map(lambda items: [make(f"f{i}", day, word) for i, (make, day, word) in enumerate(items)])


@st.composite
def sellers(draw: st.DrawFn) -> list[FactRow]:
    return [identity("i0", TODAY - 600, draw(st.integers(1, 4))), *draw(exposures), *draw(findings), *draw(violations)]


@cache
def population() -> tuple[np.ndarray, np.ndarray]:
    rng, found = np.random.default_rng(7), np.random.default_rng(8)
    rows: list[FactRow] = []
    names = [f"s{i}" for i in range(1500)]
    for name in names:
        guilt = rng.gamma(0.5)
        mine = [identity("i", TODAY - int(rng.integers(10, SPAN)), int(rng.integers(1, 5)))]
        chosen = rng.choice(SPAN, int(rng.integers(1, 40)), replace=False)
        mine += [
            exposure(f"x{d}", TODAY - 1 - int(d), int(rng.integers(1, 200)), int(rng.integers(0, 2))) for d in chosen
        ]
        mine += [
            violation(f"v{i}", TODAY - 1 - int(rng.integers(0, SPAN)), int(rng.integers(1, 9)), int(rng.integers(1, 5)))
            for i in range(rng.poisson(2 * guilt))
        ]
        mine += [
            inspection(
                f"n{i}", TODAY - 1 - int(found.integers(0, SPAN)), InspectionResult(1 + (found.random() < guilt / 2))
            )
            for i in range(found.poisson(1))
        ]
        mine += [
            dispute(f"d{i}", TODAY - 1 - int(found.integers(0, SPAN)), DisputeOutcome.BUYER)
            for i in range(found.poisson(guilt))
        ]
        rows += [row._replace(seller=name) for row in mine]
    facts = resolve(columns_of(numbered(rows), names), np.full(len(names), NOW))
    x = matrix(Folder(CONSTANTS).fold(facts), ALL_FEATURES)
    drive = x[:, [f.name == "violation_rate_90d" for f in ALL_FEATURES]].sum(axis=1) * 200 + x[:, -8] - x[:, -1] * 0.3
    return x, (rng.random(len(names)) < 1 / (1 + np.exp(1.0 - drive))).astype(float)


def page_of(x: np.ndarray, bad: np.ndarray, features: tuple[AnyFeature, ...], rounds: int) -> Page:
    parameters = {
        "objective": "binary", "verbosity": -1, "num_leaves": 15, "min_data_in_leaf": 10, "seed": 3, "num_threads": 1,
        "deterministic": True, "force_row_wise": True, "feature_fraction": 0.3, "learning_rate": 0.1,
        "monotone_constraints": [-f.direction for f in features], "monotone_constraints_method": "intermediate",
        "interaction_constraints": [[place] for place in range(len(features))],
    }  # fmt: skip
    booster = lightgbm.train(parameters, lightgbm.Dataset(x, bad), rounds)
    trees = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    curves = add_up_trees(0.0, [], trees, 1.0, len(features))
    return make_page(curves, 0.0, 1.0, x, np.ones(len(x)), {})


def certified(x: np.ndarray, bad: np.ndarray, features: tuple[AnyFeature, ...], rounds: int) -> Artifact:
    parts = ModelParts(
        study="tests",
        page=page_of(x, bad, features, rounds),
        features=features,
        constants=CONSTANTS,
        reference_exposure=1000.0,
        baseline=np.median(x[x[:, [f.key for f in features].index("incidents@1")] == 0], axis=0),
        golden=x[:16],
        evaluation={},
        lineage={},
    )
    return load(pack(parts))


@cache
def artifact() -> Artifact:
    return certified(*population(), ALL_FEATURES, 60)


@cache
def policy() -> Policy:
    path = Path(__file__).parents[2] / "service" / "policy" / "tiers.toml"
    text = path.read_text()
    return replace(parse_policy(tomllib.loads(text)), text=text)

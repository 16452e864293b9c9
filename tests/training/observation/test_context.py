import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoring.base.enums import CorrectionKind, MeasureKind, MeasureState, Source
from scoring.base.errors import ArtifactRefused, ConfigurationWrong
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged
from scoring.features.table import ContextFeature, at_reference
from scoring.model.artifact import load
from scoring.policy.reading import parse_policy
from service.ledger.store import Ledger
from tests.helpers.answers import explain, score
from tests.helpers.builders import violation
from tests.helpers.label_cases import OBSERVE, inspection, standing
from tests.helpers.training_ledgers import STUDIES, exported, market_ledger, restated, table_of, train
from training.observation.export import LedgerTable
from training.observation.snapshots import join_snapshots, observe_known_outcomes
from training.pipeline.job import TrainedModel
from training.study.context import ContextSource
from training.study.definition import Study
from training.study.loading import load_study

POLICY = {
    "name": "test",
    "version": 1,
    "clear_days": 2,
    "cut_offs": {"standard": 450, "trusted": 550, "exemplary": 650},
    "thin_file": {"settled_orders": 1, "tenure_days": 1},
    "badges": dict.fromkeys(("unrated", "probation", "standard", "trusted", "exemplary", "unknown"), "badge"),
}


def sources(*context: ContextSource, study: Study | None = None) -> Study:
    stated = study or load_study(STUDIES / "marketplace.toml")
    return replace(stated, context=context, features=(*stated.features, *(f for c in context for f in c.features)))


def seen(folder: Path, context: ContextSource, *entries: Entry) -> list[list[float]]:
    study = sources(context)
    table = table_of(folder, [*standing("clean"), *standing("s"), *entries])
    rows = observe_known_outcomes(table, study, study.point_at(OBSERVE))
    return rows.x[:, len(study.features) - len(context.features) :].tolist()


def look(day: int, entry_id: str = "", **stated: object) -> Entry:
    return inspection(entry_id or f"look-{day}", "s", OBSERVE + day, **stated)


def test_detections_are_of_before_the_point(tmp_path: Path) -> None:
    found = [
        look(-10),
        look(-100),
        look(3),
        look(-20, "void"),
        Entry(
            "no",
            "",
            EntryCorrected("void", CorrectionKind.VOID, "staff", "another shop"),
            None,
            (OBSERVE - 1) * DAY,
        ),
        violation(
            "by-us",
            "s",
            source=Source.PLATFORM_DETECTION,
            occur_time=(OBSERVE - 30) * DAY,
            report_time=(OBSERVE - 29) * DAY,
        ),
        violation(
            "late", "s", source=Source.PLATFORM_DETECTION, occur_time=(OBSERVE - 30) * DAY, report_time=OBSERVE * DAY
        ),
        violation("told", "s", source=Source.BUYER, occur_time=(OBSERVE - 30) * DAY, report_time=(OBSERVE - 29) * DAY),
    ]
    monthly = ContextSource("looks", "detections_per_month", 9.0, days=60)
    assert seen(tmp_path, monthly, *found) == [[0.0], [1.0]]


def test_what_is_taken_back_after_the_point_was_in_force_at_it(tmp_path: Path) -> None:
    on, hold = MeasureState.IMPOSED, MeasureKind.SETTLEMENT_HOLD

    def void(entry_id: str, day: int) -> Entry:
        correction = EntryCorrected(entry_id, CorrectionKind.VOID, "staff", "another shop")
        return Entry(f"no-{entry_id}", "", correction, None, (OBSERVE + day) * DAY)

    stated = [
        *(look(-20, "looked"), look(-21, "mistaken"), void("looked", 30), void("mistaken", -5)),
        *(measure("held", -20, on, hold, "m1"), measure("not", -20, on, hold, "m2"), void("m1", 30), void("m2", -5)),
        *(look(4, "window", inspector="blue"), void("window", 30)),
    ]
    looks = ContextSource("looks", "detections_per_month", 9.0, days=30)
    who = ContextSource("inspector", "inspection.inspector", "green", one_of=("blue", "green"))
    for name, source, theirs in (
        ("looks", looks, [1.0]),
        ("measures", ContextSource("measures", "measures_in_force", 0.0), [1.0]),
        ("who", who, [0.0, 1.0]),
    ):
        assert seen(tmp_path / name, source, *stated)[1] == theirs


def measure(
    name: str, day: float, state: MeasureState, kind: MeasureKind, entry_id: str, until: float | None = None
) -> Entry:
    moment = round((OBSERVE + day) * DAY)
    fact = MeasureChanged(
        name, kind, state, "staff", "a measure", until=None if until is None else round((OBSERVE + until) * DAY)
    )
    return Entry(entry_id, "s", fact, moment, moment)


@pytest.mark.long
def test_measures_in_force_are_neither_lifted_nor_over(tmp_path: Path) -> None:
    hold, cap = MeasureKind.SETTLEMENT_HOLD, MeasureKind.LISTING_CAP
    on, off = MeasureState.IMPOSED, MeasureState.LIFTED
    stated = [
        measure("in-force", -20, on, hold, "m1"),
        measure("lifted", -20, on, hold, "m2"),
        measure("lifted", -10, off, hold, "m3"),
        measure("over", -20, on, hold, "m4", until=-1),
        measure("not-over", -20, on, cap, "m5", until=1),
        measure("later", 1, on, hold, "m6"),
        measure("rule~of-a-policy", -20, on, hold, "m7"),
    ]
    assert seen(tmp_path / "all", ContextSource("measures", "measures_in_force", 0.0), *stated) == [[0.0], [2.0]]
    holds = ContextSource("holds", "measures_in_force", 0.0, measure_kind=hold)
    assert seen(tmp_path, holds, *stated) == [[0.0], [1.0]]


def test_the_first_inspection_of_the_window_says_who_looked(tmp_path: Path) -> None:
    who = ContextSource("inspector", "inspection.inspector", "green", one_of=("blue", "green"))
    visits = [look(-3, inspector="green"), look(4, inspector="blue"), look(9, inspector="green")]
    assert seen(tmp_path, who, *visits) == [[0.0, 1.0], [1.0, 0.0]]
    assert seen(tmp_path / "other", who, look(4, inspector="red")) == [[0.0, 1.0], [0.0, 0.0]]
    warm = ContextSource("warm", "inspection.attributes.warmth", 57.0)
    assert seen(tmp_path / "warm", warm, look(4, attributes={"warmth": "61.5"})) == [[57.0], [61.5]]
    assert seen(tmp_path / "odd", warm, look(4, attributes={"warmth": "hot"})) == [[57.0], [57.0]]


STRICT, MILD = "strict", "mild"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator["World"]:
    folder = tmp_path_factory.mktemp("world")
    who = ContextSource("inspector", "inspection.inspector", MILD, one_of=(STRICT, MILD))
    looks = ContextSource("looks", "detections_per_month", 0.0)
    study = sources(who, looks)
    study = restated(
        study, model={"rounds": 30, "parameters": {"min_data_in_leaf": 5}}, exposure={"reference_orders": None}
    )
    with market_ledger(folder, 500) as ledger:
        table = exported(ledger, "demo", folder)
        train_points, test_points = study.find_points(table.end_day)
        entries: list[Entry] = []
        for point in (*train_points, *test_points):
            plain = observe_known_outcomes(table, study, point)
            for code, bad in zip(plain.seller.tolist(), plain.bad.tolist(), strict=True):
                strict = bad or code % 7 == 0
                name = f"n-{point.day}-{code}"
                entries.append(
                    inspection(name, table.sellers[code], point.day + 1, inspector=STRICT if strict else MILD)
                )
        ledger.append("demo", entries, imported=True)
        table = exported(ledger, "demo", folder)
        yield ledger, table, study, train(table, study)


World = tuple[Ledger, LedgerTable, Study, TrainedModel]


def test_training_sees_context_and_serving_never_does(world: World) -> None:
    ledger, table, _, trained = world
    artifact, policy = load(trained.parts), parse_policy(POLICY)
    auc = trained.evaluation["auc"]
    assert auc["with_context"]["value"] > auc["lightgbm"]["value"] + 0.1
    # Calibrated as served: the prediction at the mild inspector equals the findings of both inspectors together. The
    # world is small: without its reference the ratio would be far off, and chance alone moves it by a third.
    assert 0.7 < trained.evaluation["predicted"] / trained.evaluation["base_rate"] < 1.4
    seller = table.sellers[0]
    now = (table.end_day + 1) * DAY

    def answers() -> tuple[object, object]:
        rows, _ = ledger.facts.table("demo", [seller], ledger.cut())
        return score(rows, [seller], now, artifact, policy), explain(rows, seller, now, artifact, policy)

    before = answers()
    assert before[0] != [None]
    day = table.end_day
    fact = MeasureChanged("m", MeasureKind.SETTLEMENT_HOLD, MeasureState.IMPOSED, "staff", "held")
    watched = [inspection(f"w{k}", seller, day - k, inspector=STRICT) for k in range(20)]
    ledger.append("demo", [*watched, Entry("m", seller, fact, day * DAY, day * DAY)], imported=True)
    assert answers() == before


def test_no_context_differs_between_sellers_when_serving(world: World) -> None:
    _, table, study, trained = world
    artifact = load(trained.parts)
    context = [i for i, f in enumerate(artifact.features) if isinstance(f, ContextFeature)]
    assert [artifact.features[i].key for i in context] == [
        "context.inspector=strict@1",
        "context.inspector=mild@1",
        "context.looks@1",
    ]
    assert artifact.features == study.features
    assert artifact.baseline[context].tolist() == [0.0, 1.0, 0.0]
    seen = join_snapshots(
        [observe_known_outcomes(table, study, point) for point in study.find_points(table.end_day)[1]]
    ).x
    served = at_reference(seen, artifact.features)
    assert (served[:, context] == [0.0, 1.0, 0.0]).all()
    assert len(np.unique(seen[:, context], axis=0)) > 1
    others = [i for i in range(len(artifact.features)) if i not in context]
    assert np.array_equal(served[:, others], seen[:, others])
    assert (trained.test.x[:, context] == [0.0, 1.0, 0.0]).all()


def test_a_baseline_not_at_the_reference_is_refused(world: World) -> None:
    """The gap to the baseline would depend on the inspector."""
    parts = world[3].parts

    def changed(change: Callable[[Any], None]) -> dict[str, bytes]:
        manifest = json.loads(parts["manifest.json"])
        change(manifest)
        return {**parts, "manifest.json": json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()}

    assert load(changed(lambda _: None)).digest == load(parts).digest
    with pytest.raises(ArtifactRefused, match="not at the reference of its context"):
        load(changed(lambda manifest: manifest["baseline"].__setitem__(-2, 0.5)))
    with pytest.raises(ArtifactRefused, match=r"is unsound|is not a finite number"):
        load(changed(lambda manifest: manifest["features"][-1].__setitem__("reference", float("inf"))))


CONTEXT = """
name = "context"
marketplace = "acme"
[window]
days = 180
[bad]
any = [{ harm = "high" }]
[[context]]
name = "inspector"
source = "inspection.inspector"
one_of = ["blue", "green"]
reference = "green"
[[context]]
name = "holds"
source = "measures_in_force"
measure_kind = "settlement_hold"
reference = 0
"""


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        (
            '"inspection.inspector"',
            '"inspection.result"',
            r"context\[inspector\]\.source must be one of detections_per_month",
        ),
        ('"measures_in_force"', '"inspection.attributes."', r"context\[holds\]\.source must be one of"),
        ('reference = "green"', 'reference = "red"', 'reference must be one of blue, green, not "red"'),
        ("reference = 0", "", r"context\[holds\]\.reference must be given"),
        ("reference = 0", 'reference = "none"', "reference must be left out, or a number, .*, not"),
        ("reference = 0", "reference = 0\ndays = 30", r"context\[holds\]\.days is not a part of a study"),
        ('"settlement_hold"', '"prison"', "measure_kind must be one of deposit, settlement_hold"),
        ("reference = 0", 'reference = 0\none_of = ["1"]', "one_of is for a field of an inspection"),
        ("", "", "attributes or context name the same feature twice"),
    ],
)
def test_wrong_context_is_refused_by_name(tmp_path: Path, old: str, new: str, wrong: str) -> None:
    path = tmp_path / "context.toml"
    path.write_text(CONTEXT)
    assert [c.name for c in load_study(path).context] == ["inspector", "holds"]
    path.write_text(CONTEXT.replace(old, new, 1) if old else CONTEXT + CONTEXT[CONTEXT.index("[[context]]") :])
    with pytest.raises(ConfigurationWrong, match=wrong):
        load_study(path)

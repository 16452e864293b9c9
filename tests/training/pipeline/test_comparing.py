import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoring.base.arrays import Floats
from scoring.base.enums import Kind
from scoring.base.time import DAY
from scoring.features.table import at_reference
from scoring.model.artifact import Artifact, load
from scoring.model.scale import POINTS_PER_LOGIT
from tests.helpers.training_ledgers import POLICY, STUDIES, restated, train
from training.gates.evidence import GateEvidence, Measurements
from training.monitoring.outcomes import adapt_study_to_model, slope_of, study_of_model
from training.observation.export import SCHEMA, LedgerTable, read_export, write_export
from training.observation.snapshots import observe_known_outcomes
from training.pipeline.comparing import _compute_inputs_of_study, compare
from training.pipeline.fitting import calibrate_fit, fit
from training.pipeline.job import Job, TrainedModel
from training.pipeline.observing import observe
from training.pipeline.run import show_nothing
from training.pipeline.sloped import find_slope
from training.pipeline.steps import Step
from training.study.context import ContextSource
from training.study.definition import Study
from training.study.loading import load_study
from training.study.words import describe_definition, other_label

WATCHED = ContextSource("watched", "detections_per_month", 0.0)
HELD = ContextSource("held", "measures_in_force", 0.0)


@pytest.fixture(scope="module")
def plain(table: LedgerTable, study: Study) -> Artifact:
    return load(train(table, study).parts)


def knowing(study: Study, *context: ContextSource) -> Study:
    return replace(study, context=context, features=(*study.features, *(f for c in context for f in c.features)))


def own_log_odds(trained: TrainedModel, champion: Artifact, table: LedgerTable, study: Study) -> Floats:
    (point,) = study.find_points(table.end_day)[1]
    rows = observe_known_outcomes(table, study, point)
    assert rows.seller.tolist() == trained.test.seller.tolist()
    raw = champion.raw_score(at_reference(rows.x, champion.features))
    own = np.log(np.maximum(rows.window_orders, 1.0) / champion.manifest["reference_exposure"])
    own *= slope_of(champion)
    lift = json.loads(champion.parts["lineage.json"])["calibration_lift"]
    return np.asarray(champion.scale.log_odds(raw) - lift + own)


@pytest.mark.long
def test_context_can_be_introduced_where_the_champion_knows_none(
    table: LedgerTable, study: Study, plain: Artifact
) -> None:
    more = knowing(study, WATCHED)
    trained = train(table, more, champion=plain)
    assert trained.test_log_odds["champion"] == pytest.approx(own_log_odds(trained, plain, table, study))
    again = train(table, study_of_model(more, plain), champion=plain, recalibrate=True)
    assert again.parts["model.txt"] == plain.parts["model.txt"]


@pytest.mark.long
def test_a_champion_with_context_is_judged_at_its_reference(table: LedgerTable, study: Study) -> None:
    theirs = knowing(study, WATCHED)
    champion = load(train(table, theirs).parts)
    both = knowing(replace(study, features=study.features[10:]), WATCHED, HELD)
    assert study_of_model(both, champion).context == (WATCHED,)
    trained = train(table, both, champion=champion)
    assert trained.test_log_odds["champion"] == pytest.approx(own_log_odds(trained, champion, table, theirs))


@pytest.mark.long
def test_a_champion_is_judged_by_its_own_reference_exposure(table: LedgerTable, study: Study, plain: Artifact) -> None:
    """Otherwise the other unit alone would worsen its log-loss, and the gate would always pass."""
    trained = train(table, restated(study, exposure={"reference_orders": 20.0}), champion=plain)
    assert study.exposure.reference_orders != 20.0
    assert trained.test_log_odds["champion"] == pytest.approx(own_log_odds(trained, plain, table, study))
    models = trained.evaluation["models"]
    assert models["champion"]["log_loss"]["value"] == pytest.approx(models["lightgbm"]["log_loss"]["value"], rel=0.05)


@pytest.mark.long
def test_a_lift_of_the_level_changes_what_is_served_alone(table: LedgerTable, study: Study, plain: Artifact) -> None:
    more = restated(study, window={"maturity_days": 0})
    job = Job(table, more, POLICY, champion=plain)
    observed = observe(Step("1", show_nothing), job)
    fitted = fit(Step("4", show_nothing), job, observed)
    found = []
    for factor in (1.0, 3.0):
        calibrated = calibrate_fit(Step("6", show_nothing), job, observed, fitted, math.log(factor))
        compared = compare(Step("7", show_nothing), job, observed, fitted, calibrated)
        found.append((compared, calibrated.page.base))
    (as_known, known), (as_lifted, lifted) = found
    assert known - lifted == pytest.approx(POINTS_PER_LOGIT * math.log(3), abs=1)
    assert as_lifted.scores["lightgbm"] == pytest.approx(as_known.scores["lightgbm"], abs=0.5 / POINTS_PER_LOGIT)
    assert as_lifted.figures["predicted"] == pytest.approx(as_known.figures["predicted"], rel=0.01)


@pytest.mark.long
def test_a_test_row_that_no_second_look_finds_is_an_error(table: LedgerTable, study: Study) -> None:
    """Otherwise the twin and a champion of other features would score another seller's features."""
    job = Job(table, study, POLICY)
    observed = observe(Step("1", show_nothing), job)
    fitted = fit(Step("4", show_nothing), job, observed)
    calibrated = calibrate_fit(Step("6", show_nothing), job, observed, fitted, 0.0)
    moved = replace(observed, test=replace(observed.test, day=observed.test.day + 1))
    with pytest.raises(ValueError, match="rows are missing"):
        compare(Step("7", show_nothing), job, moved, fitted, calibrated)


def test_a_span_whose_events_are_of_nobody_eligible_has_no_rows(tmp_path: Path) -> None:
    day, later = 20_000, 20_100
    inspection, identity = (
        {
            "seller": "s",
            "revision": 0,
            "content": "{}",
            "entry_id": name,
            "kind": int(kind),
            "occur_time": at * DAY,
            "report_time": at * DAY,
        }
        for name, kind, at in (("inspected", Kind.INSPECTION, day + 1), ("joined", Kind.IDENTITY, later))
    )
    rows = [inspection | {"sequence": 1, "status": 1}, identity | {"sequence": 2, "identity_level": 2}]
    rows.append(
        inspection
        | {
            "sequence": 3,
            "entry_id": "again",
            "occur_time": (day + 900) * DAY,
            "report_time": (day + 900) * DAY,
            "status": 1,
        }
    )
    write_export([[tuple(map(row.get, SCHEMA)) for row in rows]], tmp_path / "entries.parquet")
    table, study = read_export(tmp_path / "entries.parquet"), load_study(STUDIES / "chicago_no_context.toml")
    span = replace(study.point_at(day), last_day=day + 5)
    observed = observe_known_outcomes(table, study, span)
    assert len(observed.bad) == 0
    assert _compute_inputs_of_study(observed, Job(table, study, POLICY), [span], study).shape == (
        0,
        len(study.features),
    )


@pytest.mark.parametrize(("stated", "slope"), [(0.0, 0.0), (0.5, 0.5), (None, 1.0)])
def test_a_models_slope_of_zero_stays_zero(study: Study, plain: Artifact, stated: float | None, slope: float) -> None:
    lineage = json.loads(plain.parts["lineage.json"]) | {"slope": stated}
    model = Artifact(plain.manifest, plain.parts | {"lineage.json": json.dumps(lineage).encode()}, plain.digest)
    assert study_of_model(study, model).exposure.slope == slope


def test_a_model_without_context_is_watched_by_a_study_with_some(
    table: LedgerTable, study: Study, plain: Artifact
) -> None:
    seen = adapt_study_to_model(knowing(study, WATCHED), plain)
    (point,) = seen.find_points(table.end_day)[1]
    assert observe_known_outcomes(table, seen, point).x.shape[1] == len(plain.features)


@pytest.mark.long
def test_a_champion_of_another_label_is_shown_and_judges_nothing(
    table: LedgerTable, study: Study, plain: Artifact
) -> None:
    other = restated(study, bad={"at_least": 2}, window={"days": 90})
    trained = train(table, other, champion=plain)
    parts = ["bad at least: 1, here 2", "window: 180 days, here 90 days"]
    assert trained.evaluation["champion"] == {"digest": plain.digest, "other_label": parts}
    assert f"the champion learned another label ({', '.join(parts)}), so no gate goes by it" in trained.lines["compare"]
    assert GateEvidence(trained.evaluation, Measurements(), 200).reference == "logistic"
    assert "champion" in trained.evaluation["auc"]
    again = train(table, study, champion=plain)
    assert again.evaluation["champion"]["other_label"] == []
    assert "another label" not in again.lines["compare"]
    assert GateEvidence(again.evaluation, Measurements(), 200).reference == "champion"


def test_an_earlier_definition_is_compared_by_what_it_states(study: Study) -> None:
    stated = describe_definition(study)
    old = {part: value for part, value in stated.items() if part != "bad_suspended"}
    assert other_label(restated(study, bad={"suspended": not study.bad.suspended}), old) == []
    assert other_label(restated(study, bad={"suspended": not study.bad.suspended}), stated) != []
    assert other_label(study, {}) == []


@pytest.mark.long
def test_the_slope_is_of_the_training_points_alone(table: LedgerTable, study: Study) -> None:
    job, trained = Job(table, study, POLICY), train(table, study)
    observed = observe(Step("1", show_nothing), job)
    turned = replace(observed, test=replace(observed.test, bad=1 - observed.test.bad))
    slope = find_slope(Step("slope", show_nothing), job, turned).job.slope
    lineage = json.loads(trained.parts["lineage.json"])
    assert slope.how == "estimated"
    assert slope.value not in (0, 1)
    assert lineage["slope"] == slope_of(load(trained.parts)) == slope.value
    assert lineage["exposure_slope"] == slope.text == trained.lines["exposure slope"]
    shown = trained.evaluation["exposure_slope"]
    assert (shown["value"], shown["low"], shown["high"]) == (slope.value, slope.low, slope.high)
    assert trained.evaluation["checks"]["data"][-1]["check"] == "exposure_slope"


@pytest.mark.long
def test_a_stated_slope_is_taken_and_without_exposure_is_none(table: LedgerTable, study: Study) -> None:
    job = Job(table, restated(study, exposure={"slope": 1.0}), POLICY)
    observed = observe(Step("1", show_nothing), job)
    slope = find_slope(Step("slope", show_nothing), job, observed).job.slope
    assert (slope.value, slope.how, slope.low) == (1.0, "stated", None)
    free = train(table, restated(study, exposure={"reference_orders": None}))
    assert "exposure_slope" not in free.evaluation
    assert slope_of(load(free.parts)) == 1

import json
from dataclasses import replace

import pytest

from scoring.model.artifact import load
from tests.helpers.training_ledgers import POLICY, restated, train
from training.monitoring.outcomes import slope_of
from training.observation.export import LedgerTable
from training.pipeline.job import Job
from training.pipeline.observing import observe
from training.pipeline.run import show_nothing
from training.pipeline.sloped import find_slope
from training.pipeline.steps import Step
from training.study.definition import Study


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

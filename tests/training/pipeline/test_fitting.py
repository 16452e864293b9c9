from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scoring.base.errors import ConfigurationWrong
from scoring.model.artifact import load
from scoring.model.scale import POINTS_PER_LOGIT
from tests.helpers.training_ledgers import POLICY, STUDIES, exported, market_ledger, restated
from training.fitting.crossfit import FOLDS
from training.fitting.fit import exposure_offset, fit_curves
from training.fitting.folds import assign_folds
from training.fitting.logistic import calibrate
from training.observation.snapshots import Snapshot, join_snapshots
from training.pipeline.fitting import CalibratedModel, calibrate_fit, fit
from training.pipeline.job import Job
from training.pipeline.observing import Observations, observe
from training.pipeline.run import run, show_nothing
from training.pipeline.steps import Step
from training.study.loading import load_study

pytestmark = pytest.mark.long


def turned(observed: Observations) -> Observations:
    seed = load_study(STUDIES / "marketplace.toml").model.seed
    return changed(observed, bad=lambda part: np.abs(part.bad - (assign_folds(part.seller, FOLDS, seed) == 0)))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    study = restated(load_study(STUDIES / "marketplace.toml"), model={"rounds": 10})
    folder = tmp_path_factory.mktemp("market")
    with market_ledger(folder, 500) as ledger:
        return Job(exported(ledger, "demo", folder), study, POLICY, verify=False)


@pytest.fixture(scope="module")
def observed(job: Job) -> Observations:
    return observe(Step("1", show_nothing), job)


def calibrated(job: Job, observed: Observations) -> CalibratedModel:
    return calibrate_fit(Step("6", show_nothing), job, observed, fit(Step("4", show_nothing), job, observed), 0.0)


def changed(observed: Observations, **columns: Callable[[Snapshot], np.ndarray]) -> Observations:
    every = [replace(part, **{name: made(part) for name, made in columns.items()}) for part in observed.every]
    return replace(observed, every=every, rows=join_snapshots(every[: len(observed.train_points)]))


def test_what_a_model_learnt_of_its_own_is_not_true_of_others(job: Job, observed: Observations) -> None:
    learns = {"num_leaves": 31, "min_data_in_leaf": 2, "learning_rate": 0.2, "lambda_l2": 0.0, "extra_trees": False}
    by_heart = replace(
        job, study=restated(job.study, model={"rounds": 60, "parameters": learns}, exposure={"reference_orders": None})
    )
    lots = np.random.default_rng(5).normal(size=(500, observed.rows.x.shape[1]))
    drawn = changed(
        observed,
        x=lambda part: lots[part.seller],
        bad=lambda part: (assign_folds(part.seller, 4, 5) == 0).astype(float),
    )
    *earlier, latest = drawn.every[: len(drawn.train_points)]
    of_own = fit_curves(join_snapshots(earlier), by_heart.study).raw_scores(latest.x)
    assert calibrate(of_own, latest.bad, np.zeros(len(latest.bad)))[1] > 0.5
    try:
        spread = np.ptp(calibrated(by_heart, drawn).page.raw_score(latest.x))
    except ConfigurationWrong:
        spread = 0.0
    assert spread < 0.2 * POINTS_PER_LOGIT * np.ptp(of_own)


def test_weighted_rows_are_predicted_as_often_bad_as_they_are(job: Job, observed: Observations) -> None:
    weighted = changed(observed, weight=lambda part: np.where(part.bad > 0, 3.0, 1.0))
    latest, found = weighted.latest, calibrated(job, weighted)
    p = 1 / (1 + np.exp(-(found.scale.log_odds(found.page.raw_score(latest.x)) + exposure_offset(latest, job.study))))
    assert latest.weight @ latest.bad / (latest.weight @ p) == pytest.approx(1, abs=0.1)


def test_a_level_that_is_fitted_anew_counts_rows_by_their_weight(job: Job, observed: Observations) -> None:
    champion = load(run(job).parts)
    """By the test rows, the latest outcomes."""
    test = replace(observed.test, weight=np.where(observed.test.bad > 0, 3.0, 1.0))
    weighted = replace(observed, test=test)
    latest, again = test, replace(job, champion=champion, recalibrate=True)
    scale = calibrated(again, weighted).scale
    logit = scale.log_odds(champion.raw_score(latest.x)) + exposure_offset(latest, job.study)
    assert latest.weight @ latest.bad / (latest.weight @ (1 / (1 + np.exp(-logit)))) == pytest.approx(1, abs=0.01)


def test_a_calibration_that_makes_all_alike_is_refused(job: Job, observed: Observations) -> None:
    fitted = fit(Step("4", show_nothing), job, observed)
    assert calibrate_fit(Step("6", show_nothing), job, observed, fitted, 0.0).page.rows > 10
    with pytest.raises(ConfigurationWrong, match=r"every seller has the same points .*; widen the bad definition"):
        calibrate_fit(Step("6", show_nothing), job, turned(observed), fitted, 0.0)

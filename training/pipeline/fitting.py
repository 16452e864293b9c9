"""Steps 4 to 6: train, calibrate and round to a page, certify."""

from dataclasses import replace

import numpy as np

from scoring.base.arrays import Floats
from scoring.base.errors import ConfigurationWrong
from scoring.base.frozen import frozen
from scoring.features import table as features
from scoring.model.artifact import Artifact
from scoring.model.certificate import certify
from scoring.model.page import Page
from scoring.model.promises import broken_promises, state_promises
from scoring.model.scale import POINTS_PER_LOGIT, Scale
from training.evaluation.arrays import sigmoid
from training.fitting.crossfit import FOLDS, MAX_FITTED, MIN_BAD, cross_fit
from training.fitting.curves import Curves, make_page
from training.fitting.fit import RawScorer, base_log_odds, exposure_offset, fit_curves, golden_rows, rows_at_reference
from training.fitting.logistic import calibrate
from training.observation.snapshots import Snapshot
from training.pipeline.job import Job
from training.pipeline.observing import Observations
from training.pipeline.steps import Step

MAX_ROWS = 100_000


@frozen
class FittedModel:
    model: Curves | Artifact
    """Each feature's effect on the log-odds of bad, or the champion with fixed tables."""
    summary: str


@frozen
class CertifiedModel:
    calibrated: "CalibratedModel"
    certificate: dict[str, object]
    summary: str


@frozen
class CalibratedModel:
    page: Page
    """The served model in whole points."""
    lift: float
    """The log-odds added for labels that are unknown at the maturity; the page's base includes it."""
    summary: str

    @property
    def scale(self) -> Scale:
        return Scale(self.page.base)


def fit(step: Step, job: Job, observed: Observations) -> FittedModel:
    """Train the model on all training points; a recalibration returns the champion as it is, unchecked.

    ConfigurationWrong if fewer than two features vary, or all golden rows score alike.
    """
    if job.recalibrate and job.champion is not None:
        return FittedModel(job.champion, f"the tables of champion {job.champion.digest[:12]}, as they are")
    if (np.ptp(observed.rows.x, axis=0) > 0).sum() < 2:
        raise ConfigurationWrong(
            "fewer than two features of the study have more than one value in the training rows: import what they count, or"
            " choose others by features.with of the study"
        )
    curves = fit_curves(observed.rows, job.study, step)
    if len(np.unique(curves.raw_scores(golden_rows(observed.rows)))) < 2:
        raise ConfigurationWrong(
            "the model says the same of every seller: nothing in the features tells bad from good, or too few rows are"
            " in a leaf; widen the bad definition, import more, or lower min_data_in_leaf in model.parameters of the study"
        )
    steps = sum(curve.values.size for curve in curves.curves)
    return FittedModel(curves, f"{len(curves.curves)} features that tell something, in {steps} steps")


def certify_fit(step: Step, job: Job, calibrated: CalibratedModel) -> CertifiedModel:
    """Prove every table of the page monotone; ArtifactRefused names the first table that is not."""
    study = job.study
    certificate = certify(calibrated.page, {feature.key: feature.direction for feature in study.features})
    certificate |= state_promises(study.features)
    step(1, 1)
    sentence = f"{certificate['trees']} tables of {certificate['rows']} rows monotone ({certificate['algorithm']})"
    given_up = "".join(f"; given up: {promise.text}" for promise in broken_promises(study.features))
    return CertifiedModel(calibrated, certificate, sentence + given_up)


def calibrate_fit(step: Step, job: Job, observed: Observations, fitted: FittedModel, lift: float) -> CalibratedModel:
    """Calibrate the model on the latest training point, and round it to whole points.

    Each seller is scored by a model that never saw it. A recalibration fits its one number on the test rows. `lift` is
    added to the log-odds. ConfigurationWrong if all golden rows get the same points.
    """
    seed = job.study.model.seed
    if isinstance(fitted.model, Curves):
        latest = observed.latest.sample(MAX_ROWS, seed)
        calibrated = _calibrate_curves(step, job, observed, fitted.model, latest, lift)
    else:
        calibrated = _move_base(job, fitted.model, observed.test.sample(MAX_ROWS, seed), lift)
    golden = features.at_reference(golden_rows(observed.rows), job.study.features)
    if len(np.unique(calibrated.scale.points(calibrated.page.raw_score(golden)))) < 2:
        raise ConfigurationWrong(
            f"by the calibration every seller has the same points ({calibrated.summary}): what the model learned of some"
            " sellers does not hold for others at the latest training point; widen the bad definition, import more, lower"
            " model.rounds, or leave features that tell nothing out by features.without of the study"
        )
    return calibrated


def _calibrate_curves(
    step: Step, job: Job, observed: Observations, curves: Curves, latest: Snapshot, lift: float
) -> CalibratedModel:
    unseen_scores = _score_unseen(step, job, observed.rows.sample(MAX_FITTED, job.study.model.seed), latest)
    if unseen_scores is None or latest.bad.sum() < MIN_BAD:
        intercept, slope = 0.0, 1.0
        summary = "as trained: too few bad sellers to leave a third of the sellers out"
    else:
        intercept, slope = calibrate(unseen_scores, latest.bad, exposure_offset(latest, job.study), latest.weight)
        lift_text = f", {lift:+.3f} of it for what is not known yet at the maturity" if lift else ""
        summary = (
            f"logit p = {intercept + lift:+.3f} {slope:+.3f} x raw score{lift_text}; cross-fitted by seller in {FOLDS} folds,"
            " at the latest training point"
        )
    page = _make_page(job, observed, curves, intercept + lift, slope)
    return CalibratedModel(
        page, lift, f"{summary}; base {page.base} points, {len(page.tables)} tables of {page.rows} rows"
    )


def _make_page(job: Job, observed: Observations, curves: Curves, intercept: float, slope: float) -> Page:
    rows, study = observed.rows.sample(MAX_ROWS, job.study.model.seed), job.study
    p_bad = sigmoid(curves.raw_scores(rows.x) + exposure_offset(rows, study))
    reference = {
        place: feature.reference
        for place, feature in enumerate(study.features)
        if isinstance(feature, features.ContextFeature)
    }
    return make_page(curves, intercept, slope, rows.x, rows.weight * p_bad * (1 - p_bad), reference)


def _score_unseen(step: Step, job: Job, rows: Snapshot, latest: Snapshot) -> Floats | None:

    def fit_fold(fold: int, part: Snapshot) -> RawScorer:
        def count_rounds(done: int, total: int) -> None:
            step(fold * total + done, FOLDS * total)

        return fit_curves(part, job.study, count_rounds).raw_scores

    return cross_fit(rows, latest, rows_at_reference(latest, job.study).x, job.study.model.seed, fit_fold)


def _move_base(job: Job, champion: Artifact, latest: Snapshot, lift: float) -> CalibratedModel:
    raw = champion.raw_score(rows_at_reference(latest, job.study).x)
    log_odds_shift = (
        base_log_odds(latest.bad, champion.scale.log_odds(raw) + exposure_offset(latest, job.study), latest.weight)
        + lift
    )
    base = champion.page.base - round(POINTS_PER_LOGIT * log_odds_shift)
    summary = f"base {base} instead of {champion.page.base} points, by the test rows; the tables as they were"
    return CalibratedModel(replace(champion.page, base=base), lift, summary)

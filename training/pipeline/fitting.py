"""Steps 4 to 6: train, certify, calibrate."""

from dataclasses import dataclass

import lightgbm
import numpy as np

from scoring.arrays import Floats
from scoring.errors import ConfigurationWrong
from scoring.features import table as features
from scoring.model.certificate import certify
from scoring.model.promises import broken_promises, state_promises
from scoring.model.scale import Scale
from training.fitting.crossfit import FOLDS, MAX_FITTED, MIN_BAD, cross_fit
from training.fitting.fit import at_reference, base_log_odds, calibrate, fit_lightgbm, golden_rows, offset
from training.observation.snapshots import Snapshot
from training.pipeline.job import Job
from training.pipeline.observing import Observed, sample_rows
from training.pipeline.steps import Step

MAX_ROWS = 100_000
"""Rows at most that the scale is found on: two numbers do not need a million."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model."""

    text: str
    """The model's text."""
    booster: lightgbm.Booster
    """The booster that reads that text."""
    summary: str
    """The line that the step shows."""

    def raw(self, x: Floats) -> Floats:
        """Return the raw scores of inputs of shape (n, features), shape (n,)."""
        return np.asarray(self.booster.predict(x, raw_score=True, num_threads=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Certified:
    """A model proven monotone."""

    certificate: dict[str, object]
    """The certificate, as JSON values."""
    summary: str
    """The line that the step shows."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The scale of a model."""

    scale: Scale
    """From raw score to points and probability."""
    lift: float
    """What the ultimate level adds to the log-odds; `scale` holds it."""
    summary: str
    """The line that the step shows."""


def fit(step: Step, job: Job, observed: Observed) -> Fitted:
    """Train the model on all training points; a recalibration keeps the champion's trees.

    An interrupted training goes on with the model that it kept. ConfigurationWrong if the model gives the same score to
    all golden rows.
    """
    if job.recalibrate and job.champion is not None:
        text = job.champion.parts["model.txt"].decode()
        return _fitted(text, f"the trees of champion {job.champion.digest[:12]}, as they are")
    text = job.kept.text("model", lambda: fit_lightgbm(observed.rows, job.study, step).model_to_string())
    fitted = _fitted(text, "")
    if len(np.unique(fitted.raw(golden_rows(observed.rows)))) < 2:
        raise ConfigurationWrong(
            "the model says the same of every seller: nothing in the features tells bad from good, or too few rows are"
            " in a leaf; widen the bad definition, import more, or lower min_data_in_leaf in model.parameters of the study"
        )
    return fitted


def certify_fit(step: Step, job: Job, fitted: Fitted) -> Certified:
    """Prove every tree of the fitted model monotone; return the certificate.

    ArtifactRefused names the first place where one is not.
    """
    study = job.study
    certificate = certify(fitted.text, {feature.key: feature.direction for feature in study.features})
    certificate |= state_promises(study.features)
    step(1, 1)
    bound = sum(feature.direction != 0 for feature in study.features)
    sentence = f"{certificate['trees']} trees monotone in {bound} features ({certificate['algorithm']})"
    lost = "".join(f"; given up: {promise.text}" for promise in broken_promises(study.features))
    return Certified(certificate, sentence + lost)


def calibrate_fit(step: Step, job: Job, observed: Observed, fitted: Fitted, lift: float) -> Calibrated:
    """Fit the scale from log-odds to points on the latest training point.

    Each seller is scored by a model that never saw it, and no row of the test point is used; features of context are at
    their reference, as in serving. `lift`: what is added to the log-odds, since not all that made a seller bad is known
    at the maturity. ConfigurationWrong if by the scale `fitted` gives all golden rows the same points.
    """
    found = _calibrated(step, job, observed, lift)
    golden = features.at_reference(golden_rows(observed.rows), job.study.features)
    if len(np.unique(found.scale.points(fitted.raw(golden)))) < 2:
        raise ConfigurationWrong(
            f"by the calibration every seller has the same points ({found.summary}): what the model learned of some sellers"
            " does not hold for others at the latest training point; widen the bad definition, import more, lower"
            " model.rounds, or leave features that tell nothing out by features.without of the study"
        )
    return found


def _calibrated(step: Step, job: Job, observed: Observed, lift: float) -> Calibrated:
    """Return the scale: cross-fitted, or of a recalibration the champion's.

    The latter with another intercept. With too few bad sellers to leave some out, the raw score stays as trained.
    """
    latest = sample_rows(observed.parts[-1], MAX_ROWS, job.study.model.seed)
    if job.recalibrate and job.champion is not None:
        return _recalibrated(job, job.champion.scale, latest, lift)
    raw = _unseen(step, job, sample_rows(observed.rows, MAX_FITTED, job.study.model.seed), latest)
    if raw is None or latest.bad.sum() < MIN_BAD:
        scale = Scale.from_calibration(lift, 1.0)
        return Calibrated(scale, lift, "as trained: too few bad sellers to leave a third of the sellers out")
    intercept, slope = calibrate(raw, latest.bad, offset(latest, job.study), latest.weight)
    lifted = f", {lift:+.3f} of it for what is not known yet at the maturity" if lift else ""
    scale = Scale.from_calibration(intercept + lift, slope)
    found = f"logit p = {intercept + lift:+.3f} {slope:+.3f} x raw score{lifted}"
    return Calibrated(scale, lift, f"{found}; cross-fitted by seller in {FOLDS} folds, at the latest training point")


def _unseen(step: Step, job: Job, rows: Snapshot, latest: Snapshot) -> Floats | None:
    """Return raw scores of the latest training point by models that have not seen the seller.

    Such a model is of all points. None if too few are bad to leave some sellers out.
    """

    def fitted(fold: int, part: Snapshot) -> lightgbm.Booster:
        def count_rounds(done: int, total: int) -> None:
            step(fold * total + done, FOLDS * total)

        text = job.kept.text(f"fold-{fold + 1}", lambda: fit_lightgbm(part, job.study, count_rounds).model_to_string())
        return lightgbm.Booster(model_str=text)

    return cross_fit(rows, latest, at_reference(latest, job.study).x, job.study.model.seed, fitted)


def _recalibrated(job: Job, scale: Scale, latest: Snapshot, lift: float) -> Calibrated:
    """Return the champion's scale with another intercept.

    It has the level of the latest training point, and the ranking as it was.
    """
    raw = job.champion.raw_score(at_reference(latest, job.study).x) if job.champion else np.zeros(len(latest.bad))
    start = scale.p_slope * raw + offset(latest, job.study)
    intercept = base_log_odds(latest.bad, start, latest.weight) + lift
    return Calibrated(
        Scale.from_calibration(intercept, scale.p_slope),
        lift,
        f"intercept {intercept:+.3f} instead of {scale.p_intercept:+.3f}, slope {scale.p_slope:.3f} as it was",
    )


def _fitted(text: str, summary: str) -> Fitted:
    """Return the model that a text states.

    By default its summary is the number of trees and the size.
    """
    booster = lightgbm.Booster(model_str=text)
    return Fitted(text, booster, summary or f"{booster.num_trees()} trees, {len(text) / 1e6:.1f} MB")

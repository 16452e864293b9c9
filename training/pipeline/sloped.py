from dataclasses import asdict, replace

from scoring.base.canonical import JsonObject
from scoring.base.frozen import frozen
from training.evaluation.arrays import to_json_values
from training.fitting.crossfit import MAX_FITTED
from training.fitting.fit import RawScorer, fit_curves
from training.fitting.slope import CHAMPIONS, STATED, Slope, check_slope, estimate
from training.monitoring.outcomes import slope_of
from training.observation.snapshots import Snapshot
from training.pipeline.fitting import CalibratedModel
from training.pipeline.job import Job
from training.pipeline.observing import Observations
from training.pipeline.steps import Step
from training.study.definition import Study


@frozen
class SlopeResult:
    job: Job
    summary: str


def find_slope(step: Step, job: Job, observed: Observations) -> SlopeResult:
    """Return the job with the slope of exposure: stated, the champion's, or estimated on training points."""
    slope = _choose_slope(step, job, observed)
    return SlopeResult(replace(job, study=job.study.with_exposure_slope(slope.value), slope=slope), slope.text)


def _choose_slope(step: Step, job: Job, observed: Observations) -> Slope:
    study = job.study
    if job.recalibrate and job.champion is not None:
        return Slope(slope_of(job.champion), CHAMPIONS)
    if study.exposure.slope is not None and (job.slope is None or job.slope.how == STATED):
        return Slope(study.exposure.slope, STATED)
    rows = observed.rows.sample(MAX_FITTED, study.model.seed)

    def fit(fold: int, part: Snapshot, study_of_slope: Study) -> RawScorer:
        step(fold, 3)
        return fit_curves(part, study_of_slope).raw_scores

    return estimate(rows, study.with_exposure_slope(None), fit)


def add_slope(job: Job, calibrated: CalibratedModel, test: Snapshot, evaluation: JsonObject) -> JsonObject:
    """Return the evaluation with the slope, if the job has one, and a check of it on test rows."""
    if job.slope is None:
        return dict(evaluation)
    check = check_slope(job.slope, calibrated.page.raw_score(test.x), test, job.study)
    checks = evaluation["checks"]
    data = [*checks["data"], check.as_dict()]
    shown = asdict(job.slope) | {"text": job.slope.text}
    return {**evaluation, "checks": {**checks, "data": data}, "exposure_slope": to_json_values(shown)}

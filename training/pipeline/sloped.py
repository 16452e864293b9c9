"""The step between the checks and the training, for a study with a reference exposure: the slope of exposure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from training.checks.check import Check
from training.evaluation.arrays import plain
from training.fitting.crossfit import MAX_FITTED
from training.fitting.fit import Raw, fit_curves
from training.fitting.slope import CHAMPIONS, MATERIAL, STATED, Slope, SlopeAtTest, compare_with_test, estimate
from training.monitoring.outcomes import slope_of
from training.observation.snapshots import Snapshot
from training.pipeline.fitting import Calibrated
from training.pipeline.job import Job
from training.pipeline.observing import Observed, sample_rows
from training.pipeline.steps import Step
from training.study.definition import Study


@dataclass(frozen=True, slots=True)
class SlopeResult:
    """The job with the slope that it trains with."""

    job: Job
    summary: str
    """The line that the step shows."""


def find_slope(step: Step, job: Job, observed: Observed) -> SlopeResult:
    """Estimate the slope of exposure from the training points; return the job with it.

    Unless the study states it; a recalibration uses the champion's. The test rows are not touched.
    """
    slope = _slope(step, job, observed)
    return SlopeResult(replace(job, study=job.study.with_exposure_slope(slope.value), slope=slope), slope.text)


def _slope(step: Step, job: Job, observed: Observed) -> Slope:
    """Return the champion's slope for a recalibration, else the stated one, else the estimate.

    The estimate is kept for a rerun.
    """
    study = job.study
    if job.recalibrate and job.champion is not None:
        return Slope(slope_of(job.champion), CHAMPIONS)
    if study.exposure.slope is not None and (job.slope is None or job.slope.how == STATED):
        return Slope(study.exposure.slope, STATED)
    rows = sample_rows(observed.rows, MAX_FITTED, study.model.seed)

    def fit(fold: int, part: Snapshot, near: Study) -> Raw:
        step(fold, 3)
        return fit_curves(part, near).raw

    def found() -> str:
        return json.dumps(asdict(estimate(rows, study.with_exposure_slope(None), fit)))

    return Slope(**json.loads(job.kept.text("exposure-slope", found)))


def add_slope(job: Job, calibrated: Calibrated, test: Snapshot, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the evaluation with the slope, and a further data check: that at test.

    `test` with context at its reference. Without a slope the evaluation is as it was.
    """
    if job.slope is None:
        return dict(evaluation)
    at_test = compare_with_test(job.slope, calibrated.page.raw_score(test.x), test, job.study)
    shown = asdict(job.slope) | {"text": job.slope.text, "at_test": None if at_test is None else asdict(at_test)}
    checks = evaluation["checks"]
    data = [*checks["data"], _check(at_test).as_dict()]
    return {**evaluation, "checks": {**checks, "data": data}, "exposure_slope": plain(shown)}


def _check(at_test: SlopeAtTest | None) -> Check:
    """Return whether the test rows agree with the slope.

    It holds if they do not show one (None).
    """
    if at_test is None:
        return Check("exposure_slope", True, 0.0, "the test rows do not say how bad rises with orders")
    return Check("exposure_slope", at_test.agrees, round(at_test.value, 4), at_test.text, MATERIAL)

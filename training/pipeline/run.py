"""The pipeline: nine steps from a ledger's export and a study to a certified, judged artifact."""

import math

from scoring.base.progress import Progress
from training.pipeline.checking import check_data, check_leakage, merge_checks
from training.pipeline.comparing import compare
from training.pipeline.fitting import calibrate_fit, certify_fit, fit
from training.pipeline.job import Job, PlannedRun, TrainedModel
from training.pipeline.judging import check_gates, draw_sample, measure_impact
from training.pipeline.labels import suggest_labels
from training.pipeline.observing import observe
from training.pipeline.sloped import find_slope
from training.pipeline.steps import Steps, show_nothing


def plan(job: Job, progress: Progress = show_nothing) -> PlannedRun:
    """Run only the first three steps, and compare labels on training rows; it logs no look at the test window.

    ConfigurationWrong if there is too little to learn from.
    """
    steps = Steps(progress)
    observed = steps.take("snapshot", observe, job)
    data = steps.take("data checks", check_data, job, observed)
    leakage = steps.take("leakage checks", check_leakage, job, observed, is_look=False)
    suggested = steps.take("labels", suggest_labels, job, observed)
    return PlannedRun(merge_checks(data, leakage) | {"suggested": suggested.rows}, steps.lines)


def run(job: Job, progress: Progress = show_nothing) -> TrainedModel:
    """Train a model by all nine steps; return it with the gates' verdict, even if it fails a gate.

    ConfigurationWrong if there is too little to learn from, ArtifactRefused if the model is not monotone.
    """
    steps = Steps(progress)
    observed = steps.take("snapshot", observe, job)
    data = steps.take("data checks", check_data, job, observed)
    leakage = steps.take("leakage checks", check_leakage, job, observed)
    if job.study.exposure.reference_orders is not None:
        job = steps.take("exposure slope", find_slope, job, observed).job
    fitted = steps.take("train", fit, job, observed)
    calibrated = steps.take("calibrate", calibrate_fit, job, observed, fitted, math.log(data.lift.factor))
    certified = steps.take("certify", certify_fit, job, calibrated)
    compared = steps.take("compare", compare, job, observed, fitted, calibrated)
    checks = merge_checks(data, leakage)
    impact = steps.take("impact", measure_impact, job, observed, checks, certified, compared)
    sample = draw_sample(job, observed)
    del observed  # the gates observe again
    judged = steps.take("gates", check_gates, job, sample, calibrated, impact)
    return TrainedModel(
        parts=impact.parts,
        gates=judged.gates,
        evaluation=impact.evaluation,
        seconds=steps.seconds,
        lines=steps.lines,
        test=compared.test,
        test_scores=compared.scores,
        test_points=compared.points,
        test_p_bad=compared.p_bad,
        test_log_odds=compared.log_odds,
    )

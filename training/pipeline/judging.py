"""Steps 8 and 9: the model's impact, and its gates."""

import platform
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import lightgbm
import numpy as np

from scoring.base.canonical import JsonObject
from scoring.base.frozen import frozen
from scoring.base.time import format_day
from scoring.features.table import at_reference
from scoring.model.artifact import ModelParts, load, pack
from scoring.model.card import describe_page
from scoring.model.page import page_model_text
from training.fitting.fit import baseline_seller, golden_rows
from training.fitting.prior import fit_prior
from training.gates.evidence import Measurements
from training.gates.table import ADVISORY, HARD, judge
from training.pipeline.comparing import Comparison
from training.pipeline.fitting import CalibratedModel, CertifiedModel, calibrate_fit, fit
from training.pipeline.job import Job, TrainingSample
from training.pipeline.observing import Observations, observe
from training.pipeline.sloped import add_slope, find_slope
from training.pipeline.steps import Step
from training.study.words import describe_definition

PARITY_ROWS = 50


@frozen
class Impact:
    parts: dict[str, bytes]
    evaluation: JsonObject
    summary: str


@frozen
class Judgement:
    gates: JsonObject
    summary: str


def measure_impact(
    step: Step,
    job: Job,
    observed: Observations,
    checks: JsonObject,
    certified: CertifiedModel,
    compared: Comparison,
) -> Impact:
    """Pack the model into an artifact with evaluation and lineage, and load it once, as a check."""
    calibrated = certified.calibrated
    model = ModelParts(
        study=job.study.name,
        page=calibrated.page,
        features=job.study.features,
        constants=job.study.constants,
        reference_exposure=job.study.exposure.reference_orders,
        baseline=baseline_seller(observed.rows),
        golden=golden_rows(observed.rows),
        evaluation={},
        lineage=lineage(job, observed, calibrated),
        prior=fit_prior(job.table, job.study, observed.train_points[-1]),
        pairs=job.study.pairs,
    )
    step(1, 2)
    kept = ("algorithm", "trees", "promises")
    certificate = {key: certified.certificate[key] for key in kept if key in certified.certificate}
    evaluation = compared.figures | add_slope(job, calibrated, compared.test, checks)
    evaluation |= {"certificate": certificate, "page": describe_page(calibrated.page, job.study.features)}
    parts = pack(replace(model, evaluation=evaluation))
    load(parts)
    return Impact(parts, evaluation, _describe_migration(evaluation))


def _describe_migration(evaluation: JsonObject) -> str:
    migration = evaluation.get("migration")
    if not migration:
        return "no champion to compare with"
    return f"{1 - migration['same']:.1%} of the test rows would have another tier than by the champion"


def check_gates(step: Step, job: Job, sample: TrainingSample, calibrated: CalibratedModel, impact: Impact) -> Judgement:
    """Judge the model by its gates: read the sample as a server does and, if `job.verify`, train a second time."""
    mismatches = job.shell.parity(sample) if job.shell.parity else None
    digests = _digest_trainings(step, job, calibrated)
    measured = Measurements(
        parity_rows=len(sample.days),
        parity_mismatches=mismatches,
        digests=digests,
    )
    verdict = judge(job.study.gates, impact.evaluation, measured)
    return Judgement(verdict, spell_verdict(verdict["gates"]))


def spell_verdict(gates: Sequence[JsonObject]) -> str:
    """Return a line like "failed: ranking; to be signed: psi" or "all 10 passed"."""
    failed, unsigned = (
        [gate["gate"] for gate in gates if gate["kind"] == kind and not gate["ok"]] for kind in (HARD, ADVISORY)
    )
    if not failed and not unsigned:
        return f"all {len(gates)} passed"
    hard_text = f"failed: {', '.join(failed)}" if failed else "every hard one passed"
    return f"{hard_text}; to be signed: {', '.join(unsigned)}" if unsigned else hard_text


def draw_sample(job: Job, observed: Observations) -> TrainingSample:
    """Return 50 test rows, evenly spaced."""
    test = observed.test
    chosen = np.unique(np.linspace(0, len(test.bad) - 1, min(PARITY_ROWS, len(test.bad))).astype(np.int64))
    names = [job.table.sellers[code] for code in test.seller[chosen].tolist()]
    x = at_reference(test.x[chosen], job.study.features)
    return TrainingSample(names, test.day[chosen].tolist(), x, job.study)


def _digest_trainings(step: Step, job: Job, calibrated: CalibratedModel) -> tuple[str, ...]:
    digests = [_digest_page(job, calibrated)]
    if job.verify:
        observed = observe(step, job)
        second_job = job if job.slope is None else find_slope(step, job, observed).job
        second_model = calibrate_fit(step, second_job, observed, fit(step, second_job, observed), calibrated.lift)
        digests.append(_digest_page(second_job, second_model))
    return tuple(digests)


def _digest_page(job: Job, calibrated: CalibratedModel) -> str:
    text = page_model_text(calibrated.page.tables, len(job.study.features))
    return sha256(f"{calibrated.page.base}\n{text}".encode()).hexdigest()


def lineage(job: Job, observed: Observations, calibrated: CalibratedModel) -> JsonObject:
    """Return the model's origin as JSON values, without a time of day, so that bytes repeat."""
    study, table = job.study, job.table

    def describe_points(points: list[Any]) -> list[dict[str, str]]:
        return [{"observe": format_day(point.day), "window_end": format_day(point.window_end)} for point in points]

    return {
        "study": study.name,
        "study_digest": study.digest,
        "marketplace": study.marketplace,
        "ledger_digest": table.digest,
        "ledger_entries": len(table.columns.case),
        "ledger_as_of": format_day(table.end_day),
        "train": describe_points(observed.train_points),
        "test": describe_points(observed.test_points),
        "rounds": study.model.rounds,
        "seed": study.model.seed,
        "seeds": study.model.seeds,
        "parameters": dict(study.model.parameters),
        "definition": describe_definition(study),
        "exclusions": [{"why": why, "rows": count} for why, count in observed.exclusions.items()],
        "recalibrated_from": job.champion.digest if job.recalibrate and job.champion else None,
        "calibration": calibrated.summary,
        "calibration_lift": calibrated.lift,
        "slope": None if job.slope is None else job.slope.value,
        "exposure_slope": None if job.slope is None else job.slope.text,
        "versions": {
            "lightgbm": lightgbm.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }

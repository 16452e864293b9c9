"""Steps 2 and 3: data and leakage checks, looks at the test window, and completeness of the labels."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from scoring.base.canonical import JsonObject
from scoring.base.frozen import frozen
from scoring.base.time import format_time
from training.checks.check import Check
from training.checks.data import check_volume, run_data_checks
from training.checks.leakage import run_leakage_checks
from training.checks.look_log import Look, earlier_looks, log_look
from training.observation.delay import DecisionDelay, decision_delay
from training.observation.development import Lift, development, lift
from training.pipeline.job import Job
from training.pipeline.observing import Observations
from training.pipeline.steps import Step

MAX_ROWS = 100_000


@frozen
class DataCheckResult:
    checks: list[Check]
    labels: JsonObject
    lift: Lift
    summary: str


@frozen
class LeakageCheckResult:
    checks: list[Check]
    looks: list[dict[str, str]]
    summary: str


def check_data(step: Step, job: Job, observed: Observations) -> DataCheckResult:
    """Run the data checks; measure the delay of decisions, and the lift for what is unknown at the maturity."""
    checks = run_data_checks(job.table, job.study, observed.every, observed.left_out, observed.final)
    checks.append(check_volume(job.study, observed.rows.sample(MAX_ROWS, job.study.model.seed)))
    step(1, 3)
    delay = decision_delay(job.table)
    step(2, 3)
    growth = development(job.table, job.study, observed.final)
    label_lift = lift(growth, job.study, float(np.average(observed.rows.bad, weights=observed.rows.weight)))
    labels = {"decision_delay": asdict(delay), "development": asdict(label_lift)}
    return DataCheckResult(checks, labels, label_lift, f"{_describe_checks(checks)}; {_describe_delay(delay)}")


def _describe_delay(delay: DecisionDelay) -> str:
    if delay.median_days is None:
        return (
            f"{delay.decided:,} violations decided, {delay.open:,} open: how long a decision takes cannot be told yet"
        )
    p95 = "more than was seen" if delay.p95_days is None else f"{delay.p95_days:.0f}"
    return f"half of all decisions take {delay.median_days:.0f} days or less, 95 % {p95} (open ones counted)"


def check_leakage(step: Step, job: Job, observed: Observations, *, is_look: bool = True) -> LeakageCheckResult:
    """Run the leakage checks; if it `is_look`, because a model will be judged there, log the look at the test window."""
    looks = _log_and_list_looks(job, observed, is_look=is_look)
    step(1, 2)
    rows = observed.rows.sample(MAX_ROWS, job.study.model.seed)
    test = observed.test.sample(MAX_ROWS, job.study.model.seed)
    checks = run_leakage_checks(job.table, job.study, rows, test, observed.final)
    number_of_looks = "1 other look" if len(looks) == 1 else f"{len(looks)} other looks"
    looks_before = f"; {number_of_looks} at this test window before" if looks else ""
    return LeakageCheckResult(checks, looks, _describe_checks(checks) + looks_before)


def _log_and_list_looks(job: Job, observed: Observations, *, is_look: bool) -> list[dict[str, str]]:
    file = job.shell.looks
    if file is None:
        return []
    points = observed.test_points
    look = Look(
        time=format_time(job.shell.now),
        marketplace=job.study.marketplace,
        study=job.study.name,
        study_digest=job.study.digest,
        ledger_digest=job.table.digest,
        first_day=min(point.day for point in points),
        end_day=max(point.window_end for point in points),
        why="recalibrate" if job.recalibrate else "train",
    )
    before = earlier_looks(file, look)
    if is_look:
        log_look(file, look)
    return [past.as_dict() for past in before]


def _describe_checks(checks: Sequence[Check]) -> str:
    failed = [check for check in checks if not check.ok]
    if not failed:
        return f"{len(checks)} checks hold"
    return f"{len(failed)} of {len(checks)} do not hold: " + "; ".join(check.text for check in failed)


def merge_checks(data: DataCheckResult, leakage: LeakageCheckResult) -> JsonObject:
    checks = {
        name: [check.as_dict() for check in result.checks] for name, result in (("data", data), ("leakage", leakage))
    }
    return {"checks": checks, "labels": data.labels, "looks": leakage.looks}

"""Step 1, snapshot: what was known of every seller at the observation points, and the outcome."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from scoring.base.errors import ConfigurationWrong
from scoring.base.frozen import frozen
from scoring.base.time import format_day
from scoring.features.facts import Facts
from training.observation.labels import final_facts
from training.observation.points import choose_points
from training.observation.snapshots import Snapshot, empty_into_one
from training.observation.snapshots import observe as observe_sellers
from training.pipeline.job import Job
from training.pipeline.steps import Step
from training.study.definition import Observation

MIN_OF_EACH = 10
"""The least bad and good rows in training and in test."""


@frozen
class Observations:
    train_points: list[Observation]
    test_points: list[Observation]
    rows: Snapshot
    test: Snapshot
    final: Facts
    every: list[Snapshot]
    """By point, training before test; views of `rows` and `test`."""
    left_out: list[Mapping[str, int]]
    summary: str

    @property
    def latest(self) -> Snapshot:
        """Return the rows of the latest training point."""
        return self.every[len(self.train_points) - 1]

    @property
    def exclusions(self) -> Mapping[str, int]:
        return _add_counts(self.left_out)

    @property
    def test_exclusions(self) -> Mapping[str, int]:
        return _add_counts(self.left_out[len(self.train_points) :])


def observe(step: Step, job: Job) -> Observations:
    """Choose observation points, and compute features and labels of each eligible seller; refuse too few."""
    final = final_facts(job.table)
    chosen = choose_points(job.table, job.study, final)
    train_points, test_points = chosen.train, chosen.test
    points = [*train_points, *test_points]
    snapshots: list[Snapshot] = []
    left_out: list[Mapping[str, int]] = []
    for done, point in enumerate(points):
        step(done, len(points))
        observed = observe_sellers(job.table, job.study, point, final)
        snapshots.append(observed.rows.with_known_outcome())
        left_out.append(observed.exclusions)
    split = len(train_points)
    ends = np.cumsum([len(part.bad) for part in snapshots]).tolist()
    joined = empty_into_one(snapshots)
    every = [joined.take(slice(first, end)) for first, end in pairwise([0, *ends])]
    rows, test = joined.take(slice(ends[split - 1])), joined.take(slice(ends[split - 1], None))
    _check_enough("training", train_points, rows, left_out[:split], job)
    _check_enough("test", test_points, test, left_out[split:], job)
    if rows.window_orders.any() and not test.window_orders.any():
        raise ConfigurationWrong(
            "no order is settled in the windows of the test points, but training windows have orders: import exposure up to"
            f" {format_day(max(point.window_end for point in test_points))}, or state earlier points in observation.test"
        )
    summary = (
        f"as of {format_day(job.table.end_day)}, ledger {job.table.digest[:12]}, {len(points)} of {len(points)} windows"
        f" mature; {len(rows.bad):,} training rows ({rows.bad.mean():.2%} bad), {len(test.bad):,} to test"
        f" ({test.bad.mean():.2%} bad)"
    )
    summary += f"; {chosen.why}" if chosen.why else ""
    return Observations(train_points, test_points, rows, test, final, every, left_out, summary)


def _check_enough(
    name: str, points: list[Observation], part: Snapshot, left_out: list[Mapping[str, int]], job: Job
) -> None:
    bad = int(part.bad.sum())
    if min(bad, len(part.bad) - bad) >= MIN_OF_EACH:
        return
    first = job.table.first_day
    days = sorted(point.day for point in points)
    early_points = sum(day <= first for day in days)
    if early_points:
        remedy = (
            f"the ledger begins on {format_day(first)}. Before it lie {early_points} of these {len(days)} points, the first"
            f" on {format_day(days[0])}: shorten the window, the maturity or the embargo of the study, ask for fewer"
            " points, or import older entries"
        )
    elif bad >= MIN_OF_EACH:
        finding = "nearly everybody is bad" if bad > 9 * (len(part.bad) - bad) else "too few are good"
        remedy = f"{finding}: shorten the window of the study, or ask for more in its bad definition"
    else:
        remedy = (
            f"the ledger begins on {format_day(first)}, before the first of these points, {format_day(days[0])}: widen"
            " the window, the bad definition or the eligible sellers of the study, or import more"
        )
    reasons = [f"{count:,} {why.replace('_', ' ')}" for why, count in _add_counts(left_out).items()]
    others = f"; left out: {', '.join(reasons)}" if reasons else ""
    raise ConfigurationWrong(
        f"the {name} points hold {len(part.bad)} rows (a seller at a point{others}), {bad} of them bad; at least"
        f" {MIN_OF_EACH} bad and {MIN_OF_EACH} good ones are needed: {remedy}"
    )


def _add_counts(counts: list[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return {name: count for name, count in sorted(total.items()) if count}

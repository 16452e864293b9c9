"""Monitor a model: drift of its score and features, and calibration on mature windows.

Everything is recomputed from the ledger's export with the knowledge of one day, so any past day can be monitored.
"""

from dataclasses import replace

import numpy as np

from scoring.base.arrays import Floats
from scoring.base.enums import Tier
from scoring.base.errors import ConfigurationWrong
from scoring.base.time import DAY, format_day
from scoring.features.facts import Facts
from scoring.model.artifact import Artifact
from scoring.policy.policy import Policy
from training.evaluation.arrays import Interval, bound_sum
from training.evaluation.equal_volume import estimate_by_jackknife
from training.evaluation.stability import Samples
from training.monitoring.outcomes import (
    adapt_study_to_model,
    has_final_outcomes,
    outcome,
    training_points,
)
from training.monitoring.past_answers import find_past_answers
from training.monitoring.results import Calibration, Drift, MonitorReport
from training.observation.export import LedgerTable
from training.observation.labels import final_facts
from training.observation.snapshots import Snapshot, join_snapshots, observe_known_outcomes
from training.study.definition import MonitorTable, Study

MAX_SELLERS = 20_000
"""Drawn by chance to measure drift: the index of two equal samples is then at most 0.001."""

FEW_BAD = 30
"""Bad sellers of equal weight, below which the interval of their ratio is `bound_sum`'s."""

NOT_AT_EVENTS = (
    "the study observes sellers at events, and nobody knows yet at whom the next ones are: observed and expected are"
    " compared in its evaluation alone"
)


def monitor(
    table: LedgerTable, study: Study, artifact: Artifact, policy: Policy, as_of: int | None = None
) -> MonitorReport:
    """Measure drift and calibration of a model by what was reported before day `as_of`, by default the table's.

    ConfigurationWrong if the study is another model's, the model lacks its training points, or no seller was known.
    """
    limits = study.monitor
    study = adapt_study_to_model(study, artifact)
    day = table.end_day if as_of is None else as_of
    table = replace(table, columns=table.columns.take(table.columns.report_time < day * DAY), end_day=day)
    final = final_facts(table)
    reference, today = _observe_reference(table, study, artifact, final), observe_ahead(table, study, day, final)
    if not len(today.seller):
        raise ConfigurationWrong(f"no seller was known on {format_day(day)} whom the study asks about; see --as-of")
    score, features = drift(reference, today, artifact, limits, study.model.seed)
    not_measured = Calibration((), 0, 0, 0.0, None, why_not=NOT_AT_EVENTS)
    matured, tiers = not_measured, dict[str, Calibration]()
    if study.observation.events is None:
        matured, tiers = calibration(table, study, artifact, policy, limits, final)
    return MonitorReport(
        as_of=day,
        model=artifact.digest,
        reference_rows=len(reference.seller),
        rows=len(today.seller),
        score=score,
        features=features,
        matured=matured,
        tiers=tiers,
    )


def observe_ahead(table: LedgerTable, study: Study, day: int, final: Facts) -> Snapshot:
    """Observe a day's sellers whose window may not be over; their outcomes are those of `final`."""
    return observe_known_outcomes(table, study.ahead(), study.point_at(day), final)


def _observe_reference(table: LedgerTable, study: Study, artifact: Artifact, final: Facts) -> Snapshot:
    """Observe the sellers of the model's training days."""
    days = [day for day, _ in training_points(artifact)]
    if not days:
        raise ConfigurationWrong(f"model {artifact.digest[:12]} does not say on which days it was trained")
    rows = join_snapshots([observe_ahead(table, study, day, final) for day in days])
    if not len(rows.seller):
        raise ConfigurationWrong(
            f"the ledger knows nobody of the days that model {artifact.digest[:12]} was trained on; give the export it was"
            " trained on by --export, with what came since"
        )
    return rows


def drift(
    reference: Snapshot, today: Snapshot, artifact: Artifact, limits: MonitorTable, seed: int
) -> tuple[Drift, tuple[Drift, ...]]:
    """Return drifts of the score and, the largest first, of features; an alert passes critical value and threshold."""
    reference, today = _sample_sellers(reference, seed), _sample_sellers(today, seed)
    samples = Samples(reference.seller, today.seller)
    shift = samples.shift(artifact.raw_score(reference.x), artifact.raw_score(today.x), seed)
    score = Drift("score", shift.value, shift.critical, shift.value > max(shift.critical, limits.psi))
    drifts = []
    for column, feature in enumerate(artifact.features):
        shift = samples.shift(reference.x[:, column], today.x[:, column], [seed, column])
        watched = not feature.key.startswith(limits.ignore) if limits.ignore else True
        alert = watched and shift.value > max(shift.critical, limits.csi)
        drifts.append(Drift(feature.key, shift.value, shift.critical, alert))
    return score, tuple(sorted(drifts, key=lambda d: -d.value))


def _sample_sellers(rows: Snapshot, seed: int) -> Snapshot:
    """Return the rows of at most MAX_SELLERS sellers, drawn by the seed."""
    sellers = np.unique(rows.seller)
    if len(sellers) <= MAX_SELLERS:
        return rows
    chosen = np.random.default_rng(seed).choice(sellers, MAX_SELLERS, replace=False)
    return rows.take(np.isin(rows.seller, chosen))


def calibration(
    table: LedgerTable, study: Study, artifact: Artifact, policy: Policy, limits: MonitorTable, final: Facts
) -> tuple[Calibration, dict[str, Calibration]]:
    """Compare observed with expected bad sellers in the latest mature windows: of all, and by tier at the window's
    begin.

    All windows but the newest begin after the last training window.
    """
    trained_until = max((window_end for _, window_end in training_points(artifact)), default=0)
    days = [
        day for place, day in enumerate(mature_days(table, study, limits.points)) if place == 0 or day >= trained_until
    ]
    if not days or not len(table.columns.case):
        return Calibration((), 0, 0, 0.0, None, why_not="no window is over"), {}
    sums = np.zeros((table.columns.cases, len(Tier) + 1, 3))
    rows, bad_rows = np.zeros((2, len(Tier) + 1), dtype=np.int64)
    for day in days:
        answers, outcomes = find_past_answers(table, artifact, policy, day), outcome(table, study, day, final)
        expected = outcomes.expected(artifact, answers.raw[outcomes.seller])
        tier = answers.tier[outcomes.seller]
        day_sums = np.stack([outcomes.weight * outcomes.bad, outcomes.weight * expected, outcomes.weight], axis=1)
        np.add.at(sums, (outcomes.seller, tier), day_sums)
        rows += np.bincount(tier, minlength=len(rows))
        bad_rows += np.bincount(tier[outcomes.bad > 0], minlength=len(rows))
    in_sample = days[0] < trained_until

    def compare(seller_sums: Floats, count: int, bad: int, missing: str) -> Calibration:
        expected = float(seller_sums[:, 1].sum())
        if not expected:
            return Calibration(tuple(days), count, bad, 0.0, None, in_sample=in_sample, why_not=f"no {missing}")
        ratio = find_ratio(seller_sums[:, 0], seller_sums[:, 1], seller_sums[:, 2])
        is_outside = ratio.low > limits.calibration or ratio.high < 1 / limits.calibration
        return Calibration(tuple(days), count, bad, expected, ratio, in_sample=in_sample, alert=is_outside)

    tiers = {
        tier.word: compare(sums[:, tier], int(rows[tier]), int(bad_rows[tier]), "seller of this tier") for tier in Tier
    }
    return compare(sums.sum(axis=1), int(rows.sum()), int(bad_rows.sum()), "seller was observed"), tiers


def mature_days(table: LedgerTable, study: Study, points: int) -> list[int]:
    """Return at most `points` days whose window and maturity are over, `step_days` apart, the newest first."""
    first = table.first_day
    newest = next((day for day in range(table.end_day, first, -1) if has_final_outcomes(table, study, day)), None)
    if newest is None:
        return []
    return list(range(newest, first, -study.observation.step_days))[:points]


def find_ratio(observed: Floats, expected: Floats, weight: Floats) -> Interval:
    """Return the ratio of the sums of two arrays of shape (sellers,), with its 95 % interval by seller.

    `weight`: the sum of each seller's weights over its windows. The interval is symmetric from FEW_BAD on.
    Worked: five bad where 6.8 were expected: 0.735 (0.239 to
    1.716) with weights of 1; one seller bad in five windows: 0.735 (0.019 to 4.097) with weights of 5.
    """
    total, sum_of_bad = float(expected.sum()), bound_sum(observed[observed > 0], float(weight.max()))
    value = sum_of_bad.value / total
    sum_of_squares = float(observed @ observed)
    if sum_of_squares and sum_of_bad.value**2 / sum_of_squares >= FEW_BAD:
        return estimate_by_jackknife(value, (observed - value * expected) / total).clip(0.0, np.inf)
    return Interval(value, sum_of_bad.low / total, sum_of_bad.high / total)

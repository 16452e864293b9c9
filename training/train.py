"""Training: from the ledger's export and a study to a certified artifact, in visible steps."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.artifact import ModelParts, pack
from scoring.errors import ConfigurationWrong
from scoring.features import at_reference
from scoring.scale import Scale
from scoring.time import format_day
from training.export import LedgerTable
from training.fit import Logistic, baseline_seller, calibrate, fit_lightgbm, golden_rows, offset
from training.metrics import bootstrap_auc, calibration_by_volume
from training.snapshots import Snapshot, join, snapshot
from training.study import Observation, Study

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
"""Told the step, and how much of how much is done."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model: the artifact as named bytes, its out-of-time evaluation, and its test rows."""

    parts: dict[str, bytes]
    evaluation: Mapping[str, Any]
    seconds: Mapping[str, float]
    test: Snapshot
    test_scores: Mapping[str, Floats]


def _silent(_step: str, _done: int, _total: int) -> None:
    """No progress shown."""


def train(table: LedgerTable, study: Study, progress: Progress = _silent) -> Trained:
    """Observes, fits, certifies, calibrates and evaluates. ConfigurationWrong if there is too little to learn from."""
    seconds: dict[str, float] = {}
    clock = time.perf_counter()

    def lap(step: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        seconds[step] = round(now - clock, 3)
        clock = now

    train_points, test_points = study.observations(table.as_of)
    observed = _observe(table, study, [*train_points, *test_points], progress)
    rows, test = join(observed[: len(train_points)]), join(observed[len(train_points) :])
    _check_enough(rows, test)
    lap("snapshots")

    booster = fit_lightgbm(rows, study, lambda done, total: progress("train", done, total))
    lap("train")
    scale = _scale(observed[: len(train_points)], study, progress)
    lap("calibrate")

    progress("evaluate", 0, 1)
    raw = np.asarray(booster.predict(test.x, raw_score=True, num_threads=1))
    own = offset(test, study)
    served = np.asarray(booster.predict(at_reference(test.x, study.features), raw_score=True, num_threads=1))
    scores = {
        "lightgbm": scale.p_slope * raw + own,
        "logistic": Logistic(rows, study).log_odds(test),
        "points_rule": test.rule_points,
    }
    if study.context:
        scores["at_reference"] = scale.p_slope * served + own  # what serving says, which never sees the context
    p_bad = 1 / (1 + np.exp(-(scale.p_intercept + scale.p_slope * served + own)))
    evaluation = _evaluate(rows, test, scores, p_bad, study)
    progress("evaluate", 1, 1)
    lap("evaluate")

    progress("certify", 0, 1)
    parts = pack(
        ModelParts(
            study=study.name,
            model_text=booster.model_to_string(),
            features=study.features,
            constants=study.constants,
            scale=scale,
            reference_exposure=study.reference_exposure,
            baseline=baseline_seller(rows),
            golden=golden_rows(rows),
            evaluation=evaluation,
            lineage=_lineage(table, study, train_points, test_points),
        )
    )
    progress("certify", 1, 1)
    lap("certify")
    return Trained(parts, evaluation, seconds, test, scores)


def _observe(table: LedgerTable, study: Study, points: list[Observation], progress: Progress) -> list[Snapshot]:
    observed = []
    for done, point in enumerate(points):
        progress("snapshots", done, len(points))
        observed.append(snapshot(table, study, point))
    progress("snapshots", len(points), len(points))
    return observed


def _check_enough(rows: Snapshot, test: Snapshot) -> None:
    for name, part in (("training", rows), ("test", test)):
        bad = int(part.bad.sum())
        if bad < 10 or len(part.bad) - bad < 10:
            raise ConfigurationWrong(
                f"the {name} points hold {len(part.bad)} sellers, {bad} of them bad; at least 10 bad and 10 good ones"
                " are needed: widen the window, the bad definition or the eligible sellers of the study, or import more"
            )


def _scale(observed: list[Snapshot], study: Study, progress: Progress) -> Scale:
    """The scale, fitted on the latest training point by a model of the earlier ones: out of time, test point unseen."""
    *earlier, latest = observed
    bad = int(latest.bad.sum())
    if not earlier or bad < 10 or sum(s.bad.sum() for s in earlier) < 10:
        return Scale.from_calibration(0.0, 1.0)
    booster = fit_lightgbm(join(earlier), study, lambda done, total: progress("calibrate", done, total))
    raw = np.asarray(booster.predict(at_reference(latest.x, study.features), raw_score=True, num_threads=1))
    return Scale.from_calibration(*calibrate(raw, latest.bad, offset(latest, study)))


def _evaluate(
    rows: Snapshot, test: Snapshot, scores: Mapping[str, Floats], p_bad: Floats, study: Study
) -> dict[str, Any]:
    found = bootstrap_auc(dict(scores), test.bad, test.seller, study.seed)
    return {
        "train": {"rows": len(rows.bad), "bad": int(rows.bad.sum())},
        "test": {"rows": len(test.bad), "bad": int(test.bad.sum())},
        "base_rate": float(test.bad.mean()),
        "auc": {name: interval.as_dict() for name, interval in found.items() if "-" not in name},
        "difference": {name: interval.as_dict() for name, interval in found.items() if "-" in name},
        "predicted": float(p_bad.mean()),
        "calibration_by_volume": [asdict(decile) for decile in calibration_by_volume(p_bad, test.bad, test.orders)],
    }


def _lineage(table: LedgerTable, study: Study, train: list[Observation], test: list[Observation]) -> dict[str, Any]:
    def spell(points: list[Observation]) -> list[dict[str, str]]:
        return [{"observe": format_day(p.day), "window_end": format_day(p.window_end)} for p in points]

    return {
        "study": study.name,
        "study_digest": study.digest,
        "ledger_digest": table.digest,
        "ledger_entries": len(table.columns.case),
        "ledger_as_of": format_day(table.as_of),
        "train": spell(train),
        "test": spell(test),
        "rounds": study.rounds,
        "seed": study.seed,
        "seeds": study.seeds,
        "parameters": dict(study.parameters),
    }

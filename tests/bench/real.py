"""Toronto A and B: AUC with intervals of LightGBM, logistic regression and the points rule; calibration; times."""

import time

import numpy as np

from scoring.artifact import load
from tests.bench._real_data import STUDIES, Say, imported, toronto
from tests.training.ledgers import train
from training.pipeline import Trained
from training.study import load_study


def run(say: Say) -> dict[str, float]:
    """Figures by task; empty, with the reason, where the data is absent."""
    data = toronto()
    if data is None:
        say("skipped: ../shared/data/toronto_dinesafe is absent")
        return {}
    figures: dict[str, float] = {}
    with imported(STUDIES / "toronto.mapping.toml", data, say) as (_, table):
        for task in ("toronto_a", "toronto_b"):
            started = time.perf_counter()
            trained = train(table, load_study(STUDIES / f"{task}.toml"))
            figures[f"{task}.train_s"] = round(time.perf_counter() - started, 2)
            figures |= _figures(task, trained)
            _show(task, trained, figures, say)
    return figures


def _figures(task: str, trained: Trained) -> dict[str, float]:
    evaluation = trained.evaluation
    figures: dict[str, float] = {
        f"{task}.n": evaluation["test"]["rows"],
        f"{task}.n_train": evaluation["train"]["rows"],
        f"{task}.base_rate": round(evaluation["base_rate"], 4),
        f"{task}.predicted": round(evaluation["predicted"], 4),
    }
    named = {f"{name}.auc": interval for name, interval in evaluation["auc"].items()}
    named["difference"] = evaluation["difference"]["lightgbm-logistic"]
    named["difference_points_rule"] = evaluation["difference"]["lightgbm-points_rule"]
    for name, interval in named.items():
        figures[f"{task}.{name}"] = round(interval["value"], 4)
        figures[f"{task}.{name}.low"] = round(interval["low"], 4)
        figures[f"{task}.{name}.high"] = round(interval["high"], 4)
    model = load(trained.parts)
    x = np.ascontiguousarray(trained.test.x)
    started = time.perf_counter()
    model.points(x)
    figures[f"{task}.score_us_per_row"] = round((time.perf_counter() - started) / len(x) * 1e6, 2)
    figures[f"{task}.lightgbm_train_s"] = trained.seconds["train"]
    figures[f"{task}.certified_trees"] = len(trained.parts["model.txt"].split(b"\nTree=")) - 1
    return figures


def _show(task: str, trained: Trained, figures: dict[str, float], say: Say) -> None:
    say(f"\n{task}: n = {figures[f'{task}.n']:,}, base rate {figures[f'{task}.base_rate']:.2%}")
    for name in ("lightgbm.auc", "logistic.auc", "points_rule.auc", "difference", "difference_points_rule"):
        value, low, high = (figures[f"{task}.{name}{end}"] for end in ("", ".low", ".high"))
        say(f"  {name:24} {value:+.4f}  [{low:+.4f}, {high:+.4f}]")
    say("  calibration by volume decile (inspections so far: predicted, observed)")
    for part in trained.evaluation["calibration_by_volume"]:
        say(
            f"    {part['orders_from']:6.0f} to {part['orders_to']:6.0f}"
            f"   {part['predicted']:7.2%}  {part['observed']:7.2%}   n = {part['rows']}"
        )
    say(
        f"  train {figures[f'{task}.train_s']} s (LightGBM alone {figures[f'{task}.lightgbm_train_s']} s), "
        f"{figures[f'{task}.score_us_per_row']} us a row to score,"
        f" {figures[f'{task}.certified_trees']:.0f} trees certified"
    )

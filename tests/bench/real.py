"""Toronto and Chicago: AUC with intervals of LightGBM and every baseline, with and without context."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

from scoring.base.arrays import Floats
from scoring.model.artifact import load
from tests.bench._real_data import Say, chicago, figures_of_interval, imported, toronto
from tests.helpers.training_ledgers import STUDIES, train
from training.evaluation.arrays import Interval
from training.evaluation.equal_volume import EqualVolume, compare_pairs
from training.fitting.fit import fit_curves
from training.fitting.logistic import Logistic
from training.observation.export import LedgerTable
from training.observation.points import choose_points
from training.observation.snapshots import Snapshot, join_snapshots, observe_known_outcomes
from training.pipeline.job import TrainedModel
from training.study.definition import Study
from training.study.loading import load_study

PUBLISHED_AUC = 0.6790
DATA = {"toronto": toronto, "chicago": chicago}
TASKS = {"toronto": ("toronto_a", "toronto_b"), "chicago": ("chicago", "chicago_no_context")}
PAIRS = {
    "difference": "logistic",
    "difference_points_rule": "points_rule",
    "difference_raw_count": "raw_count",
    "difference_city": "city",
}


def run(say: Say) -> dict[str, float]:
    figures: dict[str, float] = {}
    scores: dict[str, Floats] = {}
    for city, tasks in TASKS.items():
        if (data := DATA[city]()) is None:
            say(f"{city} skipped: its folder in ../shared/data is absent")
            continue
        with imported(STUDIES / f"{city}.mapping.toml", data, say) as (_, table):
            for task in tasks:
                study = load_study(STUDIES / f"{task}.toml")
                trained = train(table, study)
                points = choose_points(table, study)
                rows = join_snapshots([observe_known_outcomes(table, study, point) for point in points.train])
                test = join_snapshots([observe_known_outcomes(table, study, point) for point in points.test])
                found = _scores(trained, study, rows, test)
                if city == "chicago":
                    found |= {"city": _city(data, table, test, figures), **scores}
                    scores = {"with_context": found["lightgbm"]}
                figures |= _figures(task, study, trained, test, found)
                _show(task, figures, say)
    return figures


def _scores(trained: TrainedModel, study: Study, rows: Snapshot, test: Snapshot) -> dict[str, Floats]:
    """Return the ranking scores of each test row without its own exposure: the model, and every baseline.

    With a context `lightgbm` is the curves with the real context, and `served` the page.
    """
    model = load(trained.parts)
    found = {
        "lightgbm": model.raw_score(test.x),
        "logistic": Logistic(rows, study).served(test),
        "points_rule": test.rule_points,
        "raw_count": test.raw_count,
        "volume_alone": test.window_orders,
        "past_volume_alone": test.orders,
    }
    if study.context:
        found |= {"lightgbm": fit_curves(rows, study).raw_scores(test.x), "served": found["lightgbm"]}
    return found


def _city(data: Path, table: LedgerTable, test: Snapshot, figures: dict[str, float]) -> Floats:
    """Return the City's own score of each test row; of two inspections of a place and day the higher one.

    The recomputed AUC over its inspections must be the published one.
    """
    published = pl.read_csv(data / "published_benchmark.csv.gz", try_parse_dates=True).filter(pl.col("is_test") == 1)
    recomputed = roc_auc_score(published["critical_found"], published["city_score"])
    if round(recomputed, 4) != PUBLISHED_AUC:
        raise RuntimeError(f"the City's score has AUC {recomputed:.4f} instead of {PUBLISHED_AUC:.4f}")
    figures["chicago.city_recomputed.auc"] = round(recomputed, 4)
    days = published["event_date"].cast(pl.Int32).to_list()
    score: dict[tuple[str, int], float] = {}
    for seller, day, value in zip(published["entity_id"], days, published["city_score"], strict=True):
        score[str(seller), day] = max(value, score.get((str(seller), day), value))
    cases = zip(test.seller.tolist(), test.day.tolist(), strict=True)
    return np.array([score[table.sellers[code], day] for code, day in cases])


def _at_equal_volume(task: str, test: Snapshot, scores: Mapping[str, Floats]) -> dict[str, float]:
    found, differences = _compare(test, scores, test.window_orders)
    figures = figures_of_interval(f"{task}.equal_volume.auc", found["lightgbm"].interval())
    figures |= figures_of_interval(f"{task}.equal_volume.logistic.auc", found["logistic"].interval())
    return figures | figures_of_interval(f"{task}.equal_volume.difference", differences["lightgbm-logistic"])


def _compare(
    test: Snapshot, scores: Mapping[str, Floats], volume: Floats
) -> tuple[dict[str, EqualVolume], dict[str, Interval]]:
    return compare_pairs(scores, test.bad, volume, test.seller, np.ones(len(test.bad)))


def _figures(
    task: str, study: Study, trained: TrainedModel, test: Snapshot, scores: Mapping[str, Floats]
) -> dict[str, float]:
    evaluation = trained.evaluation
    figures: dict[str, float] = {
        f"{task}.n": len(test.bad),
        f"{task}.n_train": evaluation["train"]["rows"],
        f"{task}.base_rate": round(evaluation["base_rate"], 4),
        f"{task}.predicted": round(evaluation["predicted"], 4),
    }
    found, differences = _compare(test, scores, np.ones(len(test.bad)))
    named = {f"{name}.auc": ranked.interval() for name, ranked in found.items()}
    named |= {name: differences[f"lightgbm-{other}"] for name, other in PAIRS.items() if other in scores}
    if "served" in scores:
        named["difference_served"] = differences["lightgbm-served"]
    if "with_context" in scores:
        named["difference_with_context"] = differences["lightgbm-with_context"]
    for name, interval in named.items():
        figures |= figures_of_interval(f"{task}.{name}", interval)
    full, at_equal = "lightgbm-unconstrained", evaluation["equal_volume"]["difference"]
    figures |= figures_of_interval(f"{task}.additive.difference", Interval(**evaluation["difference"][full]))
    figures |= figures_of_interval(f"{task}.additive.equal_volume.difference", Interval(**at_equal[full]))
    figures[f"{task}.page_rows"] = load(trained.parts).page.rows
    if study.exposure.reference_orders is not None:
        figures |= _at_equal_volume(task, test, scores)
    return figures


def _show(task: str, figures: dict[str, float], say: Say) -> None:
    say(f"\n{task}: n = {figures[f'{task}.n']:,}, base rate {figures[f'{task}.base_rate']:.2%}")
    for low in (key for key in figures if key.startswith(f"{task}.") and key.endswith(".low")):
        name = low.removesuffix(".low")
        say(f"  {name:48} {figures[name]:+.4f}  [{figures[low]:+.4f}, {figures[f'{name}.high']:+.4f}]")

"""The simulated market: what a page loses against a monotone model whose trees use any features.

`additive.served.difference`: the page's AUC less the other model's; `additive.difference`: the same at equal volume.
Both are means of three markets.
"""

import tempfile
from datetime import date
from pathlib import Path

import numpy as np

from scoring.model.artifact import load
from tests.bench._real_data import Say, figures_of_interval, imported
from tests.helpers.training_ledgers import STUDIES, train
from training.evaluation.arrays import Interval
from training.market.files import write_market
from training.market.simulate import simulate
from training.pipeline.job import TrainedModel
from training.study.definition import Study
from training.study.loading import load_study

SELLERS, DAYS, START, SEED = 20_000, 730, date(2024, 1, 1), 20_141_111
MARKETS = 3
"""Markets of other seeds: 150 bad rows of one cannot show 0.003."""


def run(say: Say) -> dict[str, float]:
    study = load_study(STUDIES / "marketplace.toml")
    trained = [_train(study, SEED + number, say) for number in range(MARKETS)]
    figures: dict[str, float] = {"page_rows": float(np.mean([load(each.parts).page.rows for each in trained]))}
    for name, evaluations in (
        ("additive.served", [each.evaluation for each in trained]),
        ("additive", [each.evaluation["equal_volume"] for each in trained]),
    ):
        differences = [found["difference"]["lightgbm-unconstrained"] for found in evaluations]
        half = float(np.sqrt(sum(((d["high"] - d["low"]) / 2) ** 2 for d in differences))) / MARKETS
        mean = float(np.mean([d["value"] for d in differences]))
        figures |= figures_of_interval(f"{name}.difference", Interval(mean, mean - half, mean + half))
    for key, value in figures.items():
        say(f"  {key:24} {value}")
    return figures


def _train(study: Study, seed: int, say: Say) -> TrainedModel:
    with tempfile.TemporaryDirectory() as folder:
        write_market(simulate(SELLERS, DAYS, START, seed), Path(folder))
        with imported(STUDIES / "marketplace.mapping.toml", Path(folder), say) as (_, table):
            return train(table, study)

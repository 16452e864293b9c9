"""The simulated market: the model's distance from the attainable AUC, the exact posterior's, at equal volume.

The posterior of a row knows its own window's orders, so the gap is over pairs of like window volume.
"""

import tempfile
from datetime import date
from pathlib import Path

import numpy as np

from scoring.base.time import format_day
from scoring.model.artifact import load
from tests.bench._attainable import attainable_probability
from tests.bench._real_data import STUDIES, Say, imported
from tests.helpers.training_ledgers import train
from training.evaluation.arrays import Interval
from training.evaluation.equal_volume import at_equal_volume
from training.evaluation.ranking import auc
from training.evaluation.resampling import bootstrap_auc
from training.market.files import write_market
from training.market.records import Market
from training.market.simulate import simulate
from training.observation.export import LedgerTable
from training.pipeline.job import Trained
from training.study.definition import Study
from training.study.loading import load_study

SELLERS, DAYS, START, SEED = 20_000, 730, date(2024, 1, 1), 20_141_111
MARKETS = 3
"""Markets of other seeds that show the cost of an additive model: 150 bad rows cannot show 0.003."""


def run(say: Say) -> dict[str, float]:
    """Return the gap to the attainable AUC at equal volume, and over all pairs, on the same sellers and the same
    label.

    `additive.difference`: the page less the model whose trees use any features, in the mean of MARKETS.
    """
    study = load_study(STUDIES / "marketplace.toml")
    found = [_trained(study, SEED + number, say) for number in range(MARKETS)]
    return _gaps(study, *found[0], say) | _prices([trained for _, _, trained in found], say)


def _trained(study: Study, seed: int, say: Say) -> tuple[Market, LedgerTable, Trained]:
    market = simulate(SELLERS, DAYS, START, seed)
    with tempfile.TemporaryDirectory() as folder:
        write_market(market, Path(folder))
        with imported(STUDIES / "marketplace.mapping.toml", Path(folder), say) as (_, table):
            return market, table, train(table, study)


def _prices(trained: list[Trained], say: Say) -> dict[str, float]:
    figures: dict[str, float] = {"page_rows": float(np.mean([load(each.parts).page.rows for each in trained]))}
    for name, place in (("additive.served", None), ("additive", "equal_volume")):
        each = [
            (t.evaluation[place] if place else t.evaluation)["difference"]["lightgbm-unconstrained"] for t in trained
        ]
        half = float(np.sqrt(sum(((d["high"] - d["low"]) / 2) ** 2 for d in each))) / len(each)
        mean = float(np.mean([d["value"] for d in each]))
        figures |= _interval(f"{name}.difference", Interval(mean, mean - half, mean + half))
    for name, value in figures.items():
        say(f"  {name:24} {value}")
    return figures


def _gaps(study: Study, market: Market, table: LedgerTable, trained: Trained, say: Say) -> dict[str, float]:
    test = trained.test
    observed = int(test.day[0]) - (START - date(1970, 1, 1)).days
    window = study.window.days or 0
    say(f"test point {format_day(int(test.day[0]))}: {len(test.bad):,} sellers, {test.bad.mean():.2%} bad")
    index = np.array([int(table.sellers[code].removeprefix("s-")) for code in test.seller])
    best = attainable_probability(market, observed, window, study.window.maturity_days)[index]
    served = {"attainable": best, **trained.test_scores}
    figures: dict[str, float] = {"n": len(test.bad), "base_rate": round(float(test.bad.mean()), 4)}
    for name, interval in bootstrap_auc(trained.test_scores, test.bad, test.seller).items():
        figures |= _interval(f"{name}.auc", interval) if name in trained.test_scores else {}
    found, away = at_equal_volume(
        served, test.bad, test.window_orders, test.seller, np.ones(len(test.bad)), "attainable"
    )
    for name, score in found.items():
        figures |= _interval(f"equal_volume.{name}.auc", score.interval())
    figures |= _interval("gap", away["attainable-lightgbm"])
    figures |= _interval("logistic_gap", away["attainable-logistic"])
    figures["volume_alone.auc"] = round(auc(test.window_orders, test.bad), 4)
    for name, value in figures.items():
        say(f"  {name:24} {value}")
    return figures


def _interval(name: str, interval: Interval) -> dict[str, float]:
    ends = (("", interval.value), (".low", interval.low), (".high", interval.high))
    return {f"{name}{end}": round(value, 4) for end, value in ends}

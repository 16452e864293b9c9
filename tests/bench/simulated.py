"""The simulated market: how near the model comes to the attainable AUC, the exact posterior's."""

import tempfile
from datetime import date
from pathlib import Path

import numpy as np

from scoring.time import format_day
from tests.bench._real_data import STUDIES, Say, imported
from tests.training.ledgers import train
from training.evaluation.ranking import auc
from training.evaluation.resampling import bootstrap_auc
from training.market.attainable import attainable_probability, hazard_probability, serious_pairs
from training.market.files import write_market
from training.market.simulate import simulate
from training.study.loading import load_study

SELLERS, DAYS, START, SEED = 20_000, 730, date(2024, 1, 1), 20_141_111


def run(say: Say) -> dict[str, float]:
    """Gap to the attainable AUC on the same sellers, the same label, each with its own window exposure."""
    market = simulate(SELLERS, DAYS, START, SEED)
    study = load_study(STUDIES / "marketplace.toml")
    with tempfile.TemporaryDirectory() as folder:
        write_market(market, Path(folder))
        with imported(STUDIES / "marketplace.mapping.toml", Path(folder), say) as (_, table):
            trained = train(table, study)
    test = trained.test
    observed = int(test.day[0]) - (START - date(1970, 1, 1)).days
    window = study.window_days or 0
    say(f"test point {format_day(int(test.day[0]))}: {len(test.bad):,} sellers, {test.bad.mean():.2%} bad")
    index = np.array([int(table.sellers[code].removeprefix("s-")) for code in test.seller])
    pairs = serious_pairs(market.parameters)
    scores = {
        "attainable": attainable_probability(market, observed, window, study.maturity_days, pairs)[index],
        **trained.test_scores,
        "hazard": hazard_probability(market, observed, window, study.maturity_days, pairs)[index],
    }
    found = bootstrap_auc(scores, test.bad, test.seller)
    figures: dict[str, float] = {"n": len(test.bad), "base_rate": round(float(test.bad.mean()), 4)}
    for name in scores:
        figures[f"{name}.auc"] = round(found[name].value, 4)
        figures[f"{name}.auc.low"] = round(found[name].low, 4)
        figures[f"{name}.auc.high"] = round(found[name].high, 4)
    gap = found["attainable-lightgbm"]
    figures |= {"gap": round(gap.value, 4), "gap.low": round(gap.low, 4), "gap.high": round(gap.high, 4)}
    figures["orders_alone.auc"] = round(auc(test.window_orders, test.bad), 4)
    for name, value in figures.items():
        say(f"  {name:24} {value}")
    return figures

"""Draw the price of terms for the docs, by the simulated year and the certificate: `python -m tests.bench._frontier_plot`.

Some minutes.
"""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from scoring.loss_certificate.solving import solve
from scoring.loss_certificate.states import build_states
from scoring.policy.reading import parse_policy
from service.policy.certificate_file import SHIPPED_ASSUMPTIONS, read_assumptions
from service.policy.policy_file import SHIPPED_POLICY
from tests.bench._certificate_plot import Panel, Points, draw_panels
from tests.bench._year.known import build_known
from tests.bench._year.regimes import ByPolicy
from tests.bench._year.trade import build_trade
from tests.bench._year.year import YearResult, run_year
from tests.bench.year import DAYS, SEED, SELLERS, START, policy_named, simulated_year
from training.market.simulate import simulate

PLOT = Path(__file__).parents[2] / "docs" / "images" / "price-of-terms.svg"
CEILINGS = (50_000, 100_000, 150_000, 200_000, 250_000, 400_000, 800_000)
"""Largest limits on young orders, in EUR."""
STOP_DAYS = range(1, 22)


def place_terms(results: dict[str, YearResult]) -> dict[str, Points]:
    worst = results["none"].buyers_loss_minor
    return {
        name: [
            (
                (found.late_value_minor + found.lost_trade_minor) / 100_000,
                (worst - found.buyers_loss_minor) / 100_000,
            )
        ]
        for name, found in results.items()
    }


def loss_by_stop(name: str) -> Points:
    assumptions, policy = read_assumptions(SHIPPED_ASSUMPTIONS), policy_named(name)
    found = []
    for days in STOP_DAYS:
        slower = replace(assumptions, stop_days=days)
        found.append((float(days), solve(build_states(policy, slower), slower, True).fresh / 100_000))
    return found


def early_value_by_ceiling() -> Points:
    market = simulate(SELLERS, DAYS, START, SEED)
    trade = build_trade(market, SEED)
    data: dict[str, Any] = tomllib.loads(SHIPPED_POLICY.read_text(encoding="utf-8"))
    [limit] = (m for rule in data["rules"] for m in rule["measures"] if m["kind"] == "paid_ahead_limit")
    found = []
    for ceiling in CEILINGS:
        limit["at_most_minor"] = ceiling * 100
        policy = parse_policy(data)
        result = run_year(trade, build_known(market, trade, policy), ByPolicy(policy, with_caution=False))
        found.append((ceiling / 1_000, 100 * result.early_value_share))
    return found


def draw() -> str:
    return draw_panels(
        "What terms avoid and what they cost",
        [
            Panel(
                "a simulated year",
                "late and lost trade of clean sellers, thousand EUR",
                "avoided loss of buyers, thousand EUR",
                place_terms(simulated_year(print)),
            ),
            Panel(
                "a slower stop",
                "stop, days",
                "most that one name gets, thousand EUR",
                {name: loss_by_stop(name) for name in ("general", "ladder")},
            ),
            Panel(
                "the largest limit on young orders",
                "thousand EUR",
                "clean value paid within 8 days, %",
                {"general": early_value_by_ceiling()},
            ),
        ],
    )


if __name__ == "__main__":
    PLOT.write_text(draw(), encoding="utf-8")

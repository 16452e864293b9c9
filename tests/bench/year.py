"""The simulated year by six terms: buyers' loss, wrongly treated sellers, days until a cheat is stopped, newcomers.

By regime: `.buyers_loss_share`, runners' take less their deposits, over buyers' payments in their runs;
`.taken_share`, the same before deposits; `.buyers_lose`, over the loss without terms. `.stopped_days`, from the first
day of a run. `.clean_hit`, the share of clean sellers that were suspended, under caution or among the worse.
`.refused`, the share of a seller's value that limits refused, and `.refused_value` of all value. `.newcomers_month`,
the share of its first month's orders that a clean newcomer may sell. Clean sellers are honest and truly broke no
rule. `.stopped_days_99`: the days within which 99 % of 473 runners are stopped. `.avoided_minor`: buyers' loss less
than without terms. `demo.`: the same on the demo's market. A plan of action is accepted after PLAN_DAYS.

Some minutes on an idle core.
"""

import tomllib
from collections.abc import Callable
from datetime import date

from scoring.loss_certificate.contradictions import bound_stop_days
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from service.cli import demo_market
from service.cli.demo import SELLERS as DEMO_SELLERS
from service.demo_cast import FIRST_DAY
from service.policy.policy_file import SHIPPED_POLICY
from tests.bench._year.known import build_known
from tests.bench._year.regimes import ByPolicy, FixedReserve, NoTerms, Regime
from tests.bench._year.trade import RunnerPlan, build_trade
from tests.bench._year.year import YearResult, find_run_cases, run_year
from training.market.simulate import Market, simulate

PARTS = ("year", "demo", "stops")
Say = Callable[[str], None]
SELLERS, DAYS, START, SEED = 2_000, 730, date(2024, 1, 1), 20_141_111
RUNNERS = 473
"""The second slowest is the tolerance bound, which the example of a certificate's assumptions uses."""


def run(say: Say, only: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    if only in ("", "year"):
        found |= flat(simulated_year(say))
    if only in ("", "demo"):
        market = simulate(DEMO_SELLERS, demo_market.DAYS, FIRST_DAY, demo_market.SEED)
        found |= {f"demo.{key}": value for key, value in flat(simulated_year(say, market)).items()}
    if only in ("", "stops"):
        found |= bound_stops(say)
    return found


def flat(results: dict[str, YearResult]) -> dict[str, float]:
    worst = results["none"].buyers_loss_minor
    flat_: dict[str, float] = {}
    for name, found in results.items():
        figures = figures_of(found)
        figures["buyers_lose"] = round(found.buyers_loss_minor / max(worst, 1), 4)
        figures["avoided_minor"] = worst - found.buyers_loss_minor
        flat_ |= {f"{name.replace(' ', '_')}.{key}": value for key, value in figures.items()}
    return flat_


def simulated_year(say: Say = lambda _: None, market: Market | None = None) -> dict[str, YearResult]:
    market = market or simulate(SELLERS, DAYS, START, SEED)
    trade = build_trade(market, SEED)
    general, ladder, health = (policy_named(name) for name in ("general", "ladder", "health"))
    regimes: list[tuple[Regime, Policy]] = [
        (ByPolicy(general), general),
        (ByPolicy(general, with_caution=False), general),
        (ByPolicy(ladder), ladder),
        (ByPolicy(health), health),
        (FixedReserve(), general),
        (NoTerms(), general),
    ]
    results = {}
    for regime, policy in regimes:
        results[regime.name] = run_year(trade, build_known(market, trade, policy), regime)
        say(f"{regime.name}: buyers lose {results[regime.name].buyers_loss_minor / 100:,.0f}")
    return results


def bound_stops(say: Say = lambda _: None) -> dict[str, float]:
    """Return days within which 99 % of RUNNERS runners are stopped, from their first order on, with and without
    caution.
    """
    market, general = simulate(300, DAYS, START, SEED), policy_named("general")
    trade = build_trade(market, SEED, RunnerPlan(runners=RUNNERS))
    known, found = build_known(market, trade, general), {}
    for regime in (ByPolicy(general), ByPolicy(general, with_caution=False)):
        days = bound_stop_days(find_run_cases(trade, known, regime))
        found[f"{regime.name.replace(' ', '_')}.stopped_days_99"] = -1 if days is None else days
    say(f"99 % of {RUNNERS} runners are stopped within: {found}")
    return found


def figures_of(found: YearResult) -> dict[str, float]:
    return {
        "buyers_loss_share": round(found.buyers_loss_minor / max(found.run_minor, 1), 4),
        "taken_share": round(found.taken_minor / max(found.run_minor, 1), 4),
        "buyers_loss_minor": found.buyers_loss_minor,
        "stopped_days": round(found.days_until_stopped, 2),
        "clean_hit": round(found.clean_hit, 4),
        "paid_days.median": round(found.paid_days[0], 2),
        "paid_days.p90": round(found.paid_days[1], 2),
        "paid_days.p99": round(found.paid_days[2], 2),
        "early_value_share": round(found.early_value_share, 4),
        "late_value_minor": found.late_value_minor,
        "newcomers_early": round(found.newcomers_early, 4),
        "refused_sellers_share": round(found.refused_sellers, 4),
        "lost_trade_minor": found.lost_trade_minor,
        "deposit_share": round(found.deposit_share, 4),
        "refused": round(found.refused, 4),
        "refused_value": round(found.refused_value, 4),
        "newcomers_month": round(found.newcomers_month, 4),
        "caution_days": round(found.clean_caution_days, 3),
        "caution_value_share": round(found.clean_value_delayed, 4),
    }


def policy_named(name: str) -> Policy:
    return parse_policy(tomllib.loads(SHIPPED_POLICY.with_name(f"{name}.toml").read_text(encoding="utf-8")))

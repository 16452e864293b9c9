"""Simulate a marketplace: sellers, their exposure, service failures and violations.

Each block of BLOCK_SELLERS has a generator seeded by (seed, block number).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from training.market.tables import (
    BAD_FAITH,
    PARAMETERS,
    Calendar,
    Flags,
    Floats,
    Ints,
    Tables,
    build_calendar,
    build_tables,
    column,
    draw_delays,
    draw_index,
)

ACTIONS: tuple[str, ...] = ("confirm", "dismiss", "withdraw", "overturn")
CONFIRM, DISMISS, WITHDRAW, OVERTURN = range(4)


@dataclass(frozen=True)
class Market:
    """Days count from `start` (day 0), seconds from midnight UTC."""

    start: date
    days: int
    identity: pl.DataFrame
    """One row a seller; join_day is negative for veterans, level and country are indices."""
    truth: pl.DataFrame
    """One row a seller; spree has a 0 or 1 for each calendar month."""
    exposure: pl.DataFrame
    """By seller and day with exposure; an order counts by the first of its four failures, as late."""
    violations: pl.DataFrame
    """By seller and report. `number` and `incident` are within the seller; type, harm and source are indices; bad_faith
    and echo are the truth. Reports may come after the last day; `write_market` cuts them.
    """
    decisions: pl.DataFrame
    """By violation (its row) and time; a final act with a verified identifier has none."""


@dataclass(frozen=True)
class SellerTraits:
    join_day: Ints
    leave_day: Ints
    seller_class: Ints
    hazard: Floats
    """True violations per 1,000 settled orders."""
    level: Ints
    country: Ints
    size: Floats
    spree: Ints
    """[n, months]."""
    failure_rates: Floats
    """Cancelled, not received, late and returned: [n, 4]."""


# Part of the market's definition: another size gives other draws.
BLOCK_SELLERS = 250


def simulate(sellers: int, days: int, start: date, seed: int) -> Market:
    """Simulate a market of `sellers` sellers over `days` days from `start`.

    The same arguments give the same market, whose first sellers do not depend on later ones.
    """
    if sellers < 1:
        raise ValueError("no sellers: ask for at least one")
    tables, calendar = build_tables(), build_calendar(start, days)
    blocks: dict[str, list[pl.DataFrame]] = {name: [] for name in FRAMES}
    rows = 0
    for block in range(-(-sellers // BLOCK_SELLERS)):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(block,))))
        frames = _simulate_block(rng, tables, calendar)
        for name, frame in frames.items():
            shift = rows if name == "decisions" else block * BLOCK_SELLERS
            blocks[name].append(frame.with_columns(pl.col(frame.columns[0]) + shift))
        rows += frames["violations"].height
    *by_seller, decisions = (pl.concat(blocks[name]) for name in FRAMES)
    identity, truth, exposure, violations = (frame.filter(pl.col("seller") < sellers) for frame in by_seller)
    decisions = decisions.filter(pl.col("violation") < violations.height)
    return Market(start, days, identity, truth, exposure, violations, decisions)


FRAMES = ("identity", "truth", "exposure", "violations", "decisions")


def _simulate_block(rng: np.random.Generator, tables: Tables, calendar: Calendar) -> dict[str, pl.DataFrame]:
    traits = _draw_sellers(rng, calendar)
    exposure = _draw_exposure(rng, traits, calendar)
    violations, decisions = draw_violations(rng, tables, calendar, exposure, traits)
    number = np.arange(BLOCK_SELLERS, dtype=np.int64)
    identity = {
        "seller": number,
        "join_day": traits.join_day,
        "join_second": rng.integers(0, 86_400, BLOCK_SELLERS),
        "level": traits.level,
        "country": traits.country,
    }
    truth = {
        "seller": number,
        "seller_class": traits.seller_class,
        "hazard_per_1000": traits.hazard,
        "spree": traits.spree.astype(np.int8),
    }
    frames: list[dict[str, Any]] = [identity, truth, exposure, dict(violations), dict(decisions)]
    return {name: pl.DataFrame(columns) for name, columns in zip(FRAMES, frames, strict=True)}


def _draw_sellers(rng: np.random.Generator, calendar: Calendar) -> SellerTraits:
    count, days, parameters = BLOCK_SELLERS, len(calendar.month), PARAMETERS["sellers"]
    is_veteran = rng.random(count) < parameters["veteran_share"]
    join_day = np.where(is_veteran, rng.integers(-parameters["veteran_days"], 0, count), rng.integers(0, days, count))
    lifetime = np.ceil(rng.exponential(parameters["lifetime_days"], count)).astype(np.int64)
    class_shares = np.stack([column("classes", "share_newcomer"), column("classes", "share_veteran")])
    seller_class = draw_index(rng, class_shares[is_veteran.astype(np.int64)])
    shape, mean = (column("classes", name)[seller_class] for name in ("hazard_shape", "hazard_mean"))
    countries = np.array(list(PARAMETERS["countries"].values()))
    return SellerTraits(
        join_day=join_day,
        # Veterans have not left before the start: their time to leave counts from there.
        leave_day=np.maximum(join_day, 0) + lifetime,
        seller_class=seller_class,
        hazard=rng.gamma(shape) * mean / shape,
        level=draw_index(rng, column("classes", "levels")[seller_class]),
        country=draw_index(rng, np.broadcast_to(countries, (count, len(countries)))),
        size=rng.standard_normal(count),
        spree=_draw_sprees(rng, seller_class, calendar.months),
        failure_rates=_draw_failure_rates(rng, seller_class),
    )


def _draw_sprees(rng: np.random.Generator, seller_class: Ints, months: int) -> Ints:
    """Draw by a Markov chain in which months each seller is in a spree."""
    begins, ends = (column("classes", name)[seller_class] for name in ("spree_start", "spree_end"))
    draws = rng.random((len(seller_class), months))
    spree = np.zeros((len(seller_class), months), dtype=np.int64)
    spree[:, 0] = draws[:, 0] < begins / (begins + ends)
    for month in range(1, months):
        spree[:, month] = draws[:, month] < np.where(spree[:, month - 1] == 1, 1.0 - ends, begins)
    return spree


FAILURES = ("cancelled", "not_received", "late", "returned")


def _draw_failure_rates(rng: np.random.Generator, seller_class: Ints) -> Floats:
    rates = np.empty((len(seller_class), len(FAILURES)))
    for place, kind in enumerate(FAILURES):
        mean, concentration = column("classes", kind)[seller_class].T
        rates[:, place] = rng.beta(mean * concentration, (1.0 - mean) * concentration)
    return rates


def _draw_active_days(rng: np.random.Generator, traits: SellerTraits, calendar: Calendar) -> Flags:
    """Return which sellers sell on which days, of shape (sellers, days)."""
    day, parameters = np.arange(len(calendar.month)), PARAMETERS["volume"]
    daily_rate = parameters["active_median"] * np.exp(parameters["active_sigma"] * traits.size)
    sells = rng.random((len(daily_rate), len(day))) < -np.expm1(-np.outer(daily_rate, calendar.volume))
    is_member = (day > traits.join_day[:, None]) & (day < traits.leave_day[:, None])
    return np.asarray(sells & is_member)


def _draw_exposure(rng: np.random.Generator, traits: SellerTraits, calendar: Calendar) -> dict[str, Ints]:
    seller, day = np.nonzero(_draw_active_days(rng, traits, calendar))
    seller_noise, price_noise = rng.standard_normal((2, len(traits.size)))
    parameters = PARAMETERS["volume"]
    extra_orders = parameters["extra_median"] * np.exp(
        parameters["extra_sigma"] * traits.size + parameters["extra_spread"] * seller_noise
    )
    price = parameters["price_median_minor"] * np.exp(parameters["price_sigma"] * price_noise)
    day_factor = rng.gamma(parameters["day_shape"], size=len(seller)) / parameters["day_shape"]
    orders = 1 + rng.poisson(extra_orders[seller] * calendar.volume[day] * day_factor)
    units = orders + rng.poisson(parameters["units_per_order_extra"] * orders)
    value = units * price[seller] * np.exp(parameters["price_day_sigma"] * rng.standard_normal(len(seller)))
    failures, intact_orders = {}, orders
    for place, kind in enumerate(FAILURES):
        failures[kind] = rng.binomial(intact_orders, traits.failure_rates[seller, place])
        intact_orders = intact_orders - failures[kind]
    return {
        "seller": seller,
        "day": day,
        "settled_orders": orders,
        "units": units,
        "value_minor": np.maximum(np.rint(value), 1.0).astype(np.int64),
        **{kind: failures[kind] for kind in ("late", "cancelled", "not_received", "returned")},
    }


ON_ARRIVAL, CONFIRMED, DISMISSED, WITHDRAWN, OVERTURNED = range(5)

OCCUR_END, REPORT_END, ECHO_END, DECISION_END, DAY_END = 86_000, 86_200, 86_300, 86_380, 86_400

HIDDEN_COLUMNS = ("fate", "decision_day", "overturn_day", "primary")
"""Columns that a market does not show."""

Columns = dict[str, Ints]


def draw_violations(
    rng: np.random.Generator, tables: Tables, calendar: Calendar, exposure: Columns, traits: SellerTraits
) -> tuple[dict[str, Ints | Flags], Columns]:
    """Draw violations and decisions of a block of sellers, columns as in Market, sellers by their position."""
    seller, day = exposure["seller"], exposure["day"]
    thousands = exposure["settled_orders"] / 1000.0
    in_spree = traits.spree[seller, calendar.month[day]] == 1
    spree_factor = np.where(in_spree, column("classes", "spree_multiplier")[traits.seller_class[seller]], 1.0)
    true_rate = traits.hazard[seller] * spree_factor * calendar.hazard_season[day] * thousands
    false_rate = BAD_FAITH["per_thousand_orders"] * thousands + BAD_FAITH["per_active_day"]
    true_row = np.repeat(np.arange(len(day)), rng.poisson(true_rate))
    false_row = np.repeat(np.arange(len(day)), rng.poisson(false_rate))
    exposure_row = np.concatenate([true_row, false_row])
    bad_faith = np.arange(len(exposure_row)) >= len(true_row)

    violations: Columns = {"seller": seller[exposure_row], "occur_day": day[exposure_row]}
    violations |= _draw_types_harms_and_sources(rng, tables, traits.seller_class[seller[exposure_row]], bad_faith)
    violations |= _draw_reports(rng, violations)
    violations |= _draw_fates(rng, violations, bad_faith)
    listings = 1 + np.floor(PARAMETERS["sellers"]["listings_per_size"] * np.exp(traits.size)).astype(np.int64)
    violations["listing"] = rng.integers(0, listings[violations["seller"]])
    violations["bad_faith"] = bad_faith.astype(np.int64)
    violations["primary"] = np.arange(len(exposure_row))
    violations["echo"] = np.zeros(len(exposure_row), dtype=np.int64)
    for echo in PARAMETERS["echoes"]:
        echoes = _draw_echoes(rng, tables, violations, echo)
        violations = {name: np.concatenate([column, echoes[name]]) for name, column in violations.items()}
    violations["notifier"] = _draw_notifiers(rng, violations)
    return _sort_and_draw_decisions(rng, violations)


def _draw_later_second(rng: np.random.Generator, day: Ints, before_day: Ints, before_second: Ints, end: int) -> Ints:
    """Draw a second of each day, later than before_second if the days are equal."""
    base = np.where(day == before_day, before_second + 1, 0)
    return np.asarray(base + np.floor(rng.random(len(day)) * (end - base)).astype(np.int64))


def _draw_types_harms_and_sources(
    rng: np.random.Generator, tables: Tables, seller_class: Ints, bad_faith: Flags
) -> Columns:
    types = draw_index(rng, np.where(bad_faith[:, None], tables.false_type, tables.type_share[seller_class]))
    harm = draw_index(rng, np.where(bad_faith[:, None], tables.false_harm, tables.harm_share[seller_class, types]))
    source = draw_index(rng, np.where(bad_faith[:, None], tables.false_source[types], tables.source_share[types]))
    return {"type": types, "harm": harm, "source": source}


def _draw_reports(rng: np.random.Generator, violations: Columns) -> Columns:
    source, occur_day = violations["source"], violations["occur_day"]
    report_day = occur_day + draw_delays(rng, column("sources", "report")[source])
    occur_second = np.floor(rng.random(len(source)) * OCCUR_END).astype(np.int64)
    final = rng.random(len(source)) < column("sources", "final_share")[source]
    verified = rng.random(len(source)) < column("sources", "verified_share")[source]
    return {
        "occur_second": occur_second,
        "report_day": report_day,
        "report_second": _draw_later_second(rng, report_day, occur_day, occur_second, REPORT_END),
        "final": final.astype(np.int64),
        "identifier_verified": verified.astype(np.int64),
    }


def _draw_fates(rng: np.random.Generator, violations: Columns, bad_faith: Flags) -> Columns:
    """Draw the end of each allegation [n], with the days, if any, of its decision and overturning."""
    on_arrival = (violations["final"] == 1) & (violations["identifier_verified"] == 1)
    confirmed, wrongly_confirmed = PARAMETERS["true_confirmed_share"], BAD_FAITH["confirmed_share"]
    overturned = wrongly_confirmed * BAD_FAITH["overturned_share"]
    true_shares = np.array([confirmed, 1.0 - confirmed, 0.0, 0.0])
    unconfirmed_shares = BAD_FAITH["dismissed_share"], BAD_FAITH["withdrawn_share"]
    false_shares = np.array([wrongly_confirmed - overturned, *unconfirmed_shares, overturned])
    fate = CONFIRMED + draw_index(rng, np.where(bad_faith[:, None], false_shares, true_shares))
    fate = np.where(on_arrival, ON_ARRIVAL, fate)
    wait = draw_delays(rng, column("sources", "decision")[violations["source"]])
    decision_day = violations["report_day"] + np.where(on_arrival, 0, wait)
    appeal = draw_delays(rng, np.tile(np.array(BAD_FAITH["appeal"]), (len(fate), 1)))
    return {"fate": fate, "decision_day": decision_day, "overturn_day": decision_day + 1 + appeal}


def _draw_echoes(rng: np.random.Generator, tables: Tables, violations: Columns, echo: Mapping[str, Any]) -> Columns:
    """Draw second reports: reported no earlier, and decided alike on a day fixed by both."""
    is_primary = (
        (violations["type"] == tables.type_names.index(echo["type"]))
        & (violations["source"] == tables.source_names.index(echo["source"]))
        & (violations["echo"] == 0)
    )
    row = np.nonzero(is_primary & (rng.random(len(is_primary)) < echo["share"]))[0]
    primary_reports = {name: column[row] for name, column in violations.items()}
    report_day = primary_reports["report_day"] + rng.integers(0, echo["latest_days"] + 1, len(row))
    return primary_reports | {
        "type": np.full(len(row), tables.type_names.index(echo["echo_type"])),
        "source": np.full(len(row), tables.source_names.index(echo["echo_source"])),
        "report_day": report_day,
        "report_second": _draw_later_second(
            rng, report_day, primary_reports["report_day"], primary_reports["report_second"], ECHO_END
        ),
        "final": np.zeros(len(row), dtype=np.int64),
        "identifier_verified": np.zeros(len(row), dtype=np.int64),
        "fate": np.where(primary_reports["fate"] == ON_ARRIVAL, CONFIRMED, primary_reports["fate"]),
        "decision_day": np.maximum(primary_reports["decision_day"], report_day),
        "primary": row,
        "echo": np.ones(len(row), dtype=np.int64),
    }


def _draw_notifiers(rng: np.random.Generator, violations: Columns) -> Ints:
    """Draw the number of the notifier of each violation, from the lying ones in bad faith."""
    notifiers_of_source = column("sources", "notifiers")[violations["source"]]
    lying_notifiers = np.ceil(BAD_FAITH["notifier_share"] * notifiers_of_source).astype(np.int64)
    is_lie = violations["bad_faith"] == 1
    place = np.where(
        is_lie,
        rng.integers(0, lying_notifiers),
        rng.integers(np.minimum(lying_notifiers, notifiers_of_source - 1), notifiers_of_source),
    )
    # A prime step spreads the liars over the numbers of every source.
    return np.asarray((place * 7_919 + 13) % notifiers_of_source)


def _sort_and_draw_decisions(rng: np.random.Generator, violations: Columns) -> tuple[dict[str, Ints | Flags], Columns]:
    """Return violations by seller and report time, and their decisions by violation and time."""
    order = np.lexsort((violations["report_second"], violations["report_day"], violations["seller"]))
    ordered = {name: column[order] for name, column in violations.items()}
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    number = np.arange(len(order)) - np.searchsorted(ordered["seller"], ordered["seller"])
    ordered["number"], ordered["incident"] = number, number[position[ordered["primary"]]]

    row = np.nonzero(ordered["fate"] != ON_ARRIVAL)[0]
    fate, day = ordered["fate"][row], ordered["decision_day"][row]
    action = np.select([fate == DISMISSED, fate == WITHDRAWN], [DISMISS, WITHDRAW], CONFIRM)
    second = _draw_later_second(rng, day, ordered["report_day"][row], ordered["report_second"][row], DECISION_END)
    overturned = row[fate == OVERTURNED]
    decisions: Columns = {
        "violation": np.concatenate([row, overturned]),
        "day": np.concatenate([day, ordered["overturn_day"][overturned]]),
        "second": np.concatenate([second, rng.integers(0, DAY_END, len(overturned))]),
        "action": np.concatenate([action, np.full(len(overturned), OVERTURN)]),
        "actor": rng.integers(0, 24, len(row) + len(overturned)),
    }
    in_time = np.lexsort((decisions["second"], decisions["day"], decisions["violation"]))
    flags = ("final", "identifier_verified", "bad_faith", "echo")
    table: dict[str, Ints | Flags] = {name: values for name, values in ordered.items() if name not in HIDDEN_COLUMNS}
    return table | {name: ordered[name] == 1 for name in flags}, {k: c[in_time] for k, c in decisions.items()}

"""Simulate a marketplace: sellers, their exposure and service failures, and (in `breaches`) their violations.

Each block of BLOCK_SELLERS has a generator seeded by (seed, block number). So a market of n sellers begins every larger
market with the same seed, days and start.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from training.market.breaches import draw_breaches
from training.market.parameters import BetaRate, MarketParameters, SellerClass
from training.market.records import Market
from training.market.tables import Calendar, Flags, Floats, Ints, Tables, build_calendar, build_tables, draw_index

# Part of the market's definition: another size gives other draws.
BLOCK_SELLERS = 250


@dataclass(frozen=True)
class Drawn:
    join_day: Ints
    leave_day: Ints
    seller_class: Ints
    hazard: Floats
    """True violations per 1,000 settled orders."""
    level: Ints
    country: Ints
    size: Floats
    spree: Ints
    """1 in months of the spree regime: [n, months]."""
    failure_rates: Floats
    """Rates of cancelled, not received, late and returned orders: [n, 4]."""


def simulate(sellers: int, days: int, start: date, seed: int) -> Market:
    """Simulate a market of `sellers` sellers over `days` days from `start`.

    The same arguments give the same market. The first n sellers do not depend on later ones. About 200,000 exposure
    rows come from 5,000 sellers and 730 days. Raises ValueError for less than one seller or day.
    """
    if sellers < 1:
        raise ValueError("no sellers: ask for at least one")
    parameters = MarketParameters()
    tables, calendar = build_tables(parameters), build_calendar(start, days, parameters)
    blocks: dict[str, list[pl.DataFrame]] = {name: [] for name in FRAMES}
    rows = 0
    for block in range(-(-sellers // BLOCK_SELLERS)):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(block,))))
        frames = _simulate_block(rng, tables, calendar, parameters)
        for name, frame in frames.items():
            shift = rows if name == "decisions" else block * BLOCK_SELLERS
            blocks[name].append(frame.with_columns(pl.col(frame.columns[0]) + shift))
        rows += frames["violations"].height
    *by_seller, decisions = (pl.concat(blocks[name]) for name in FRAMES)
    identity, truth, exposure, violations = (frame.filter(pl.col("seller") < sellers) for frame in by_seller)
    decisions = decisions.filter(pl.col("violation") < violations.height)
    return Market(parameters, start, days, identity, truth, exposure, violations, decisions)


FRAMES = ("identity", "truth", "exposure", "violations", "decisions")


def _simulate_block(
    rng: np.random.Generator, tables: Tables, calendar: Calendar, parameters: MarketParameters
) -> dict[str, pl.DataFrame]:
    """Return the frames of a market of BLOCK_SELLERS sellers; the first column counts from 0 in the block."""
    drawn = _draw_sellers(rng, parameters, calendar)
    exposure = _draw_exposure(rng, drawn, parameters, calendar)
    violations, decisions = draw_breaches(
        rng,
        parameters,
        tables,
        calendar,
        exposure,
        seller_class=drawn.seller_class,
        hazard=drawn.hazard,
        size=drawn.size,
        spree=drawn.spree,
    )
    number = np.arange(BLOCK_SELLERS, dtype=np.int64)
    identity = {
        "seller": number,
        "join_day": drawn.join_day,
        "join_second": rng.integers(0, 86_400, BLOCK_SELLERS),
        "level": drawn.level,
        "country": drawn.country,
    }
    truth = {
        "seller": number,
        "seller_class": drawn.seller_class,
        "hazard_per_1000": drawn.hazard,
        "spree": drawn.spree.astype(np.int8),
    }
    frames: list[dict[str, Any]] = [identity, truth, exposure, dict(violations), dict(decisions)]
    return {name: pl.DataFrame(columns) for name, columns in zip(FRAMES, frames, strict=True)}


def _draw_sellers(rng: np.random.Generator, parameters: MarketParameters, calendar: Calendar) -> Drawn:
    n, days, classes = BLOCK_SELLERS, len(calendar.month), parameters.classes
    veteran = rng.random(n) < parameters.veteran_share
    join_day = np.where(veteran, rng.integers(-parameters.veteran_days, 0, n), rng.integers(0, days, n))
    lifetime = np.ceil(rng.exponential(parameters.lifetime_days, n)).astype(np.int64)
    prior = np.array([[c.share_newcomer for c in classes], [c.share_veteran for c in classes]])
    seller_class = draw_index(rng, prior[veteran.astype(np.int64)])
    shape = np.array([c.hazard_shape for c in classes])[seller_class]
    mean = np.array([c.hazard_mean for c in classes])[seller_class]
    countries = np.array([share for _, share in parameters.countries])
    return Drawn(
        join_day=join_day,
        # Veterans have not left before the start: their time to leave counts from there.
        leave_day=np.maximum(join_day, 0) + lifetime,
        seller_class=seller_class,
        hazard=rng.gamma(shape) * mean / shape,
        level=draw_index(rng, np.array([c.levels for c in classes])[seller_class]),
        country=draw_index(rng, np.broadcast_to(countries, (n, len(countries)))),
        size=rng.standard_normal(n),
        spree=_draw_sprees(rng, classes, seller_class, calendar.months),
        failure_rates=_draw_failure_rates(rng, classes, seller_class),
    )


def _draw_sprees(rng: np.random.Generator, classes: tuple[SellerClass, ...], seller_class: Ints, months: int) -> Ints:
    """Draw the regime of every month [n, months], the first from the chain's stationary distribution."""
    begins = np.array([c.spree_start for c in classes])[seller_class]
    ends = np.array([c.spree_end for c in classes])[seller_class]
    chance = rng.random((len(seller_class), months))
    spree = np.zeros((len(seller_class), months), dtype=np.int64)
    spree[:, 0] = chance[:, 0] < begins / (begins + ends)
    for month in range(1, months):
        spree[:, month] = chance[:, month] < np.where(spree[:, month - 1] == 1, 1.0 - ends, begins)
    return spree


def _draw_failure_rates(rng: np.random.Generator, classes: tuple[SellerClass, ...], seller_class: Ints) -> Floats:
    rates = np.empty((len(seller_class), 4))
    for kind in range(4):
        kinds: list[BetaRate] = [(c.cancelled, c.not_received, c.late, c.returned)[kind] for c in classes]
        mean = np.array([r.mean for r in kinds])[seller_class]
        concentration = np.array([r.concentration for r in kinds])[seller_class]
        rates[:, kind] = rng.beta(mean * concentration, (1.0 - mean) * concentration)
    return rates


def _active(rng: np.random.Generator, drawn: Drawn, parameters: MarketParameters, calendar: Calendar) -> Flags:
    day = np.arange(len(calendar.month))
    rate = parameters.active_median * np.exp(parameters.active_sigma * drawn.size)
    sells = rng.random((len(rate), len(day))) < -np.expm1(-np.outer(rate, calendar.volume))
    there = (day > drawn.join_day[:, None]) & (day < drawn.leave_day[:, None])
    return np.asarray(sells & there)


def _draw_exposure(
    rng: np.random.Generator, drawn: Drawn, parameters: MarketParameters, calendar: Calendar
) -> dict[str, Ints]:
    p = parameters
    seller, day = np.nonzero(_active(rng, drawn, p, calendar))
    own_extra, own_price = rng.standard_normal((2, len(drawn.size)))
    extra = p.extra_median * np.exp(p.extra_sigma * drawn.size + p.extra_spread * own_extra)
    price = p.price_median_minor * np.exp(p.price_sigma * own_price)
    busy = rng.gamma(p.day_shape, size=len(seller)) / p.day_shape
    orders = 1 + rng.poisson(extra[seller] * calendar.volume[day] * busy)
    units = orders + rng.poisson(p.units_per_order_extra * orders)
    value = units * price[seller] * np.exp(p.price_day_sigma * rng.standard_normal(len(seller)))
    failed, left = [], orders
    for kind in range(4):
        failed.append(rng.binomial(left, drawn.failure_rates[seller, kind]))
        left = left - failed[-1]
    return {
        "seller": seller,
        "day": day,
        "settled_orders": orders,
        "units": units,
        "value_minor": np.maximum(np.rint(value), 1.0).astype(np.int64),
        "late": failed[2],
        "cancelled": failed[0],
        "not_received": failed[1],
        "returned": failed[3],
    }

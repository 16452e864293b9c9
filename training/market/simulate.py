"""Simulate a marketplace: sellers, their exposure and service failures, and (in `breaches`) their violations.

Each block of BLOCK_SELLERS has a generator seeded by (seed, block number).
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from training.market.breaches import draw_breaches
from training.market.parameters import (
    ACTIVE_MEDIAN,
    ACTIVE_SIGMA,
    CLASSES,
    COUNTRIES,
    DAY_SHAPE,
    EXTRA_MEDIAN,
    EXTRA_SIGMA,
    EXTRA_SPREAD,
    LIFETIME_DAYS,
    PRICE_DAY_SIGMA,
    PRICE_MEDIAN_MINOR,
    PRICE_SIGMA,
    UNITS_PER_ORDER_EXTRA,
    VETERAN_DAYS,
    VETERAN_SHARE,
    BetaRate,
    SellerClass,
)
from training.market.records import Drawn, Market
from training.market.tables import Calendar, Flags, Floats, Ints, Tables, build_calendar, build_tables, draw_index

# Part of the market's definition: another size gives other draws.
BLOCK_SELLERS = 250


def simulate(sellers: int, days: int, start: date, seed: int) -> Market:
    """Simulate a market of `sellers` sellers over `days` days from `start`.

    The same arguments give the same market. The first n sellers do not depend on later ones. Raises ValueError for less
    than one seller or day.
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


def _simulate_block(
    rng: np.random.Generator,
    tables: Tables,
    calendar: Calendar,
) -> dict[str, pl.DataFrame]:
    drawn = _draw_sellers(rng, calendar)
    exposure = _draw_exposure(rng, drawn, calendar)
    violations, decisions = draw_breaches(rng, tables, calendar, exposure, drawn)
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


def _draw_sellers(rng: np.random.Generator, calendar: Calendar) -> Drawn:
    n, days, classes = BLOCK_SELLERS, len(calendar.month), CLASSES
    veteran = rng.random(n) < VETERAN_SHARE
    join_day = np.where(veteran, rng.integers(-VETERAN_DAYS, 0, n), rng.integers(0, days, n))
    lifetime = np.ceil(rng.exponential(LIFETIME_DAYS, n)).astype(np.int64)
    prior = np.array([[c.share_newcomer for c in classes], [c.share_veteran for c in classes]])
    seller_class = draw_index(rng, prior[veteran.astype(np.int64)])
    shape = np.array([c.hazard_shape for c in classes])[seller_class]
    mean = np.array([c.hazard_mean for c in classes])[seller_class]
    countries = np.array([share for _, share in COUNTRIES])
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


def _draw_active_days(rng: np.random.Generator, drawn: Drawn, calendar: Calendar) -> Flags:
    day = np.arange(len(calendar.month))
    rate = ACTIVE_MEDIAN * np.exp(ACTIVE_SIGMA * drawn.size)
    sells = rng.random((len(rate), len(day))) < -np.expm1(-np.outer(rate, calendar.volume))
    there = (day > drawn.join_day[:, None]) & (day < drawn.leave_day[:, None])
    return np.asarray(sells & there)


def _draw_exposure(rng: np.random.Generator, drawn: Drawn, calendar: Calendar) -> dict[str, Ints]:
    seller, day = np.nonzero(_draw_active_days(rng, drawn, calendar))
    own_extra, own_price = rng.standard_normal((2, len(drawn.size)))
    extra = EXTRA_MEDIAN * np.exp(EXTRA_SIGMA * drawn.size + EXTRA_SPREAD * own_extra)
    price = PRICE_MEDIAN_MINOR * np.exp(PRICE_SIGMA * own_price)
    busy = rng.gamma(DAY_SHAPE, size=len(seller)) / DAY_SHAPE
    orders = 1 + rng.poisson(extra[seller] * calendar.volume[day] * busy)
    units = orders + rng.poisson(UNITS_PER_ORDER_EXTRA * orders)
    value = units * price[seller] * np.exp(PRICE_DAY_SIGMA * rng.standard_normal(len(seller)))
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

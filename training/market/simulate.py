"""Simulate a marketplace: sellers, their exposure and service failures, and (in `breaches`) their violations.

Each block of BLOCK_SELLERS has a generator seeded by (seed, block number).
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from training.market.breaches import draw_breaches
from training.market.parameters import PARAMETERS, column
from training.market.records import Market, SellerTraits
from training.market.tables import Calendar, Flags, Floats, Ints, Tables, build_calendar, build_tables, draw_index

# Part of the market's definition: another size gives other draws.
BLOCK_SELLERS = 250


def simulate(sellers: int, days: int, start: date, seed: int) -> Market:
    """Simulate a market of `sellers` sellers over `days` days from `start`.

    The same arguments give the same market, whose first sellers do not depend on later ones. ValueError for less than
    one seller or day.
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


def _draw_sellers(rng: np.random.Generator, calendar: Calendar) -> SellerTraits:
    n, days, stated = BLOCK_SELLERS, len(calendar.month), PARAMETERS["sellers"]
    veteran = rng.random(n) < stated["veteran_share"]
    join_day = np.where(veteran, rng.integers(-stated["veteran_days"], 0, n), rng.integers(0, days, n))
    lifetime = np.ceil(rng.exponential(stated["lifetime_days"], n)).astype(np.int64)
    prior = np.stack([column("classes", "share_newcomer"), column("classes", "share_veteran")])
    seller_class = draw_index(rng, prior[veteran.astype(np.int64)])
    shape, mean = (column("classes", name)[seller_class] for name in ("hazard_shape", "hazard_mean"))
    countries = np.array(list(PARAMETERS["countries"].values()))
    return SellerTraits(
        join_day=join_day,
        # Veterans have not left before the start: their time to leave counts from there.
        leave_day=np.maximum(join_day, 0) + lifetime,
        seller_class=seller_class,
        hazard=rng.gamma(shape) * mean / shape,
        level=draw_index(rng, column("classes", "levels")[seller_class]),
        country=draw_index(rng, np.broadcast_to(countries, (n, len(countries)))),
        size=rng.standard_normal(n),
        spree=_draw_sprees(rng, seller_class, calendar.months),
        failure_rates=_draw_failure_rates(rng, seller_class),
    )


def _draw_sprees(rng: np.random.Generator, seller_class: Ints, months: int) -> Ints:
    begins, ends = (column("classes", name)[seller_class] for name in ("spree_start", "spree_end"))
    chance = rng.random((len(seller_class), months))
    spree = np.zeros((len(seller_class), months), dtype=np.int64)
    spree[:, 0] = chance[:, 0] < begins / (begins + ends)
    for month in range(1, months):
        spree[:, month] = chance[:, month] < np.where(spree[:, month - 1] == 1, 1.0 - ends, begins)
    return spree


FAILURES = ("cancelled", "not_received", "late", "returned")


def _draw_failure_rates(rng: np.random.Generator, seller_class: Ints) -> Floats:
    rates = np.empty((len(seller_class), len(FAILURES)))
    for place, kind in enumerate(FAILURES):
        mean, concentration = column("classes", kind)[seller_class].T
        rates[:, place] = rng.beta(mean * concentration, (1.0 - mean) * concentration)
    return rates


def _draw_active_days(rng: np.random.Generator, drawn: SellerTraits, calendar: Calendar) -> Flags:
    day, stated = np.arange(len(calendar.month)), PARAMETERS["volume"]
    rate = stated["active_median"] * np.exp(stated["active_sigma"] * drawn.size)
    sells = rng.random((len(rate), len(day))) < -np.expm1(-np.outer(rate, calendar.volume))
    there = (day > drawn.join_day[:, None]) & (day < drawn.leave_day[:, None])
    return np.asarray(sells & there)


def _draw_exposure(rng: np.random.Generator, drawn: SellerTraits, calendar: Calendar) -> dict[str, Ints]:
    seller, day = np.nonzero(_draw_active_days(rng, drawn, calendar))
    own_extra, own_price = rng.standard_normal((2, len(drawn.size)))
    stated = PARAMETERS["volume"]
    extra = stated["extra_median"] * np.exp(stated["extra_sigma"] * drawn.size + stated["extra_spread"] * own_extra)
    price = stated["price_median_minor"] * np.exp(stated["price_sigma"] * own_price)
    busy = rng.gamma(stated["day_shape"], size=len(seller)) / stated["day_shape"]
    orders = 1 + rng.poisson(extra[seller] * calendar.volume[day] * busy)
    units = orders + rng.poisson(stated["units_per_order_extra"] * orders)
    value = units * price[seller] * np.exp(stated["price_day_sigma"] * rng.standard_normal(len(seller)))
    failed, left = {}, orders
    for place, kind in enumerate(FAILURES):
        failed[kind] = rng.binomial(left, drawn.failure_rates[seller, place])
        left = left - failed[kind]
    return {
        "seller": seller,
        "day": day,
        "settled_orders": orders,
        "units": units,
        "value_minor": np.maximum(np.rint(value), 1.0).astype(np.int64),
        **{kind: failed[kind] for kind in ("late", "cancelled", "not_received", "returned")},
    }

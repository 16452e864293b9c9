"""A simulated market: frames in whole days since the start, truth and facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from training.market.tables import Floats, Ints

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

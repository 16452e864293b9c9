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
    """One row a seller: seller, join_day (negative for veterans), join_second, level, country.

    `level` and `country` are indices into LEVELS and COUNTRIES.
    """
    truth: pl.DataFrame
    """One row a seller: seller, seller_class (index), hazard_per_1000, spree (one 0/1 per calendar month)."""
    exposure: pl.DataFrame
    """By seller and day, only days with exposure: seller, day, settled_orders, units, value_minor, and four failures.

    late, cancelled, not_received and returned: an order counts by its first failure, so the four add up to at most the
    orders.
    """
    violations: pl.DataFrame
    """By seller and report: seller, number and incident (within the seller), and the facts of each violation.

    occur_day, occur_second, report_day, report_second, type, harm, source (indices), notifier, final,
    identifier_verified, listing, and the truth: bad_faith, echo. Reports may come after the last day; `write_market`
    cuts them.
    """
    decisions: pl.DataFrame
    """By violation and time: violation (row in `violations`), day, second, action (index into ACTIONS), actor.

    A final act with a verified identifier has no decision.
    """


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
    """[n, months]."""
    failure_rates: Floats
    """Cancelled, not received, late and returned: [n, 4]."""

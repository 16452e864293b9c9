"""A simulated market: frames in whole days since the start, truth and facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.market.parameters import MarketParameters

ACTIONS: tuple[str, ...] = ("confirm", "dismiss", "withdraw", "overturn")
CONFIRM, DISMISS, WITHDRAW, OVERTURN = range(4)


@dataclass(frozen=True)
class Market:
    """A simulated market, or a run of its sellers. Days count from `start` (day 0), seconds from midnight UTC."""

    parameters: MarketParameters
    start: date
    days: int
    first_seller: int
    identity: pl.DataFrame
    """One row a seller: seller, join_day (negative for veterans), join_second, level, country.

    `level` and `country` are indices into LEVELS and parameters.countries.
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

    @property
    def sellers(self) -> int:
        return self.identity.height

    def cut(self, first: int, stop: int) -> Market:
        """Return the market of the sellers at positions `first` up to but excluding `stop`."""
        low, high = self.first_seller + first, self.first_seller + min(stop, self.sellers)
        from_row, to_row = _rows(self.violations["seller"].to_numpy(), low, high)
        exposure_from, exposure_to = _rows(self.exposure["seller"].to_numpy(), low, high)
        from_decision, to_decision = _rows(self.decisions["violation"].to_numpy(), from_row, to_row)
        decisions = self.decisions[from_decision:to_decision]
        return Market(
            self.parameters,
            self.start,
            self.days,
            low,
            self.identity[first:stop],
            self.truth[first:stop],
            self.exposure[exposure_from:exposure_to],
            self.violations[from_row:to_row],
            decisions.with_columns(pl.col("violation") - from_row),
        )


def _rows(ordered: NDArray[np.int64], low: int, high: int) -> tuple[int, int]:
    return int(np.searchsorted(ordered, low)), int(np.searchsorted(ordered, high))


def join_markets(parts: Sequence[Market]) -> Market:
    if not parts:
        raise ValueError("no sellers: ask for at least one")
    decisions, rows = [], 0
    for part in parts:
        decisions.append(part.decisions.with_columns(pl.col("violation") + rows))
        rows += part.violations.height
    first = parts[0]
    return Market(
        first.parameters,
        first.start,
        first.days,
        first.first_seller,
        pl.concat([p.identity for p in parts]),
        pl.concat([p.truth for p in parts]),
        pl.concat([p.exposure for p in parts]),
        pl.concat([p.violations for p in parts]),
        pl.concat(decisions),
    )

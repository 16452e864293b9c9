"""The market's orders: captures, arrivals and disputes, with runners among the sellers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from training.market.simulate import Market
from training.market.tables import Flags, Floats, Ints

DELIVERY = (0.0, 0.0, 0.1, 0.2, 0.25, 0.2, 0.12, 0.08, 0.05)

FAKED_DAYS = 5

DISPUTE_DAYS = 10


RETURNS_A_DISPUTE = 10


@dataclass(frozen=True)
class RunnerPlan:
    runners: int = 60
    build_days: tuple[int, int] = (60, 180)
    run_days: int = 14
    orders: float = 12.0
    price_minor: int = 3_000
    times: int = 15
    faking_share: float = 0.5


@dataclass(frozen=True)
class Trade:
    """Orders of n sellers on d days; arrays of shape [n, d] by day of capture, or [n]."""

    first_day: int
    join_day: Ints
    """Counted from the first day; negative for earlier sellers."""
    orders: Ints
    value_minor: Ints
    late: Ints
    cancelled: Ints
    lost: Ints
    returned: Ints
    run_day: Ints
    """The first day of a runner's run; -1 for all others."""
    is_faking: Flags
    is_clean: Flags
    """Honest sellers, runners excluded, that truly broke no rule."""

    @property
    def claims(self) -> Ints:
        return self.lost + self.returned // RETURNS_A_DISPUTE

    @property
    def days(self) -> int:
        return int(self.orders.shape[1])


def build_trade(market: Market, seed: int, plan: RunnerPlan | None = None) -> Trade:
    plan = plan or RunnerPlan()
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    n, days, names = market.identity.height, market.days, market.exposure
    place = (names["seller"].to_numpy(), names["day"].to_numpy())
    grids = []
    for column in ("settled_orders", "value_minor", "late", "cancelled", "not_received", "returned"):
        grid = np.zeros((n + plan.runners, days), dtype=np.int64)
        grid[place] = names[column].to_numpy()
        grids.append(grid)
    orders, value, late, cancelled, lost, returned = grids
    join = np.concatenate([market.identity["join_day"].to_numpy(), np.zeros(plan.runners, dtype=np.int64)])
    run_day = np.full(n + plan.runners, -1, dtype=np.int64)
    for runner in range(n, n + plan.runners):
        run_day[runner] = rng.integers(days // 2 + 20, days - 40)
        join[runner] = run_day[runner] - rng.integers(plan.build_days[0], plan.build_days[1] + 1)
        _draw_runner(rng, plan, (orders[runner], value[runner], lost[runner]), int(join[runner]), int(run_day[runner]))
    honest = market.truth["seller_class"].to_numpy() == 0
    guilty = np.unique(market.violations.filter(~market.violations["bad_faith"])["seller"].to_numpy())
    honest[guilty] = False
    return Trade(
        first_day=(market.start - date(1970, 1, 1)).days,
        join_day=join,
        orders=orders,
        value_minor=value,
        late=late,
        cancelled=cancelled,
        lost=lost,
        returned=returned,
        run_day=run_day,
        is_faking=np.concatenate([np.zeros(n, dtype=np.bool_), rng.random(plan.runners) < plan.faking_share]),
        is_clean=np.concatenate([honest, np.zeros(plan.runners, dtype=np.bool_)]),
    )


def _draw_runner(
    rng: np.random.Generator, plan: RunnerPlan, into: tuple[Ints, Ints, Ints], join: int, run: int
) -> None:
    orders, value, lost = into
    end = run + plan.run_days
    orders[join + 1 : run] = rng.poisson(plan.orders, run - join - 1)
    orders[run:end] = rng.poisson(plan.orders * plan.times, plan.run_days)
    lost[run:end] = orders[run:end]
    value[:] = orders * plan.price_minor


@dataclass(frozen=True)
class Stated:
    captured: Ints
    captured_minor: Ints
    delivered: Ints
    disputed: Ints
    refunded: Ints
    """Refunded, since they did not arrive; none of a runner."""


def state_flow(trade: Trade, allowed: Floats) -> Stated:
    """Return the flow of a trade in which only a share of each day's orders was captured.

    `allowed`: that share, from 0 to 1, of shape [n, d]. Worked: of 100 orders, 98 arrive on the second to the eighth
    day after. The other 2 never arrive, and are disputed and refunded on the tenth.
    """
    captured = np.ceil(trade.orders * allowed).astype(np.int64)
    lost = np.minimum(np.ceil(trade.lost * allowed).astype(np.int64), captured)
    arriving = captured - lost
    delivered = np.zeros_like(captured)
    done = np.zeros_like(captured)
    for days in range(len(DELIVERY)):
        until = np.rint(arriving * sum(DELIVERY[: days + 1])).astype(np.int64)
        delivered += _later(until - done, days)
        done = until
    delivered += _later(lost * trade.is_faking[:, None], FAKED_DAYS)
    disputed = _later(lost + trade.returned * (allowed > 0) // RETURNS_A_DISPUTE, DISPUTE_DAYS)
    refunded = _later(lost * (trade.run_day < 0)[:, None], DISPUTE_DAYS)
    value = np.floor(trade.value_minor * allowed).astype(np.int64)
    return Stated(captured, value, delivered, disputed, refunded)


def _later(counts: Ints, days: int) -> Ints:
    moved = np.zeros_like(counts)
    moved[:, days:] = counts[:, : counts.shape[1] - days]
    return moved

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoring.caution.cautions import Caution
from scoring.policy.measures import NO_CAP, PPM, SettlementHold, Terms
from tests.bench._year.trade import DELIVERY, FAKED_DAYS, Stated, Trade
from training.market.tables import Floats, Ints

NEVER = 10**6
EARLY_DAYS = 17
SETTLED_DAYS = 30
FOLLOWED_DAYS = 20
"""Days before the end of the year whose orders may be paid after it."""


class TermsByDay:
    """The terms of payouts at each seller's captures: int64 arrays of shape [n, d]."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.hold_days, self.delivery_hold_days, self.ahead_days, self.reserve_days, self.reserve_ppm = np.zeros(
            (5, *shape), dtype=np.int64
        )
        self.ahead_minor = np.full(shape, NO_CAP, dtype=np.int64)
        self.ahead_ppm = np.zeros(shape, dtype=np.int64)
        self.ahead_at_most_minor = np.full(shape, NO_CAP, dtype=np.int64)

    def set(self, seller: int, day: int, terms: Terms) -> None:
        for name in vars(self):
            getattr(self, name)[seller, day] = getattr(terms, name)


@dataclass(frozen=True)
class Paid:
    """Value by seller, day of capture and days until the delivery: arrays of shape [n, d, lags]."""

    value: Floats
    day: Floats
    """Mean, less the reserve; NEVER if unpaid."""
    within_8: Floats
    """Within 8 days of the delivery."""
    early: Floats
    """The value paid before its order is EARLY_DAYS old."""
    by_stop: Floats
    """The value paid before the seller's stop."""


def pay_out_year(
    trade: Trade,
    terms: TermsByDay,
    flow: Stated,
    cautions: Mapping[int, Mapping[int, tuple[Caution, ...]]],
    stops: Mapping[int, int],
    *,
    waits_for_delivery: bool,
) -> Paid:
    """Pay each order, the oldest ready one first while a limit on young orders binds."""
    value, lags = _split_by_delivery(trade, flow)
    ready = _find_ready_days(trade, terms, cautions, lags, waits_for_delivery=waits_for_delivery)
    capture = np.arange(trade.days)[None, :, None]
    grown_up = capture + terms.ahead_days[:, :, None]
    payments = _Payments(value.shape, terms, stops, capture + np.array(lags))
    rest = value.copy()
    if terms.ahead_days.any():
        rest -= _pay_on_young(
            payments, terms, value, np.where(ready < grown_up, ready, NEVER), _add_up_settled(trade, flow)
        )
    payments.add((slice(None),), rest, np.maximum(ready, grown_up))
    mean = np.divide(payments.weighted, value, out=np.full_like(value, NEVER), where=value > 0)
    return Paid(value, mean, payments.within_8, payments.early, payments.by_stop)


class _Payments:
    def __init__(self, shape: tuple[int, ...], terms: TermsByDay, stops: Mapping[int, int], delivery: Ints) -> None:
        self.weighted, self.within_8, self.early, self.by_stop = np.zeros((4, *shape))
        self._delivery = np.broadcast_to(delivery, shape)
        stop = np.array([stops.get(seller, NEVER) for seller in range(shape[0])])
        self._stop = np.broadcast_to(stop[:, None, None], shape)
        self._kept = np.broadcast_to((terms.reserve_ppm / PPM)[:, :, None], shape)
        capture = np.arange(shape[1])
        self._early_day = np.broadcast_to((capture + EARLY_DAYS)[:, None], shape)
        self._reserve_day = np.broadcast_to((capture + terms.reserve_days)[:, :, None], shape)

    def add(self, place: tuple[int | slice, ...], amount: Floats, day: Any) -> None:
        self.weighted[place] += amount * day
        self.within_8[place] += amount * (day - self._delivery[place] <= 8)
        self.early[place] += amount * (day < self._early_day[place])
        reserved = amount * self._kept[place]
        stop = self._stop[place]
        self.by_stop[place] += (amount - reserved) * (day < stop)
        self.by_stop[place] += reserved * (np.maximum(day, self._reserve_day[place]) < stop)


def _pay_on_young(payments: _Payments, terms: TermsByDay, value: Floats, ready: Ints, settled: Floats) -> Floats:
    paid = np.zeros_like(value)
    first = ready.min(axis=0)
    for day in range(value.shape[1]):
        captures = range(max(day - int(terms.ahead_days.max()) + 1, 0), day + 1)
        is_young = {one: terms.ahead_days[:, one] > day - one for one in captures}
        young = sum((paid[:, one].sum(axis=1) * is_young[one] for one in captures), np.zeros(len(value)))
        for capture, lag in itertools.product(captures, range(value.shape[2])):
            if first[capture, lag] > day:
                continue
            place = (slice(None), capture, lag)
            open_ = (value[place] - paid[place]) * (is_young[capture] & (ready[place] <= day))
            growth = settled[:, day] * terms.ahead_ppm[:, capture] / PPM
            limit = np.minimum(terms.ahead_minor[:, capture] + growth, terms.ahead_at_most_minor[:, capture])
            amount = np.clip(limit - young, 0, open_)
            young += amount
            paid[place] += amount
            payments.add(place, amount, day)
    return paid


def _split_by_delivery(trade: Trade, flow: Stated) -> tuple[Floats, Sequence[int]]:
    lags = [days for days, share in enumerate(DELIVERY) if share]
    shares = np.array([DELIVERY[days] for days in lags])
    value = flow.captured_minor[:, :, None] * shares
    for seller in np.flatnonzero(trade.run_day >= 0).tolist():
        run = int(trade.run_day[seller])
        value[seller, run:] = 0
        value[seller, run:, lags.index(FAKED_DAYS)] = flow.captured_minor[seller, run:]
    return value, lags


def _find_ready_days(
    trade: Trade,
    terms: TermsByDay,
    cautions: Mapping[int, Mapping[int, tuple[Caution, ...]]],
    lags: Sequence[int],
    *,
    waits_for_delivery: bool,
) -> Ints:
    capture = np.arange(trade.days)[None, :, None]
    arrival = np.array(lags)[None, None, :] if waits_for_delivery else np.zeros((1, 1, len(lags)), dtype=np.int64)
    after = np.maximum(terms.hold_days[:, :, None], arrival + terms.delivery_hold_days[:, :, None])
    ready: Ints = capture + after
    if waits_for_delivery:
        for seller in np.flatnonzero((trade.run_day >= 0) & ~trade.is_faking).tolist():
            ready[seller, int(trade.run_day[seller]) :] = NEVER
    for seller, found in cautions.items():
        held = {day: _held_by(some) for day, some in found.items()}
        for day in np.flatnonzero(terms.hold_days[seller] + terms.delivery_hold_days[seller]).tolist():
            for lag in range(len(lags)):
                while (at := int(ready[seller, day, lag])) in held and at - day < held[at]:
                    ready[seller, day, lag] += 1
    return ready


def _held_by(cautions: Sequence[Caution]) -> int:
    return max((m.days for one in cautions for m in one.measures if isinstance(m, SettlementHold)), default=0)


def settled_before(trade: Trade) -> Floats:
    half = trade.days // 2
    before: Floats = trade.value_minor[:, :half].sum(axis=1) * np.maximum(-trade.join_day, 0) / half
    return before


def _add_up_settled(trade: Trade, flow: Stated) -> Floats:
    settled = np.zeros(trade.orders.shape)
    settled[:, SETTLED_DAYS:] = np.cumsum(flow.captured_minor, axis=1)[:, :-SETTLED_DAYS]
    return settled + settled_before(trade)[:, None]

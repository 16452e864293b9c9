"""A year of trade under some terms: buyers' loss, wrongly treated sellers, time to stop cheats, newcomers' sales."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scoring.base.time import DAY
from scoring.caution.cautions import Caution, may_be_set_off
from scoring.entries.flow import FlowDay
from scoring.entries.kinds.settlement import FlowStated
from scoring.features.columns import FactRow
from scoring.loss_certificate.contradictions import RunCase
from scoring.policy.caution import CautionTable
from scoring.policy.measures import FOR_GOOD, PPM, SettlementHold
from tests.bench._year.regimes import Regime, View, cap_of, find_suspended
from tests.bench._year.trade import DISPUTE_DAYS, FAKED_DAYS, RETURNS_A_DISPUTE, Stated, Trade, state_flow
from tests.helpers.answers import find_cautions_of_seller
from training.market.tables import Flags, Floats, Ints

METRIC_ORDERS = 30

SETTLED_DAYS = 30

DISPUTES, DISPUTED_WITHIN, LOOKED_INTO_DAYS = 20, 7, 5
"""Without caution, a marketplace investigates a seller with so many disputes within so many days, for so many days."""

SEEN_SHARE = 0.9

MONTH = 30
CURRENCY = "EUR"


@dataclass(frozen=True)
class Known:
    standing: Ints
    points: Ints
    reports: Mapping[int, Sequence[FactRow]]


@dataclass(frozen=True)
class YearResult:
    """Money in minor units, shares from 0 to 1."""

    taken_minor: int
    """Payments to runners for orders that they never shipped."""
    buyers_loss_minor: int
    """The same less the amounts from their deposits."""
    run_minor: int
    days_until_stopped: float
    """Mean, from the first day of a run until the seller is stopped, or the run is over."""
    wrongly: float
    """The share of clean sellers that were suspended, under caution, or among the worse by the terms' own metric."""
    clean_caution_days: float
    clean_value_delayed: float
    """The share of clean sellers' value whose payout a caution delayed."""
    clean_payout_days: float
    """Mean from capture to payout of clean sellers' value, reserves included."""
    refused: float
    """The share of a clean seller's value that limits refused, mean of the sellers."""
    refused_value: float
    """The share of all clean sellers' value that limits refused."""
    newcomers_month: float
    """The share that a clean newcomer may sell of buyers' orders in its first 30 days, mean of the newcomers."""


@dataclass
class _Ledger:
    """Events under the terms, by seller and day of capture: arrays of shape [n, d]."""

    allowed: Floats
    hold: Ints
    reserve_days: Ints
    reserve_ppm: Ints
    deposit: Ints
    is_worse: Flags
    suspended: Flags


def run_year(trade: Trade, known: Known, regime: Regime, chance: int = 7) -> YearResult:
    """Return the results of the second half of a trade under a regime.

    `chance`: seed of the cases of cautions that a person recognises (SEEN_SHARE).
    """
    book = _trade_on(trade, known, regime)
    flow = state_flow(trade, book.allowed)
    cautions = _find_cautions(trade, known, flow, regime.caution)
    stops = _find_stops(trade, flow, cautions, regime.caution, np.random.default_rng(chance))
    return _sum_up(trade, book, flow, cautions, stops, regime)


def find_run_cases(trade: Trade, known: Known, regime: Regime, chance: int = 7) -> tuple[RunCase, ...]:
    flow = state_flow(trade, _trade_on(trade, known, regime).allowed)
    cautions = _find_cautions(trade, known, flow, regime.caution)
    stops = _find_stops(trade, flow, cautions, regime.caution, np.random.default_rng(chance))
    return tuple(
        RunCase(int(trade.run_day[seller]), day if day < trade.days else None) for seller, day in stops.items()
    )


def _trade_on(trade: Trade, known: Known, regime: Regime) -> _Ledger:
    shape = n, days = trade.orders.shape
    hold, reserve_days, reserve_ppm, deposit = np.zeros((4, *shape), dtype=np.int64)
    is_worse, suspended = np.zeros((2, *shape), dtype=np.bool_)
    book = _Ledger(np.zeros(shape), hold, reserve_days, reserve_ppm, deposit, is_worse, suspended)
    for seller in range(n):
        active = np.flatnonzero(trade.orders[seller])
        orders, value = 0, _settled_before(trade, seller)
        waiting: list[tuple[int, int, int]] = []
        lengths = np.zeros(days, dtype=np.int64)
        for day in active.tolist():
            while waiting and waiting[0][0] <= day:
                _, more_orders, more_value = waiting.pop(0)
                orders, value = orders + more_orders, value + more_value
            recent = slice(max(day - 60 - DISPUTE_DAYS, 0), max(day - DISPUTE_DAYS, 0))
            sold = int(trade.orders[seller, recent].sum())
            gone = int(trade.lost[seller, recent].sum() + trade.returned[seller, recent].sum() // RETURNS_A_DISPUTE)
            view = View(
                trade.first_day + day, orders, value, day - int(trade.join_day[seller]), int(known.standing[seller, day]),
                int(known.points[seller, day]), gone / sold if sold >= METRIC_ORDERS else 0.0,
            )  # fmt: skip
            terms, book.is_worse[seller, day] = regime.terms(view)
            lengths[day] = terms.suspension_days if terms.closes_in_days is None else FOR_GOOD
            demand = int(trade.value_minor[seller, day])
            share = min(1.0, cap_of(terms) / demand) if demand else 1.0
            book.allowed[seller, day] = share
            captured = int(trade.orders[seller, day] * share)
            waiting.append((day + SETTLED_DAYS, captured, int(demand * share)))
            book.hold[seller, day], book.deposit[seller, day] = terms.hold_days, terms.deposit_minor
            book.reserve_days[seller, day], book.reserve_ppm[seller, day] = terms.reserve_days, terms.reserve_ppm
        if lengths.any():
            _suspend(book, seller, lengths, active)
    return book


def _settled_before(trade: Trade, seller: int) -> int:
    half = trade.days // 2
    return int(trade.value_minor[seller, :half].sum()) * max(-int(trade.join_day[seller]), 0) // half


def _suspend(book: _Ledger, seller: int, lengths: Ints, active: Ints) -> None:
    stated = lengths[
        np.maximum.accumulate(np.where(np.isin(np.arange(len(lengths)), active), np.arange(len(lengths)), 0))
    ]
    book.suspended[seller] = find_suspended(stated.tolist())
    book.allowed[seller, book.suspended[seller]] = 0.0


def list_flow(trade: Trade, flow: Stated, seller: int) -> list[FlowDay]:
    """Return the recorded flow of one seller: a statement a day, in the first hour of the next."""
    found = []
    columns = (flow.captured, flow.captured_minor, flow.delivered, flow.disputed, flow.refunded)
    rows = [column[seller] for column in columns]
    for day in np.flatnonzero(np.any(rows, axis=0)).tolist():
        captured, value, delivered, disputed, refunded = (int(row[day]) for row in rows)
        name, date = f"f{day}", trade.first_day + day
        fact = FlowStated(
            date, currency=CURRENCY, captured_orders=captured, captured_minor=value,
            delivered_orders=delivered, disputed_orders=disputed, refunded_orders=refunded,
        )  # fmt: skip
        found.append(FlowDay(name, 0, fact, (date + 1) * DAY + DAY // 24, name))
    return found


def _find_cautions(
    trade: Trade, known: Known, flow: Stated, stated: CautionTable | None
) -> dict[int, dict[int, tuple[Caution, ...]]]:
    found: dict[int, dict[int, tuple[Caution, ...]]] = defaultdict(dict)
    if stated is None:
        return found
    for seller in range(len(trade.orders)):
        days = list_flow(trade, flow, seller)
        reports = known.reports.get(seller, ())
        wanted = {row.report_time // DAY + 1 - trade.first_day for row in reports}
        for end in range(trade.days // 2, trade.days, 14):
            moment = (trade.first_day + end + 14) * DAY
            recent = [one for one in days if end - 120 < one.fact.day - trade.first_day <= end + 14]
            if recent and may_be_set_off(recent, moment, stated):
                wanted |= set(range(end, end + 14))
        until = -1
        for day in range(trade.days // 2, trade.days):
            if day not in wanted and day > until:
                continue
            moment = (trade.first_day + day) * DAY + DAY // 12
            rows = [row for row in reports if row.report_time < moment]
            flowing = [one for one in days if one.known_time < moment]
            cautions = find_cautions_of_seller(rows, moment, stated, flowing)
            if cautions:
                found[seller][day], until = cautions, day + 1
    return found


def _find_stops(
    trade: Trade,
    flow: Stated,
    cautions: Mapping[int, Mapping[int, tuple[Caution, ...]]],
    stated: CautionTable | None,
    rng: np.random.Generator,
) -> dict[int, int]:
    stops = {}
    for seller in np.flatnonzero(trade.run_day >= 0).tolist():
        run = int(trade.run_day[seller])
        disputes = np.cumsum(flow.disputed[seller])
        within = disputes - np.concatenate([np.zeros(DISPUTED_WITHIN, dtype=np.int64), disputes[:-DISPUTED_WITHIN]])
        seen = np.flatnonzero((within >= DISPUTES) & (np.arange(trade.days) >= run))
        stop = int(seen[0]) + LOOKED_INTO_DAYS if len(seen) else trade.days
        opened: dict[str, int] = {}
        for day, found in cautions.get(seller, {}).items():
            for one in found if day > run else ():
                opened.setdefault(one.case, day)
        for day in opened.values():
            if stated is not None and rng.random() < SEEN_SHARE:
                stop = min(stop, day + stated.decide_days)
        stops[seller] = stop
    return stops


def _sum_up(
    trade: Trade,
    book: _Ledger,
    flow: Stated,
    cautions: Mapping[int, Mapping[int, tuple[Caution, ...]]],
    stops: Mapping[int, int],
    regime: Regime,
) -> YearResult:
    half = trade.days // 2
    taken = loss = ran = 0
    for seller, stop in stops.items():
        run, took = int(trade.run_day[seller]), 0
        for day in range(run, min(stop, trade.days)):
            value = int(flow.captured_minor[seller, day])
            ran += value
            took += _paid_before(trade, book, cautions.get(seller, {}), regime, (seller, day), value, stop)
        taken += took
        loss += max(took - int(book.deposit[seller, run]), 0)
    year = np.arange(trade.days) >= half
    traded = trade.is_clean & ((trade.orders * year).sum(axis=1) > 0)
    ordered = (trade.value_minor * year)[traded].sum(axis=1)
    sold = (flow.captured_minor * year)[traded].sum(axis=1)
    delayed = waited = 0.0
    for seller in np.flatnonzero(traded).tolist():
        for day in (np.flatnonzero(flow.captured_minor[seller, half:]) + half).tolist():
            value = int(flow.captured_minor[seller, day])
            plain = _release_day(book, {}, seller, day)
            at = _release_day(book, cautions.get(seller, {}), seller, day)
            kept = value * int(book.reserve_ppm[seller, day]) // PPM
            rest = max(int(book.reserve_days[seller, day]), at - day)
            delayed += value * (at > plain)
            waited += (value - kept) * (at - day) + kept * rest
    wrong = (book.suspended | book.is_worse) & year
    hit = wrong.any(axis=1) | np.array([seller in cautions for seller in range(len(traded))])
    return YearResult(
        taken_minor=taken,
        buyers_loss_minor=loss,
        run_minor=ran,
        days_until_stopped=float(np.mean([min(stop, trade.days) - trade.run_day[s] for s, stop in stops.items()])),
        wrongly=float(hit[traded].mean()),
        clean_caution_days=float(np.mean([len(cautions.get(s, {})) for s in np.flatnonzero(traded).tolist()])),
        clean_value_delayed=float(delayed / sold.sum()),
        clean_payout_days=float(waited / sold.sum()),
        refused=float(np.mean(1 - sold / ordered)),
        refused_value=float(1 - sold.sum() / ordered.sum()),
        newcomers_month=_sell_first_month(trade, flow, traded),
    )


def _sell_first_month(trade: Trade, flow: Stated, traded: Flags) -> float:
    shares = []
    for seller in np.flatnonzero(traded & (trade.join_day >= trade.days // 2)).tolist():
        month = slice(int(trade.join_day[seller]), int(trade.join_day[seller]) + MONTH)
        if ordered := int(trade.value_minor[seller, month].sum()):
            shares.append(int(flow.captured_minor[seller, month].sum()) / ordered)
    return float(np.mean(shares)) if shares else 1.0


def _paid_before(
    trade: Trade,
    book: _Ledger,
    cautions: Mapping[int, tuple[Caution, ...]],
    regime: Regime,
    where: tuple[int, int],
    value: int,
    stop: int,
) -> int:
    seller, day = where
    if regime.waits_for_delivery and not trade.is_faking[seller]:
        return 0
    at = _release_day(book, cautions, seller, day)
    if regime.waits_for_delivery:
        at = max(at, day + FAKED_DAYS)
    kept = value * int(book.reserve_ppm[seller, day]) // PPM
    paid = value - kept if at < stop else 0
    return paid + (kept if max(at, day + int(book.reserve_days[seller, day])) < stop else 0)


def _release_day(book: _Ledger, cautions: Mapping[int, tuple[Caution, ...]], seller: int, day: int) -> int:
    at = day + int(book.hold[seller, day])
    while at in cautions and at - day < _held_by(cautions[at]):
        at += 1
    return at


def _held_by(cautions: Sequence[Caution]) -> int:
    return max((m.days for one in cautions for m in one.measures if isinstance(m, SettlementHold)), default=0)

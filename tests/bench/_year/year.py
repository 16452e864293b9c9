"""A year of trade under some terms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scoring.base.time import DAY
from scoring.caution.cautions import Caution, may_be_set_off
from scoring.entries.flow import FlowDay
from scoring.entries.kinds.settlement import FlowStated
from scoring.features.columns import FactRow
from scoring.loss_certificate.contradictions import RunCase
from scoring.policy.caution import CautionTable
from scoring.policy.measures import FOR_GOOD
from scoring.policy.rules import Operand
from tests.bench._year.paid import FOLLOWED_DAYS, SETTLED_DAYS, Paid, TermsByDay, pay_out_year, settled_before
from tests.bench._year.regimes import Regime, View, cap_of, find_suspended
from tests.bench._year.trade import DELIVERY, DISPUTE_DAYS, RETURNS_A_DISPUTE, Stated, Trade, state_flow
from tests.helpers.answers import find_cautions_of_seller
from training.market.tables import Flags, Floats, Ints

METRIC_ORDERS = 30

DISPUTES, DISPUTED_WITHIN, LOOKED_INTO_DAYS = 20, 7, 5

SEEN_SHARE = 0.9

MONTH = 30
CURRENCY = "EUR"


@dataclass(frozen=True)
class Known:
    standing: Ints
    points: Ints
    facts: Mapping[Operand, Ints]
    """What rules ask about: arrays of shape [n, d]."""
    reports: Mapping[int, Sequence[FactRow]]


@dataclass(frozen=True)
class YearResult:
    """Money in minor units, shares from 0 to 1."""

    taken_minor: int
    buyers_loss_minor: int
    run_minor: int
    days_until_stopped: float
    clean_hit: float
    clean_caution_days: float
    clean_value_delayed: float
    paid_days: tuple[float, float, float]
    """Mean days from delivery to payout of a clean seller's value: median, 90 % and 99 % of the sellers."""
    early_value_share: float
    """Clean sellers' value paid within 8 days of its delivery."""
    late_value_minor: int
    """The rest of it."""
    newcomers_early: float
    """The part of a clean newcomer's first 30 days that is paid before the orders are 17 days old; mean."""
    refused_sellers: float
    lost_trade_minor: int
    deposit_share: float
    refused: float
    refused_value: float
    newcomers_month: float


@dataclass
class _Ledger:
    """Events under the terms, by seller and day of capture: arrays of shape [n, d]."""

    allowed: Floats
    terms: TermsByDay
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
    is_worse, suspended = np.zeros((2, *shape), dtype=np.bool_)
    book = _Ledger(np.zeros(shape), TermsByDay(shape), np.zeros(shape, dtype=np.int64), is_worse, suspended)
    before = settled_before(trade)
    for seller in range(n):
        active = np.flatnonzero(trade.orders[seller])
        orders, value = 0, int(before[seller])
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
                {operand: int(rows[seller, day]) for operand, rows in known.facts.items()},
            )  # fmt: skip
            terms, book.is_worse[seller, day] = regime.terms(view)
            lengths[day] = terms.suspension_days if terms.closes_in_days is None else FOR_GOOD
            demand = int(trade.value_minor[seller, day])
            share = min(1.0, cap_of(terms) / demand) if demand else 1.0
            book.allowed[seller, day] = share
            captured = int(trade.orders[seller, day] * share)
            waiting.append((day + SETTLED_DAYS, captured, int(demand * share)))
            book.terms.set(seller, day, terms)
            settled = slice(max(day - SETTLED_DAYS - regime.share_days, 0), max(day - SETTLED_DAYS, 0))
            recent = int((trade.value_minor[seller, settled] * book.allowed[seller, settled]).sum())
            book.deposit[seller, day] = terms.find_deposit(recent)
        if lengths.any():
            _suspend(book, seller, lengths, active)
    return book


def _suspend(book: _Ledger, seller: int, lengths: Ints, active: Ints) -> None:
    stated = lengths[
        np.maximum.accumulate(np.where(np.isin(np.arange(len(lengths)), active), np.arange(len(lengths)), 0))
    ]
    book.suspended[seller] = find_suspended(stated.tolist())
    book.allowed[seller, book.suspended[seller]] = 0.0


def list_flow(trade: Trade, flow: Stated, seller: int) -> list[FlowDay]:
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
    with_delivery = {"waits_for_delivery": regime.waits_for_delivery}
    paid = pay_out_year(trade, book.terms, flow, cautions, stops, **with_delivery)
    taken = loss = ran = 0
    for seller, stop in stops.items():
        run = slice(int(trade.run_day[seller]), min(stop, trade.days))
        took = int(paid.by_stop[seller, run].sum())
        ran += int(flow.captured_minor[seller, run].sum())
        taken += took
        loss += max(took - int(book.deposit[seller, run.start]), 0)
    year = np.arange(trade.days) >= half
    traded = trade.is_clean & ((trade.orders * year).sum(axis=1) > 0)
    ordered = (trade.value_minor * year)[traded].sum(axis=1)
    sold = (flow.captured_minor * year)[traded].sum(axis=1)
    plain = pay_out_year(trade, book.terms, flow, {}, stops, **with_delivery) if cautions else paid
    delayed = float((paid.value * (paid.day > plain.day))[traded][:, half:].sum())
    waits = _measure_waits(trade, paid, traded, half)
    wrong = (book.suspended | book.is_worse) & year
    hit = wrong.any(axis=1) | np.array([seller in cautions for seller in range(len(traded))])
    return YearResult(
        taken_minor=taken,
        buyers_loss_minor=loss,
        run_minor=ran,
        days_until_stopped=float(np.mean([min(stop, trade.days) - trade.run_day[s] for s, stop in stops.items()])),
        clean_hit=float(hit[traded].mean()),
        clean_caution_days=float(np.mean([len(cautions.get(s, {})) for s in np.flatnonzero(traded).tolist()])),
        clean_value_delayed=float(delayed / sold.sum()),
        paid_days=waits.by_seller,
        early_value_share=waits.within_8 / waits.value,
        late_value_minor=round(waits.value - waits.within_8),
        newcomers_early=waits.newcomers_early,
        refused_sellers=float(np.mean(sold < ordered)),
        lost_trade_minor=int(ordered.sum() - sold.sum()),
        deposit_share=float((book.deposit * year).any(axis=1)[traded].mean()),
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


class _Waits(NamedTuple):
    by_seller: tuple[float, float, float]
    value: float
    within_8: float
    newcomers_early: float


def _measure_waits(trade: Trade, paid: Paid, traded: Flags, half: int) -> _Waits:
    days = slice(half, trade.days - FOLLOWED_DAYS)
    lags = np.array([lag for lag, share in enumerate(DELIVERY) if share])
    value, within = paid.value[:, days], paid.within_8[:, days]
    waited = (paid.day[:, days] - np.arange(days.start, days.stop)[None, :, None] - lags) * value
    sums = value.sum(axis=(1, 2))
    of_sellers = traded & (sums > 0)
    means = waited.sum(axis=(1, 2))[of_sellers] / sums[of_sellers]
    shares = []
    for seller in np.flatnonzero(of_sellers & (trade.join_day >= half)).tolist():
        first = slice(max(int(trade.join_day[seller]) - half, 0), int(trade.join_day[seller]) - half + MONTH)
        if of_month := float(value[seller, first].sum()):
            shares.append(float(paid.early[:, days][seller, first].sum()) / of_month)
    median, ninth, last = np.quantile(means, (0.5, 0.9, 0.99)).tolist()
    total, early = float(sums[of_sellers].sum()), float(within[of_sellers].sum())
    return _Waits((median, ninth, last), total, early, float(np.mean(shares)) if shares else 1.0)

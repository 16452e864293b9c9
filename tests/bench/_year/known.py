"""Knowledge about the market's sellers by day."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from scoring.base.enums import AUTHORITIES, Category, Harm, Kind, Severity, Source, Status
from scoring.base.time import DAY, SECOND
from scoring.entries.violation_types import TYPE_NUMBERS, severity_of, violation_types
from scoring.features.columns import FactRow
from scoring.policy.measures import PPM
from scoring.policy.policy import Policy
from scoring.policy.rules import Counter, FailureRate, Ladder, Operand, Quantity
from scoring.policy.standing import StandingTable
from tests.bench._year.paid import SETTLED_DAYS
from tests.bench._year.regimes import draw_points
from tests.bench._year.trade import Trade
from tests.bench._year.year import Known
from training.market.simulate import Market
from training.market.tables import Floats, Ints, column

CLEAR_DAYS = 14
YEAR = 365
_STATUSES = (Status.CONFIRMED, Status.DISMISSED, Status.WITHDRAWN, Status.OVERTURNED)


def build_known(market: Market, trade: Trade, policy: Policy) -> Known:
    """Return knowledge about sellers, and about the runners behind them, who have no reports.

    Each violation counts by itself, and at most `incident_cap`.
    """
    days, table, shape = trade.days, policy.standing, (len(trade.orders), trade.days + 1)
    rows = _list_rows(market, trade.first_day)
    sums: dict[Operand, Ints] = {
        operand: np.zeros(shape, dtype=np.int64) for operand in (Quantity.STANDING, *policy.rule_book.operands)
    }
    last = np.full(shape, -1, dtype=np.int64)
    incidents = np.zeros(shape)
    for seller, found in rows.items():
        decided: dict[str | None, list[FactRow]] = defaultdict(list)
        for row in found:
            if row.kind == Kind.STATUS:
                decided[row.violation].append(row)
        for report in found:
            if report.kind == Kind.VIOLATION:
                begin, end = _find_counted(report, decided[report.entry_id], trade.first_day)
                occurred = report.occur_time // DAY - trade.first_day
                is_grave = float((report.severity or 0) > Severity.MINOR)
                _add(incidents[seller], begin, min(end, occurred + YEAR), is_grave)
                for operand, row_of in sums.items():
                    given, expiry_days = _find_effect(report, operand, table)
                    _add(row_of[seller], begin, min(end, occurred + expiry_days), given)
                counts = slice(max(begin, 0), max(end, 0))
                last[seller, counts] = np.maximum(last[seller, counts], occurred)
    ordered = np.cumsum(trade.orders, axis=1).astype(np.float64)
    ordered[:, YEAR:] -= np.cumsum(trade.orders, axis=1)[:, :-YEAR]
    points = draw_points(np.cumsum(incidents, axis=1)[:, :days], ordered)
    lowest = points.copy()
    for back in range(1, CLEAR_DAYS + 1):
        lowest[:, back:] = np.minimum(lowest[:, back:], points[:, :-back])
    facts: dict[Operand, Ints] = {operand: np.cumsum(row_of, axis=1)[:, :days] for operand, row_of in sums.items()}
    for operand in policy.rule_book.operands:
        if isinstance(operand, FailureRate):
            facts[operand] = _find_rates(trade, operand)
        elif operand is Quantity.GOOD_ORDERS:
            facts[operand] = _count_good_orders(trade, last[:, :days])
    return Known(facts[Quantity.STANDING], lowest, facts, rows)


def _find_effect(report: FactRow, operand: Operand, table: StandingTable | None) -> tuple[int, int]:
    """Return (what a violation adds to a number, days for which it does)."""
    if isinstance(operand, Counter):
        is_counted = report.category in operand.categories and (report.severity or 0) >= operand.severity
        return int(is_counted), operand.days
    categories = operand.categories if isinstance(operand, Ladder) else frozenset(Category)
    is_of_table = operand is Quantity.STANDING or isinstance(operand, Ladder)
    if table is None or not is_of_table or report.category not in categories:
        return 0, 0
    given = table.points[report.category][report.severity]  # type: ignore[index]
    return min(given, table.incident_cap), table.expiry_days


def _add_up_settled_before(counts: Ints) -> Ints:
    """Return what settled before each day, of shape [n, d + 1]."""
    sums = np.zeros((len(counts), counts.shape[1] + 1), dtype=np.int64)
    sums[:, SETTLED_DAYS + 1 :] = np.cumsum(counts, axis=1)[:, :-SETTLED_DAYS]
    return sums


def _find_rates(trade: Trade, rate: FailureRate) -> Ints:
    failures = {
        "late": trade.late, "cancelled": trade.cancelled, "not_received": trade.lost,
        "returned": trade.returned, "claims": trade.claims,
    }  # fmt: skip
    day = np.arange(trade.days)
    since = np.maximum(day - rate.days, 0)
    failed, orders = (
        sums[:, day] - sums[:, since]
        for sums in map(_add_up_settled_before, (sum(failures[name] for name in rate.of), trade.orders))
    )
    return np.where(orders >= rate.orders, np.minimum(failed, orders) * PPM // np.maximum(orders, 1), 0)


def _count_good_orders(trade: Trade, last: Ints) -> Ints:
    """`last`: the last violation's day, -1 without one."""
    failed = np.minimum(trade.late + trade.cancelled + trade.lost + trade.returned, trade.orders)
    sums = _add_up_settled_before(trade.orders - failed)
    counted: Ints = sums[:, :-1] - np.take_along_axis(sums, np.clip(last + 1, 0, trade.days), axis=1)
    return np.maximum(counted, 0)


def _add(row: Ints | Floats, begin: int, end: int, value: float) -> None:
    last = len(row) - 1
    if value and begin < min(end, last):
        row[max(begin, 0)] += value
        row[min(max(end, 0), last)] -= value


def _find_counted(report: FactRow, decided: list[FactRow], first_day: int) -> tuple[int, int]:
    begin = report.report_time // DAY - first_day if report.status == Status.CONFIRMED else 10**9
    end = 10**9
    for row in decided:
        day = row.report_time // DAY - first_day
        if row.status == Status.CONFIRMED:
            begin = min(begin, day)
        else:
            end = day
    return begin, end


def _list_rows(market: Market, first_day: int) -> dict[int, list[FactRow]]:
    found: dict[int, list[FactRow]] = defaultdict(list)
    types = column("types", "name").tolist()
    sources = [Source[name.upper()] for name in column("sources", "name")]
    names: list[tuple[int, str]] = []
    for number, row in enumerate(market.violations.iter_rows(named=True)):
        seller, name = row["seller"], f"v{number}"
        occurred = (first_day + row["occur_day"]) * DAY + row["occur_second"] * SECOND
        reported = (first_day + row["report_day"]) * DAY + row["report_second"] * SECOND
        kind, source = violation_types(occurred)[types[row["type"]]], sources[row["source"]]
        final = row["final"] and row["identifier_verified"] and source in AUTHORITIES
        status = Status.CONFIRMED if final else Status.ALLEGED
        severity = severity_of(kind, source, Harm(row["harm"] + 1))
        incident = f"i{row['seller']}-{row['incident']}"
        found[seller].append(
            FactRow(
                *(0, name, "", Kind.VIOLATION, occurred, max(reported, occurred), name, incident),
                *(int(kind.category), int(severity), int(status)),
                source=int(source),
                violation_type=TYPE_NUMBERS[kind.key],
            )
        )
        names.append((seller, name))
    for number, row in enumerate(market.decisions.iter_rows(named=True)):
        seller, name = names[row["violation"]]
        time = (first_day + row["day"]) * DAY + row["second"] * SECOND
        found[seller].append(
            FactRow(0, f"d{number}", "", Kind.STATUS, time, time, name, status=int(_STATUSES[row["action"]]))
        )
    for rows in found.values():
        rows.sort(key=lambda row: (row.report_time, row.entry_id))
        rows[:] = [row._replace(sequence=place + 1) for place, row in enumerate(rows)]
    return dict(found)

"""Knowledge about the market's sellers by day: reports, decisions, standing, and points by a stand-in for a model."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from scoring.base.enums import AUTHORITIES, Harm, Kind, Severity, Source, Status
from scoring.base.time import DAY, SECOND
from scoring.entries.violation_types import TYPE_NUMBERS, severity_of, violation_types
from scoring.features.columns import FactRow
from scoring.policy.standing import StandingTable
from tests.bench._year.regimes import draw_points
from tests.bench._year.trade import Trade
from tests.bench._year.year import Known
from training.market.parameters import column
from training.market.records import Market
from training.market.tables import Floats, Ints

CLEAR_DAYS = 14
YEAR = 365
_STATUSES = (Status.CONFIRMED, Status.DISMISSED, Status.WITHDRAWN, Status.OVERTURNED)


def build_known(market: Market, trade: Trade, table: StandingTable | None) -> Known:
    """Return knowledge about sellers, and about the runners behind them, who have no reports.

    `table`: of standing, each violation by itself and at most `incident_cap`; None: it stays 0.
    """
    days = trade.days
    rows = _list_rows(market, trade.first_day)
    standing = np.zeros((len(trade.orders), days + 1), dtype=np.int64)
    incidents = np.zeros((len(trade.orders), days + 1))
    for seller, found in rows.items():
        decided: dict[str | None, list[FactRow]] = defaultdict(list)
        for row in found:
            if row.kind == Kind.STATUS:
                decided[row.violation].append(row)
        for report in found:
            if report.kind == Kind.VIOLATION:
                begin, end = _find_counted(report, decided[report.entry_id], trade.first_day)
                occurred = report.occur_time // DAY - trade.first_day
                _add(
                    incidents[seller], begin, min(end, occurred + YEAR), float((report.severity or 0) > Severity.MINOR)
                )
                if table is not None:
                    given = table.points[report.category][report.severity]  # type: ignore[index]
                    _add(
                        standing[seller], begin, min(end, occurred + table.expiry_days), min(given, table.incident_cap)
                    )
    sums = np.cumsum(trade.orders, axis=1)
    ordered = sums.astype(np.float64)
    ordered[:, YEAR:] -= sums[:, :-YEAR]
    points = draw_points(np.cumsum(incidents, axis=1)[:, :days], ordered)
    lowest = points.copy()
    for back in range(1, CLEAR_DAYS + 1):
        lowest[:, back:] = np.minimum(lowest[:, back:], points[:, :-back])
    return Known(np.cumsum(standing, axis=1)[:, :days], lowest, rows)


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

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import IO, cast

import polars as pl

from training.market.simulate import ACTIONS, Market
from training.market.tables import PARAMETERS, column

GZIP_LEVEL = 1
_REASONS = ("evidence-sufficient", "evidence-insufficient", "notifier-withdrew", "appeal-upheld")
_OFFICES = ("staff", "staff", "staff", "appeals")


def write_market(market: Market, folder: Path) -> None:
    """Write a market as violations.csv.gz, decisions.csv.gz, exposure.csv.gz and identity.csv.gz.

    They hold the knowledge at the end of the last day, not the hidden truth. Times are RFC 3339 in UTC, money in minor
    units. The same market gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in _make_tables(market):
        # A time in the header would change the bytes every second.
        with gzip.GzipFile(folder / f"{name}.csv.gz", "wb", compresslevel=GZIP_LEVEL, mtime=0) as file:
            table.write_csv(cast("IO[bytes]", file))


def _make_tables(market: Market) -> Iterator[tuple[str, pl.DataFrame]]:
    violations = market.violations.with_row_index("row").filter(pl.col("report_day") < market.days)
    yield "violations", _make_violations(market, violations)
    yield "decisions", _make_decisions(market, violations)
    yield (
        "exposure",
        market.exposure.select(
            _make_seller_id(),
            _make_date(market.start, "day").alias("day"),
            "settled_orders",
            "units",
            "value_minor",
            pl.lit(PARAMETERS["currency"]).alias("currency"),
            "late",
            "cancelled",
            "not_received",
            "returned",
        ),
    )
    yield (
        "identity",
        market.identity.select(
            _make_seller_id(),
            _make_time(market.start, "join_day", "join_second").alias("verified_at"),
            _replace_code_by_name("level", PARAMETERS["levels"]),
            _replace_code_by_name("country", PARAMETERS["countries"]),
        ),
    )


def _make_violations(market: Market, violations: pl.DataFrame) -> pl.DataFrame:
    sources = column("sources", "name").tolist()
    return violations.select(
        _make_id_of_seller("v", "number").alias("violation_id"),
        _make_seller_id(),
        _make_id_of_seller("i", "incident").alias("incident_id"),
        _make_time(market.start, "occur_day", "occur_second").alias("occurred_at"),
        _make_time(market.start, "report_day", "report_second").alias("reported_at"),
        _replace_code_by_name("type", column("types", "name").tolist()),
        _replace_code_by_name("harm", PARAMETERS["harms"]),
        _replace_code_by_name("source", sources),
        pl.concat_str(_replace_code_by_name("source", sources), pl.lit("-"), _pad_number("notifier", 5)).alias(
            "notifier"
        ),
        "final",
        "identifier_verified",
        _make_id_of_seller("l", "listing").alias("listing"),
    )


def _make_decisions(market: Market, violations: pl.DataFrame) -> pl.DataFrame:
    decisions = market.decisions.filter(pl.col("day") < market.days).with_columns(
        step=pl.int_range(pl.len()).over("violation") + 1
    )
    violation_keys = violations.select(pl.col("row").cast(pl.Int64).alias("violation"), "seller", "number")
    return decisions.join(violation_keys, on="violation", how="inner", maintain_order="left").select(
        pl.concat_str(_make_id_of_seller("d", "number"), pl.lit("-"), pl.col("step").cast(pl.String)).alias(
            "decision_id"
        ),
        _make_id_of_seller("v", "number").alias("violation_id"),
        _make_seller_id(),
        _make_time(market.start, "day", "second").alias("decided_at"),
        _replace_code_by_name("action", ACTIONS),
        pl.concat_str(_replace_code_by_name("action", _OFFICES), pl.lit("-"), _pad_number("actor", 2)).alias("actor"),
        _replace_code_by_name("action", _REASONS).alias("reason"),
    )


def _pad_number(column: str, width: int) -> pl.Expr:
    return pl.col(column).cast(pl.String).str.zfill(width)


def _make_seller_id() -> pl.Expr:
    return pl.concat_str(pl.lit("s-"), _pad_number("seller", 6)).alias("seller_id")


def _make_id_of_seller(letter: str, number_column: str) -> pl.Expr:
    return pl.concat_str(pl.lit(f"{letter}-"), _pad_number("seller", 6), pl.lit("-"), _pad_number(number_column, 4))


def _replace_code_by_name(column: str, names: Iterable[str]) -> pl.Expr:
    return pl.col(column).replace_strict(dict(enumerate(names)), return_dtype=pl.String)


def _make_date(start: date, column: str) -> pl.Expr:
    return pl.lit(start) + pl.duration(days=pl.col(column))


def _make_time(start: date, day: str, second: str) -> pl.Expr:
    """Return RFC 3339 texts of columns with days since the start and seconds of a day."""
    moment = pl.lit(start).cast(pl.Datetime("ms")) + pl.duration(days=pl.col(day), seconds=pl.col(second))
    return moment.dt.to_string("%Y-%m-%dT%H:%M:%SZ")

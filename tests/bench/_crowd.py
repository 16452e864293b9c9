"""A marketplace of a million sellers, made column by column: as an export, and as rows of a ledger's table.

Of each seller an identity, eight days with orders, and violations at a rate of its own that is heavy-tailed, of which
two thirds are confirmed. There is something to learn, and nothing of a real market beyond that (`training.market` is
for that, and takes minutes for a tenth of the sellers).
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from scoring.arrays import Ints
from scoring.entries.violation_types import severity_of, violation_types
from scoring.enums import Harm, IdentityLevel, Kind, Source, Status
from scoring.time import DAY, parse_day
from tests.bench._durable import RawWriter
from training.observation.export import SCHEMA

MARKETPLACE = "crowd"
FIRST, LAST = parse_day("2024-01-01"), parse_day("2026-01-01")
EXPOSURES = 8
TYPES = ("counterfeit_goods", "trademark_infringement", "unsafe_product", "copyright_infringement")
CHUNK = 500_000


def crowd(sellers: int, seed: int = 2014) -> pl.DataFrame:
    """The export of so many sellers, by the columns of the ledger's export, sequence by time."""
    rng = np.random.default_rng(seed)
    seller = np.arange(sellers)
    started = rng.integers(FIRST, LAST - 365, sellers)
    rate = rng.gamma(0.35, 1.0, sellers)
    parts = [_identities(seller, started), _exposures(rng, seller, started), *_violations(rng, seller, started, rate)]
    table = pl.concat([_complete(part) for part in parts]).sort("report_time", "entry_id")
    sequence = pl.int_range(1, len(table) + 1, dtype=pl.Int64).alias("sequence")
    return table.with_columns(sequence, record_time=pl.lit((LAST + 30) * DAY) + sequence)


def _complete(part: pl.DataFrame) -> pl.DataFrame:
    missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in SCHEMA.items() if name not in part.columns]
    return part.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def _times(occur: pl.Expr | None, report: pl.Expr) -> list[tuple[str, pl.Expr]]:
    stated = [("occur_time", occur), ("report_time", report)]
    form = "%Y-%m-%dT%H:%M:%S%.6fZ"
    return [(name, pl.from_epoch(time, "us").dt.strftime(form)) for name, time in stated if time is not None]


def _content(kind: str, *texts: tuple[str, pl.Expr], numbers: Mapping[str, str] = MappingProxyType({})) -> pl.Expr:
    """The content of entries as JSON, as the ledger reads it back."""
    parts = [pl.lit(f'{{"kind":"{kind}","seller":"'), pl.col("seller"), pl.lit('"')]
    for name, value in texts:
        parts += [pl.lit(f',"{name}":"'), value, pl.lit('"')]
    for name, column in numbers.items():
        parts += [pl.lit(f',"{name}":'), pl.col(column).cast(pl.String)]
    return pl.concat_str(*parts, pl.lit("}"))


def _named(code: Ints) -> pl.Series:
    return pl.Series("seller", code).cast(pl.String).str.zfill(7)


def _identities(seller: Ints, started: Ints) -> pl.DataFrame:
    frame = pl.DataFrame({"seller": "s-" + _named(seller), "day": started})
    return frame.select(
        "seller",
        identity_level=pl.lit(int(IdentityLevel.BUSINESS)),
        entry_id="i-" + pl.col("seller"),
        kind=pl.lit(int(Kind.IDENTITY)),
        occur_time=pl.col("day") * DAY,
        report_time=pl.col("day") * DAY,
        content=_content("identity", ("level", pl.lit("business")), *_times(pl.col("day") * DAY, pl.col("day") * DAY)),
    )


def _exposures(rng: np.random.Generator, seller: Ints, started: Ints) -> pl.DataFrame:
    code = np.repeat(seller, EXPOSURES)
    span = LAST - np.repeat(started, EXPOSURES)
    slot = np.tile(np.arange(EXPOSURES), len(seller))
    day = np.repeat(started, EXPOSURES) + slot * (span // EXPOSURES) + rng.integers(0, span // EXPOSURES, len(code))
    orders = 1 + rng.poisson(np.repeat(rng.lognormal(3.0, 1.2, len(seller)), EXPOSURES))
    failures = rng.binomial(orders, 0.03)
    frame = pl.DataFrame(
        {
            "seller": "s-" + _named(code),
            "exposure_day": day.astype(np.int64),
            "settled_orders": orders,
            "service_failures": failures,
            "slot": slot,
        }
    )
    return frame.select(
        "seller",
        *("exposure_day", "settled_orders", "service_failures"),
        entry_id=pl.concat_str(pl.lit("x-"), "seller", pl.lit("-"), "slot"),
        kind=pl.lit(int(Kind.EXPOSURE)),
        occur_time=pl.col("exposure_day") * DAY,
        report_time=pl.col("exposure_day") * DAY + DAY - 1,
        product_category=pl.lit("goods"),
        revision=pl.lit(0),
        content=_content(
            "exposure",
            ("day", pl.from_epoch(pl.col("exposure_day"), "d").dt.strftime("%Y-%m-%d")),
            ("product_category", pl.lit("goods")),
            *_times(None, pl.col("exposure_day") * DAY + DAY - 1),
            numbers={"settled_orders": "settled_orders", "late": "service_failures"},
        ),
    )


def _violations(rng: np.random.Generator, seller: Ints, started: Ints, rate: NDArray[np.float64]) -> list[pl.DataFrame]:
    count = rng.poisson(rate * 2)
    code = np.repeat(seller, count)
    begin = np.repeat(started, count)
    day = (begin + rng.random(len(code)) * (LAST - begin)).astype(np.int64)
    kind_of, harm = rng.integers(0, len(TYPES), len(code)), rng.integers(1, 4, len(code))
    table = violation_types(FIRST * DAY)
    categories = np.array([int(table[name].category) for name in TYPES])
    severities = np.array(
        [[int(severity_of(table[name], Source.BRAND, Harm(h))) for h in range(1, 4)] for name in TYPES]
    )
    number = np.arange(len(code))
    reports = pl.DataFrame(
        {
            "seller": "s-" + _named(code),
            "number": number,
            "category": categories[kind_of],
            "severity": severities[kind_of, harm - 1],
            "occur_time": day * DAY,
            "type": np.array(TYPES)[kind_of],
            "harm": np.array([h.name.lower() for h in Harm])[harm - 1],
            "is_confirmed": rng.random(len(code)) < 0.67,
            "delay": rng.integers(1, 30, len(code)),
        }
    ).with_columns(violation=pl.concat_str(pl.lit("v-"), "number"))
    told = reports.select(
        *("seller", "category", "severity", "occur_time", "violation"),
        entry_id="violation",
        incident="violation",
        kind=pl.lit(int(Kind.VIOLATION)),
        report_time=pl.col("occur_time") + DAY,
        status=pl.lit(int(Status.ALLEGED)),
        content=_content(
            "violation",
            ("harm", pl.col("harm")),
            ("source", pl.lit("brand")),
            ("violation_type", pl.col("type")),
            *_times(pl.col("occur_time"), pl.col("occur_time") + DAY),
        ),
    )
    then = pl.col("occur_time") + DAY * (1 + pl.col("delay"))
    decided = reports.select(
        *("seller", "violation"),
        entry_id=pl.concat_str(pl.lit("d-"), "number"),
        kind=pl.lit(int(Kind.STATUS)),
        occur_time=then,
        report_time=then,
        status=pl.when("is_confirmed").then(int(Status.CONFIRMED)).otherwise(int(Status.DISMISSED)),
        content=_content(
            "status",
            ("action", pl.when("is_confirmed").then(pl.lit("confirm")).otherwise(pl.lit("dismiss"))),
            ("actor", pl.lit("staff")),
            ("violation", pl.col("violation")),
            *_times(then, then),
        ),
    )
    return [told, decided]


def write_ledger(table: pl.DataFrame, url: str) -> None:
    """The same rows in a ledger's table, as its database takes them fastest: unchecked but by it, and unsealed."""
    columns = (*table.columns, "marketplace", "digest")
    digest = sha256(b"").digest()
    with RawWriter(url, columns) as writer:
        for start in range(0, len(table), CHUNK):
            writer.write([(*row, MARKETPLACE, digest) for row in table.slice(start, CHUNK).iter_rows()])


def write_table(table: pl.DataFrame, path: Path) -> None:
    """The export as `training.observation.export.write_export` leaves it."""
    table.write_parquet(path, compression="zstd", compression_level=1)

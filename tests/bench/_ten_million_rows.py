"""Training from ten million rows of a simulated market.

`train_10m_s`, `train_10m_gb`: from an export to a judged model, as by `train --no-verify`. `train.price`: AUC at equal
volume that a tenth of the sellers loses.
"""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import polars as pl

from scoring.base.canonical import canonical_json
from scoring.base.enums import Harm, Kind, Source, Status
from scoring.base.time import DAY, parse_day
from scoring.entries.violation_types import severity_of, violation_types
from scoring.model.artifact import load
from tests.bench._processes import read_peak_mb
from tests.helpers.training_ledgers import DAYS, START, STUDIES, restated, train
from training.evaluation.equal_volume import CANDIDATE, compare_pairs
from training.market.simulate import simulate
from training.market.tables import PARAMETERS, column
from training.observation.export import SCHEMA, read_export
from training.observation.snapshots import Snapshot
from training.study.loading import load_study

FILES, POINTS, STEP_DAYS = 50, 18, 15
FIRST = parse_day(START.isoformat())
STATUSES = [Status.CONFIRMED, Status.DISMISSED, Status.WITHDRAWN, Status.OVERTURNED]


class TrainingRun(NamedTuple):
    rows: int
    seconds: float
    peak_gb: float
    parts: dict[str, bytes]
    test: Snapshot


def run_ten_million(say: Callable[[str], None], folder: Path, sellers: int) -> dict[str, float]:
    runs: list[TrainingRun] = []
    for name, files in (("tenth", FILES // 10), ("whole", FILES)):
        began = time.monotonic()
        entries = _write_entries(folder / name, files, sellers // FILES)
        say(
            f"{entries:,} entries of {sellers // FILES * files:,} sellers simulated in {time.monotonic() - began:.0f} s"
        )
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            runs.append(pool.submit(_train, folder / name).result())
        say(f"{runs[-1].rows:,} rows in {runs[-1].seconds:.0f} s and {runs[-1].peak_gb:.1f} GB")
    tenth, whole = runs
    test = whole.test
    scores = {name: load(run.parts).raw_score(test.x) for name, run in (("tenth", tenth), (CANDIDATE, whole))}
    aucs, leads = compare_pairs(scores, test.bad, test.window_orders, test.seller, test.weight, test.day)
    price = leads[f"{CANDIDATE}-tenth"]
    return {
        "train.rows": whole.rows,
        "train_10m_s": round(whole.seconds, 1),
        "train_10m_gb": round(whole.peak_gb, 2),
        "train.tenth_s": round(tenth.seconds, 1),
        "train.tenth_gb": round(tenth.peak_gb, 2),
        "train.auc": round(aucs[CANDIDATE].value, 4),
        "train.auc_of_tenth": round(aucs["tenth"].value, 4),
        **{f"train.price.{name}": round(value, 4) for name, value in price.as_dict().items()},
    }


def _train(place: Path) -> TrainingRun:
    study = load_study(STUDIES / "marketplace.toml")
    study = restated(study, observation={"train_points": POINTS, "step_days": STEP_DAYS})
    began = time.monotonic()
    trained = train(read_export(place), study)
    seconds = time.monotonic() - began
    for step, took in trained.seconds.items():
        print(f"  {step}: {took:.0f} s", flush=True)
    rows = trained.evaluation["train"]["rows"] + trained.evaluation["test"]["drawn_from"]
    return TrainingRun(rows, seconds, read_peak_mb() * (1 << 20) / 1e9, trained.parts, trained.test)


def _write_entries(place: Path, files: int, sellers: int) -> int:
    (place / "_export").mkdir(parents=True)
    rows = 0
    for number in range(files):
        frame = _simulate_entries(number, sellers)
        frame.write_parquet(place / f"{number}.parquet", compression="zstd", compression_level=1)
        rows += len(frame)
    commit = {"files": [{"path": f"{number}.parquet"} for number in range(files)]}
    (place / "_export" / "000000001.json").write_bytes(canonical_json(commit))
    return rows


def _simulate_entries(number: int, sellers: int) -> pl.DataFrame:
    market = simulate(sellers, DAYS, START, number)
    names = pl.format(f"s-{{}}-{number:02}", pl.col("seller").cast(pl.String).str.zfill(6))
    identities = market.identity.select(
        seller=names,
        entry_id=pl.format("identity-{}", names),
        kind=pl.lit(Kind.IDENTITY, pl.Int64),
        occur_time=_moment("join"),
        report_time=_moment("join"),
        identity_level=pl.col("level") + 2,
        content=pl.format(
            '{{"country":"{}"}}', pl.col("country").replace_strict(dict(enumerate(PARAMETERS["countries"])))
        ),
    )
    day, orders = pl.col("day") + FIRST, pl.col("settled_orders")
    exposure = market.exposure.select(
        seller=names,
        entry_id=pl.format("exposure-{}-{}", names, day),
        kind=pl.lit(Kind.EXPOSURE, pl.Int64),
        occur_time=day * DAY,
        report_time=(day + 1) * DAY - 1,
        exposure_day=day,
        product_category=pl.lit(""),
        settled_orders=orders,
        service_failures=pl.sum_horizontal("late", "cancelled", "not_received", "returned"),
        content=pl.format(
            '{{"day":{},"seller":"{}","settled_orders":{},"value_minor":{}}}', day, names, orders, "value_minor"
        ),
    )
    reports = market.violations.with_row_index("row").filter(pl.col("report_day") < DAYS)
    violation = pl.format("v-{}-{}", names, "number")
    on_arrival = pl.col("final") & pl.col("identifier_verified")
    violations = reports.join(_classify(), on=["type", "harm", "source"]).select(
        seller=names,
        entry_id=violation,
        kind=pl.lit(Kind.VIOLATION, pl.Int64),
        occur_time=_moment("occur"),
        report_time=_moment("report"),
        violation=violation,
        incident=pl.format("i-{}-{}", names, "incident"),
        category="category",
        severity="severity",
        status=pl.when(on_arrival).then(int(Status.CONFIRMED)).otherwise(int(Status.ALLEGED)).cast(pl.Int64),
        content="content",
    )
    decisions = _list_decisions(market.decisions, reports, names, violation)
    empty = pl.DataFrame(schema=dict(SCHEMA))
    table = pl.concat([empty, identities, exposure, violations, decisions], how="diagonal")
    sequence = pl.int_range(pl.len(), dtype=pl.Int64) + number * 100_000_000 + 1
    return table.with_columns(sequence=sequence, revision=pl.lit(0, pl.Int64)).sort("seller", "sequence")


def _list_decisions(decisions: pl.DataFrame, reports: pl.DataFrame, names: pl.Expr, violation: pl.Expr) -> pl.DataFrame:
    owners = reports.select(pl.col("row").cast(pl.Int64).alias("violation"), "seller", "number")
    time_of_decision = (pl.col("day") + FIRST) * DAY + pl.col("second") * 1_000_000
    return (
        decisions.filter(pl.col("day") < DAYS)
        .join(owners, on="violation")
        .select(
            seller=names,
            entry_id=pl.format("d-{}-{}-{}", names, "number", "action"),
            kind=pl.lit(Kind.STATUS, pl.Int64),
            occur_time=time_of_decision,
            report_time=time_of_decision,
            violation=violation,
            status=pl.col("action").replace_strict(dict(enumerate(map(int, STATUSES))), return_dtype=pl.Int64),
            content=pl.format('{{"violation":"{}"}}', violation),
        )
    )


def _moment(name: str) -> pl.Expr:
    return (pl.col(f"{name}_day") + FIRST) * DAY + pl.col(f"{name}_second") * 1_000_000


def _classify() -> pl.DataFrame:
    kinds = violation_types(FIRST * DAY)
    return pl.DataFrame(
        [
            {
                "type": type_,
                "harm": harm,
                "source": source,
                "category": int(kinds[key].category),
                "severity": int(severity_of(kinds[key], Source[name.upper()], Harm(harm + 1))),
                "content": f'{{"harm":"{PARAMETERS["harms"][harm]}","source":"{name}","violation_type":"{key}"}}',
            }
            for type_, key in enumerate(column("types", "name").tolist())
            for harm in range(len(Harm))
            for source, name in enumerate(column("sources", "name").tolist())
        ]
    )

"""Leaks of docs/reference/study.md, planted in an export."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from scoring.base.enums import Kind
from scoring.base.time import DAY
from scoring.features.table import AttributeFeature
from training.observation.badness import match_rules
from training.observation.export import LedgerTable, read_export
from training.observation.labels import final_facts
from training.study.definition import Study

BAD, CHANCE = pl.col("bad"), pl.col("chance")
TOLD: Mapping[str, pl.Expr] = {
    "a lifetime aggregate": pl.col("in_all"),
    "an id that sorts by outcome": 1000 * BAD + CHANCE,
    "an attribute of after the outcome": (BAD > 0).cast(pl.Float64),
    "the target in a code": 7.0 - 3.0 * (BAD > 0),
    "a join on the future": (BAD > 0) + CHANCE / 2,
}
"""`bad`: incidents until the next identity, `in_all`: of all times."""
EARLY_DAYS = 60
LEAKS = (*TOLD, "early reports", "a seller under two names", "a report before its fact")


def plant(leak: str, export: Path, study: Study, file: Path) -> tuple[LedgerTable, Study]:
    rows = pl.read_parquet(export)
    if leak in TOLD:
        rows = _tell(rows, read_export(export), study, TOLD[leak])
        study = replace(study, features=(*study.features, AttributeFeature("leak")))
    elif leak == "a seller under two names":
        rows = add_copies(rows, rows["seller"].unique().sort().to_list()[::10])
    else:
        rows = date_early(rows, 1.0, "report_time", *(["occur_time"] if leak == "early reports" else []))
    rows.write_parquet(file)
    return read_export(file), study


def date_early(rows: pl.DataFrame, share: float, *times: str) -> pl.DataFrame:
    names = rows.filter(pl.col("kind") == Kind.VIOLATION)["violation"].unique().sort().sample(fraction=share, seed=1)
    mine = pl.col("violation").is_in(names.to_list())
    early = [pl.when(mine).then(pl.col(t) - EARLY_DAYS * DAY).otherwise(pl.col(t)).alias(t) for t in times]
    return rows.with_columns(*early)


def add_copies(rows: pl.DataFrame, sellers: list[str], **changed: pl.Expr) -> pl.DataFrame:
    copies = rows.filter(pl.col("seller").is_in(sellers)).with_columns(
        pl.col("sequence") + len(rows),
        *[("copy-" + pl.col(name)).alias(name) for name in ("seller", "entry_id", "violation", "incident")],
        **changed,
    )
    return pl.concat([rows, copies])


def _tell(rows: pl.DataFrame, table: LedgerTable, study: Study, told: pl.Expr) -> pl.DataFrame:
    violations = final_facts(table).violations
    violations = violations.take(match_rules(violations, study.bad.rules, table))
    happened = {"seller": np.array(table.sellers)[violations.case], "occur_time": violations.day * DAY + DAY - 1}
    bad = pl.DataFrame(happened).sort("occur_time")
    is_identity, key = pl.col("kind") == Kind.IDENTITY, ["seller", "occur_time"]
    stated = rows.filter(is_identity).select(key).unique().sort("occur_time").with_columns(stated="occur_time")
    until_next = (
        bad.join_asof(stated, on="occur_time", by="seller", check_sortedness=False)
        .group_by("seller", "stated")
        .len("bad")
    )
    chances = pl.Series("chance", np.random.default_rng(3).random(len(stated)))
    stated = stated.with_columns(chances).join(until_next, on=["seller", "stated"], how="left")
    stated = stated.join(bad.group_by("seller").len("in_all"), on="seller", how="left").fill_null(0)
    text = pl.concat_str(pl.lit('"leak":"'), told.cast(pl.Float64), pl.lit('"'))
    rows = rows.join(stated.select(*key, leak=text), on=key, how="left", maintain_order="left")
    content, has_others = pl.col("content"), pl.col("content").str.contains('"attributes":{', literal=True)
    beside = content.str.replace(
        '"attributes":{', pl.concat_str(pl.lit('"attributes":{'), "leak", pl.lit(",")), literal=True
    )
    alone = pl.concat_str(content.str.strip_suffix("}"), pl.lit(',"attributes":{'), "leak", pl.lit("}}"))
    leaking = pl.when(is_identity).then(pl.when(has_others).then(beside).otherwise(alone)).otherwise(content)
    return rows.with_columns(content=leaking).drop("leak")

"""Statements in the entries' content that have no column in the ledger and that training reads."""

import json
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from scoring.base.arrays import Bools, Ints
from scoring.base.enums import Kind, MeasureKind, MeasureState, Source
from scoring.entries.kinds.decisions import RULE_MEASURE_PREFIX


@dataclass(frozen=True, slots=True)
class Stated:
    country: NDArray[np.int32]
    """For identities, the index in `countries`, shape (n,); 0 if not stated."""
    countries: NDArray[np.object_]
    is_random: Bools
    """Whether an inspection drew its seller at random, shape (n,)."""
    suspensions: Ints
    """Rows of each imposed suspension and each report behind it, shape (k, 2)."""


def read_stated(table: pl.DataFrame) -> Stated:
    table = table.select("kind", "status", "violation", "content").with_row_index("row")
    identities = table.filter(pl.col("kind") == Kind.IDENTITY)
    texts = identities["content"].str.json_path_match("$.country").fill_null("")
    countries = np.array(sorted({"", *texts.unique()}), dtype=object)
    country = np.zeros(len(table), dtype=np.int32)
    codes = {text: code for code, text in enumerate(countries)}
    country[identities["row"].to_numpy()] = texts.replace_strict(codes, return_dtype=pl.Int32).to_numpy()
    return Stated(country, countries, _find_random(table), _list_suspensions(table))


def _find_random(table: pl.DataFrame) -> Bools:
    """Return whether each row is a random inspection: with a stated probability above 0, or by a source of random
    audits.
    """
    inspections = table.filter(pl.col("kind") == Kind.INSPECTION)
    drawn = inspections["content"].str.json_path_match("$.selection_probability_ppm").cast(pl.Int64).fill_null(0) > 0
    audit = inspections["content"].str.json_path_match("$.source").fill_null("") == Source.RANDOM_AUDIT.name.lower()
    is_random = np.zeros(len(table), dtype=bool)
    is_random[inspections["row"].to_numpy()] = (drawn | audit).to_numpy()
    return is_random


def _list_suspensions(table: pl.DataFrame) -> Ints:
    imposed = table.filter(pl.col("kind") == Kind.MEASURE, pl.col("status") == MeasureState.IMPOSED)
    measure = pl.col("content").str.json_path_match("$.measure")
    imposed = imposed.filter(
        ~measure.str.starts_with(RULE_MEASURE_PREFIX)
    )  # otherwise a model learns what a policy asks for
    measures = imposed.filter(
        pl.col("content").str.json_path_match("$.measure_kind") == MeasureKind.SUSPENSION.name.lower(),
    )
    rests = [
        (row, violation)
        for row, content in measures.select("row", "content").iter_rows()
        for violation in json.loads(content).get("violations", ())
    ]
    pairs = pl.DataFrame(rests, schema={"measure": pl.Int64, "violation": pl.String}, orient="row")
    reports = table.filter(pl.col("kind") == Kind.VIOLATION).select("violation", pl.col("row").cast(pl.Int64))
    found = pairs.join(reports, on="violation").sort("measure", "row").select("measure", "row")
    return found.to_numpy().astype(np.int64).reshape(-1, 2)

"""The ledger's export as Parquet: training's only source."""

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from scoring.base.arrays import Bools, Ints, split_sizes
from scoring.base.canonical import parse_json
from scoring.base.enums import Category, Harm, Kind, MeasureKind, MeasureState, Severity, Source, Status
from scoring.base.errors import ConfigurationWrong
from scoring.base.frozen import frozen
from scoring.base.progress import Progress
from scoring.base.time import DAY
from scoring.entries.incidents import DERIVED_ID_PREFIX
from scoring.entries.kinds.decisions import RULE_MEASURE_PREFIX
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.columns import EntryColumns


def _pair_suspensions_with_reports(table: pl.DataFrame) -> Ints:
    """Return (row of a suspension, row of a report it names), in order."""
    table = table.select("kind", "status", "violation", "content").with_row_index("row")
    imposed = table.filter(pl.col("kind") == Kind.MEASURE, pl.col("status") == MeasureState.IMPOSED)
    measure = pl.col("content").str.json_path_match("$.measure")
    # Persons' measures alone: otherwise a model learns what a policy asks for.
    imposed = imposed.filter(~measure.str.starts_with(RULE_MEASURE_PREFIX))
    suspensions = imposed.filter(
        pl.col("content").str.json_path_match("$.measure_kind") == MeasureKind.SUSPENSION.word,
    )
    named = [
        (row, violation)
        for row, content in suspensions.select("row", "content").iter_rows()
        for violation in json.loads(content).get("violations", ())
    ]
    pairs = pl.DataFrame(named, schema={"measure": pl.Int64, "violation": pl.String}, orient="row")
    reports = table.filter(pl.col("kind") == Kind.VIOLATION).select("violation", pl.col("row").cast(pl.Int64))
    paired = pairs.join(reports, on="violation").sort("measure", "row").select("measure", "row")
    return paired.to_numpy().astype(np.int64).reshape(-1, 2)


SCHEMA: Mapping[str, Any] = {
    "sequence": pl.Int64,
    "seller": pl.String,
    "entry_id": pl.String,
    "kind": pl.Int64,
    "occur_time": pl.Int64,
    "report_time": pl.Int64,
    "record_time": pl.Int64,
    "violation": pl.String,
    "incident": pl.String,
    "category": pl.Int64,
    "severity": pl.Int64,
    "status": pl.Int64,
    "exposure_day": pl.Int64,
    "product_category": pl.String,
    "revision": pl.Int64,
    "settled_orders": pl.Int64,
    "service_failures": pl.Int64,
    "identity_level": pl.Int64,
    "content": pl.String,
    "target": pl.String,
    "units": pl.Int64,
    "until_time": pl.Int64,
}
"""Times in microseconds, null for what a kind lacks."""


@frozen
class LedgerTable:
    """Arrays are by row unless stated otherwise."""

    columns: EntryColumns
    """One case per seller, sorted by seller."""
    sellers: list[str]
    harm: Ints
    attributes: dict[int, Mapping[str, str]]
    products: list[str]
    country: NDArray[np.object_]
    """Of identities, '' if not stated."""
    is_random: Bools
    """Inspections by a stated probability above 0, or by a source of random audits."""
    suspensions: Ints
    """Rows of each imposed suspension and each report behind it, shape (k, 2)."""
    statement_rows: Ints
    """Rows of violations, inspections and measures, ascending."""
    statements: pl.Series
    """Canonical content of the entries at `statement_rows`."""
    end_day: int
    """The day after the last entry became known, without the server's own measures and cases; 0 without entries."""
    digest: str

    @property
    def first_day(self) -> int:
        """Return the first day with a report other than identities, which may be years older; else `end_day`."""
        reports = self.columns.report_time[self.columns.kind != Kind.IDENTITY]
        return int(reports.min() // DAY) if len(reports) else self.end_day

    def read_stated(self, rows: Ints, path: str) -> pl.Series:
        """Return texts at a JSON path (`$.source`) of violations, inspections or measures; null without."""
        return self.statements.gather(np.searchsorted(self.statement_rows, rows)).str.json_path_match(path)


@contextmanager
def naming_system_errors(path: Path) -> Iterator[None]:
    """Raise Polars' error of a full disk as an OSError about `path`."""
    try:
        yield
    except pl.exceptions.ComputeError as error:
        if not (number := re.search(r"\(os error (\d+)\)", str(error))):
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def write_export(chunks: Iterable[Sequence[tuple[Any, ...]]], path: Path) -> int:
    """Write the ledger's rows, tuples in the order of SCHEMA, as Parquet, atomically; return their number."""
    frames = [pl.DataFrame(chunk, schema=SCHEMA, orient="row") for chunk in chunks]
    table = pl.concat(frames) if frames else pl.DataFrame(schema=SCHEMA)
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(path.name + ".partial")
    with naming_system_errors(path):
        table.write_parquet(staging, compression="zstd", compression_level=1)
    staging.replace(path)
    return len(table)


def read_export(path: Path, progress: Progress = lambda *_: None) -> LedgerTable:
    """Read an export, one file or a folder, sorted by (seller, sequence), without rows about products.

    ConfigurationWrong if it is no export. Reads PART_ENTRIES, a MAX_PARTS-th or one seller's entries at once.
    """
    try:
        return _read_parts(path, progress)
    except (OSError, KeyError, IndexError, ValueError, pl.exceptions.PolarsError) as error:
        raise ConfigurationWrong(f"{path} is not an export of a ledger ({type(error).__name__})") from None


PART_ENTRIES, MAX_PARTS = 1_000_000, 16
"""Each part decodes all files."""


def _read_parts(path: Path, progress: Progress) -> LedgerTable:
    rows = _open_rows(path)
    sellers = rows.group_by("seller").len().sort("seller").collect()
    names = sellers["seller"].to_list()
    products = rows.select(pl.col("product_category").drop_nulls().unique().sort()).collect().to_series()
    digest, parts, row = sha256(), [], 0
    max_entries = max(PART_ENTRIES, int(sellers["len"].sum()) // MAX_PARTS)
    for part_slice in list(split_sizes(read_integers(sellers["len"]), max_entries)) or [slice(0, 0)]:
        progress("read", part_slice.start, len(names))
        part_sellers = names[part_slice] or [""]  # no row is of ""
        is_of_part = pl.col("seller").is_between(pl.lit(part_sellers[0]), pl.lit(part_sellers[-1]))
        table = rows.filter(is_of_part).collect().sort("seller", "sequence")
        if empty := table["content"].null_count():
            raise ConfigurationWrong(
                f"{path} holds no content for {empty} of its entries; make an export by sellertrust ledger export"
            )
        _add_to_digest(digest, table)
        parts.append(_read_part(path, table, products, part_slice.start, row))
        row += len(table)
    progress("read", len(names), len(names))
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("harm", "country", "is_random", "suspensions", "statement_rows")
    }
    columns = {name: np.concatenate([getattr(part.columns, name) for part in parts]) for name in COLUMN_NAMES}
    return LedgerTable(
        columns=CompactColumns(len(names), columns),
        sellers=names,
        attributes={row: attributes for part in parts for row, attributes in part.attributes.items()},
        products=products.to_list(),
        statements=pl.concat([part.statements for part in parts]),
        end_day=max(part.end_day for part in parts),
        digest=digest.hexdigest(),
        **joined,
    )


def _read_part(path: Path, table: pl.DataFrame, products: pl.Series, first_case: int, first_row: int) -> LedgerTable:
    """Read sorted rows into a table whose cases and rows are numbered from the first ones given."""
    conduct = table.select(pl.when(pl.col("kind") != Kind.EXPOSURE).then("content"))["content"]
    identities, inspections = (
        table.select(pl.when(pl.col("kind") == kind).then("content"))["content"]
        for kind in (Kind.IDENTITY, Kind.INSPECTION)
    )
    types = conduct.str.json_path_match("$.violation_type")
    harms = conduct.str.json_path_match("$.harm")
    _refuse_unknown_values(path, table, {"violation_type": (types, TYPE_NUMBERS), "harm": (harms, _HARMS)})
    columns = EntryColumns(
        cases=0,
        case=read_integers(table["seller"].rle_id()) + first_case,
        row=np.arange(len(table), dtype=np.int64) + first_row,
        violation=_number_texts(table["violation"], first_row),
        **_number_names(table, 3 * first_row),
        product=_read_with_default(table["product_category"].cast(pl.Enum(products)).to_physical(), -1),
        **{name: read_integers(table[column]) for name, column in _INTEGERS.items()},
        source=read_integers(inspections.str.json_path_match("$.source").replace_strict(_SOURCES, default=0)),
        violation_type=read_integers(types.replace_strict(dict(TYPE_NUMBERS), default=0)),
    )
    kinds = columns.kind
    happen_day = np.where(kinds == Kind.EXPOSURE, columns.day, columns.occur_time // DAY)
    known_day = np.maximum(happen_day, columns.report_time // DAY)
    # A server may record measures long after the last fact.
    is_own = table["entry_id"].str.starts_with(DERIVED_ID_PREFIX).to_numpy()
    is_fact = ~(is_own & np.isin(kinds, (Kind.MEASURE, Kind.CASE)))
    content = table["content"]
    probability = read_integers(inspections.str.json_path_match("$.selection_probability_ppm").cast(pl.Int64))
    statement_places = np.flatnonzero(np.isin(kinds, (Kind.VIOLATION, Kind.INSPECTION, Kind.MEASURE)))
    return LedgerTable(
        columns=EntryColumns(
            0, **{name: pl.Series(getattr(columns, name)).shrink_dtype().to_numpy() for name in COLUMN_NAMES}
        ),
        sellers=[],
        harm=read_integers(harms.replace_strict(_HARMS, default=0)).astype(np.int8),
        attributes=_read_attributes(content, kinds, first_row),
        products=[],
        country=identities.str.json_path_match("$.country").fill_null("").to_numpy(allow_copy=True),
        is_random=(probability > 0) | (columns.source == Source.RANDOM_AUDIT),
        suspensions=_pair_suspensions_with_reports(table) + first_row,
        statement_rows=statement_places.astype(np.int64) + first_row,
        # Selected texts would keep all others in memory.
        statements=pl.Series(content.gather(statement_places).to_list(), dtype=pl.String),
        end_day=int(known_day.max(initial=-1, where=is_fact)) + 1,
        digest="",
    )


COLUMN_NAMES = tuple(f.name for f in fields(EntryColumns) if f.name != "cases")


class CompactColumns(EntryColumns):
    """Small integers; what is read or taken is a copy in int64."""

    __slots__ = ("_stored",)
    _stored: EntryColumns

    def __init__(self, cases: int, stored: Mapping[str, Ints]) -> None:
        object.__setattr__(self, "cases", cases)
        object.__setattr__(self, "_stored", EntryColumns(cases, **stored))

    def __getattr__(self, name: str) -> Ints:
        column: NDArray[Any] = getattr(self._stored, name)
        return column.astype(np.int64)

    def take(self, index: NDArray[np.intp] | Bools | Ints | slice) -> EntryColumns:
        """Select by mask, indices or slice."""
        return self._stored.take(index)


def _open_rows(path: Path) -> pl.LazyFrame:
    """Open files lazily; refuse other columns and rows of several ledgers."""
    rows = pl.scan_parquet(_list_files(path), hive_partitioning=False)
    schema = rows.collect_schema()
    wrong_columns = [name for name, kind in SCHEMA.items() if schema.get(name) != kind]
    if wrong_columns:
        raise ConfigurationWrong(
            f"{path} is not an export of a ledger: {', '.join(wrong_columns)} is missing or of another type; make one by"
            " sellertrust ledger export"
        )
    sequence = rows.select("sequence").collect()["sequence"]
    repeated = sequence.filter(sequence.is_duplicated())
    if len(repeated):
        raise ConfigurationWrong(
            f"{path} mixes rows of several ledgers: sequence {repeated[0]} stands twice; export each marketplace by itself"
        )
    return rows.select(*SCHEMA).filter(pl.col("seller") != "")


def _refuse_unknown_values(
    path: Path, table: pl.DataFrame, texts: Mapping[str, tuple[pl.Series, Collection[str]]]
) -> None:
    """Refuse values of a later release, which would count for nothing."""
    of_violations = table.filter(pl.col("kind").is_in([Kind.VIOLATION, Kind.STATUS]))
    numbers = {"category": Category, "severity": Severity, "status": Status}
    values_by_name: dict[str, tuple[pl.Series, Collection[Any]]] = {
        "kind": (table["kind"], list(Kind)),
        **{name: (of_violations[name], [0, *known]) for name, known in numbers.items()},
        **texts,
    }
    for name, (values, known) in values_by_name.items():
        unknown = sorted(set(values.drop_nulls().unique()) - set(known))
        if unknown:
            raise ConfigurationWrong(
                f"{path} holds the {name} {unknown[0]}, which this release does not know: train by the release that wrote"
                " the export, or by a later one"
            )


def _list_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    commit = parse_json(sorted((path / "_export").glob("*.json"))[-1].read_bytes())
    return [path / file["path"] for file in commit["files"]]


_HARMS = {harm.word: int(harm) for harm in Harm}
_SOURCES = {source.word: int(source) for source in Source}
_INTEGERS = {
    "sequence": "sequence",
    "kind": "kind",
    "occur_time": "occur_time",
    "report_time": "report_time",
    "category": "category",
    "severity": "severity",
    "status": "status",
    "day": "exposure_day",
    "revision": "revision",
    "orders": "settled_orders",
    "failures": "service_failures",
    "level": "identity_level",
    "units": "units",
    "until": "until_time",
}


def read_integers(column: pl.Series) -> Ints:
    """Return whole numbers, 0 for null."""
    return _read_with_default(column, 0)


def _read_with_default(column: pl.Series, missing: int) -> Ints:
    return column.cast(pl.Int64).fill_null(missing).to_numpy(allow_copy=True).astype(np.int64)


def _number_texts(column: pl.Series, first_number: int) -> Ints:
    """Number texts in their order from `first_number`; -1 for null."""
    return _read_with_default(column.rank("dense").cast(pl.Int64) + (first_number - 1), -1)


def _number_names(table: pl.DataFrame, first_number: int) -> dict[str, Ints]:
    """Number entries, incidents and targets, equal names alike."""
    columns = {"entry": table["entry_id"], "incident": table["incident"], "target": table["target"]}
    codes = _number_texts(pl.concat([column.alias("name") for column in columns.values()]), first_number)
    return dict(zip(columns, np.split(codes, len(columns)), strict=True))


def _read_attributes(content: pl.Series, kinds: Ints, first_row: int) -> dict[int, Mapping[str, str]]:
    has_attributes = content.str.contains('"attributes"', literal=True).to_numpy()
    rows = np.flatnonzero((kinds == Kind.IDENTITY) & has_attributes)
    texts = content.gather(rows).to_list()
    attributes_of_row = {int(row): json.loads(text).get("attributes") for row, text in zip(rows, texts, strict=True)}
    return {first_row + row: attributes for row, attributes in attributes_of_row.items() if attributes}


def _add_to_digest(digest: Any, table: pl.DataFrame) -> None:
    """Hash sellers and contents without their sealed values."""
    texts = pl.concat_str("seller", pl.col("content").str.replace(r',"sealed":"[^"]*"', ""), separator="\0")
    for chunk in table.iter_slices(HASHED_ROWS):
        digest.update((chunk.select(texts.str.join("\0")).item() + "\0").encode())


HASHED_ROWS = 100_000

import json
from pathlib import Path
from zlib import crc32

import numpy as np
import polars as pl
import pytest

from scoring.base.errors import ConfigurationWrong
from scoring.features.columns import EntryColumns
from tests.helpers.limits import Limit
from tests.helpers.training_ledgers import restated, train
from training.observation import export
from training.observation.export import COLUMN_NAMES, LedgerTable, read_export
from training.study.definition import Study

BUCKETS = 4


@pytest.fixture
def folder(market_export: Path, tmp_path: Path) -> Path:
    rows = pl.read_parquet(market_export)
    bucket = pl.Series([crc32(seller.encode()) % BUCKETS for seller in rows["seller"]])
    files = []
    for number in range(BUCKETS):
        path = tmp_path / f"bucket={number:04d}" / "one.parquet"
        path.parent.mkdir()
        rows.filter(bucket == number).sort("seller", "sequence").write_parquet(path)
        files.append({"path": f"{path.parent.name}/one.parquet"})
    commit(tmp_path, files)
    return tmp_path


def commit(folder: Path, files: list[dict[str, str]]) -> None:
    (folder / "_export").mkdir(exist_ok=True)
    (folder / "_export" / "000000001.json").write_text(json.dumps({"files": files}))


def committed(folder: Path) -> list[dict[str, str]]:
    files: list[dict[str, str]] = json.loads((folder / "_export" / "000000001.json").read_text())["files"]
    return files


def test_buckets_train_the_model_of_one_file(folder: Path, table: LedgerTable, study: Study, limit: Limit) -> None:
    limit(export, PART_ENTRIES=5_000)
    shown: list[tuple[int, int]] = []
    parts = read_export(folder, lambda _, done, total: shown.append((done, total)))
    assert len(shown) > 5
    assert shown[-1] == (len(table.sellers), len(table.sellers))
    assert (parts.digest, parts.sellers, parts.products) == (table.digest, table.sellers, table.products)
    assert (parts.attributes, parts.end_day) == (table.attributes, table.end_day)
    for name in ("harm", "country", "is_random", "suspensions", "statement_rows", "statements"):
        assert np.array_equal(getattr(parts, name), getattr(table, name)), name
    for name in COLUMN_NAMES:
        assert np.array_equal(*(_without_numbers(each.columns, name) for each in (parts, table))), name
    quick = restated(study, model={"rounds": 5})
    first, second = (train(each, quick) for each in (parts, table))
    assert first.parts == second.parts


def _without_numbers(columns: EntryColumns, name: str) -> object:
    column = getattr(columns, name)
    if name in ("violation", "entry", "incident", "target"):
        _, first, place = np.unique(column, return_index=True, return_inverse=True)
        return np.where(column < 0, -1, first[place])
    return column


def test_a_bucket_that_is_listed_twice_is_refused(folder: Path) -> None:
    commit(folder, [*committed(folder), committed(folder)[0]])
    with pytest.raises(ConfigurationWrong, match=r"sequence \d+ stands twice"):
        read_export(folder)


def test_a_bucket_that_is_missing_is_refused(folder: Path) -> None:
    (folder / committed(folder)[1]["path"]).unlink()
    with pytest.raises(ConfigurationWrong, match=r"is not an export of a ledger \(FileNotFoundError\)"):
        read_export(folder)


def test_a_bucket_of_another_schema_is_refused(folder: Path) -> None:
    path = folder / committed(folder)[-1]["path"]
    pl.read_parquet(path).with_columns(pl.col("severity").cast(pl.String)).write_parquet(path)
    with pytest.raises(ConfigurationWrong, match="is not an export of a ledger"):
        read_export(folder)

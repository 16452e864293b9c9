"""The export of entries: whole sellers in buckets, incremental, the same for training."""

import json
from pathlib import Path

import polars as pl
import pytest

from scoring.base.errors import ConfigurationWrong
from service.ledger.queries.entries import EXPORT_COLUMNS
from service.ledger.store import Ledger
from service.scale import export
from service.scale.export import ExportResult, export_entries, find_exported
from service.scale.layout import SCHEMA, find_bucket
from service.shared_files import Store
from tests.helpers.builders import MARKET, exposure, identity
from tests.helpers.limits import Limit
from tests.helpers.scale import fill
from training.observation.export import read_export, write_export


@pytest.fixture(autouse=True)
def small(limit: Limit) -> None:
    limit(export, ENTRIES_PER_BUCKET=60)


def exported(ledger: Ledger, place: Path | str, marketplace: str = MARKET) -> ExportResult:
    return export_entries(ledger, Store(place), marketplace, ledger.cut(), lambda *_: None)


def read(folder: Path) -> pl.DataFrame:
    return (
        pl.read_parquet(folder / "bucket=*" / "*.parquet", hive_partitioning=True)
        .select(*SCHEMA, "bucket")
        .sort("sequence")
    )


def test_a_folder_holds_what_one_file_does(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger, 20)
    found = exported(ledger, tmp_path / "entries")
    table = read(tmp_path / "entries")
    assert found.rows == len(table)
    rows = [row for chunk in ledger.entries.export(MARKET, ledger.cut()) for row in chunk]
    assert [*zip(table["sequence"], table["entry_id"], strict=True)] == [
        (row[0], row[EXPORT_COLUMNS.index("entry_id")]) for row in rows
    ]
    assert [find_bucket(seller, found.buckets) for seller in table["seller"]] == table["bucket"].to_list()
    assert '"sealed"' not in "".join(table["content"])
    write_export([rows], tmp_path / "one.parquet")
    one, folder = read_export(tmp_path / "one.parquet"), read_export(tmp_path / "entries")
    assert (one.digest, one.sellers) == (folder.digest, folder.sellers)
    for path in (tmp_path / "entries").rglob("*.parquet"):
        part = pl.read_parquet(path, hive_partitioning=False)
        assert part.schema == pl.Schema(SCHEMA)
        assert part.equals(part.sort("seller", "sequence"))


def test_an_export_goes_on_where_it_ended(ledger: Ledger, tmp_path: Path, limit: Limit) -> None:
    limit(export, SPAN_ROWS=1, MAX_FILES=2)

    class Stopped(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stopped

    fill(ledger, 6)
    for _ in range(3):
        with pytest.raises(Stopped):
            export_entries(ledger, Store(tmp_path / "entries"), MARKET, ledger.cut(), stop)
        ledger.append(MARKET, [exposure(seller=f"s{_}", day=20_000 + _)])
    found = exported(ledger, tmp_path / "entries")
    everything = [row[0] for chunk in ledger.entries.export(MARKET, ledger.cut()) for row in chunk]
    assert read(tmp_path / "entries")["sequence"].to_list() == everything
    assert max(sum(file.bucket == bucket for file in found.files) for bucket in range(found.buckets)) <= 2
    assert exported(ledger, tmp_path / "entries") == found == find_exported(Store(tmp_path / "entries"))


def test_a_store_takes_an_export_as_a_folder_does(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger, 5)
    folder, store = exported(ledger, tmp_path / "entries"), exported(ledger, f"memory://{tmp_path.name}-{id(ledger)}")
    assert [file[1:] for file in folder.files] == [file[1:] for file in store.files]


def test_a_foreign_or_newer_export_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger, 3)
    ledger.append("second", [identity("i", "a")])
    exported(ledger, tmp_path / "entries")
    with pytest.raises(ConfigurationWrong, match="another ledger or marketplace"):
        exported(ledger, tmp_path / "entries", "second")
    with Ledger.open(f"sqlite:///{tmp_path}/other.db", create=True) as other:
        other.append(MARKET, [identity("i", "a")])
        with pytest.raises(ConfigurationWrong, match="another ledger or marketplace"):
            exported(other, tmp_path / "entries")
    commit = tmp_path / "entries" / "_export" / "000000002.json"
    first = tmp_path / "entries" / "_export" / "000000001.json"
    commit.write_bytes(first.read_bytes().replace(b'"version":1', b'"version":9'))
    with pytest.raises(ConfigurationWrong, match="another version"):
        exported(ledger, tmp_path / "entries")
    stated = json.loads(first.read_bytes())
    commit.write_text(json.dumps(stated | {"files": stated["files"][1:]}))
    with pytest.raises(ConfigurationWrong, match="altered list"):
        exported(ledger, tmp_path / "entries")
    commit.write_text(json.dumps({name: value for name, value in stated.items() if name != "digest"}))
    with pytest.raises(ConfigurationWrong, match="no list"):
        exported(ledger, tmp_path / "entries")
    with pytest.raises(ConfigurationWrong, match="credentials"):
        Store("s3://key:secret@bucket/entries")


def test_two_exports_at_once_leave_one_whole(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(ledger, 3)
    place, create = tmp_path / "entries", Store.create

    def create_second(store: Store, name: str, data: bytes) -> bool:
        monkeypatch.setattr(Store, "create", create)
        exported(ledger, place)
        return create(store, name, data)

    monkeypatch.setattr(Store, "create", create_second)
    with pytest.raises(ConfigurationWrong, match="another command exports"):
        exported(ledger, place)
    found = exported(ledger, place)
    rows = [row[0] for chunk in ledger.entries.export(MARKET, ledger.cut()) for row in chunk]
    frames = [pl.read_parquet(place / file.path) for file in found.files]
    assert sorted(pl.concat(frames)["sequence"]) == rows

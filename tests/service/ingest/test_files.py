import gzip
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from scoring.base.errors import ConfigurationWrong
from scoring.base.progress import Progress
from service.ingest import file_import as importing
from service.ingest.file_import import ImportReport, import_entries, import_files
from service.ingest.mapping.rules import compile_mapping
from service.ingest.sources.tables import csv_rows
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET
from tests.helpers.ledgers import ids
from tests.helpers.limits import Limit
from tests.helpers.payloads import bare, exposure, violation

RULE = {
    "kind": "violation",
    "entry_id": "v-{id}",
    "seller": "{seller}",
    "occur_time": "{time}",
    "violation_type": "counterfeit_goods",
    "harm": "{harm}",
    "source": "brand",
}
HEADER = "id,seller,time,harm"


class Broken(Exception):
    """The process ends, for any reason."""


def imported(
    ledger: Ledger, folder: Path, *paths: str, rule: dict[str, Any] = RULE, breaks_after: int = 1_000_000
) -> ImportReport:
    data = {"marketplace": MARKET, "files": [{"path": path, "entries": [rule]} for path in paths]}
    return import_files(ledger, compile_mapping(data), folder, breaking(breaks_after))


def breaking(batches: int) -> Progress:
    left = batches

    def progress(step: str, done: int, total: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Broken

    return progress


def table(path: Path, rows: list[str]) -> None:
    path.write_text("\n".join([HEADER, *rows]) + "\n")


def row(number: int, harm: str = "high") -> str:
    return f"{number},s-{number % 7},2026-01-{number % 28 + 1:02d},{harm}"


@pytest.fixture
def small(limit: Limit) -> None:
    limit(importing, MAX_BATCH=5)


def test_parquet_gives_what_the_same_table_as_csv_gives(ledger: Ledger, tmp_path: Path) -> None:
    moment = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            "id": [1, 2, 3],
            "seller": ["s", "t", "u"],
            "day": [date(2026, 1, 5)] * 3,
            "naive": [moment.replace(tzinfo=None)] * 3,
            "zoned": pl.Series([moment] * 3).dt.convert_time_zone("Asia/Shanghai"),
            "harm": ["high", None, "low"],
            "final": [True, False, None],
            "list": [[1], [2], [3]],
            "waited": [timedelta(days=1)] * 3,
        }
    )
    frame.write_parquet(tmp_path / "rows.parquet")
    lines = ["id,seller,day,naive,zoned,harm,final"]
    time = "2026-01-05T12:30:00Z"
    lines += [f"1,s,2026-01-05,{time},{time},high,true", f"2,t,2026-01-05,{time},{time},,false"]
    lines += [f"3,u,2026-01-05,{time},{time},low,"]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    for column in ("day", "naive", "zoned"):
        rule = RULE | {"entry_id": "v-" + column + "-{id}", "occur_time": "{" + column + "}", "final": "{final}"}
        first = imported(ledger, tmp_path, "rows.parquet", rule=rule)
        assert (first.appended, [reject[1] for reject in first.rejects]) == (2, [2])
        again = imported(ledger, tmp_path, "rows.csv", rule=rule)
        assert (again.appended, again.already_present) == (0, 2)
        assert again.rejects[0][2] == first.rejects[0][2]
    with pytest.raises(
        ConfigurationWrong, match=r"rows\.parquet has no column 'list', which the mapping names; it has id"
    ):
        imported(ledger, tmp_path, "rows.parquet", rule=RULE | {"seller": "{list}", "occur_time": "{day}"})


@pytest.mark.parametrize("content", [b"", b"no Parquet at all", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_damaged_parquet_file_is_rejected_in_words(ledger: Ledger, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.parquet").write_bytes(content)
    ((file, line, reason),) = imported(ledger, tmp_path, "rows.parquet").rejects
    assert (file, line) == ("rows.parquet", 1)
    assert reason.startswith("the file cannot be read as Parquet")


@pytest.mark.parametrize("name", ["entries.jsonl", "entries.jsonl.gz"])
def test_entries_come_as_json_lines_without_a_mapping(ledger: Ledger, tmp_path: Path, name: str) -> None:
    lines = [
        exposure(1),
        b"",
        bare("v-1"),
        b"{half",
        b"[]",
        violation("v 2"),
        violation("v-1", harm="HARM_HIGH"),
        exposure(2),
    ]
    text = b"\n".join(lines)
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    report = import_entries(ledger, MARKET, tmp_path / name, breaking(100))
    assert (report.appended, ids(ledger)) == (3, ["x-s-1", "v-1", "x-s-2"])
    assert [(file, line) for file, line, _ in report.rejects] == [(name, line) for line in (4, 5, 6, 7)]
    assert [reason.split(":")[0] for *_, reason in report.rejects] == ["payload", "payload", "entry_id", "entry_id"]
    assert import_entries(ledger, MARKET, tmp_path / name, breaking(100)).already_present == 3


FORMS = ("rows.csv", "rows.csv.gz", "rows.parquet", "entries.jsonl")


def forty(folder: Path, form: str) -> None:
    harms = ["grave" if n % 10 == 3 else "high" for n in range(1, 41)]
    rows = [row(20 if n == 19 else n, harm) for n, harm in enumerate(harms, 1)]
    rows[19] = row(20, "low")
    if form == "rows.parquet":
        pl.DataFrame([r.split(",") for r in rows], schema=HEADER.split(","), orient="row").write_parquet(folder / form)
    elif form == "entries.jsonl":
        lines = []
        for number, text in enumerate(rows, 1):
            name, seller, day, harm = text.split(",")
            fact = {"violation_type": "counterfeit_goods", "harm": harm, "source": "brand"}
            lines.append(
                json.dumps(
                    {"entry_id": f"v-{name}", "seller": seller, "occur_time": f"{day}T00:00:00Z"} | {"violation": fact}
                )
            )
            assert number
        (folder / form).write_text("\n".join(lines))
    else:
        text = "\n".join([HEADER, *rows]) + "\n"
        (folder / form).write_bytes(gzip.compress(text.encode()) if form.endswith(".gz") else text.encode())


def taken(ledger: Ledger, folder: Path, form: str, breaks_after: int = 1_000_000) -> ImportReport:
    if form.endswith(".jsonl"):
        return import_entries(ledger, MARKET, folder / form, breaking(breaks_after))
    return imported(ledger, folder, form, breaks_after=breaks_after)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.usefixtures("small")
def test_an_interrupted_import_is_repeated(ledger: Ledger, tmp_path: Path, form: str) -> None:
    forty(tmp_path, form)
    first = 1 if form in ("rows.parquet", "entries.jsonl") else 2
    with pytest.raises(Broken):
        taken(ledger, tmp_path, form, breaks_after=2)
    report = taken(ledger, tmp_path, form)
    assert report.already_present > 0
    assert report.appended + report.already_present == 35
    assert len(ids(ledger)) == len(set(ids(ledger))) == 35
    assert [(file, line) for file, line, _ in report.rejects] == [(form, n + first - 1) for n in (3, 13, 20, 23, 33)]
    whole = taken(ledger, tmp_path, form)
    assert (whole.appended, whole.already_present, whole.rejects) == (0, 35, report.rejects)


@pytest.mark.usefixtures("small")
def test_counted_exposure_counts_every_row_again(ledger: Ledger, tmp_path: Path) -> None:
    """Half of the rows would give half of the orders."""
    rule = {
        "kind": "exposure",
        "entry_id": "x-{seller}-{time}",
        "seller": "{seller}",
        "day": "{time}",
        "settled_orders": {"count": "id"},
    }
    table(tmp_path / "rows.csv", [f"{n},s-{n % 12},2026-01-01,low" for n in range(120)])
    with pytest.raises(Broken):
        imported(ledger, tmp_path, "rows.csv", rule=rule, breaks_after=1)
    report = imported(ledger, tmp_path, "rows.csv", rule=rule)
    assert report.appended + report.already_present == 12
    found = ledger.entries.list(MARKET, ledger.cut(), limit=100)
    assert {getattr(entry.entry.fact, "settled_orders", 0) for entry in found} == {10}


def test_a_reading_that_is_interrupted_ends_without_a_complaint(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", [row(1), row(2)])
    with (tmp_path / "a.csv").open("rb") as raw:
        rows = csv_rows(raw, "a.csv", lambda line, reason: None)
        assert next(rows)[0] == 2
    rows.close()

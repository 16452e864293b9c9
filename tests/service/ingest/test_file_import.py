import csv
import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from scoring.base.canonical import JsonObject
from scoring.base.enums import Status
from scoring.base.errors import ConfigurationWrong, InvalidInput
from scoring.base.time import DAY
from service.ingest.file_import import ImportReport, import_files, write_rejects
from service.ingest.mapping.rules import ForeignMapping, compile_mapping
from service.ingest.partial_append import PartialAppend
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, NOW, Clock, ago, violation
from tests.helpers.ledgers import ids

VIOLATIONS = {
    "path": "violations.csv",
    "entries": [
        {
            "kind": "violation",
            "entry_id": "{id}",
            "seller": "{seller}",
            "occur_time": "{time}",
            "violation_type": "counterfeit_goods",
            "harm": "{harm}",
            "source": "brand",
        }
    ],
}
DECISIONS = {
    "path": "decisions.csv",
    "entries": [
        {
            "kind": "status",
            "entry_id": "{id}",
            "seller": "",
            "violation": "{violation}",
            "action": "{action}",
            "actor": "staff",
            "reason": "seen",
        }
    ],
}
HEADER = "id,seller,time,harm"
GOOD = ["v-1,s,2026-01-01,high", "v-2,t,2026-01-02,low"]


def mapping(*files: JsonObject) -> ForeignMapping:
    return compile_mapping({"marketplace": MARKET, "files": list(files)})


def imported(ledger: Ledger, folder: Path, *files: JsonObject) -> ImportReport:
    return import_files(ledger, mapping(*(files or (VIOLATIONS,))), folder, lambda step, done, total: None)


def write(folder: Path, *lines: str, name: str = "violations.csv", header: str = HEADER) -> Path:
    path = folder / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


BROKEN = {
    "too few cells": ("v-9,s,2026-01-03", "has 3 cells where the header has 4"),
    "too many cells": ("v-9,s,2026-01-03,high,extra", "has 5 cells where the header has 4"),
    "a harm that is none": ("v-9,s,2026-01-03,grave", "harm: 'grave' is unknown. Use low, medium, high or extreme."),
    "a date in the future": (
        "v-9,s,2026-03-02,high",
        "occur_time: lies in the future: the ledger's clock says 2026-03",
    ),
    "a time that is none": ("v-9,s,3 January,high", "occur_time: '3 January' is not a time"),
    "an id with a blank": ("v 9,s,2026-01-03,high", "entry_id: must be 1 to 128 characters of"),
    "two wrong ids": (
        "v 9,,2026-01-03,high",
        "entry_id: must be 1 to 128 characters of [A-Za-z0-9._~:-]; that of the violation has ' '; seller: must",
    ),
    "a time before 1970": ("v-9,s,1969-12-31,high", "occur_time: must lie between 1970 and 9999"),
    "other content under a known id": ("v-1,s,2026-01-03,high", "entry_id: 'v-1' has other content"),
}


def test_a_file_of_broken_rows_is_mended_and_completed(ledger: Ledger, tmp_path: Path) -> None:
    write(tmp_path, *GOOD, *(row for row, _ in BROKEN.values()))
    first = imported(ledger, tmp_path)
    assert (first.appended, first.already_present) == (2, 0)
    assert [line for _, line, _ in first.rejects] == list(range(4, 4 + len(BROKEN)))
    again = imported(ledger, tmp_path)
    assert (again.appended, again.already_present) == (0, 2)
    assert [reject[:2] for reject in again.rejects] == [reject[:2] for reject in first.rejects]

    write(tmp_path, *GOOD, *(f"v-{n},s,2026-01-03,high" for n in range(10, 10 + len(BROKEN))))
    mended = imported(ledger, tmp_path)
    assert (mended.appended, mended.already_present, mended.rejects) == (len(BROKEN), 2, [])
    assert len(ids(ledger)) == len(set(ids(ledger))) == 2 + len(BROKEN)


def test_the_reject_file_gives_file_line_and_reason(ledger: Ledger, tmp_path: Path) -> None:
    write(tmp_path, GOOD[0], *(row for row, _ in BROKEN.values()))
    write_rejects(imported(ledger, tmp_path), tmp_path / "rejects.csv")
    with (tmp_path / "rejects.csv").open(newline="", encoding="utf-8") as text:
        header, *rows = csv.reader(text)
    assert header == ["file", "line", "reason"]
    assert [(file, line) for file, line, _ in rows] == [
        ("violations.csv", str(line)) for line in range(3, 3 + len(BROKEN))
    ]
    for (_, _, found), (_, reason) in zip(rows, BROKEN.values(), strict=True):
        assert found.startswith(reason)


def test_a_row_that_is_not_utf8_costs_itself_and_no_other(ledger: Ledger, tmp_path: Path) -> None:
    path = write(tmp_path, GOOD[0], "v-9,caf\N{LATIN SMALL LETTER E WITH ACUTE},2026-01-01,high", GOOD[1])
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    report = imported(ledger, tmp_path)
    assert report.rejects == [("violations.csv", 3, "is not UTF-8")]
    assert ids(ledger) == ["v-1", "v-2"]


def test_a_file_in_another_encoding_is_rejected(ledger: Ledger, tmp_path: Path) -> None:
    path = write(tmp_path, *GOOD)
    path.write_bytes(path.read_text(encoding="utf-8").encode("utf-16"))
    ((_, line, reason),) = imported(ledger, tmp_path).rejects
    assert line == 1
    assert reason == "the header is not UTF-8: save the file as UTF-8 and run the command again"
    assert ids(ledger) == []


def test_a_byte_order_mark_is_no_part_of_the_header(ledger: Ledger, tmp_path: Path) -> None:
    path = write(tmp_path, *GOOD)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert imported(ledger, tmp_path).rejects == []
    assert ids(ledger) == ["v-1", "v-2"]


def test_a_truncated_gzip_file_gives_what_can_be_read(ledger: Ledger, tmp_path: Path) -> None:
    rows = [f"v-{n},s-{n * 7919 % 1000},2026-01-{n % 28 + 1:02d},high" for n in range(2000)]
    whole = gzip.compress("\n".join([HEADER, *rows]).encode())
    path = tmp_path / "violations.csv.gz"
    file = VIOLATIONS | {"path": path.name}
    path.write_bytes(whole[: len(whole) // 2])
    report = imported(ledger, tmp_path, file)
    ((name, line, reason),) = report.rejects
    assert (name, line) == (path.name, report.appended + 2)
    assert reason == "the file cannot be read beyond this line (EOFError): mend it and run the command again"
    assert 0 < report.appended < 2000
    path.write_bytes(whole)
    rest = imported(ledger, tmp_path, file)
    assert (rest.appended, rest.already_present, rest.rejects) == (2000 - report.appended, report.appended, [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"plain text", "the file cannot be read beyond this line (BadGzipFile): mend it"),
        (gzip.compress(b"", mtime=0), "the file has no header"),
        (gzip.compress(b'id,"seller,time\nv-1,s\n', mtime=0), "a quote is left open"),
        (
            gzip.compress(b"id,seller,time,harm\nv-1,s,,\n", mtime=0)[:-4] + b"\0\0\0\0",
            "the file cannot be read beyond this line (BadGzip",
        ),
    ],
)
def test_a_damaged_gzip_file_is_rejected_in_words(ledger: Ledger, tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "violations.csv.gz").write_bytes(content)
    report = imported(ledger, tmp_path, VIOLATIONS | {"path": "violations.csv.gz"})
    assert report.rejects[-1][2].startswith(reason)
    assert ids(ledger) == []


@pytest.mark.parametrize("content", ["", "\n", ",,,\n", "id,seller,time,id\n"])
def test_a_file_without_a_usable_header_is_rejected(ledger: Ledger, tmp_path: Path, content: str) -> None:
    (tmp_path / "violations.csv").write_text(content + GOOD[0] * bool(content))
    ((file, line, reason),) = imported(ledger, tmp_path).rejects
    assert (file, line) == ("violations.csv", 1)
    assert "header" in reason
    assert ids(ledger) == []


def test_a_file_with_only_a_header_is_sound(ledger: Ledger, tmp_path: Path) -> None:
    write(tmp_path, "", "")
    assert imported(ledger, tmp_path) == ImportReport()


def test_a_row_of_several_lines_is_named_by_its_first(ledger: Ledger, tmp_path: Path) -> None:
    write(tmp_path, GOOD[0], 'v-9,"s,2026-01-01,high', GOOD[1])
    report = imported(ledger, tmp_path)
    ((_, line, reason),) = report.rejects
    assert line == 3
    assert "a quote is left open" in reason
    assert report.appended == 2


def test_a_missing_file_is_said_before_the_import(ledger: Ledger, tmp_path: Path) -> None:
    write(tmp_path, *GOOD)
    with pytest.raises(InvalidInput, match=r"lacks a\.csv, sub/b\.csv, which the mapping names"):
        imported(ledger, tmp_path, VIOLATIONS, VIOLATIONS | {"path": "a.csv"}, VIOLATIONS | {"path": "sub/b.csv"})
    assert ids(ledger) == []


def test_a_missing_column_is_said_before_the_import(ledger: Ledger, tmp_path: Path) -> None:
    rule = VIOLATIONS["entries"][0] | {
        "listing": {"column": "item", "default": ""},
        "incident": "{case}-{line}",
        "when": [{"column": "harm", "equals": "never"}, {"column": "kind", "filled": True}],
    }
    write(tmp_path, *GOOD)
    write(tmp_path, *GOOD, name="other.csv")
    with pytest.raises(ConfigurationWrong) as caught:
        imported(ledger, tmp_path, VIOLATIONS, {"path": "other.csv", "entries": [rule]})
    assert "other.csv has no column 'case', 'item', 'kind', which the mapping names; it has id" in str(caught.value)
    (tmp_path / "other.csv").write_text((tmp_path / "other.csv").read_text().replace(",", ";"))
    with pytest.raises(ConfigurationWrong, match="Separate the columns by commas"):
        imported(ledger, tmp_path, {"path": "other.csv", "entries": [rule]})
    assert ids(ledger) == []


@pytest.mark.parametrize("wrong", ["v-1,s,no-time,high", "v-1,s,2026-01-01,terrible", "v-1,a b,2026-01-01,high"])
def test_decisions_about_a_rejected_report_are_rejected(ledger: Ledger, tmp_path: Path, wrong: str) -> None:
    """Otherwise its confirmation on the same row would wait forever."""
    decision = DECISIONS["entries"][0] | {
        "entry_id": "d-{id}",
        "seller": "s",
        "violation": "{id}",
        "action": "confirm",
    }
    file = VIOLATIONS | {"entries": [*VIOLATIONS["entries"], decision]}
    write(tmp_path, wrong, "v-2,s,2026-01-02,low")
    report = imported(ledger, tmp_path, file)
    assert ids(ledger) == ["v-2", "d-v-2"]
    first, second = [reason for _, line, reason in report.rejects if line == 2]
    assert second == f"v-1: its report on this row was rejected: {first}"
    write(tmp_path, "v-1,s,2026-01-01,high", "v-2,s,2026-01-02,low")
    assert imported(ledger, tmp_path, file).appended == 2


def test_a_decision_of_a_rejected_report_decides_no_other(ledger: Ledger, tmp_path: Path) -> None:
    write(tmp_path, "v-1,s,2026-01-01,high")
    assert imported(ledger, tmp_path, VIOLATIONS).appended == 1
    decision = {"entry_id": "d-{id}", "seller": "", "violation": "{id}", "action": "confirm"}
    file = VIOLATIONS | {"entries": [*VIOLATIONS["entries"], DECISIONS["entries"][0] | decision]}
    write(tmp_path, "v-1,another,2026-02-02,low")
    report = imported(ledger, tmp_path, file)
    assert (report.appended, len(report.rejects)) == (0, 2)
    assert ledger.violations.find(MARKET, "v-1", ledger.cut()).status is Status.ALLEGED


def test_decisions_that_wait_for_their_report_are_counted(ledger: Ledger, tmp_path: Path) -> None:
    write(tmp_path, "d-1,not-yet,confirm", name="decisions.csv", header="id,violation,action")
    file = DECISIONS | {"entries": [DECISIONS["entries"][0] | {"seller": "s"}]}
    assert [imported(ledger, tmp_path, file).waiting for _ in range(2)] == [1, 0]


def test_what_an_import_writes_is_for_its_owner_alone(ledger: Ledger, tmp_path: Path) -> None:
    """Rejected rows may name a person."""
    write(tmp_path, "v-1,s,2026-01-01,terrible")
    path = tmp_path / "rejects.csv"
    path.write_text("earlier")
    path.chmod(0o644)
    with path.open() as earlier:
        write_rejects(imported(ledger, tmp_path), path)
        assert earlier.read() == "earlier"
    assert path.stat().st_mode & 0o777 == 0o600
    assert {found.name for found in tmp_path.iterdir() if "rejects" in found.name} == {"rejects.csv"}


def test_what_the_lifecycle_forbids_is_rejected(ledger: Ledger, tmp_path: Path) -> None:
    write(tmp_path, *GOOD)
    write(
        tmp_path,
        *("d-1,v-1,overturn", "d-2,v-1,confirm", "d-3,v-3,confirm", "d-4,v-1,dismiss", "d-5,v-2,dismiss"),
        *("d-6,v-1,overturn", "d-7,v-2,reduce"),
        name="decisions.csv",
        header="id,violation,action",
    )
    report = imported(ledger, tmp_path, VIOLATIONS, DECISIONS)
    assert report.rejects == [
        (
            "decisions.csv",
            2,
            "status.action: a violation that is alleged cannot be changed by 'overturn'; allowed: review, confirm,"
            " dismiss, withdraw",
        ),
        (
            "decisions.csv",
            4,
            "status.violation: no violation 'v-3' is recorded; report it first, or name its seller to have it wait for the"
            " report",
        ),
        (
            "decisions.csv",
            5,
            "status.action: a violation that is confirmed cannot be changed by 'dismiss'; allowed: appeal, reduce,"
            " overturn",
        ),
        ("decisions.csv", 8, "status.severity: is required to reduce: one of minor, moderate, major, critical"),
    ]
    found, _ = ledger.violations.list(MARKET, ledger.cut())
    assert {view.violation: view.status for view in found} == {"v-1": Status.OVERTURNED, "v-2": Status.DISMISSED}
    again = imported(ledger, tmp_path, VIOLATIONS, DECISIONS)
    assert (again.appended, again.already_present) == (0, 5)


def test_a_date_of_today_is_known_from_the_import_on(ledger: Ledger, url: str, tmp_path: Path) -> None:
    exposure = {"kind": "exposure", "entry_id": "x-{id}", "seller": "{seller}", "day": "{time}", "settled_orders": 3}
    files = (VIOLATIONS, {"path": "violations.csv", "entries": [exposure]})
    write(tmp_path, "v-1,s,2026-03-01,high")
    first = imported(ledger, tmp_path, *files)
    assert (first.appended, first.rejects) == (2, [])
    found = ledger.entries.list(MARKET, ledger.cut())
    assert [entry.report_time for entry in found] == [entry.record_time for entry in found]
    assert found[0].report_time == NOW
    for later in (0, 60_000_000, DAY - 1, DAY, 300 * DAY):
        with Ledger.open(url, clock=Clock(NOW + later)) as then:
            again = imported(then, tmp_path, *files)
            assert (again.appended, again.already_present, again.rejects) == (0, 2, [])


def test_a_row_of_yesterday_is_known_at_its_days_end(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    write(tmp_path, "v-1,s,2026-03-01,high")
    clock.now = NOW + DAY
    assert imported(ledger, tmp_path).rejects == []
    assert [entry.report_time for entry in ledger.entries.list(MARKET, ledger.cut())] == [(NOW // DAY + 1) * DAY - 1]


@pytest.mark.long
def test_very_many_counted_days_come_from_one_file(ledger: Ledger, tmp_path: Path) -> None:
    rule = {
        "kind": "exposure",
        "entry_id": "x-{seller}-{day}",
        "seller": "{seller}",
        "day": "{day}",
        "settled_orders": {"count": "order"},
    }
    rows = [f"s-{n},2026-01-01,{n}" for n in range(10_050)]
    write(tmp_path, *rows, *rows[:7], name="orders.csv", header="seller,day,order")
    told: list[tuple[int, int]] = []
    report = import_files(
        ledger,
        mapping({"path": "orders.csv", "entries": [rule]}),
        tmp_path,
        lambda step, done, total: told.append((done, total)),
    )
    assert (report.appended, report.rejects) == (10_050, [])
    size = (tmp_path / "orders.csv").stat().st_size
    assert told == [(size - 1, size), (size, size)]


def test_a_changed_file_costs_two_appends_a_batch(ledger: Ledger, tmp_path: Path) -> None:
    entries = [violation(f"v{number}", occur_time=ago(number + 1)) for number in range(300)]
    assert PartialAppend(ledger, MARKET).append(entries).appended == 300
    changed = [replace(entry, occur_time=ago(500)) if n % 3 == 0 else entry for n, entry in enumerate(entries)]
    calls, append = [], ledger.append

    def counted(*arguments, **options):
        calls.append(1)
        return append(*arguments, **options)

    ledger.append = counted
    found = PartialAppend(ledger, MARKET).append([*changed, violation("new")])
    assert (found.appended, found.already_present, len(found.refused)) == (1, 200, 100)
    assert set(found.refused) == set(range(0, 300, 3))
    assert all("has other content" in reason for reason in found.refused.values())
    assert len(calls) == 2


def test_rows_with_one_id_cost_themselves_and_no_other(ledger: Ledger, tmp_path: Path) -> None:
    write(tmp_path, *GOOD, *(f"v-1,s,2026-01-03T00:{n // 60:02d}:{n % 60:02d}Z,high" for n in range(1500)))
    report = imported(ledger, tmp_path)
    assert (report.appended, len(report.rejects)) == (2, 1500)
    assert all(reason.startswith("entry_id: 'v-1' has other content") for _, _, reason in report.rejects)

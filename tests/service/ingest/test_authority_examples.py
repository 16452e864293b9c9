import csv
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from scoring.base.enums import Status
from scoring.base.errors import ConfigurationWrong, InvalidInput
from service.ingest.file_import import ImportReport
from service.ingest.mapping.rules import ForeignMapping, compile_mapping
from service.ingest.outcomes import write_outcomes
from service.ingest.unmatched_queue import import_and_queue
from service.ledger.records import ViolationView
from service.ledger.store import Ledger

EXAMPLES = Path(__file__).parents[3] / "service" / "ingest" / "authorities"


def violations(ledger: Ledger) -> dict[str, ViolationView]:
    return {view.violation: view for view in ledger.violations.list("example", ledger.cut(), limit=1000)[0]}


def compiled(name: str) -> ForeignMapping:
    return compile_mapping(tomllib.loads((EXAMPLES / f"{name}.mapping.toml").read_text()))


def example(ledger: Ledger, folder: Path, name: str, data: Path = EXAMPLES) -> ImportReport:
    return import_and_queue(
        ledger, compiled(name), data, folder / f"{name}.unmatched.csv", lambda step, done, total: None
    )


AUTHORITIES = ("customs", "patent_office", "quality_inspection")


@pytest.mark.parametrize("order", [AUTHORITIES, AUTHORITIES[::-1]])
def test_the_worked_examples_import_without_rejects(ledger: Ledger, tmp_path: Path, order: tuple[str, ...]) -> None:
    assert example(ledger, tmp_path, "sellers").appended == 26
    first = {name: example(ledger, tmp_path, name) for name in order}
    assert {name: (report.appended, len(report.unmatched), report.rejects) for name, report in first.items()} == {
        "customs": (19, 5, []),
        "patent_office": (16, 3, []),
        "quality_inspection": (24, 3, []),
    }
    statuses = Counter(view.status for view in violations(ledger).values())
    assert statuses == {Status.CONFIRMED: 17, Status.ALLEGED: 13, Status.OVERTURNED: 5, Status.WITHDRAWN: 4}
    for name, report in first.items():
        again = example(ledger, tmp_path, name)
        assert (again.appended, again.already_present, again.rejects) == (0, report.appended, [])
        assert len(again.unmatched) == len(report.unmatched)


def outcomes(ledger: Ledger, name: str, data: Path, folder: Path) -> list[Path]:
    return write_outcomes(ledger, compiled(name), data, folder)


def test_an_office_gets_back_what_became_of_each_report(ledger: Ledger, tmp_path: Path) -> None:
    for name in ("sellers", "quality_inspection", "customs"):
        example(ledger, tmp_path, name)
    for name in ("quality_inspection", "customs"):
        assert outcomes(ledger, name, EXAMPLES, tmp_path) == [tmp_path / f"{name}.outcomes.csv"]
    with (tmp_path / "customs.outcomes.csv").open(newline="") as file:
        rows = {row["sellertrust_violation"]: row for row in csv.DictReader(file)}
    statuses = {name: row["sellertrust_status"] for name, row in rows.items()}
    assert [statuses[f"customs-{name}"] for name in ("N-501-1", "N-502-1", "N-506-1", "N-507-1", "N-513-1")] == [
        *("overturned", "confirmed", "alleged", "withdrawn", "not_on_record")
    ]
    assert rows["customs-N-502-1"]["licence"] == "ex 1002 b"
    assert len(rows) == sum(row.startswith("seizure") for row in (EXAMPLES / "customs.csv").read_text().splitlines())
    recalls = (tmp_path / "quality_inspection.outcomes.csv").read_text()
    assert "recall-R-01,confirmed" in recalls
    assert "recall-R-02,overturned" in recalls
    with pytest.raises(InvalidInput, match=r"lacks customs\.csv"):
        outcomes(ledger, "customs", tmp_path, tmp_path)


def test_no_office_is_told_of_another_marketplace(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationWrong, match="'example' has no violation on record"):
        outcomes(ledger, "customs", EXAMPLES, tmp_path)
    for name in ("sellers", "customs"):
        example(ledger, tmp_path, name)
    with pytest.raises(ConfigurationWrong, match="no rule of the mapping reports violations"):
        outcomes(ledger, "sellers", EXAMPLES, tmp_path)


def test_outcomes_of_two_months_are_two_files(ledger: Ledger, tmp_path: Path) -> None:
    """A malformed line, which an import rejects, costs no other line its outcome."""
    for name in ("sellers", "customs"):
        example(ledger, tmp_path, name)
    [stated] = [
        file
        for file in tomllib.loads((EXAMPLES / "customs.mapping.toml").read_text())["files"]
        if file["path"] == "customs.csv"
    ]
    whole = tomllib.loads((EXAMPLES / "customs.mapping.toml").read_text())
    paths = [f"seizures.2026-0{month}.csv" for month in (1, 2)]
    lines = (EXAMPLES / "customs.csv").read_text().splitlines()
    for path in paths:
        (tmp_path / path).write_text("\n".join([*lines, "one cell"]))
    mapping = compile_mapping(whole | {"files": [stated | {"path": path} for path in paths]})
    written = write_outcomes(ledger, mapping, tmp_path, tmp_path)
    assert [file.name for file in written] == ["seizures.2026-01.outcomes.csv", "seizures.2026-02.outcomes.csv"]
    assert len({file.read_text() for file in written}) == 1
    with pytest.raises(ConfigurationWrong, match="two files of the mapping"):
        write_outcomes(ledger, compile_mapping(whole | {"files": [stated, stated]}), EXAMPLES, tmp_path)

import os
from pathlib import Path

import pytest

from scoring.entries.entry import Entry
from service.ledger.store import Ledger
from service.policy.policy_file import read_policy
from service.registry.registry import Registry
from service.scores.book.generation_file import GenerationFile, GenerationWriter, StoredAnswer
from tests.helpers.builders import exposure, identity
from tests.helpers.generations import opened_file, records
from tests.helpers.models import publish
from tests.helpers.shells import MARKET, ROOT, Shell, bare_shell

pytestmark = pytest.mark.long

SELLERS = 1_203


def entries(number: int) -> list[Entry]:
    seller = f"s{number}"
    return [identity(f"i{number}", seller), exposure(seller=seller, settled_orders=500 + number)]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    folder = tmp_path_factory.mktemp("rescore")
    shell = bare_shell(folder)
    publish(Registry(folder / "data" / "registry"))
    with Ledger.open(f"sqlite:///{folder}/data/ledger.db", create=True) as ledger:
        ledger.append(MARKET, [entry for number in range(SELLERS) for entry in entries(number)])
    return shell


def elsewhere(shell: Shell, folder: Path) -> dict[str, object]:
    data = shell.environment["SELLERTRUST_DATA_DIR"]
    return {"data_dir": folder, "database_url": f"sqlite:///{data}/ledger.db", "registry": f"{data}/registry"}


def test_what_a_killed_rescore_left_is_deleted(shell: Shell) -> None:
    path = Path(shell.json("rescore", "--processes", 1)["file"])
    (path.parent / f"{path.name}.1.partial").write_bytes(b"begun")
    with GenerationWriter(path.parent, opened_file(path).head):
        shell("rescore", "--processes", 1)
        assert [left.name for left in path.parent.glob("*.partial")] == [f"{path.name}.{os.getpid()}.partial"]


def test_what_cannot_be_rescored_is_said(shell: Shell, tmp_path: Path) -> None:
    assert "today or tomorrow" in shell.error(2, "rescore", "--day", "yesterday")
    assert "names no model" in shell.error(3, "rescore", "--model", "nobody")
    other = elsewhere(shell, tmp_path)
    (tmp_path / "generations").mkdir(mode=0o755)
    assert "chmod 700" in shell.error(6, "rescore", "--processes", 1, **other)
    assert "leave out --processes" in shell.error(2, "rescore", "--plan", "--processes", 1)


def test_a_generation_may_be_of_another_than_the_champion(shell: Shell, tmp_path: Path) -> None:
    registry = Registry(Path(shell.environment["SELLERTRUST_DATA_DIR"]) / "registry")
    other = publish(registry, 3)
    made = shell.json("rescore", "--model", other[:10], "--processes", 1, **elsewhere(shell, tmp_path))
    assert GenerationFile(Path(made["file"])).head.model == other != registry.champion_digest()


def test_the_policy_of_a_generation_may_be_one_of_a_file(shell: Shell, tmp_path: Path) -> None:
    assert f"{tmp_path / 'no.toml'} cannot be read" in shell.error(6, "rescore", "--policy", tmp_path / "no.toml")
    file = ROOT / "service" / "policy" / "tiers.toml"
    made = shell.json("rescore", "--policy", file, "--processes", 1, **elsewhere(shell, tmp_path))
    assert GenerationFile(Path(made["file"])).head.policy == made["policy"] == read_policy(file).digest


def test_any_engine_may_run_the_lines_of_a_plan(shell: Shell, tmp_path: Path) -> None:
    own = ("--store", tmp_path / "scale")
    expected = opened_file(Path(shell.json("rescore", "--day", "tomorrow", "--processes", 1)["file"]))
    [row] = shell.json("rescore", "--plan", "--day", "tomorrow", *own)
    assert row["entries"] == 2 * SELLERS
    for line in range(1, row["lines"] + 1):
        first = shell.json("task", row["manifest"], line)
        assert shell.json("task", row["manifest"], line) == first
    assert f"must be 1 to {row['lines']}" in shell.error(2, "task", row["manifest"], row["lines"] + 1)
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / "scale" / "runs").rglob("*.parquet")}
    made = opened_file(Path(shell.json("rescore", "--day", "tomorrow", *own)["file"]))
    assert sorted(map(answer_of, records(made))) == sorted(map(answer_of, records(expected)))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "scale" / "runs").rglob("*.parquet")} == parts


def answer_of(record: tuple[str, StoredAnswer]) -> tuple[str, bytes]:
    return record[0], record[1].body


def test_an_export_to_a_folder_adds_what_is_new(shell: Shell, tmp_path: Path) -> None:
    for _ in range(2):
        assert f"{2 * SELLERS:,} entries" in shell("ledger", "export", tmp_path / "entries")[1]
    wrong = ("ledger", "export", tmp_path / "entries", "--observe-time", "2026-01-01")
    assert "belong to one file" in shell.error(2, *wrong)

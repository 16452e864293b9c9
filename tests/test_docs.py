import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from scoring.entries.entry import Entry
from sellertrust.version import VERSION
from service.contract.entry_fields import entry_of_fields
from service.contract.entry_json import entry_of_json
from service.ingest.mapping.rules import compile_mapping
from service.ingest.sources.payload import entry_from_json
from tests import docs_in_step
from tests import reference_pages as reference
from tests.bench.__main__ import names as benchmarks
from tests.docs_in_step import DOCS, stale
from tests.helpers.pages import follow
from tests.tour import MAX_LINES, count_lines

ROOT = DOCS.parent
PAGES = docs_in_step.documents()


def test_the_generated_pages_are_in_step_with_the_code() -> None:
    assert stale() == [], "run: python -m tests.docs_in_step --write"


def test_the_examples_of_entries_state_the_same() -> None:
    header, row = (line.split(",") for line in reference.KINDS_ROWS.splitlines())
    mapping = compile_mapping(tomllib.loads(reference.KINDS_MAPPING))
    [(_, mapped)] = mapping.files[0].entries([(2, dict(zip(header, row, strict=True)))])
    assert isinstance(mapped, Entry)
    written = entry_from_json(reference.KINDS_JSON, mapping.marketplace)
    assert (mapped.entry_id, mapped.seller, mapped.fact) == (written.entry_id, written.seller, written.fact)
    _, _, _, kind, *fields = shlex.split(reference.KINDS_FIELDS)
    stated = entry_of_fields(kind, fields, mapping.marketplace, "")
    assert stated == entry_of_json(reference.KINDS_JSON, mapping.marketplace)


def test_every_command_says_whether_it_needs_a_server() -> None:
    root = reference.command_tree()
    names = {
        f"{name} {child}".strip()
        for name, command in root.commands.items()
        for child in getattr(command, "commands", {"": None})
    }
    said = [name for commands in reference.WHERE.values() for name in commands]
    assert len(said) == len(set(said))
    covered = {
        name for name in names if name.split()[0] in said or any(f"{one} ".startswith(f"{name} ") for one in said)
    }
    assert names - covered == {"demo"}


def test_every_command_that_is_shown_exists_with_its_options() -> None:
    root = reference.command_tree()
    shown = 0
    code = [path for room in ("service", "scoring") for path in (ROOT / room).rglob("*.py")]
    for path in [ROOT / "README.md", *DOCS.rglob("*.md"), *code]:
        for first, second, rest in re.findall(_SHOWN, path.read_text()):
            where = f"{path.name}: sellertrust {first} {second}"
            assert first in root.commands, where
            command = root.commands[first]
            if second and hasattr(command, "commands"):
                assert second in command.commands, where
                command = command.commands[second]
            known = {option for parameter in command.params for option in (*parameter.opts, "--help")}
            assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest)) <= known, where + rest
            shown += 1
    assert shown > 30


# Not "sellertrust and what it needs", nor the first line of a checkpoint's signed text.
_SHOWN = r"(?<![\w/.\[-])sellertrust (?!and |checkpoint )([a-z]+)(?: ([a-z]+(?:-[a-z]+)*))?([^`|&#\n]*)"


def test_every_row_of_a_table_is_one_line() -> None:
    lines = (line for page in PAGES for line in page.read_text().split("\n"))
    assert [line for line in lines if line[:1] == "|" != line[-1:]] == []


def test_every_link_between_documents_leads_somewhere() -> None:
    assert docs_in_step.dead_links() == []


def test_the_tour_is_at_most_1500_lines() -> None:
    assert 500 < count_lines((DOCS / "tour.md").read_text()) <= MAX_LINES


def test_the_readme_names_only_settings_that_exist() -> None:
    from service.settings import describe, load

    known = {row.variable for row in describe(load({}))}
    text = (ROOT / "README.md").read_text()
    stated = {name.rstrip("_") for name in re.findall(r"SELLERTRUST_[A-Z_]+", text)}
    assert stated <= known


def test_the_changelog_begins_with_the_version() -> None:
    releases = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    assert releases[0].startswith(f"{VERSION} (")
    assert max(len(release.splitlines()) for release in releases) <= 40
    for file in (ROOT / "pyproject.toml", ROOT / "proto" / "pyproject.toml"):
        assert tomllib.loads(file.read_text())["project"]["dynamic"] == ["version"]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_readme_and_the_pages_on_the_demo(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    update = pytestconfig.getoption("update_docs")
    data = tmp_path / ".local/share/sellertrust"  # where it is by default; the pages name the demo's folder in it
    own = {"HOME": str(tmp_path), "SELLERTRUST_DATA_DIR": str(data), "DEV_VENV": sys.prefix, "COLUMNS": "80"}
    follow(ROOT / "README.md", tmp_path / "readme", update=update, near=0.02, at=ROOT, **own)
    for name in ("tutorials/first-score", "tutorials/policy", "how-to/monitor"):
        follow(DOCS / f"{name}.md", tmp_path / name, update=update, near=0.04, at=ROOT, **own)


def test_every_benchmark_that_is_named_exists() -> None:
    known = benchmarks()
    found = [
        match for page in PAGES for match in re.findall(r"`./dev bench ([\w-]+)(?: --only (\w+))?", page.read_text())
    ]
    assert len(found) > 10
    for name, part in found:
        assert name in known
        assert not part or part in import_module(f"tests.bench.{name.replace('-', '_')}").PARTS, part


@pytest.mark.long
def test_the_page_on_authorities(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    follow(DOCS / "how-to" / "authorities.md", tmp_path, at=ROOT, update=pytestconfig.getoption("update_docs"))


@pytest.mark.parametrize(
    ("shown", "near"), [("about 40 rows of 7", 0.03), ("41 rows of 7", 0.03), ("41 rows of 8", 0.0)]
)
def test_a_block_of_output_that_differs_fails(shown: str, near: float, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`a.txt`:\n\n```csv\n40 rows of 8\n1 more\n```\n\n```sh\nexport NAME=a.txt\n```\n\n```sh\ncat $NAME\n```\n\n"
        f"<!-- output | head -1 -->\n```text\n{shown}\n```\n"
    )
    with pytest.raises(pytest.fail.Exception, match="--update-docs writes it"):
        follow(page, tmp_path / "first", update=False, near=near)
    follow(page, tmp_path / "second", update=True, near=near)
    assert "```text\n40 rows of 8\n```" in page.read_text()
    follow(page, tmp_path / "third", update=False)


@pytest.mark.long
def test_the_script_that_explains_a_score_holds(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SELLERTRUST_")}
    environment |= {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "proto")])
    command = [sys.executable, "-W", "error", str(DOCS / "tutorials" / "explaining_one_score.py")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []

"""The notebook runs from the first cell to the last, and is the same as its script."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

from tests.docs_in_step import DOCS

NOTEBOOKS = DOCS / "notebooks"
SCRIPT = NOTEBOOKS / "explaining_one_sellers_score.py"
MEND = "run: jupytext --sync docs/notebooks/*.py"


def cells(path: Path) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]


@pytest.mark.long
def test_the_notebook_runs_and_every_claim_of_it_holds(tmp_path: Path) -> None:
    """As a script, in a process of its own, from any folder; it leaves nothing behind."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SELLERTRUST_")}
    environment |= {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    environment["PYTHONPATH"] = os.pathsep.join([str(DOCS.parent), str(DOCS.parent / "proto")])
    done = subprocess.run(
        [sys.executable, "-W", "error", SCRIPT],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n") > 5
    assert list(tmp_path.iterdir()) == []


def test_the_notebook_holds_the_cells_of_its_script_and_no_output() -> None:
    """So that a review reads the script, and a notebook stays small."""
    path = SCRIPT.with_suffix(".ipynb")
    assert cells(path) == cells(SCRIPT), MEND
    notebook = jupytext.read(path)
    assert [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []
    assert notebook.metadata["jupytext"]["formats"] == "ipynb,py:percent"
    assert path.stat().st_size < 50_000


def test_the_notebook_asserts_in_most_of_its_sections() -> None:
    """A claim in prose that no cell computes is an opinion."""
    sections = re.split(r"^# #+ ", SCRIPT.read_text(), flags=re.MULTILINE)[2:]
    assert sum("assert " in section for section in sections) > 0.7 * len(sections)


def test_every_link_of_the_notebook_leads_somewhere() -> None:
    """Relative ones, in its prose."""
    for target in re.findall(r"\]\(([^)#]+)\)", SCRIPT.read_text()):
        assert "://" in target or (NOTEBOOKS / target).exists(), target

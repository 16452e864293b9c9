"""Following a page of the documents: its files are written, its commands are run, and what it shows is looked for."""

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.service.shells import serving, shell_of

_BLOCK = re.compile(r"(?:`([\w.]+)`:\n\n)?```(\w+)\n(.*?)```", re.DOTALL)


def followed(page: Path, folder: Path, *, marketplace: str, data: str, ignoring_numbers: bool = False) -> int:
    """Runs every `sh` block of a page in an empty folder; how many lines of its `text` blocks were found.

    A block after a line that ends with a file's name and a colon is written to that file. Each line of a `text` block must
    be in what the last `sh` block printed; with `ignoring_numbers` digits, digests and blanks may differ, but AUCs, and
    whatever else has four decimals, by no more than NEAR.
    """
    (folder / "bin").mkdir()
    command = folder / "bin" / "sellertrust"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from service.cli import main; main()" "$@"\n')
    command.chmod(0o755)
    shell = shell_of(folder / data, marketplace=marketplace)
    environment = shell.environment | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "COLUMNS": "400"}
    form = _without_numbers if ignoring_numbers else str
    printed, found = "", 0
    with ExitStack() as stack:
        for name, kind, block in _BLOCK.findall(page.read_text()):
            if name:
                (folder / name).write_text(block)
            elif kind == "text":
                for line in block.splitlines():
                    alike = [said for said in printed.splitlines() if form(line) in form(said)]
                    is_shown = any(map(partial(_near, line), alike)) if ignoring_numbers else alike
                    assert is_shown, f"not printed: {line}\n{printed}"
                    found += 1
            elif kind == "sh" and block.startswith("export"):
                assert f'SELLERTRUST_DATA_DIR="$PWD/{data}" SELLERTRUST_MARKETPLACE={marketplace}' in block
            elif kind == "sh" and block.startswith("sellertrust serve"):
                environment["SELLERTRUST_TARGET"] = stack.enter_context(serving(shell, folder))
            elif kind == "sh":
                done = subprocess.run(
                    ["/bin/sh", "-e", "-c", block],
                    cwd=folder,
                    env=environment,
                    text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=240,
                    check=False,
                )
                assert done.returncode == 0, done.stdout
                printed = done.stdout
    return found


def _without_numbers(text: str) -> str:
    """The text with digests, names of users and numbers as #, and single blanks; lines stay."""
    text = re.sub(r"[0-9a-f]{12,}|\d[\d.,:TZ-]*", "#", text)
    return re.sub(r"[ \t]+", " ", text)


NEAR = 0.02
_FOUR_DECIMALS = re.compile(r"(?<![\d.])-?\d+\.\d{4}(?!\d)")


def _near(shown: str, said: str) -> bool:
    """Whether the numbers of four decimals in two lines are about the same, one by one."""
    ours, theirs = ([float(text) for text in _FOUR_DECIMALS.findall(line)] for line in (shown, said))
    return len(ours) == len(theirs) and all(abs(a - b) <= NEAR for a, b in zip(ours, theirs, strict=True))

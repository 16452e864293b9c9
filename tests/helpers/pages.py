"""Run the commands of a documents' page in order, and compare their output with the page.

A block of output follows the comment `<!-- output -->`. It holds the output of the commands before it, through a filter
if the comment names one: `<!-- output | grep points -->`. `<!-- NAME.svg | COMMAND -->` names a picture that a command
draws from it. `./dev test --all tests/test_docs.py tests/test_docs_of_training.py --update-docs` writes both; without
the option the test fails if one differs.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import unified_diff
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.helpers.shells import shell_of

_BLOCK = re.compile(
    r"(?P<head>(?:<!-- output(?P<filter>[^\n]*?) -->\n|`(?P<file>[\w.]+)`:\n\n)?```(?P<kind>\w+)\n)(?P<text>.*?)```"
    r"|<!-- (?P<picture>\S+\.svg)(?P<draw> \|[^\n]*) -->",
    re.DOTALL,
)
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
ADDRESS = "127.0.0.1:50051"
"""The server's address in the documents; a run replaces it by a free one."""
SECONDS = 300


def follow(
    page: Path, folder: Path, *, update: bool, near: float = 0.0, at: Path | None = None, **setting: str
) -> None:
    """Run a page's command blocks, in `at` or else in the empty `folder`; compare or write its output blocks.

    A block after a line that ends with a file's name and a colon is written to that file. `near`: allowed relative
    difference of numbers, for models whose last bits depend on the processor.
    """
    scratch = folder / "bin"
    scratch.mkdir(parents=True)
    command = scratch / "sellertrust"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from service.cli import main; main()" "$@"\n')
    command.chmod(0o755)
    printed, found = "", {}

    def run_block(match: re.Match[str]) -> str:
        nonlocal printed
        kind, text = match["kind"], match["text"]
        if match["picture"]:
            found[page.parent / match["picture"]] = filtered(match["draw"])
            return match[0]
        if match["file"]:
            (folder / match["file"]).write_text(text)
        elif match["filter"] is not None:
            text = filtered(match["filter"])
        elif kind in ("sh", "python"):
            printed = run(text if kind == "sh" else f"'{sys.executable}' - <<'END'\n{text}END\n")
        else:
            assert kind != "text", f"{page.name}: a block of output without `<!-- output -->` before it:\n{text}"
        return f"{match['head']}{text}```"

    def filtered(pipeline: str) -> str:
        (scratch / "printed").write_text(printed)
        return re.sub(" +$", "", run(f"cat '{scratch}/printed'{pipeline}\n"), flags=re.MULTILINE)

    with _shell(at or folder, scratch, setting) as run:
        found[page] = _BLOCK.sub(run_block, page.read_text())
    for path, text in found.items():
        if update:
            path.write_text(text)
        shown, new = path.read_text().split("\n"), text.split("\n")
        if len(shown) != len(new) or not all(map(partial(_are_alike, near=near), shown, new)):
            difference = "\n".join(unified_diff(shown, new, n=0, lineterm=""))
            pytest.fail(f"{path.name} is not what is printed; --update-docs writes it\n{difference}")


@contextmanager
def _shell(at: Path, scratch: Path, setting: dict[str, str]) -> Iterator[Callable[[str], str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = shell_of(scratch / "data", address=address, target=address).environment
    environment |= {"PATH": f"{scratch}:{os.environ['PATH']}", "COLUMNS": "400", **setting}
    shell = subprocess.Popen(
        ["/bin/sh"], cwd=at, env=environment, stdin=subprocess.PIPE, text=True, start_new_session=True
    )
    assert shell.stdin is not None
    stdin, numbers = shell.stdin, count()

    def run(block: str) -> str:
        script, output, done = (scratch / f"{next(numbers)}.{end}" for end in ("sh", "out", "done"))
        script.write_text(block.replace(ADDRESS, address))
        stdin.write(f"set -e; . '{script}' </dev/null >'{output}' 2>&1; set +e; : >'{done}'\n")
        stdin.flush()
        serves = block.rstrip().endswith("&")
        _wait_until(lambda: shell.poll() is not None or (done.exists() and (not serves or _answers(address))), output)
        assert shell.poll() is None, f"{block}\n{output.read_text()}"
        return output.read_text().replace(address, ADDRESS)

    try:
        yield run
    finally:
        stdin.close()
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
        shell.wait()
        _wait_until(lambda: not _is_group(shell.pid), scratch / "0.out")


def _wait_until(holds: Callable[[], bool], output: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.02)


def _is_group(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


def _answers(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def _are_alike(shown: str, printed: str, *, near: float) -> bool:
    if not near:
        return shown == printed
    words, numbers = zip(
        *((_NUMBER.sub("#", line).split(), _NUMBER.findall(line)) for line in (shown, printed)), strict=True
    )
    pairs = [[float(text.replace(",", "")) for text in pair] for pair in zip(*numbers, strict=False)]
    return words[0] == words[1] and all(abs(ours - theirs) <= near * max(1, ours, theirs) for ours, theirs in pairs)

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.processes import COMMAND
from tests.helpers.shells import Shell, lines_of

pytestmark = pytest.mark.long


def identities(prefix: str, count: int) -> list[str]:
    fact = '"occur_time": "2026-01-01T00:00:00Z", "identity": {"level": "business"}'
    return [f'{{"entry_id": "{prefix}-{n}", "seller": "{prefix}", {fact}}}' for n in range(count)]


@contextmanager
def running(shell: Shell, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=shell.environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_file_beyond_one_batch_is_refused(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "entries.jsonl"
    file.write_text("\n".join(identities("long", 10_001)))
    assert "FILE: has more than 10,000 entries; split it" in shell.error(2, "ledger", "append", file)


def test_a_watch_prints_entries_and_says_where_to_go_on(shell: Shell) -> None:
    [*_, before] = shell.json("ledger", "append", "-", stdin=lines_of("seen", "v-seen"))
    options = ("--seller", "seen", "--after", before["sequence"] - 1, "-o", "json")
    with running(shell, "ledger", "list", "--follow", *options) as watch:
        assert json.loads(watch.stdout.readline())["entry_id"] == "v-seen"
        shell("ledger", "append", "-", stdin=lines_of("unseen"))
        decision = ("--actor", "staff", "--reason", "test buy: fake", "--entry-id", "d-seen")
        shell("violation", "decide", "v-seen", "confirm", *decision)
        seen = json.loads(watch.stdout.readline())
        assert (seen["entry_id"], seen["status"]["action"], seen["seller"]) == ("d-seen", "ACTION_CONFIRM", "seen")
        watch.send_signal(signal.SIGINT)
        stdout, stderr = watch.communicate(timeout=60)
        assert (watch.returncode, stdout) == (130, "")
        assert f"--after {seen['sequence']}" in stderr
        assert "Traceback" not in stderr
        assert "interrupted" not in stderr


def test_a_watch_ends_with_its_reader(shell: Shell) -> None:
    shell("ledger", "append", "-", stdin=lines_of("tabled", "v-tabled"))
    with running(shell, "ledger", "list", "--follow", "--seller", "tabled") as watch:
        assert [json.loads(watch.stdout.readline())["seller"] for _ in range(3)] == ["tabled"] * 3
        watch.stdout.close()
        shell("ledger", "append", "-", stdin="\n".join(identities("tabled", 1)))
        assert watch.wait(60) == 0

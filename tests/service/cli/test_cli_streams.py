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


def test_a_long_file_is_appended_as_a_stream_and_once(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "entries.jsonl"
    file.write_text("\n".join(identities("long", 12_345)))
    first = shell.json("ledger", "append", file)
    assert first == {
        "entries": 12_345,
        "appended": 12_345,
        "already_present": 0,
        "waits": 0,
        "refused": 0,
        "sequence": first["sequence"],
    }
    again = shell.json("ledger", "append", file)
    assert (again["appended"], again["already_present"], again["sequence"]) == (0, 12_345, first["sequence"])
    _, told = shell("ledger", "append", file)
    assert "append: done in" in told


def test_a_stream_names_refused_lines_and_appends_the_rest(shell: Shell) -> None:
    lines = ["", *identities("part", 10_500)]
    lines[1_205] = lines[1_205].replace("part-1204", "part 1204")
    stdout, stderr = shell("ledger", "append", "-", "-o", "json", stdin="\n".join(lines), code=4)
    done = json.loads(stdout)
    assert (done["entries"], done["appended"], done["refused"]) == (10_500, 9_500, 1_000)
    assert "lines 1002 to 2001: " in stderr
    assert "line 1206, entry_id: must be" in stderr
    lines[1_205] = lines[1_205].replace("part 1204", "part-1204")
    lines[2_300] = '{"seller": 5}'
    told = shell.error(2, "ledger", "append", "-", stdin="\n".join(lines))
    assert "line 2301: is not an entry" in told
    assert "2,000 entries are recorded" in told


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

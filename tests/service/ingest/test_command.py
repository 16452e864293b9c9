import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.ledger.store import Ledger
from tests.helpers.brokers import kafka, produce
from tests.helpers.payloads import MARKET, bare, exposure
from tests.helpers.processes import COMMAND
from tests.helpers.shells import SECONDS, Shell, bare_shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return bare_shell(tmp_path)


@pytest.fixture
def servers() -> Iterator[str]:
    with kafka() as servers:
        yield servers


def last(folder: Path) -> int:
    with Ledger.open(f"sqlite:///{folder / 'data' / 'ledger.db'}") as ledger:
        return ledger.last()[0]


@pytest.mark.long
def test_a_topic_is_fed_to_its_end_and_then_on_from_there(shell: Shell, tmp_path: Path) -> None:
    with kafka() as servers:
        produce(servers, "facts", [(n % 2, exposure(n)) for n in range(20)])
        (tmp_path / "settings").write_text("# none of these is secret\nfetch.wait.max.ms = 50\n\n")
        feed = ("ledger", "feed", f"kafka://{servers}/facts", "--once", "--credentials", tmp_path / "settings")
        counts = {"appended": 20, "already_present": 0, "rejected": 0, "positions": {"0": 10, "1": 10}}
        assert shell.json(*feed) == counts
        assert shell.json(*feed) == counts | {"appended": 0}
        assert shell.json(*feed, "--source", "anew") == counts | {"appended": 0, "already_present": 20}
    assert last(tmp_path) == 20


@pytest.mark.long
def test_rejected_messages_are_4_and_named_with_their_file(shell: Shell, servers: str, tmp_path: Path) -> None:
    produce(servers, "facts", [(0, bare("v-1")), (0, b"junk")])
    table, said = shell("ledger", "feed", f"kafka://{servers}/facts", "--once", code=4)
    path = tmp_path / "data" / "facts.rejects.jsonl"
    assert f"error: 1 messages were rejected; mend them and send them again: {path}" in said
    assert "0:2" in table
    assert [json.loads(line)["position"] for line in path.read_text().splitlines()] == [1]
    assert last(tmp_path) == 1


@pytest.mark.long
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_feed_that_is_told_to_stop_commits_counts_and_is_0(
    shell: Shell, servers: str, tmp_path: Path, end: int
) -> None:
    produce(servers, "facts", [*((0, exposure(n)) for n in range(10)), (0, b"junk")])
    command = [*COMMAND, "ledger", "feed", f"kafka://{servers}/facts", "-m", MARKET, "-o", "json"]
    with subprocess.Popen(
        command, env=shell.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        rejects = tmp_path / "data" / "facts.rejects.jsonl"
        deadline = time.monotonic() + SECONDS
        while not rejects.exists() or last(tmp_path) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(end)
        told, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, json.loads(told)["positions"]) == (0, {"0": 11}), said
    assert f"1 messages rejected so far, kept in {rejects}" in said
    assert shell.json("ledger", "feed", f"kafka://{servers}/facts", "--once")["appended"] == 0


@pytest.mark.long
@pytest.mark.parametrize(
    "url",
    [
        "facts",
        "http://localhost:80/facts",
        "kafka://localhost/facts",
        "kafka://localhost:9092",
        "kafka://localhost:9092/a/b",
        "kafka://localhost:9092/a?subject=b",
        "nats://localhost:4222/A",
    ],
)
def test_a_url_that_names_no_source_is_2_and_shows_the_forms(shell: Shell, url: str) -> None:
    assert "must be kafka://HOST:PORT[,HOST:PORT]/TOPIC" in shell.error(2, "ledger", "feed", url)


def test_a_password_in_the_url_is_refused_and_not_repeated(shell: Shell) -> None:
    said = shell.error(2, "ledger", "feed", "kafka://u:secret@localhost:9092/facts")
    assert "--credentials" in said
    assert "secret" not in said
    for url in ("kafka://u:secret\u2100@localhost:1/x", "kafka://u:secret@[::1/x"):
        said = shell.error(2, "ledger", "feed", url)
        assert "must be kafka://HOST:PORT" in said
        assert "secret" not in said


@pytest.mark.long
def test_missing_credentials_are_2_and_missing_settings_are_6(shell: Shell, tmp_path: Path) -> None:
    feed = ("ledger", "feed", "kafka://localhost:1/facts", "--credentials", tmp_path / "settings")
    assert "does not exist" in shell.error(2, *feed)
    (tmp_path / "settings").write_text("security.protocol\n")
    assert "must hold key=value on every line" in shell.error(6, *feed)


@pytest.mark.long
def test_entries_are_imported_from_json_lines(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "entries.jsonl").write_bytes(b"\n".join([bare("v-1"), b"{}", exposure(1)]))
    rejects = tmp_path / "bad.csv"
    said = shell.error(4, "ledger", "import", tmp_path / "entries.jsonl", "--rejects", rejects)
    assert "2 entries appended to acme, 0 were there already" in said
    assert rejects.read_text().splitlines()[1].startswith('entries.jsonl,2,"entry.fact: must state one fact')
    assert last(tmp_path) == 2


def test_a_queue_beside_json_lines_is_refused(shell: Shell, tmp_path: Path) -> None:
    """Their entries name their sellers, so the queue would wait forever."""
    (tmp_path / "entries.jsonl").write_bytes(bare("v-1"))
    (tmp_path / "queue.csv").touch()
    said = shell.error(2, "ledger", "import", tmp_path / "entries.jsonl", "--matched", tmp_path / "queue.csv")
    assert "error: --matched: belongs to a mapping" in said
    assert not (tmp_path / "data" / "ledger.db").exists()


@pytest.mark.long
def test_neither_feed_nor_import_writes_beside_a_server(shell: Shell, servers: str, tmp_path: Path) -> None:
    produce(servers, "facts", [(0, bare("v-1"))])
    (tmp_path / "entries.jsonl").write_bytes(bare("v-2"))
    (tmp_path / "data").mkdir()
    feed = ("ledger", "feed", f"kafka://{servers}/facts", "--once")
    with Ledger.open(f"sqlite:///{tmp_path / 'data' / 'ledger.db'}", create=True, serving=True):
        for command in (feed, ("ledger", "import", tmp_path / "entries.jsonl")):
            assert "append through the server (sellertrust ledger append), or stop it first" in shell.error(6, *command)
    assert shell.json(*feed)["appended"] == 1
    shell("ledger", "import", tmp_path / "entries.jsonl")
    assert last(tmp_path) == 2

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from scoring.base.enums import Action, Status
from scoring.base.errors import ConfigurationWrong, LifecycleForbids
from service.ledger.database import one_writer
from service.ledger.database.one_writer import WriterLock
from service.ledger.database.schema import upgrade
from service.ledger.records import RecordedEntry
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock, exposure, identity, status, violation
from tests.helpers.ledgers import verify
from tests.helpers.limits import Limit
from tests.helpers.moments import at_once

ROOT = Path(__file__).parents[3]


def writer(url: str, name: str, batches: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.service.ledger.writer", url, name, str(batches)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def start(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def recorded(ledger: Ledger) -> list[RecordedEntry]:
    return ledger.entries.list(MARKET, ledger.cut(), limit=10_000)


def assert_gapless(found: list[RecordedEntry]) -> None:
    assert [one.sequence for one in found] == list(range(1, len(found) + 1))
    times = [one.record_time for one in found]
    assert times == sorted(times)


def test_of_contradicting_decisions_one_wins(url: str, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as one, Ledger.open(url, clock=clock) as other:
        one.append(MARKET, [violation(f"v{n}") for n in range(20)])
        for n in range(20):
            outcomes = at_once(
                lambda n=n: one.append(MARKET, [status(f"v{n}", Action.CONFIRM)]),  # type: ignore[misc]
                lambda n=n: other.append(MARKET, [status(f"v{n}", Action.DISMISS)]),  # type: ignore[misc]
            )
            refused = [outcome for outcome in outcomes if isinstance(outcome, LifecycleForbids)]
            assert len(refused) == 1
            view = one.violations.find(MARKET, f"v{n}", one.cut())
            assert view.status is (Status.DISMISSED if outcomes[0] is refused[0] else Status.CONFIRMED)
            assert len(view.entries) == 2


def test_the_same_entry_from_two_servers_is_recorded_once(url: str, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as one, Ledger.open(url, clock=clock) as other:
        for n in range(20):
            batch = [identity(f"i{n}"), exposure(entry_id=f"e{n}", revision=n)]
            first, second = at_once(lambda b=batch: one.append(MARKET, b), lambda b=batch: other.append(MARKET, b))  # type: ignore[misc]
            assert isinstance(first, list)
            assert isinstance(second, list)
            assert [done[1:3] for done in first] == [done[1:3] for done in second]
            assert {first[0].already_present, second[0].already_present} == {False, True}
        assert_gapless(recorded(one))


@pytest.mark.long
def test_processes_share_a_database(url: str) -> None:
    with Ledger.open(url) as ledger:
        ledger.append(MARKET, [violation("v1")])
    processes = [writer(url, name, 25) for name in ("a", "b")]
    for process in processes:
        start(process)
    with Ledger.open(url) as ledger:
        for n in range(25):
            ledger.append(MARKET, [identity(f"here-{n}")])
    with Ledger.open(url) as ledger:
        won = [int(process.communicate(timeout=60)[0].split()[-1]) for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        assert sum(won) == 1
        found = recorded(ledger)
        assert_gapless(found)
        assert len(found) == 1 + 2 * 25 * 3 + 25 + 1


SERVER = "import sys; from service.ledger.store import Ledger; l = Ledger.open(sys.argv[1], serving=True)"
COMMAND = (
    "import sys; from service.ledger.store import Ledger; from tests.helpers.builders import *; l = Ledger.open(sys.argv[1]);"
    " l.append(MARKET, [identity('theirs')])"
)


@contextmanager
def holding(url: str, work: str) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-c", f"{work}; print(1, flush=True); sys.stdin.read(); l.close()", url]
    holder = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "1\n"
        yield holder
    finally:
        holder.kill()
        holder.wait()
        for pipe in (holder.stdin, holder.stdout):
            assert pipe
            pipe.close()


def server(url: str) -> "AbstractContextManager[subprocess.Popen[str]]":
    return holding(url, SERVER)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "ledger.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.mark.long
def test_beside_a_server_others_read_and_do_not_write(file: Path) -> None:
    link = file.with_name("link.db")
    link.symlink_to(file)
    with server(f"sqlite:///{file}"):
        for url in (f"sqlite:///{file}", f"sqlite:///{link}"):
            with Ledger.open(url) as ledger:
                with pytest.raises(ConfigurationWrong, match=r"sellertrust ledger append.*or stop it"):
                    ledger.append(MARKET, [violation("v1")])
                assert verify(ledger).mismatch is None
                assert ledger.entries.list(MARKET, ledger.cut()) == []
            with pytest.raises(ConfigurationWrong, match="sellertrust ledger append"):
                upgrade(url)
            with pytest.raises(ConfigurationWrong, match=r"another server has .* stop it"):
                Ledger.open(url, serving=True)


@pytest.mark.long
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_dies_leaves_no_lock(file: Path, end: int) -> None:
    url = f"sqlite:///{file}"
    with server(url) as holder:
        os.kill(holder.pid, end)
        holder.wait()
        with Ledger.open(url) as ledger:
            ledger.append(MARKET, [violation("v1")])
        Ledger.open(url, serving=True).close()
    assert [path.name for path in file.parent.iterdir()] == ["ledger.db"]


@pytest.mark.long
def test_a_server_does_not_start_while_a_local_command_writes(file: Path) -> None:
    url = f"sqlite:///{file}"
    with Ledger.open(url) as local, Ledger.open(url) as other:
        local.append(MARKET, [violation("v1")])
        other.append(MARKET, [violation("v2")])
        with pytest.raises(ConfigurationWrong, match=r"another local command is writing .* start the server again"):
            Ledger.open(url, serving=True)
    Ledger.open(url, serving=True).close()


@pytest.mark.long
def test_of_two_writing_commands_the_second_waits(file: Path, limit: Limit) -> None:
    url = f"sqlite:///{file}"
    limit(one_writer, COMMAND_PATIENCE_SECONDS=0.3)  # saves 5 s
    with holding(url, COMMAND), Ledger.open(url) as second:
        with pytest.raises(ConfigurationWrong, match=r"another local command is writing to .* run this command again"):
            second.append(MARKET, [identity("ours")])
        assert second.last()[0] == 1


@pytest.mark.long
def test_a_local_command_goes_on_when_the_one_it_waits_for_ends(file: Path) -> None:
    url = f"sqlite:///{file}"
    with holding(url, COMMAND) as first, Ledger.open(url) as second:
        assert first.stdin
        ending = threading.Timer(1.5 * one_writer.PATIENCE_SECONDS, first.stdin.close)
        ending.start()
        second.append(MARKET, [identity("ours")])
        ending.join()
        assert second.last()[0] == 2
    assert [path.name for path in file.parent.iterdir()] == ["ledger.db"]


def test_who_only_read_does_not_keep_a_server_from_starting(file: Path) -> None:
    with Ledger.open(f"sqlite:///{file}") as reader, Ledger.open(f"sqlite:///{file}", serving=True) as serving:
        serving.append(MARKET, [violation("v1")])
        assert reader.last()[0] == 1


def test_a_ledger_that_is_closed_is_one_file_again(file: Path) -> None:
    """A removed lock file would admit a server beside other holders in the process."""
    with Ledger.open(f"sqlite:///{file}") as first:
        first.append(MARKET, [violation("v1")])
        with Ledger.open(f"sqlite:///{file}") as second:
            second.append(MARKET, [violation("v2")])
        assert file.with_name("ledger.db.lock").exists()
    assert [path.name for path in file.parent.iterdir()] == ["ledger.db"]


@pytest.mark.long
def test_a_lock_whose_file_was_removed_meanwhile_is_no_lock(file: Path) -> None:
    before, after = WriterLock(file), WriterLock(file)

    class Late(WriterLock):
        def _open_file(self) -> int | None:
            descriptor = super()._open_file()
            before.release()
            after.claim()
            return descriptor

    before.claim()
    with pytest.raises(ConfigurationWrong, match="another server"):
        Late(file).claim()
    after.release()
    assert [path.name for path in file.parent.iterdir()] == ["ledger.db"]


@pytest.mark.long
def test_a_lock_is_held_until_its_file_is_removed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise its holder would remove the file of the next holder."""
    lock, unlink = WriterLock(file), Path.unlink

    def try_and_unlink(path: Path) -> None:
        with pytest.raises(ConfigurationWrong, match="another server"):
            WriterLock(file).claim()
        unlink(path)

    lock.claim()
    monkeypatch.setattr(Path, "unlink", try_and_unlink)  # another process tries at this very moment
    lock.release()
    assert [path.name for path in file.parent.iterdir()] == ["ledger.db"]


def test_without_locks_the_ledger_works_and_says_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(descriptor: int, operation: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr("fcntl.flock", refused)  # no test machine has such a folder
    with Ledger.open(f"sqlite:///{file}", serving=True) as ledger:
        ledger.append(MARKET, [violation("v1")])
        assert [caution for caution in ledger.list_cautions() if "no file locks" in caution]
    assert [path.name for path in file.parent.iterdir()] == ["ledger.db"]

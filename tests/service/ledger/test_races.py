import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scoring.base.enums import Action, Status
from scoring.base.errors import LifecycleForbids
from service.ledger.records import RecordedEntry
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock, exposure, identity, status, violation

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


def at_once(*calls: Callable[[], object]) -> list[object]:
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        together.wait()
        try:
            return call()
        except Exception as error:  # noqa: BLE001 (the caller looks at it)
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


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

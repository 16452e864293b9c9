"""A change of the day under load, with and without the next day's generation: the minute after over the minute before."""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from scoring.base.time import DAY, SECOND
from sellertrust.client import Client
from service.bootstrap import build_scorer
from service.ledger.clock.server_clock import wall_clock
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.registry.registry import Registry
from service.scale.rescoring import RescoringParts
from service.settings import load as load_settings
from tests.bench._overload import Show
from tests.helpers.filled import fill
from tests.helpers.generations import rescored_by
from tests.helpers.load import SCORE, requests_of
from tests.helpers.models import publish
from tests.helpers.servers import MARKET

SECONDS = 60.0
SELLERS = 2_000
RATE = 150.0
DEADLINE_SECONDS = 2.0


class Asked(NamedTuple):
    began: float
    seconds: float
    code: str


def run(show: Show, seconds: float = SECONDS, sellers: int = SELLERS) -> None:
    for kind in ("without_generation", "with_generation"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            publish(Registry(folder / "registry"))
            with Ledger.open(f"sqlite:///{folder}/ledger.db", create=True) as ledger:
                fill(ledger, sellers)
            now = wall_clock()
            midnight = (now // DAY + 2) * DAY
            noon = midnight - DAY // 2 - now
            with _serving(folder, noon) as server:
                if kind == "with_generation":
                    _make_next_day(folder, noon)
                found, counts = _pass_midnight(server, midnight, seconds, sellers)
            _show(show, f"midnight.{kind}", found, counts)


def _pass_midnight(server: "Server", midnight: int, seconds: float, sellers: int) -> tuple[list[Asked], dict[str, int]]:
    with Client(server.address, deadline_seconds=60) as client:
        names = [f"s{number}" for number in range(sellers)]
        for first in range(0, sellers, 500):
            client.batch_get_trust_scores(MARKET, names[first : first + 500])
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench._midnight", server.address, str(2 * seconds), str(sellers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as load:
        assert load.stdout is not None
        load.stdout.readline()
        before = server.counts(midnight - round(seconds * SECOND) - wall_clock())
        began = time.monotonic() + seconds
        asked, _ = load.communicate("\n")
    after = server.counts()
    found = [Asked(start - began, took, code) for start, took, code in json.loads(asked)]
    return found, {name: after[name] - before[name] for name in after}


def _make_next_day(folder: Path, shift: int) -> None:
    policy = load_policy(load_settings({}))
    with Ledger.open(f"sqlite:///{folder}/ledger.db", clock=lambda: wall_clock() + shift) as ledger:
        opened = RescoringParts(ledger, build_scorer(ledger, policy, Registry(folder / "registry")))
        rescored_by(opened, folder / "generations", 1)


def _show(show: Show, name: str, found: list[Asked], counts: dict[str, int]) -> None:
    codes = Counter(asked.code for asked in found)
    show(f"{name}.tries", len(found))
    show(f"{name}.failed", len(found) - codes["OK"])
    for code in sorted(codes.keys() - {"OK"}):
        show(f"{name}.{code.lower()}", codes[code])
    for key, number in counts.items():
        show(f"{name}.{key}", number)
    before, after = (
        statistics.quantiles([asked.seconds for asked in found if (asked.began >= 0) is is_after], n=100)[98]
        for is_after in (False, True)
    )
    show(f"{name}.p99_before_ms", round(before * 1e3, 2))
    show(f"{name}.p99_after_ms", round(after * 1e3, 2))
    show(f"{name}.p99_after_over_before", round(after / before, 2))


class Server:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.address = self._read()["address"]

    def counts(self, shift: int | None = None) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write("\n" if shift is None else f"{shift}\n")
        self._process.stdin.flush()
        found: dict[str, int] = self._read()
        return found

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@contextmanager
def _serving(folder: Path, shift: int) -> Iterator[Server]:
    command = [sys.executable, "-m", "tests.bench._midnight_server", str(folder), str(shift)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


def _ask(address: str, seconds: float, sellers: int) -> list[tuple[float, float, str]]:
    found: list[tuple[float, float, str]] = []
    requests, chance = requests_of(SCORE, sellers), random.Random(17)
    with Client(address, service_config={}) as client:
        stub = client.channel.unary_unary(f"/sellertrust.v1.{SCORE}")
        stub(requests[0], timeout=30)
        print("ready", flush=True)
        sys.stdin.readline()
        started = time.monotonic()
        calls = 0
        while (now := time.monotonic()) - started < seconds:
            if now - started < calls / RATE:
                time.sleep(0.001)
                continue
            calls += 1

            def end(call: Any, began: float = now) -> None:
                found.append((began, time.monotonic() - began, call.code().name))

            stub.future(chance.choice(requests), timeout=DEADLINE_SECONDS).add_done_callback(end)
        deadline = time.monotonic() + DEADLINE_SECONDS + 5
        while len(found) < calls and time.monotonic() < deadline:
            time.sleep(0.01)
    return found


if __name__ == "__main__":
    print(json.dumps(_ask(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))))

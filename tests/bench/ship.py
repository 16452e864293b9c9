"""Ways to a first score, the clients, the memory of badges, servers on one address, traces, rolling restarts."""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import sellertrust
from sellertrust.aio import AsyncClient
from sellertrust.client import Client
from tests.bench._processes import free_address
from tests.bench._real_data import Say
from tests.bench._restarts import run as run_restarts
from tests.helpers.databases import database
from tests.helpers.filled import SELLERS, prepare
from tests.helpers.load import Plan, loading
from tests.helpers.servers import MARKET, exposure, identity
from tests.helpers.shells import serving, shell_of

ROOT = Path(__file__).parents[2]
CALLS = 2_000
AT_A_TIME = 32
SHARED_SECONDS = 5.0
PROCESSES = 2
RESTARTS = 20
PYTEST = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--all"]
PROOFS = {
    "curl.ok": ["tests/test_envoy.py"],
    "node.ok": ["tests/end_to_end/test_node.py"],
    "panels_and_alerts.ok": ["tests/test_deploy.py", "-k", "alert"],
}
"""By figure: the tests that prove it, 1 if they pass."""
FIRST_SCORE = (
    "import sellertrust\n"
    "from sellertrust.client import Entry, seller_name\n"
    "with sellertrust.local() as trust:\n"
    "    orders = {'day': '2026-01-31', 'settled_orders': 900}\n"
    "    trust.append_entries('m', [Entry(entry_id='1', seller=seller_name('m', 's'), exposure=orders)])\n"
    "    trust.get_trust_score('m', 's')\n"
)


def run(say: Say, calls: int = CALLS, seconds: float = SHARED_SECONDS, restarts: int = RESTARTS) -> dict[str, float]:
    figures: dict[str, float] = {}

    def show(name: str, value: float) -> None:
        figures[name] = round(value, 3)
        say(f"{name:34} {figures[name]:12,.3f}")

    show("first_score.local_s", seconds_of(_run_first_score))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        show("first_score.serve_s", seconds_of(lambda: _serve_first_score(folder)))
        _measure_packages(folder, show)
        with sellertrust.local() as client:
            client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1")])
            _measure_clients(client.target, show, calls)
        for servers in (1, 2):
            show(f"shared.calls_per_s.{servers}", _measure_shared(folder / str(servers), servers, seconds))
        _measure_traces(folder, show, seconds)
    for name, tests in PROOFS.items():
        show(name, subprocess.run([*PYTEST, *tests], cwd=ROOT, check=False, capture_output=True).returncode == 0)
    run_restarts(show, restarts)
    return figures


def _measure_traces(folder: Path, show: Callable[[str, float], None], seconds: float) -> None:
    found = {}
    for name, variables in (("off", {}), ("collector_away", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})):
        place = folder / name
        prepare(place)
        shell = shell_of(place)
        shell.environment.update(variables)
        with serving(shell, place) as address:
            plan = Plan(address, seconds, at_a_time=8, deadline_seconds=20, sellers=SELLERS, is_past=True)
            with loading([plan]) as loads:
                pass
        found[name] = loads[0].codes["OK"] / seconds
        show(f"traces.{name}.computed_per_s", found[name])
    show("traces.away_over_off", found["collector_away"] / found["off"])


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _run_first_score() -> None:
    subprocess.run([sys.executable, "-c", FIRST_SCORE], check=True, cwd=ROOT / "proto")


def _serve_first_score(folder: Path) -> None:
    with serving(shell_of(folder), folder, arguments=["--starter"]) as address, Client(address) as client:
        client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1")])
        client.get_trust_score(MARKET, "s1", deadline_seconds=30)


def _measure_packages(folder: Path, show: Callable[[str, float], None]) -> None:
    for name, project in (("wheel", ROOT), ("client_wheel", ROOT / "proto")):
        place = folder / name
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
        show(f"size.{name}_kb", next(place.iterdir()).stat().st_size / 1_000)
        shutil.rmtree(place)


def _measure_clients(target: str, show: Callable[[str, float], None], calls: int) -> None:
    with Client(target, deadline_seconds=30, badge_seconds=3_600) as client:

        def ask() -> None:
            for _ in range(calls // AT_A_TIME):
                client.get_trust_score(MARKET, "s1")

        def in_threads() -> None:
            threads = [Thread(target=ask) for _ in range(AT_A_TIME)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        ask()
        threaded = seconds_of(in_threads)
        client.get_trust_score(MARKET, "s1", use="badge")
        hits = seconds_of(lambda: [client.get_trust_score(MARKET, "s1", use="badge") for _ in range(calls)])
    looped = asyncio.run(_on_a_loop(target, calls))
    show("sync.calls_per_s", calls / threaded)
    show("async.calls_per_s", calls / looped)
    show("async_over_sync", threaded / looped)
    show("cache_hit_us", hits / calls * 1e6)


async def _on_a_loop(target: str, calls: int) -> float:
    async with AsyncClient(target, deadline_seconds=30) as client:

        async def ask() -> None:
            for _ in range(calls // AT_A_TIME):
                await client.get_trust_score(MARKET, "s1")

        await ask()
        began = time.perf_counter()
        await asyncio.gather(*[ask() for _ in range(AT_A_TIME)])
        return time.perf_counter() - began


def _measure_shared(folder: Path, servers: int, seconds: float) -> float:
    folder.mkdir()
    with ExitStack() as stack:
        url = stack.enter_context(database("postgresql", folder))
        prepare(folder, url)
        address = stack.enter_context(free_address())
        shell = shell_of(folder, database_url=url, address=address, share_address=True)
        for number in range(servers):
            place = folder / str(number)
            place.mkdir()
            stack.enter_context(serving(shell, place))
        plan = Plan(address, seconds, at_a_time=8, deadline_seconds=20, sellers=SELLERS, is_published=True)
        with loading([plan] * PROCESSES) as found:
            pass
        return sum(one.codes["OK"] for one in found) / seconds

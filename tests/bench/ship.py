"""Ways to a first score, the clients, the memory of badges, servers on one address, traces, rolling restarts."""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Thread

from sellertrust.aio import AsyncClient
from sellertrust.client import Client
from sellertrust.v1.trust_score_service_pb2 import GetTrustScoreRequest
from service.ledger.database.schema import upgrade
from service.ledger.store import Ledger
from tests.bench import scale
from tests.bench._h2load import h2load, write_body
from tests.bench._overload import Show
from tests.bench._processes import cpu_seconds, free_address, metrics_address
from tests.bench._real_data import Say
from tests.bench._restarts import run as run_restarts
from tests.bench.peers import METHOD, beside_echo, over_echo
from tests.helpers.builders import identity as identity_entry
from tests.helpers.databases import database
from tests.helpers.envoy import ENVOY
from tests.helpers.filled import SELLERS, prepare
from tests.helpers.load import SCORE, Plan, loading, requests_of
from tests.helpers.processes import COMMAND
from tests.helpers.servers import MARKET, exposure, identity, settings_of
from tests.helpers.shells import serving, shell_of

ROOT = Path(__file__).parents[2]
CALLS = 2_000
AT_A_TIME = 32
LOAD_SECONDS = 5.0
PROCESSES = 2
RESTARTS = 20
UPGRADES = 5
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


def run(say: Say, only: str = "") -> dict[str, float]:
    figures: dict[str, float] = {}

    def show(name: str, value: float) -> None:
        figures[name] = round(value, 3)
        say(f"{name:34} {figures[name]:12,.3f}")

    for name, measure in PARTS.items():
        if only in {"", name}:
            with tempfile.TemporaryDirectory() as folder:
                measure(Path(folder), show)
    return figures


def _measure_first_score(folder: Path, show: Show) -> None:
    show("first_score.local_s", seconds_of(_run_first_score))
    show("first_score.serve_s", seconds_of(lambda: _serve_first_score(folder)))
    command = [ROOT / "dev", "sellertrust"]
    show("first_score.dev_s", seconds_of(lambda: _serve_first_score(folder / "dev", command)))


def _measure_rescored(_: Path, show: Show) -> None:
    show("cpu_s_per_million.rescored", scale.run(print, "small")["growth.20000"])


def _prove(_: Path, show: Show) -> None:
    for name, tests in PROOFS.items():
        show(name, subprocess.run([*PYTEST, *tests], cwd=ROOT, check=False, capture_output=True).returncode == 0)


def _measure_traces(folder: Path, show: Show) -> None:
    found = {}
    for name, variables in (("off", {}), ("collector_away", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})):
        place = folder / name
        prepare(place)
        shell = shell_of(place)
        shell.environment.update(variables)
        with serving(shell, place) as address:
            plan = Plan(address, LOAD_SECONDS, at_a_time=8, deadline_seconds=20, sellers=SELLERS, is_past=True)
            with loading([plan]) as loads:
                pass
        found[name] = loads[0].codes["OK"] / LOAD_SECONDS
        show(f"traces.{name}.computed_per_s", found[name])
    show("traces.away_over_off", found["collector_away"] / found["off"])


def _measure_echo(folder: Path, show: Show) -> None:
    prepare(folder)
    seller = f"marketplaces/{MARKET}/sellers/s0"
    body = write_body(folder / "body", GetTrustScoreRequest(seller=seller).SerializeToString())
    url = f"sqlite:///{folder}/ledger.db"
    figures = beside_echo(folder, url, seller, body)
    if ENVOY is not None:
        settings = settings_of(data_dir=folder, database_url=url)
        figures |= over_echo(settings, seller, body, "get_over_echo_envoy", has_envoy=True)
    for name, value in figures.items():
        show(name, value)


def _measure_processor(folder: Path, show: Show) -> None:
    prepare(folder)
    with serving(shell_of(folder, metrics_address="127.0.0.1:0"), folder) as address:
        metrics = metrics_address(folder / "server.log")
        for name, is_past, count in (("remembered", False, 20_000), ("computed", True, 2_000)):
            body = write_body(folder / "body", requests_of(SCORE, 1, is_past=is_past)[0])
            ask = partial(h2load, address, METHOD, body, at_a_time=4)
            ask(count=100)
            before = cpu_seconds(metrics)
            ask(count=count)
            show(f"cpu_s_per_million.{name}", (cpu_seconds(metrics) - before) / count * 1e6)


def _measure_upgrade(folder: Path, show: Show) -> None:
    with database("postgresql", folder) as url, Ledger.open(url) as ledger:
        works: dict[str, Callable[[], object]] = {
            "append.longest_ms": lambda: time.sleep(2),
            "upgrade.longest_append_ms": lambda: [upgrade(url) for _ in range(UPGRADES)],
        }
        for name, work in works.items():
            beside = Thread(target=work)
            beside.start()
            slowest = 0.0
            while beside.is_alive():
                entry = identity_entry(uuid.uuid4().hex)
                slowest = max(slowest, seconds_of(partial(ledger.append, MARKET, [entry])))
            show(name, slowest * 1_000)


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _run_first_score() -> None:
    subprocess.run([sys.executable, "-c", FIRST_SCORE], check=True, cwd=ROOT / "proto")


def _serve_first_score(folder: Path, command: Sequence[object] = COMMAND) -> None:
    folder.mkdir(exist_ok=True)
    with serving(shell_of(folder), folder, command, ["--starter"]) as address, Client(address) as client:
        client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1")])
        client.get_trust_score(MARKET, "s1", deadline_seconds=30)


def _measure_packages(folder: Path, show: Show) -> None:
    for name, project in (("wheel", ROOT), ("client_wheel", ROOT / "proto")):
        place = folder / name
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
        show(f"size.{name}_kb", next(place.iterdir()).stat().st_size / 1_000)
        shutil.rmtree(place)


def _measure_clients(folder: Path, show: Show) -> None:
    with serving(shell_of(folder), folder, arguments=["--starter"]) as address:
        with Client(address) as client:
            client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1")])
        _compare_clients(address, show)


def _compare_clients(target: str, show: Show) -> None:
    with Client(target, deadline_seconds=30, badge_seconds=3_600) as client:

        def ask() -> None:
            for _ in range(CALLS // AT_A_TIME):
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
        hits = seconds_of(lambda: [client.get_trust_score(MARKET, "s1", use="badge") for _ in range(CALLS)])
    looped = asyncio.run(_on_a_loop(target))
    show("sync.calls_per_s", CALLS / threaded)
    show("async.calls_per_s", CALLS / looped)
    show("async_over_sync", threaded / looped)
    show("cache_hit_us", hits / CALLS * 1e6)


async def _on_a_loop(target: str) -> float:
    async with AsyncClient(target, deadline_seconds=30) as client:

        async def ask() -> None:
            for _ in range(CALLS // AT_A_TIME):
                await client.get_trust_score(MARKET, "s1")

        await ask()
        began = time.perf_counter()
        await asyncio.gather(*[ask() for _ in range(AT_A_TIME)])
        return time.perf_counter() - began


def _measure_shared(folder: Path, show: Show) -> None:
    for servers in (1, 2):
        show(f"shared.calls_per_s.{servers}", _count_shared_calls(folder / str(servers), servers))


def _count_shared_calls(folder: Path, servers: int) -> float:
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
        plan = Plan(address, LOAD_SECONDS, at_a_time=8, deadline_seconds=20, sellers=SELLERS, is_published=True)
        with loading([plan] * PROCESSES) as found:
            pass
        return sum(one.codes["OK"] for one in found) / LOAD_SECONDS


PARTS: dict[str, Callable[[Path, Show], None]] = {
    "first_score": _measure_first_score,
    "sizes": _measure_packages,
    "clients": _measure_clients,
    "shared": _measure_shared,
    "traces": _measure_traces,
    "echo": _measure_echo,
    "processor": _measure_processor,
    "upgrade": _measure_upgrade,
    "rescored": _measure_rescored,
    "proofs": _prove,
    "restarts": lambda _, show: run_restarts(show, RESTARTS),
}

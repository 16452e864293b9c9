"""Badges of good sellers that stay blank on the first pass after a restart, alone and during a flood of invented ids."""

import http.client
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from scoring.base.enums import Tier
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import OverrideImposed
from service.ledger.clock.server_clock import wall_clock
from service.ledger.store import Ledger
from service.registry.registry import Registry
from tests.bench._overload import Show
from tests.helpers.filled import fill
from tests.helpers.models import publish
from tests.helpers.processes import COMMAND
from tests.helpers.servers import MARKET
from tests.helpers.shells import serving, shell_of

SELLERS, FEW, READERS = 499, 55, 128
INVENTED_A_SECOND, FLOODERS = 620, 32


def run(show: Show, sellers: int = SELLERS) -> None:
    """Count blank badges of all sellers, and of FEW during the flood; each pass follows a start of both servers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        publish(Registry(folder / "registry"))
        with Ledger.open(f"sqlite:///{folder}/ledger.db", create=True) as ledger:
            fill(ledger, sellers)
            until = wall_clock() + 7 * DAY
            trusted = OverrideImposed(Tier.TRUSTED, until, "bench", "so that no badge depends on a model")
            ledger.append(MARKET, [Entry(f"o{n}", f"s{n}", trusted, wall_clock()) for n in range(sellers)])
        alone = _blank(folder, folder / "alone", sellers, 0)
        flooded = _blank(folder, folder / "flooded", min(FEW, sellers), INVENTED_A_SECOND)
    show("chaos.cold_badges_blank", alone + flooded)


def _blank(data: Path, place: Path, sellers: int, invented_a_second: int) -> int:
    place.mkdir()
    paths = [f"/badge/{MARKET}/s{number}.svg" for number in range(sellers)]
    is_over = threading.Event()
    with (
        serving(shell_of(data), place) as target,
        badge_server(place, target) as address,
        ThreadPoolExecutor(READERS + FLOODERS) as pool,
    ):
        flood = [pool.submit(_flood, address, n, invented_a_second / FLOODERS, is_over) for n in range(FLOODERS)]
        if invented_a_second:
            time.sleep(1)
        bodies = list(pool.map(lambda chosen: _bodies(address, chosen), (paths[n::READERS] for n in range(READERS))))
        is_over.set()
        for one in flood:
            one.result()
    return sum(b"<text" not in body for found in bodies for body in found)


@contextmanager
def badge_server(folder: Path, target: str) -> Iterator[str]:
    ready = folder / "badges"
    command = [*COMMAND, "badge", "serve", "--address", "127.0.0.1:0", "--ready-file", str(ready)]
    with subprocess.Popen(command, env=shell_of(folder / "data", target=target).environment) as process:
        try:
            while not ready.exists():
                assert process.poll() is None
                time.sleep(0.02)
            yield ready.read_text().strip()
        finally:
            process.send_signal(signal.SIGTERM)


def _bodies(address: str, paths: Sequence[str]) -> list[bytes]:
    connection = http.client.HTTPConnection(address, timeout=30)
    found = []
    for path in paths:
        connection.request("GET", path)
        found.append(connection.getresponse().read())
    connection.close()
    return found


def _flood(address: str, flooder: int, a_second: float, is_over: threading.Event) -> None:
    number = 0
    while a_second and not is_over.wait(1 / a_second):
        number += 1
        _bodies(address, [f"/badge/{MARKET}/invented-{flooder}-{number}.svg"])

"""Count fresh answers that claim too much: with delayed commits, and with wrong clocks."""

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from sellertrust.v1 import trust_score_service_pb2 as pb
from service.ledger.store import Ledger
from tests.bench._overload import Show
from tests.helpers import wrong_clocks as fresh
from tests.helpers.builders import confirmed
from tests.helpers.databases import BACKENDS, database
from tests.helpers.filled_server import SELLERS, filled_server
from tests.helpers.servers import MARKET

HELD_SECONDS = 3.0
ASKED_SECONDS = 3.0


def run(show: Show) -> None:
    overstated = lacking = wrong = asked = 0
    for backend in BACKENDS:
        for is_own in (True, False):
            with tempfile.TemporaryDirectory() as folder, database(backend, Path(folder)) as url:
                found = _count_overstated(Path(folder), url, is_own)
                overstated, lacking = overstated + found[0], lacking + found[1]
        for shift in (fresh.TEN_YEARS, fresh.HOUR, -fresh.HOUR):
            with tempfile.TemporaryDirectory() as folder, database(backend, Path(folder)) as url:
                found = _count_wrong(Path(folder), url, shift)
                wrong, asked = wrong + found[0], asked + found[1]
    show("chaos.fresh_overstated", overstated)
    show("chaos.fresh_overstated.answers", lacking)
    show("chaos.clock_fresh_wrong", wrong)
    show("chaos.clock_fresh_wrong.answers", asked)


def _count_overstated(folder: Path, url: str, is_own: bool) -> tuple[int, int]:
    with filled_server(folder, database_url=url) as (running, client), Ledger.open(url) as other:
        writer = running.ledger if is_own else other
        fresh.hold_commits(writer, HELD_SECONDS)
        done: list[Any] = []
        thread = threading.Thread(target=lambda: done.extend(writer.append(MARKET, [confirmed("recall", "s1")])))
        thread.start()
        found: list[pb.TrustScore] = []
        while thread.is_alive():
            found += fresh.ask_every_way(client)
            time.sleep(0.01)
        thread.join()
        times = [
            score.freshness.as_of_time.ToMicroseconds()
            for score in found
            if score.stamp.ledger_sequence < done[0].sequence
        ]
        return sum(time > done[0].record_time for time in times), len(times)


def _count_wrong(folder: Path, url: str, shift: int) -> tuple[int, int]:
    fresh.record_guilty(url)
    clock = fresh.Shifted()
    right: list[tuple[int, int, int]] = []
    found: list[tuple[int, int, int]] = []
    with fresh.clocked_server(folder, url, clock) as client:
        _ask_on(client, right)
        clock.shift = shift
        _ask_on(client, found)
    with fresh.clocked_server(folder, url, clock) as client:
        _ask_on(client, found)
    return sum(state == fresh.FRESH and (fresh.FRESH, *rest) not in right for state, *rest in found), len(found)


def _ask_on(client: Any, found: list[tuple[int, int, int]]) -> None:
    until = time.monotonic() + ASKED_SECONDS
    while time.monotonic() < until:
        scores = [client.get_trust_score(MARKET, seller).message for seller in (*SELLERS[:3], "new")]
        scores += fresh.ask_batch(client, SELLERS[:3])
        found += [(score.freshness.state, score.points, score.tier) for score in scores]

"""A database that is frozen, then stopped: whether known sellers still get answers."""

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from tests.bench._overload import Show, Watching
from tests.helpers.filled import SELLERS, prepare
from tests.helpers.hanging_postgresql import hanging_postgresql
from tests.helpers.load import Found, Plan, load, loading
from tests.helpers.servers import MARKET
from tests.helpers.shells import serving, shell_of

SECONDS = 180.0

PROCESSES = 2
BEYOND = 10**9
READERS = 16
HANG_SECONDS = 10.0
CATCH_UP_SECONDS = 120.0


def run(show: Show, seconds: float = SECONDS) -> None:
    with tempfile.TemporaryDirectory() as name, hanging_postgresql() as postgresql:
        folder, url = Path(name), postgresql.urls["tcp"]
        prepare(folder, url)
        with serving(shell_of(folder, database_url=url), folder) as address:
            plan = Plan(address, 3.0, at_a_time=4, deadline_seconds=5, is_read=True, sellers=SELLERS)
            load([replace(plan, at_a_time=1)])
            _show(show, "there", load([plan] * PROCESSES))
            _hang(show, postgresql.hanging(), plan, address)
            for kind, away in (("frozen", postgresql.hanging), ("stopped", postgresql.stopped)):
                _be_away(show, kind, away(), replace(plan, seconds=seconds), address)


def _hang(show: Show, away: AbstractContextManager[None], plan: Plan, address: str) -> None:
    def read() -> None:
        with suppress(SellertrustCallError):
            client.get_violation(MARKET, "v", deadline_seconds=5)

    with Client(address, service_config={}) as client, away, ExitStack() as readers:
        for _ in range(READERS):
            readers.enter_context(Watching(read, 0))
        found = load([replace(plan, seconds=HANG_SECONDS, deadline_seconds=1)] * PROCESSES)
    show("chaos.hanging_database_checkouts", sum(one.tries for one in found))
    show("chaos.hanging_database_checkouts_failed", sum(one.tries - one.ok for one in found))


def _be_away(show: Show, kind: str, away: AbstractContextManager[None], plan: Plan, address: str) -> None:
    with loading([plan] * PROCESSES) as found:
        time.sleep(plan.seconds / 10)
        with away, Client(address, service_config={}) as client, _asking_beyond(client) as refused:
            time.sleep(plan.seconds * 0.7)
        began = time.monotonic()
        while not _is_fresh(address):
            if time.monotonic() - began > CATCH_UP_SECONDS:
                raise TimeoutError("answers have not become fresh again")
            time.sleep(0.05)
        show(f"database_away.{kind}.caught_up_s", round(time.monotonic() - began, 2))
    _show(show, kind, found)
    show(f"database_away.{kind}.sequence_tries", refused.tries)
    show(f"database_away.{kind}.sequence_not_refused", refused.tries - refused.failed["UNAVAILABLE"])
    show(f"database_away.{kind}.sequence_slowest_ms", round(refused.slowest_seconds * 1_000, 1))


def _asking_beyond(client: Client) -> Watching:
    return Watching(lambda: client.get_trust_score(MARKET, "s0", at_least_sequence=BEYOND, deadline_seconds=1), 0.2)


def _is_fresh(address: str) -> bool:
    try:
        with Client(address, service_config={}) as client:
            return client.get_trust_score(MARKET, "s0").freshness.state == score_pb.FRESHNESS_STATE_FRESH
    except SellertrustCallError:
        return False


def _show(show: Show, kind: str, found: Sequence[Found]) -> None:
    codes = sum((Counter(one.codes) for one in found), Counter[str]())
    show(f"database_away.{kind}.tries", codes.total())
    show(f"database_away.{kind}.a_second", round(sum(one.ok / one.seconds for one in found), 1))
    show(f"database_away.{kind}.unanswered", codes.total() - codes["OK"])
    for code, number in sorted(codes.items()):
        if code != "OK":
            show(f"database_away.{kind}.{code.lower()}", number)

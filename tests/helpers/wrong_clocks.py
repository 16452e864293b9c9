import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import event

from scoring.base.time import DAY, day_of
from sellertrust.client import Client
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.api.server import Server
from service.api.telemetry.logs import make_log
from service.bootstrap import build_scorer
from service.ledger.clock.server_clock import ServerClock, wall_clock
from service.ledger.database.database import Database
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from tests.helpers.builders import confirmed as domain_confirmed
from tests.helpers.builders import exposure as domain_exposure
from tests.helpers.builders import identity as domain_identity
from tests.helpers.filled_server import SELLERS
from tests.helpers.servers import MARKET, Shelf, settings_of
from tests.helpers.worlds import artifact


def hold_commits(ledger: Ledger, seconds: float) -> None:
    event.listen(ledger.database._writer, "commit", lambda _: time.sleep(seconds))


def ask_batch(client: Client, sellers: Sequence[str]) -> list[pb.TrustScore]:
    return [result.message.trust_score for result in client.batch_get_trust_scores(MARKET, sellers)]


def ask_every_way(client: Client) -> list[pb.TrustScore]:
    now = datetime.now(UTC)
    return [
        client.get_trust_score(MARKET, "s1").message,
        ask_batch(client, SELLERS[:2])[1],
        client.explain_trust_score(MARKET, "s1").trust_score,
        client.get_trust_score(MARKET, "s1", known_time=now).message,
        client.get_trust_score(MARKET, "s1", observe_time=now).message,
    ]


class Shifted:
    def __init__(self, shift: int = 0) -> None:
        self.shift = shift

    def __call__(self) -> int:
        return wall_clock() + self.shift


@contextmanager
def clocked_server(folder: Path, url: str, clock: Callable[[], int]) -> Iterator[Client]:
    settings = settings_of(data_dir=folder, database_url=url)
    with Ledger(Database(url), ServerClock(clock, is_witnessed=True)) as ledger:
        scorer = build_scorer(ledger, load_policy(settings), Shelf(artifact()))
        with (
            Server(settings, ledger, scorer, log=make_log("json", "debug", io.StringIO())) as server,
            Client(server.address, deadline_seconds=30) as client,
        ):
            yield client


def record_guilty(url: str) -> None:
    with Ledger.open(url) as ledger:
        day = day_of(wall_clock())
        for seller in SELLERS[:3]:
            sales = [domain_exposure(day - 3 - n, seller, settled_orders=200) for n in range(60)]
            facts = [domain_confirmed(f"v{n}-{seller}", seller) for n in range(3)]
            ledger.append(MARKET, [domain_identity(f"i-{seller}", seller), *sales, *facts])
        ledger.append(MARKET, [domain_identity("i-new", "new"), domain_exposure(day - 3, "new", settled_orders=900)])


TEN_YEARS, HOUR = 3_652 * DAY, DAY // 24
FRESH, STALE, UNKNOWN = (pb.FRESHNESS_STATE_FRESH, pb.FRESHNESS_STATE_STALE, pb.FRESHNESS_STATE_UNKNOWN)

"""A real server on a free port, over a real ledger in SQLite, for tests that speak gRPC to it."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from sellertrust.client import Client, seller_name
from sellertrust.v1 import entry_pb2
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from sellertrust.v1.trust_score_service_pb2_grpc import TrustScoreServiceStub
from service.api.gate import Gate
from service.api.server import Server
from service.api.telemetry.logs import make_log
from service.bootstrap import build_scorer
from service.ledger.clock.tail import Tail
from service.ledger.store import Ledger
from service.limits import Limits
from service.policy.policy_file import load_policy
from service.registry.moves import Move
from service.registry.registry import Registry
from service.scores.book.book import Book
from service.scores.scorer import Scorer
from service.setting_forms import PREFIX
from service.settings import Settings, load
from tests.tls_folders import with_folders

MARKET = "acme"


class Shelf(Registry):
    """A registry that holds one artifact, which was loaded before."""

    def __init__(self, artifact: Any) -> None:
        self._artifact = artifact

    def champion(self) -> str:
        return str(self._artifact.digest)

    def load(self, digest: str) -> Any:
        return self._artifact

    def history(self) -> list[Move]:
        return [Move("champion", self.champion(), "a-1", "the only one", "1970-01-01T00:00:00Z")]


def ledger_stub(client: Client) -> LedgerServiceStub:
    """The methods of the ledger as gRPC has them, for requests that the client does not make."""
    return LedgerServiceStub(client.channel)


def score_stub(client: Client) -> TrustScoreServiceStub:
    """The methods of scores as gRPC has them."""
    return TrustScoreServiceStub(client.channel)


PATIENCE_SECONDS = 60.0
"""How long a call of the tests waits where its deadline is not what is tried."""


@dataclass
class Running:
    """A server that runs, and what it is made of."""

    server: Server
    ledger: Ledger
    scorer: Scorer
    database: Path
    log: io.StringIO

    @property
    def address(self) -> str:
        return self.server.address

    def client(self, **options: Any) -> Client:
        """A client that waits until an answer comes, which on a busy machine takes longer than its own deadlines."""
        return Client(self.address, **{"deadline_seconds": PATIENCE_SECONDS} | options)

    # What no caller may see: tests look at it here alone.

    @property
    def book(self) -> Book:
        """Its remembered answers."""
        assert self.server._book is not None
        return self.server._book

    @property
    def registry(self) -> CollectorRegistry:
        """Its metrics, without a port."""
        return self.server._registry

    @property
    def tail(self) -> Tail:
        """How it sees the end of the ledger."""
        return self.server._tail

    @property
    def gate(self) -> Gate:
        """What lets its callers in."""
        return self.server._calls._gate

    def hold_nobody(self) -> None:
        """Have every refused call refused at once, however often its caller asks on."""
        self.gate.turnstile.holds = lambda *_: ""  # type: ignore[method-assign]

    def lines(self, event: str = "request") -> list[dict[str, Any]]:
        """The log's lines of one event, oldest first."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


def settings_of(**settings: str | Path | float) -> Settings:
    """Settings on free ports, without a wait at the end and without metrics, unless told otherwise.

    Besides settings it takes limits by their names, and TLS files as `tests.tls_folders` does.
    """
    stated = {"address": "127.0.0.1:0", "metrics_address": "", "drain_seconds": 0} | settings
    limits = Limits(**{name: stated.pop(name) for name in Limits.__dataclass_fields__ if name in stated})  # type: ignore[arg-type]
    found = load({f"{PREFIX}{name.upper()}": str(value) for name, value in with_folders(stated).items()})
    return found.model_copy(update={"limits": limits})


@contextmanager
def running_server(folder: Path, *, artifact: Any = None, **settings: str | Path | float) -> Iterator[Running]:
    """A server over the ledger in `folder`, made if it is not there; drained at the end. Without a model by default."""
    database = folder / "ledger.db"
    configuration = settings_of(data_dir=folder, **settings)
    log = io.StringIO()
    with Ledger.open(configuration.database_url, create=True) as ledger:
        scorer = build_scorer(ledger, load_policy(configuration), None if artifact is None else Shelf(artifact))
        with Server(configuration, ledger, scorer, log=make_log("json", "debug", log)) as server:
            yield Running(server, ledger, scorer, database, log)


def call_bytes(address: str, method: str, data: bytes, seconds: float = PATIENCE_SECONDS) -> bytes:
    """Sends bytes as they are to `Service/Method` and returns the answer's."""
    with grpc.insecure_channel(address) as channel:
        return channel.unary_unary(f"/sellertrust.v1.{method}")(data, timeout=seconds)


def days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def identity(entry_id: str, seller: str, **fields: Any) -> entry_pb2.Entry:
    """A business whose identity was verified 400 days ago."""
    entry = entry_pb2.Entry(entry_id=entry_id, seller=seller_name(MARKET, seller), **fields)
    entry.identity.level = entry_pb2.IDENTITY_LEVEL_BUSINESS
    entry.occur_time.FromDatetime(days_ago(400))
    return entry


def exposure(entry_id: str, seller: str, orders: int = 1000, days: int = 60) -> entry_pb2.Entry:
    """Orders settled on the day `days` ago."""
    entry = entry_pb2.Entry(entry_id=entry_id, seller=seller_name(MARKET, seller))
    entry.exposure.day = days_ago(days).date().isoformat()
    entry.exposure.settled_orders = orders
    return entry


def violation(entry_id: str, seller: str, **fields: Any) -> entry_pb2.Entry:
    """Counterfeit goods, alleged by a brand, 30 days ago."""
    entry = entry_pb2.Entry(entry_id=entry_id, seller=seller_name(MARKET, seller))
    facts = {
        "violation_type": "counterfeit_goods",
        "harm": entry_pb2.HARM_HIGH,
        "source": entry_pb2.SOURCE_BRAND,
    }
    entry.violation.CopyFrom(entry_pb2.ViolationReported(**(facts | fields)))
    entry.occur_time.FromDatetime(days_ago(30))
    return entry

import io
import json
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from prometheus_client import CollectorRegistry

from sellertrust.client import Client, seller_name
from sellertrust.v1 import entry_pb2
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from sellertrust.v1.trust_score_service_pb2_grpc import TrustScoreServiceStub
from service.api.gate import CallGate
from service.api.server import Server
from service.api.telemetry.logs import make_log
from service.bootstrap import build_scorer
from service.ingest.listed_entries import append_messages
from service.ledger.clock.tail import Tail
from service.ledger.records import AppendedEntry
from service.ledger.store import Ledger
from service.limits import Limits
from service.policy.policy_file import load_policy
from service.registry.moves import ModelMove
from service.registry.registry import Registry
from service.scores.book.book import Book
from service.scores.scorer import Scorer
from service.setting_forms import PREFIX
from service.settings import Settings, load
from tests.helpers.tls_folders import with_folders
from tests.helpers.worlds import policy

MARKET = "acme"
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Shelf(Registry):
    def __init__(self, artifact: Any) -> None:
        self._artifact = artifact

    def champion_digest(self) -> str:
        return str(self._artifact.digest)

    def load(self, digest: str) -> Any:
        return self._artifact

    def content(self, digest: str) -> dict[str, bytes]:
        return {}

    def digests(self) -> list[str]:
        return [self.champion_digest()]

    def history(self) -> list[ModelMove]:
        return [ModelMove("champion", self.champion_digest(), "a-1", "the only one", "1970-01-01T00:00:00Z")]


def append_messages_alone(ledger: Ledger, marketplace: str, messages: Sequence[entry_pb2.Entry]) -> list[AppendedEntry]:
    return append_messages(ledger, marketplace, messages, lambda _marketplace, _entries: None)


def ledger_stub(client: Client) -> LedgerServiceStub:
    return LedgerServiceStub(client.channel)


def score_stub(client: Client) -> TrustScoreServiceStub:
    return TrustScoreServiceStub(client.channel)


PATIENCE_SECONDS = 60.0


@dataclass
class Running:
    server: Server
    ledger: Ledger
    scorer: Scorer
    database: Path
    log: io.StringIO

    @property
    def address(self) -> str:
        return self.server.address

    def client(self, **options: Any) -> Client:
        return Client(self.address, **{"deadline_seconds": PATIENCE_SECONDS} | options)

    # Hidden from callers: only tests read it, here.

    @property
    def book(self) -> Book:
        assert self.server.book is not None
        return self.server.book

    @property
    def registry(self) -> CollectorRegistry:
        return self.server._registry

    @property
    def tail(self) -> Tail:
        return self.server._tail

    @property
    def gate(self) -> CallGate:
        return self.server._calls._gate

    def hold_nobody(self) -> None:
        self.gate.turnstile.find_held = lambda *_: ""  # type: ignore[method-assign]

    def value(self, name: str, **labels: str) -> float:
        """Return a sample of our metrics; 0 if there is none."""
        return self.registry.get_sample_value(f"sellertrust_{name}", labels) or 0

    def lines(self, event: str = "request") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


def settings_of(**settings: str | Path | float) -> Settings:
    """Return settings on free ports, by default without a final wait and without metrics.

    `changes` may also hold limits by name, and TLS files as in `tests.helpers.tls_folders`.
    """
    stated = {"address": "127.0.0.1:0", "metrics_address": "", "drain_seconds": 0} | settings
    limits = Limits(**{name: stated.pop(name) for name in Limits.__dataclass_fields__ if name in stated})  # type: ignore[arg-type]
    found = load({f"{PREFIX}{name.upper()}": str(value) for name, value in with_folders(stated).items()})
    return found.model_copy(update={"limits": limits})


@contextmanager
def running_server(folder: Path, *, artifact: Any = None, **settings: str | Path | float) -> Iterator[Running]:
    database = folder / "ledger.db"
    configuration = settings_of(data_dir=folder, **settings)
    log = io.StringIO()
    with Ledger.open(configuration.database_url, create=True) as ledger:
        scorer = build_scorer(ledger, load_policy(configuration), None if artifact is None else Shelf(artifact))
        with Server(configuration, ledger, scorer, log=make_log("json", "debug", log)) as server:
            yield Running(server, ledger, scorer, database, log)


def health_of(address: str, service: str = "") -> int:
    name = f"sellertrust.v1.{service}" if service else ""
    with grpc.insecure_channel(address) as channel:
        found = HealthStub(channel).Check(HealthCheckRequest(service=name), timeout=PATIENCE_SECONDS)
    return int(found.status)


def call_bytes(address: str, method: str, data: bytes, seconds: float = PATIENCE_SECONDS) -> bytes:
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(f"/sellertrust.v1.{method}")
        return bytes(call(data, timeout=seconds))


def days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def identity(entry_id: str, seller: str, **fields: Any) -> entry_pb2.Entry:
    entry = entry_pb2.Entry(entry_id=entry_id, seller=seller_name(MARKET, seller), **fields)
    entry.identity.level = entry_pb2.IDENTITY_LEVEL_BUSINESS
    entry.occur_time.FromDatetime(days_ago(400))
    return entry


def exposure(entry_id: str, seller: str, orders: int = 1000, days: int = 60) -> entry_pb2.Entry:
    entry = entry_pb2.Entry(entry_id=entry_id, seller=seller_name(MARKET, seller))
    entry.exposure.day = days_ago(days).date().isoformat()
    entry.exposure.settled_orders = orders
    return entry


def violation(entry_id: str, seller: str, **fields: Any) -> entry_pb2.Entry:
    entry = entry_pb2.Entry(entry_id=entry_id, seller=seller_name(MARKET, seller))
    facts: dict[str, Any] = {
        "violation_type": "counterfeit_goods",
        "harm": entry_pb2.HARM_HIGH,
        "source": entry_pb2.SOURCE_BRAND,
    }
    entry.violation.CopyFrom(entry_pb2.ViolationReported(**(facts | fields)))
    entry.occur_time.FromDatetime(days_ago(30))
    return entry


def metrics_of(server: Server) -> str:
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=60) as response:
        return str(response.read().decode())


@contextmanager
def served(folder: Path, registry: Path | str) -> Iterator[Client]:
    stop = threading.Event()
    with ExitStack() as stack:
        ledger = stack.enter_context(
            Ledger.open(f"sqlite:///{folder}/{threading.get_ident()}{time.time_ns()}.db", create=True)
        )
        scorer = build_scorer(ledger, policy(), Registry(registry))
        server = stack.enter_context(
            Server(settings_of(data_dir=folder), ledger, scorer, log=make_log("json", "error"))
        )
        follower = threading.Thread(target=scorer.champion.follow, args=(stop, lambda problem: None))
        follower.start()
        stack.callback(follower.join)
        stack.callback(stop.set)
        yield stack.enter_context(Client(server.address, deadline_seconds=60))

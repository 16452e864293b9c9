"""A broker's topic read again and again, and in other orders: the same entries, and the same scores of all sellers."""

import random
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scoring.answer import TrustScore
from scoring.errors import SellertrustError
from service.bootstrap import build_scorer
from service.ingest.sources.feed import Feed, FeedReport
from service.ingest.sources.kafka import KafkaSource
from service.ingest.sources.rejects import RejectFile
from service.ingest.sources.source import Message
from service.ledger.store import Ledger
from tests.bench._faults import Sizes
from tests.builders import NOW
from tests.databases import database
from tests.scoring.worlds import artifact, policy
from tests.servers import Shelf
from tests.service.ingest.sources.brokers import PARTITIONS, kafka, produce
from tests.service.ingest.sources.payloads import MARKET, message

REPLAYS = 3
MAX_AT_ONCE = 7
"""Messages of one partition that are taken at once, so that partitions mix."""


class Shuffled:
    """A Kafka topic whose partitions come in an order of chance, a few messages at a time; each in its own order."""

    def __init__(self, source: KafkaSource, chance: random.Random) -> None:
        self.name = source.name
        self._source = source
        self._chance = chance
        self._waiting: dict[int, list[Message]] = {}

    def partitions(self) -> Sequence[int]:
        return self._source.partitions()

    def seek(self, partition: int, position: int | None) -> None:
        self._source.seek(partition, position)

    def poll(self, limit: int, seconds: float) -> Sequence[Message]:
        if not self._source.caught_up():
            for found in self._source.poll(limit, seconds):
                self._waiting.setdefault(found.partition, []).append(found)
            return []
        partition = self._chance.choice([p for p, rows in self._waiting.items() if rows] or [-1])
        count = self._chance.randint(1, MAX_AT_ONCE)
        rows = self._waiting.get(partition, [])
        taken, self._waiting[partition] = rows[:count], rows[count:]
        return taken

    def caught_up(self) -> bool:
        return self._source.caught_up() and not any(self._waiting.values())

    def close(self) -> None:
        self._source.close()


def replay(url: str, sizes: Sizes, chance: random.Random) -> dict[str, int]:
    """Three topics of the same facts, keyed by seller or product, to other partitions each time.

    The first is read three times into one ledger, in shuffled orders, and then the other two: not an entry more. Each is
    read into a fresh ledger besides: the same scores. librdkafka's mock cluster is the broker.
    """
    facts, sellers = _facts(sizes.replay_sellers, chance)
    backend = "sqlite" if url.startswith("sqlite") else "postgresql"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(kafka())
        for number in range(REPLAYS):
            partition = {key: chance.randrange(PARTITIONS) for key in sorted({key for key, _ in facts})}
            produce(servers, f"facts-{number}", [(partition[key], payload) for key, payload in facts])
        ledger = stack.enter_context(Ledger.open(url))
        first = _feed(ledger, servers, "facts-0", "first", folder, chance)
        expected, before = _scores(ledger, sellers), ledger.checkpoint()
        lost = len(facts) - first.appended
        duplicated = different = 0
        for number, topic in enumerate(["facts-0"] * REPLAYS + ["facts-1", "facts-2"]):
            again = _feed(ledger, servers, topic, f"again-{number}", folder, chance)
            duplicated += again.appended + (ledger.checkpoint() != before)
            lost += len(facts) - again.already_present
        different += _differences(expected, _scores(ledger, sellers))
        for number in range(REPLAYS):
            other = stack.enter_context(database(backend, folder))
            with Ledger.open(other) as fresh:
                lost += len(facts) - _feed(fresh, servers, f"facts-{number}", "first", folder, chance).appended
                different += _differences(expected, _scores(fresh, sellers))
    reached = sum(getattr(score, "counted_incidents", 0) > 0 for score in expected)
    assert reached, "no violation counts: the world is too kind to tell anything"
    tries = len(facts) * (1 + 2 * REPLAYS + 2)
    return {"tries": tries, "sellers": len(sellers), "lost": lost, "duplicated": duplicated, "different": different}


def _feed(ledger: Ledger, servers: str, topic: str, name: str, folder: Path, chance: random.Random) -> FeedReport:
    source = Shuffled(KafkaSource(servers, topic, name=name), chance)
    try:
        with RejectFile(folder / f"{topic}.rejects.jsonl") as rejects:
            report = Feed(ledger, MARKET, source, rejects, 30).run(once=True)
    finally:
        source.close()
    assert not report.rejected, (folder / f"{topic}.rejects.jsonl").read_text()[:1000]
    return report


def _scores(ledger: Ledger, sellers: Sequence[str]) -> list[TrustScore | SellertrustError]:
    """The scores of all sellers as of one time; with what made them left out."""
    scorer = build_scorer(ledger, policy(), Shelf(artifact()))
    return [score for seller in sellers for score in scorer.scores(MARKET, [seller], ledger.cut(observe_time=NOW))[0]]


def _differences(one: Sequence[Any], other: Sequence[Any]) -> int:
    return sum(repr(a) != repr(b) for a, b in zip(one, other, strict=True))


def _facts(sellers: int, chance: random.Random) -> tuple[list[tuple[str, bytes]], list[str]]:
    """((key, payload) of the facts of a small marketplace, in an order that keeps each key's; its sellers)."""
    names = [f"s-{n}" for n in range(sellers)]
    keyed: dict[str, list[bytes]] = {name: _facts_of(name, sellers, chance) for name in names}
    for number in range(max(sellers // 5, 1)):
        keyed[f"p-{number}"] = _facts_about(f"p-{number}", chance)
    facts = []
    while keyed:
        key = chance.choice(sorted(keyed))
        facts.append((key, keyed[key].pop(0)))
        if not keyed[key]:
            del keyed[key]
    return facts, names


def _facts_of(seller: str, sellers: int, chance: random.Random) -> list[bytes]:
    """A seller's identity, exposure, listings, violations, and what was decided about them."""
    times = {"occur_time": "2024-12-01T00:00:00Z", "report_time": "2024-12-01T00:00:00Z"}
    identity = {"level": "IDENTITY_LEVEL_BUSINESS", "country": "CN"}
    facts = [message({"entry_id": f"i-{seller}", "seller": seller, "identity": identity} | times)]
    for month in range(1, 13):
        day = f"2025-{month:02d}-{chance.randint(1, 28):02d}"
        exposure = {
            "day": day,
            "settled_orders": str(chance.randint(5, 400)),
            "late": str(chance.randint(0, 4)),
        }
        facts.append(message(_dated(f"x-{seller}-{month}", seller, f"{day[:8]}28") | {"exposure": exposure}))
    for number in range(chance.randint(0, 2)):
        listing = {"product": f"p-{chance.randrange(max(sellers // 5, 1))}", "batch": chance.choice(["", "b-1", "b-2"])}
        named = _happened(f"l-{seller}-{number}", seller, f"2025-0{chance.randint(1, 9)}-01")
        facts.append(message(named | {"product": listing}))
    for number in range(chance.choice((0, 0, 1, 2, 3))):
        name = f"v-{seller}-{number}"
        kind = chance.choice(("counterfeit_goods", "safety_infraction"))
        violation = {"violation_type": kind, "harm": "HARM_HIGH", "source": "SOURCE_BRAND"}
        day = f"2025-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"
        facts.append(message(_happened(name, seller, day) | {"violation": violation}))
        actions = chance.choice(((), ("CONFIRM",), ("CONFIRM",), ("DISMISS",), ("CONFIRM", "OVERTURN")))
        facts += [_decision(f"d-{name}-{action.lower()}", name, action) for action in actions]
    return facts


def _facts_about(product: str, chance: random.Random) -> list[bytes]:
    """Violations of a product, whoever sells it, and what was decided about them."""
    facts = []
    for number in range(chance.randint(1, 2)):
        name = f"pv-{product}-{number}"
        violation = {
            "violation_type": "safety_infraction",
            "harm": "HARM_HIGH",
            "source": "SOURCE_BUYER",
            "product": product,
            "batch": chance.choice(["", "b-1"]),
        }
        day = f"2025-{chance.randint(1, 12):02d}-15"
        facts.append(message(_happened(name, "", day) | {"product_violation": violation}))
        actions = chance.choice((("CONFIRM",), ("CONFIRM",), ("DISMISS",), ("CONFIRM", "OVERTURN")))
        facts += [_decision(f"d-{name}-{action.lower()}", name, action) for action in actions]
    return facts


def _dated(name: str, seller: str, day: str) -> dict[str, Any]:
    return {"entry_id": name, "seller": seller, "report_time": f"{day}T23:59:00Z"}


def _happened(name: str, seller: str, day: str) -> dict[str, Any]:
    return _dated(name, seller, day) | {"occur_time": f"{day}T08:00:00Z"}


def _decision(name: str, violation: str, action: str) -> bytes:
    fact = {"violation": violation, "action": f"ACTION_{action}", "actor": "staff", "reason": "seen"}
    times = {"occur_time": "2026-01-10T00:00:00Z", "report_time": "2026-01-10T00:00:00Z"}
    return message({"entry_id": name, "status": fact} | times)

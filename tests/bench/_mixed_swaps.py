"""Alternating swaps of models and policies under load: whether an answer or a batch ever mixes two of them, or fails."""

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from scoring.scores.answer import MadeBy
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.names import seller_name
from sellertrust.v1.trust_score_service_pb2 import TrustScore
from service.contract.scores import score_message
from service.ledger.store import Ledger
from service.policy.policy_file import SHIPPED_POLICY, read_policy
from service.registry.registry import Registry
from tests.bench._overload import Show
from tests.helpers.answers import score
from tests.helpers.filled import fill
from tests.helpers.models import publish
from tests.helpers.servers import MARKET
from tests.helpers.shells import serving, shell_of

SWAPS, SELLERS, ASKERS, BATCH = 200, 40, 4, 10
PAUSE_SECONDS = 0.005
OTHER_POLICY = SHIPPED_POLICY.with_name("tiers.toml")
SAID = {"actor": "bench", "reason": "bench"}
NAMES = [f"s{number}" for number in range(SELLERS)]
Bodies = dict[tuple[MadeBy, str], bytes]


@dataclass
class Seen:
    expected: Bodies
    calls: int = 0
    failures: list[str] = field(default_factory=list)
    mixed: int = 0
    made_by: set[MadeBy] = field(default_factory=set)

    def ask(self, address: str, stop: threading.Event, seed: int) -> None:
        chance = random.Random(seed)
        with Client(address, deadline_seconds=5) as client:
            while not stop.wait(PAUSE_SECONDS):
                self.calls += 1
                try:
                    if chance.random() < 0.5:
                        self._take([client.get_trust_score(MARKET, chance.choice(NAMES))])
                    else:
                        results = client.batch_get_trust_scores(MARKET, chance.sample(NAMES, BATCH))
                        self._take([result.trust_score for result in results])
                except SellertrustCallError as error:
                    self.failures.append(f"{error.code.name} {error.reason}")

    def _take(self, scores: list[TrustScore]) -> None:
        stamps = {MadeBy(found.stamp.model_digest, found.stamp.policy_digest) for found in scores}
        self.made_by |= stamps
        self.mixed += len(stamps) != 1
        for found in scores:
            made_by = MadeBy(found.stamp.model_digest, found.stamp.policy_digest)
            found.ClearField("stamp")
            found.ClearField("freshness")
            self.mixed += found.SerializeToString(deterministic=True) != self.expected.get((made_by, found.seller))


def run(show: Show, count: int = SWAPS) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        registry = Registry(folder / "registry")
        models = [publish(registry, number) for number in range(2)]
        with Ledger.open(f"sqlite:///{folder}/ledger.db", create=True) as ledger:
            fill(ledger, SELLERS)
            seen = Seen(_expected(ledger, registry, models))
        stop, seconds = threading.Event(), list[float]()
        with (
            serving(shell_of(folder, policy=SHIPPED_POLICY), folder) as address,
            Client(address, deadline_seconds=30) as client,
            ThreadPoolExecutor(ASKERS) as pool,
        ):
            askers = [pool.submit(seen.ask, address, stop, seed) for seed in range(ASKERS)]
            try:
                for number in range(count // 4):
                    for swap in _swaps(client, registry, models, number):
                        began = time.perf_counter()
                        swap()
                        seconds.append(time.perf_counter() - began)
            finally:
                stop.set()
            for asker in askers:
                asker.result()
        show("swaps.tries", len(seconds))
        show("swaps.calls", seen.calls)
        show("swaps.failed", len(seen.failures))
        for failure, number in Counter(seen.failures).items():
            show(f"swaps.{failure.lower().replace(' ', '_')}", number)
        show("swaps.mixed", seen.mixed)
        show("swaps.kinds_seen", len(seen.made_by))
        show("swaps.slowest_s", round(max(seconds), 2))


def _swaps(client: Client, registry: Registry, models: list[str], number: int) -> list[Callable[[], object]]:
    first, second = models
    shipped = read_policy(SHIPPED_POLICY).digest

    def promote() -> None:
        registry.promote(second, **SAID, now=number)
        _require(client.wait_for_model(second, timeout_seconds=60))

    def roll_back() -> None:
        registry.rollback(**SAID, now=number)
        _require(client.wait_for_model(first, timeout_seconds=60))

    def commit() -> None:
        client.commit_policy(OTHER_POLICY.read_text(), expected=shipped, **SAID)

    def roll_back_policy() -> None:
        client.rollback_policy(**SAID)

    return [promote, commit, roll_back, roll_back_policy]


def _require(is_done: bool) -> None:
    if not is_done:
        raise TimeoutError("the server has not taken a model over")


def _expected(ledger: Ledger, registry: Registry, models: list[str]) -> Bodies:
    cut = ledger.cut()
    rows, _ = ledger.facts.table(MARKET, NAMES, cut)
    found: Bodies = {}
    for digest in models:
        for policy in (read_policy(SHIPPED_POLICY), read_policy(OTHER_POLICY)):
            answers = score(rows, NAMES, cut.observe_time, registry.load(digest), policy)
            for seller, answer in zip(NAMES, answers, strict=True):
                assert answer is not None
                name = seller_name(MARKET, seller)
                body = score_message(name, answer, None).SerializeToString(deterministic=True)
                found[MadeBy(digest, policy.digest), name] = body
    return found

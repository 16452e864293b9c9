"""Swaps under load: promotions of models that the server has never seen, and rollbacks, while checkouts go on asking.

Each pair is a promotion of a new model and a rollback.
Every answer must be that of the model which its stamp names.
"""

import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from scoring.progress import Progress
from scoring.score import score
from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.registry.registry import Registry
from service.settings import load as load_settings
from tests.bench._taker import SELLERS, fill
from tests.servers import MARKET
from tests.service.registry.models import publish
from tests.service.shells import serving, shell_of

Show = Callable[[str, float], None]

ASKERS = 4
PAUSE_SECONDS = 0.005
"""Between the calls of one asker: some hundred calls a second, and a processor left for what loads the models."""


@dataclass
class Load:
    """What the askers saw. Each list has one item a call, or a failure."""

    seconds: list[float] = field(default_factory=list)
    answers: set[tuple[str, str, int]] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    def ask(self, address: str, stop: threading.Event, seed: int) -> None:
        """Asks for one seller after the other until told to stop. A call fails after 5 s: what waits for a busy machine's
        processor is seen in the latencies.
        """
        chance = random.Random(seed)
        with Client(address, deadline_seconds=5) as client:
            while not stop.wait(PAUSE_SECONDS):
                seller = chance.choice(SELLERS)
                began = time.perf_counter()
                try:
                    found = client.get_trust_score(MARKET, seller)
                    self.answers.add((found.stamp.model_digest, seller, found.points))
                except SellertrustCallError as error:
                    self.failures.append(f"{error.code.name} {error.reason}")
                self.seconds.append(time.perf_counter() - began)


def run(show: Show, progress: Progress, count: int = 200) -> None:
    """Makes `count` swaps, half of them promotions; shows how long they took and what became of the calls meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        registry = Registry(folder / "registry")
        first = publish(registry)
        models = [publish(registry, number) for number in range(1, count // 2 + 1)]
        with Ledger.open(f"sqlite:///{folder}/ledger.db", create=True) as ledger:
            fill(ledger)
            expected = _expected(ledger, registry, [first, *models])
        shell, load, stop = shell_of(folder), Load(), threading.Event()
        promotions: list[float] = []
        rollbacks: list[float] = []
        with (
            serving(shell, folder) as address,
            Client(address, deadline_seconds=30) as client,
            ThreadPoolExecutor(ASKERS) as pool,
        ):
            askers = [pool.submit(load.ask, address, stop, seed) for seed in range(ASKERS)]
            try:
                for number, digest in enumerate(models):
                    progress("swaps", 2 * number, count)
                    said = {"actor": "bench", "reason": "bench", "now": number}
                    promotions.append(_swap(client, digest, lambda: registry.promote(digest, **said)))  # noqa: B023
                    rollbacks.append(_swap(client, first, lambda: registry.rollback(**said)))  # noqa: B023
            finally:
                stop.set()
            for asker in askers:
                asker.result()
        progress("swaps", count, count)
    show("swap.tried", len(promotions) + len(rollbacks))
    show("swap.calls", len(load.seconds))
    show("swap.failed_calls", len(load.failures))
    show(
        "swap.wrong_answers", len([1 for digest, seller, points in load.answers if expected[digest][seller] != points])
    )
    show("swap.models_seen", len({digest for digest, _, _ in load.answers}))
    show("swap.call_ms.p50", round(statistics.median(load.seconds) * 1e3, 3))
    show("swap.call_ms.p99", round(statistics.quantiles(load.seconds, n=100)[98] * 1e3, 3))
    show("swap.call_ms.max", round(max(load.seconds) * 1e3, 3))
    show("swap.promotion_s.p50", round(statistics.median(promotions), 3))
    show("swap.promotion_s.max", round(max(promotions), 3))
    show("swap.rollback_s.p50", round(statistics.median(rollbacks), 3))
    show("swap.rollback_s.max", round(max(rollbacks), 3))


def _swap(client: Client, digest: str, move: Callable[[], object]) -> float:
    """Seconds from asking for a move until the server answers with the model."""
    began = time.perf_counter()
    move()
    if not client.wait_for_model(digest, timeout_seconds=120):
        raise TimeoutError(f"the server has not taken {digest[:12]} over")
    return time.perf_counter() - began


def _expected(ledger: Ledger, registry: Registry, digests: list[str]) -> dict[str, dict[str, int]]:
    """The points of every seller by every model, from the core itself."""
    policy = load_policy(load_settings({}))
    cut = ledger.cut()
    rows = ledger.fact_rows(MARKET, SELLERS, cut.sequence)
    return {
        digest: {
            seller: found.points if found is not None and found.points is not None else 0
            for seller, found in zip(
                SELLERS, score(rows, SELLERS, cut.observe_time, registry.load(digest), policy), strict=True
            )
        }
        for digest in digests
    }

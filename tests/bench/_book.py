"""Measure the score book: a hit, batches over single calls, and the delay of an append by another server."""

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from sellertrust.client import Client
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.api.server import Server
from service.api.telemetry.logs import make_log
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.registry.registry import Registry
from service.scores.book.book import Book
from tests.bench._trained_market import MARKETPLACE, SELLERS
from tests.helpers.builders import exposure
from tests.helpers.servers import settings_of

ROUNDS, CALLS, APPENDS, BATCH = 5, 3_000, 60, 100


def measure(place: Path, url: str) -> dict[str, float]:
    settings = settings_of(data_dir=place, database_url=url)
    with ExitStack() as stack:
        ledger, other = (stack.enter_context(Ledger.open(url)) for _ in range(2))
        lines = stack.enter_context((place / "bench.log").open("w"))
        log = make_log("json", "info", lines, is_deferred=True)
        scorer = build_scorer(ledger, load_policy(settings), Registry(place / "registry"))
        server = stack.enter_context(Server(settings, ledger, scorer, log=log))
        client = stack.enter_context(Client(server.address, deadline_seconds=30))
        found = [result.trust_score for result in client.batch_get_trust_scores(MARKETPLACE, SELLERS[:BATCH])]
        score = next(one for one in found if one.state == pb.SCORE_STATE_RATED)
        book = server.book
        assert book is not None
        figures = _visible(book, other) | _batches(client)
        return figures | {"hit_us": _microseconds(lambda: book.remembered(score.seller))}


def _visible(book: Book, other: Ledger) -> dict[str, float]:
    waits = []
    for number in range(APPENDS):
        entry = exposure(day=19_000 + number, seller="bench-visible", entry_id=f"bench-visible-{time.time_ns()}")
        sequence = other.append(MARKETPLACE, [entry])[0].sequence
        began = time.perf_counter()
        while not book.follower.has(sequence):
            time.sleep(0.001)
        waits.append((time.perf_counter() - began) * 1e3)
        time.sleep(0.013 * (number % 7))
    cuts = statistics.quantiles(waits, n=100)
    return {"append_to_visible_ms.p50": round(cuts[49], 1), "append_to_visible_ms.p99": round(cuts[98], 1)}


def _batches(client: Client) -> dict[str, float]:
    single: list[float] = []
    batch: list[float] = []
    for _ in range(ROUNDS * 20):
        for into, ask in (
            (single, lambda: client.get_trust_score(MARKETPLACE, SELLERS[0])),
            (batch, lambda: client.batch_get_trust_scores(MARKETPLACE, SELLERS[:BATCH])),
        ):
            began = time.perf_counter()
            ask()
            into.append(time.perf_counter() - began)
    ratio = statistics.median(batch) / statistics.median(single)
    return {"batch100_over_single.p50": round(ratio, 2), "batch_scores_over_singles": round(BATCH / ratio, 1)}


def _microseconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CALLS):
            work()
        times.append((time.perf_counter() - began) / CALLS)
    return round(min(times) * 1e6, 1)

"""What the score book costs and gives: calls over those of a bare echo, hits, batches, and how soon an append is seen."""

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack

from sellertrust.client import Client
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.api.logs import make_log
from service.api.server import Server
from service.ledger.store import Ledger
from service.scores.scorer import Scorer
from service.settings import Settings
from tests.bench._over_echo import measure_over_echo
from tests.builders import exposure

ROUNDS, CALLS, APPENDS, BATCH = 5, 3_000, 60, 100


def measure(
    settings: Settings,
    url: str,
    scorer_of: Callable[[Ledger], Scorer],
    marketplace: str,
    sellers: list[str],
    *,
    is_beside_echo: bool,
) -> dict[str, float]:
    """Figures of a server over a ledger with scored sellers, in interleaved rounds; every success is logged to a file.

    `is_beside_echo`: whether it is held against an echo too.
    """
    with ExitStack() as stack:
        ledger, other = (stack.enter_context(Ledger.open(url)) for _ in range(2))
        log = make_log(
            "json", "info", stack.enter_context((settings.data_dir / "bench.log").open("w")), is_deferred=True
        )
        server = stack.enter_context(Server(settings, ledger, scorer_of(ledger), log=log))
        client = stack.enter_context(Client(server.address, deadline_seconds=30))
        found = [result.trust_score for result in client.batch_get_trust_scores(marketplace, sellers[:BATCH])]
        score = next(one for one in found if one.state == pb.SCORE_STATE_RATED)
        figures = _visible(server, other, marketplace)
        figures |= _batches(client, marketplace, sellers)
        if server._book is not None:
            book = server._book
            figures["hit_us"] = _microseconds(lambda: book.remembered(score.seller))
    if not is_beside_echo:
        return figures
    with Ledger.open(url) as ledger:
        return figures | measure_over_echo(settings, ledger, scorer_of(ledger), score.seller)


def _visible(server: Server, other: Ledger, marketplace: str) -> dict[str, float]:
    """Milliseconds from the end of an append by another process's ledger until this server's book reflects it."""
    waits = []
    for number in range(APPENDS):
        entry = exposure(day=19_000 + number, seller="bench-visible", entry_id=f"bench-visible-{time.time_ns()}")
        sequence = other.append(marketplace, [entry])[0].sequence
        began = time.perf_counter()
        while server._book is not None and not server._book.follower.has(sequence):
            time.sleep(0.001)
        waits.append((time.perf_counter() - began) * 1e3)
        time.sleep(0.013 * (number % 7))
    cuts = statistics.quantiles(waits, n=100)
    return {"append_to_visible_ms.p50": round(cuts[49], 1), "append_to_visible_ms.p99": round(cuts[98], 1)}


def _batches(client: Client, marketplace: str, sellers: list[str]) -> dict[str, float]:
    """What a batch of remembered scores takes over one of them, in medians, and how many scores more it gives a second."""
    single: list[float] = []
    batch: list[float] = []
    for _ in range(ROUNDS * 20):
        for into, ask in (
            (single, lambda: client.get_trust_score(marketplace, sellers[0])),
            (batch, lambda: client.batch_get_trust_scores(marketplace, sellers[:BATCH])),
        ):
            began = time.perf_counter()
            ask()
            into.append(time.perf_counter() - began)
    ratio = statistics.median(batch) / statistics.median(single)
    return {"batch100_over_single.p50": round(ratio, 2), "batch_scores_over_singles": round(BATCH / ratio, 1)}


def _microseconds(work: Callable[[], object]) -> float:
    """The least mean of some rounds."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CALLS):
            work()
        times.append((time.perf_counter() - began) / CALLS)
    return round(min(times) * 1e6, 1)

"""What the score book costs and gives: calls over those of a bare echo, hits, batches, and how soon an append is seen."""

import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc

from sellertrust.client import Client
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.api.logs import make_log
from service.api.server import Server, options_of
from service.ledger.store import Ledger
from service.scores.scorer import Scorer
from service.settings import Settings
from tests.builders import exposure

SERVICE = "sellertrust.v1.TrustScoreService"
ROUNDS, CALLS, APPENDS, BATCH = 5, 3_000, 60, 100


def measure(
    settings: Settings, url: str, scorer_of: Callable[[Ledger], Scorer], marketplace: str, sellers: list[str]
) -> dict[str, float]:
    """Figures of a server over a ledger with scored sellers, in interleaved rounds; every success is logged to a file."""
    with ExitStack() as stack:
        ledger, other = (stack.enter_context(Ledger.open(url)) for _ in range(2))
        log = make_log(
            "json", "info", stack.enter_context((settings.data_dir / "bench.log").open("w")), is_deferred=True
        )
        server = stack.enter_context(Server(settings, ledger, scorer_of(ledger), log=log))
        client = stack.enter_context(Client(server.address, deadline_seconds=30))
        client.batch_get_trust_scores(marketplace, sellers[:BATCH])
        score = client.get_trust_score(marketplace, sellers[0])
        figures = _visible(server, other, marketplace)
        figures |= _batches(client, marketplace, sellers)
        book = server._book
        if book is None or shutil.which("h2load") is None:
            return figures
        figures["hit_us"] = _microseconds(lambda: book._remembered(score.seller, 0))
        echo = grpc.server(ThreadPoolExecutor(settings.worker_threads), options=options_of(settings))
        answer = pb.GetTrustScoreResponse(trust_score=score).SerializeToString()
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(lambda data, context: answer)
        echo.add_registered_method_handlers(SERVICE, {"GetTrustScore": handler})
        port = echo.add_insecure_port("127.0.0.1:0")
        echo.start()
        stack.callback(echo.stop, 0)
        single = _body(settings.data_dir / "single", pb.GetTrustScoreRequest(seller=score.seller).SerializeToString())
        return figures | _over_echo(server, f"127.0.0.1:{port}", single)


def _over_echo(server: Server, echo: str, body: Path) -> dict[str, float]:
    """Calls a second over those of the echo, and the processor's time of one call in this process."""
    ratios: dict[int, list[float]] = {1: [], 32: []}
    cpu: list[float] = []
    book = server._book
    for _ in range(ROUNDS):
        for calls, found in ratios.items():
            before, began = 0 if book is None else book.tally.total("hit"), time.process_time()
            ours = _load(server.address, calls, body)
            cpu.append((time.process_time() - began) * 1e6 / CALLS)
            assert book is None or book.tally.total("hit") - before == CALLS, "some calls were no hits"
            found.append(ours / _load(echo, calls, body))
    figures = {f"get_over_echo.c{calls}": round(statistics.median(found), 3) for calls, found in ratios.items()}
    return figures | {"get_cpu_us": round(statistics.median(cpu), 1)}


def _load(address: str, calls: int, body: Path) -> float:
    """Calls a second, so many in flight on one connection, by h2load, all of which must succeed."""
    headers = ("-H", "content-type: application/grpc", "-H", "te: trailers")
    command = ["h2load", "-n", str(CALLS), "-c", "1", "-m", str(calls), *headers, "-d", str(body)]
    out = subprocess.run(
        [*command, f"http://{address}/{SERVICE}/GetTrustScore"], capture_output=True, text=True, check=True
    )
    assert f"{CALLS} succeeded" in out.stdout, out.stdout
    found = re.search(r"finished in .*, ([\d.]+) req/s", out.stdout)
    assert found is not None
    return float(found[1])


def _body(path: Path, message: bytes) -> Path:
    path.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    return path


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

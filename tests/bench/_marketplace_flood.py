import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path

import grpc

from sellertrust.client import Client
from sellertrust.names import seller_name
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from tests.helpers.filled import prepare
from tests.helpers.servers import exposure, identity
from tests.helpers.shells import serving, shell_of

Show = Callable[[str, float], None]

TURNS, SECONDS = 2, 6.0
CALLERS = 3
QUIET = "quiet"
CALLS_A_SECOND = 10
LEAST = 30
SCORE_SECONDS, APPEND_SECONDS = 1.0, 2.0

FLOOD = """
import sys, threading, time, uuid
from itertools import count
import grpc
from sellertrust.v1 import ledger_service_pb2 as ledger_pb, trust_score_service_pb2 as score_pb
from sellertrust.v1 import entry_pb2
channel = grpc.insecure_channel(sys.argv[1], [("grpc.use_local_subchannel_pool", 1)])
began, spent = time.monotonic(), time.process_time()
parent = "marketplaces/acme"
SCORE = "TrustScoreService/GetTrustScore"
STREAM = "/sellertrust.v1.LedgerService/StreamEntries"
def rest():
    while time.process_time() - spent > 0.15 * (time.monotonic() - began) + 0.3:
        time.sleep(0.01)
def flood(path, in_flight, bodies):
    method = channel.unary_unary(f"/sellertrust.v1.{path}")
    asked = []
    for body in bodies:
        rest()
        asked.append(method.future(body, timeout=10))
        if len(asked) >= in_flight:
            asked.pop(0).exception()
def scores():
    request = score_pb.GetTrustScoreRequest()
    for number in count():
        request.seller = f"{parent}/sellers/s{number % 100}"
        request.known_time.FromMicroseconds(time.time_ns() // 1_000 - 1_000_000)
        yield request.SerializeToString()
def batches():
    while True:
        request = score_pb.BatchGetTrustScoresRequest(parent=parent)
        request.sellers.extend(f"{parent}/sellers/s{number}" for number in range(100))
        request.known_time.FromMicroseconds(time.time_ns() // 1_000 - 1_000_000)
        yield request.SerializeToString()
def entries():
    found = [entry_pb2.Entry(entry_id=uuid.uuid4().hex, seller=f"{parent}/sellers/{uuid.uuid4()}") for _ in range(200)]
    for entry in found:
        entry.exposure.day, entry.exposure.settled_orders = "2026-01-31", 1_000
    return found
def appends():
    while True:
        yield ledger_pb.AppendEntriesRequest(parent=parent, entries=entries()).SerializeToString()
def streamed():
    while True:
        rest()
        yield ledger_pb.StreamEntriesRequest(parent=parent, entries=entries())
def stream():
    method = channel.stream_stream(STREAM, ledger_pb.StreamEntriesRequest.SerializeToString)
    while True:
        try:
            for _ in method(streamed()):
                pass
        except grpc.RpcError:
            time.sleep(0.1)
work = [lambda: flood(SCORE, 60, scores()), lambda: flood("TrustScoreService/BatchGetTrustScores", 20, batches())]
work += [lambda: flood("LedgerService/AppendEntries", 20, appends()), *[stream] * 6]
for one in work:
    threading.Thread(target=one).start()
print("floods", flush=True)
"""


def run(show: Show, turns: int = TURNS, seconds: float = SECONDS, patience: float = 1.0) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        with (
            serving(shell_of(folder, log_level="error"), folder) as address,
            Client(address, service_config={}) as client,
        ):
            _fill(client)
            shares: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
            for turn in range(2 * turns):
                is_flooded = bool(turn % 2)
                with _flood(address) if is_flooded else nullcontext():
                    shares[is_flooded] += _count_in_time(client, seconds, patience)
    for name in ("computed", "remembered", "append"):
        show(f"marketplace_flood.{name}_in_time", round(_share(shares[True], name), 3))
    alone, beside = _share(shares[False], ""), _share(shares[True], "")
    show("marketplace_flood_kept", round(beside / alone, 3))


def _share(found: Counter[str], name: str) -> float:
    done = sum(number for key, number in found.items() if key.startswith(f"in time {name}"))
    return done / sum(number for key, number in found.items() if key.startswith(f"tried {name}"))


def _fill(client: Client) -> None:
    for number in range(20):
        seller = f"q{number}"
        entries = [identity(f"i{number}", seller), exposure(f"x{number}", seller)]
        for entry in entries:
            entry.seller = seller_name(QUIET, seller)
        client.append_entries(QUIET, entries)
        client.get_trust_score(QUIET, seller)
    time.sleep(2)  # computed scores are as of a second ago


@contextmanager
def _flood(address: str) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(CALLERS):
            command = [sys.executable, "-c", FLOOD, address]
            flood = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(flood.kill)
            assert flood.stdout is not None
            flood.stdout.readline()
        time.sleep(2)
        yield


def _count_in_time(client: Client, seconds: float, patience: float) -> Counter[str]:
    found: Counter[str] = Counter()
    numbers = count()
    began = time.monotonic()
    score, append = patience * SCORE_SECONDS, patience * APPEND_SECONDS
    ways: dict[str, tuple[float, Callable[[str], object]]] = {
        "computed": (score, lambda seller: _ask_past(client, seller, score)),
        "remembered": (score, lambda seller: client.get_trust_score(QUIET, seller, deadline_seconds=score)),
        "append": (append, lambda seller: _append(client, seller, append)),
    }
    while time.monotonic() - began < seconds or found.total() < LEAST:
        number = next(numbers)
        name = [*ways][number % len(ways)]
        most, call = ways[name]
        asked = time.monotonic()
        found[f"tried {name}"] += 1
        with suppress(Exception):
            call(f"q{number % 20}")
            found[f"in time {name}"] += time.monotonic() - asked <= most
        time.sleep(max(0.0, asked + 1 / CALLS_A_SECOND - time.monotonic()))
    return found


def _ask_past(client: Client, seller: str, seconds: float) -> None:
    request = score_pb.GetTrustScoreRequest(seller=seller_name(QUIET, seller))
    request.known_time.FromMicroseconds(time.time_ns() // 1_000 - 1_000_000)
    method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = client.channel.unary_unary(
        "/sellertrust.v1.TrustScoreService/GetTrustScore"
    )
    method(request.SerializeToString(), timeout=seconds)


def _append(client: Client, seller: str, seconds: float) -> None:
    entry = identity(f"n{time.time_ns()}", seller)
    entry.seller = seller_name(QUIET, f"{seller}-new")
    client.append_entries(QUIET, [entry], deadline_seconds=seconds)

"""Scores a second and a core by one server and by two on one address, and those needed for 240,000 scores a second."""

import json
import math
import re
import socket
import statistics
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sellertrust.client import Client
from sellertrust.v1 import trust_score_service_pb2 as pb
from tests.bench._h2load import h2load, write_body
from tests.helpers.shells import serving, shell_of

SCORES_A_SECOND = 240_000

SELLERS_AN_ORDER = 3
PROCESSES = (1, 2)
LOG_SECONDS = 10.0

ROUNDS, CALLS, CONNECTIONS, AT_A_TIME = 5, 6_000, 16, 4


def measure_processes(folder: Path, url: str, marketplace: str, sellers: Sequence[str]) -> dict[str, float]:
    """Return scores a second and a core second, for one seller and three a call, by the number of processes.

    `url`: of PostgreSQL.
    """
    parent = f"marketplaces/{marketplace}"
    names = [f"{parent}/sellers/{seller}" for seller in sellers[:SELLERS_AN_ORDER]]
    requests = {
        "single": ("GetTrustScore", pb.GetTrustScoreRequest(seller=names[0]), 1),
        "order": ("BatchGetTrustScores", pb.BatchGetTrustScoresRequest(parent=parent, sellers=names), len(names)),
    }
    figures: dict[str, float] = {}
    for processes in PROCESSES:
        place = folder / f"processes-{processes}"
        place.mkdir()
        settings = {"database_url": url, "registry": folder / "registry", "metrics_address": "127.0.0.1:0"}
        with ExitStack() as stack:
            address = stack.enter_context(free_address())
            shell = shell_of(place, **settings, address=address, share_address=True)
            folders = [place / str(number) for number in range(processes)]
            for one in folders:
                one.mkdir()
                stack.enter_context(serving(shell, one))
            metrics = [metrics_address(one / "server.log") for one in folders]
            for _ in range(8 * processes):
                with Client(address) as client:
                    client.batch_get_trust_scores(marketplace, list(sellers[:SELLERS_AN_ORDER]))
            for kind, (method, request, scores) in requests.items():
                body = write_body(place / kind, request.SerializeToString())
                path = f"sellertrust.v1.TrustScoreService/{method}"
                load = {"count": CALLS, "at_a_time": AT_A_TIME, "connections": CONNECTIONS}
                before, began = sum(map(cpu_seconds, metrics)), time.monotonic()
                found = [scores * h2load(address, path, body, **load) for _ in range(ROUNDS)]
                used = sum(map(cpu_seconds, metrics)) - before
                figures[f"scores_per_s.{kind}.{processes}"] = round(statistics.median(found))
                figures[f"scores_per_core_s.{kind}.{processes}"] = round(ROUNDS * CALLS * scores / used)
                figures[f"cores.{kind}.{processes}"] = round(used / (time.monotonic() - began), 2)
    for kind, ending in (("order", ""), ("single", ".single")):
        slope = figures[f"scores_per_core_s.{kind}.{PROCESSES[-1]}"]
        figures[f"processes_for_240000{ending}"] = math.ceil(SCORES_A_SECOND / slope)
    return figures


@contextmanager
def free_address() -> Iterator[str]:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{holder.getsockname()[1]}"


def metrics_address(log: Path) -> str:
    until = time.monotonic() + LOG_SECONDS
    while time.monotonic() < until:
        for line in map(json.loads, [text for text in log.read_text().splitlines() if text.startswith("{")]):
            if line["event"] == "serving" and line["metrics"]:
                return str(line["metrics"])
        time.sleep(0.05)
    raise TimeoutError("the server's log does not say where its metrics are")


def cpu_seconds(metrics: str) -> float:
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(map(float, re.findall(r"(?m)^process_cpu_seconds_total(?:\{[^}]*\})? (\S+)$", text)))


def read_peak_mb() -> float:
    # ru_maxrss has the parent's, too
    lines = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peak) / 1024

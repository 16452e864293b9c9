"""Load from other processes: `python -m tests.helpers.load OPTIONS` prints one JSON object.

Open load begins calls at a fixed rate; closed load keeps a fixed number in progress.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from sellertrust.client import Client
from sellertrust.v1 import review_service_pb2 as review_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from tests.helpers.servers import MARKET

SCORE = "TrustScoreService/GetTrustScore"


@dataclass
class Plan:
    address: str
    seconds: float
    rate: float = 0.0
    """Calls a second of open load; 0: closed load."""
    at_a_time: int = 1
    deadline_seconds: float = 1.0
    cancelled_share: float = 0.0
    methods: list[str] = field(default_factory=lambda: [SCORE])
    is_past: bool = False
    """Asks for scores as of a moment, so that each is computed."""
    is_read: bool = False
    sellers: int = 100
    is_published: bool = False
    """Calls with the published configuration of `sellertrust.client`; else without retries."""


@dataclass
class Found:
    tries: int
    ok: int
    seconds: float
    codes: dict[str, int]
    cpu_seconds: float = 0.0


def requests_of(method: str, sellers: int, *, is_past: bool = False) -> list[bytes]:
    parent, named = f"marketplaces/{MARKET}", [f"marketplaces/{MARKET}/sellers/s{n}" for n in range(sellers)]
    known_time = None
    if is_past:
        known_time = Timestamp()
        known_time.GetCurrentTime()
    messages: dict[str, list[Any]] = {
        SCORE: [score_pb.GetTrustScoreRequest(seller=name, known_time=known_time) for name in named],
        "TrustScoreService/BatchGetTrustScores": [score_pb.BatchGetTrustScoresRequest(parent=parent, sellers=named)],
        "TrustScoreService/ExplainTrustScore": [score_pb.ExplainTrustScoreRequest(seller=name) for name in named],
        "ReviewService/ListReviewQueue": [review_pb.ListReviewQueueRequest(parent=parent)],
    }
    return [message.SerializeToString() for message in messages[method]]


class Load:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._codes: Counter[str] = Counter()
        self._tries = 0
        self._open = 0
        self._lock = threading.Lock()
        self._ended = threading.Condition(self._lock)

    def run(self) -> Found:
        plan = self._plan
        with Client(plan.address) if plan.is_published else Client(plan.address, service_config={}) as client:
            channel = client.channel
            grpc.channel_ready_future(channel).result(30)
            calls = self._calls(channel)
            began, worked = time.monotonic(), time.process_time()
            until = began + plan.seconds
            while (now := time.monotonic()) < until:
                if plan.rate:
                    for _ in range(int((now - began) * plan.rate) - self._tries):
                        self._begin(*next(calls))
                    time.sleep(0.002)
                    continue
                with self._ended:
                    self._ended.wait_for(lambda: self._open < plan.at_a_time, 1)
                    free = plan.at_a_time - self._open
                for _ in range(free):
                    self._begin(*next(calls))
            seconds = time.monotonic() - began
            with self._ended:
                self._ended.wait_for(lambda: not self._open, plan.deadline_seconds + 10)
        return Found(self._tries, self._codes["OK"], seconds, dict(self._codes), time.process_time() - worked)

    def _calls(self, channel: grpc.Channel) -> Iterator[tuple[Any, bytes]]:
        kinds: list[tuple[Any, list[bytes]]] = [
            (
                channel.unary_unary(f"/sellertrust.v1.{method}"),
                requests_of(method, self._plan.sellers, is_past=self._plan.is_past),
            )
            for method in self._plan.methods
        ]
        number = os.getpid()
        while True:
            for stub, requests in kinds:
                number += 1
                yield stub, requests[number % len(requests)]

    def _begin(self, stub: Any, request: bytes) -> None:
        self._tries += 1
        with self._lock:
            self._open += 1
        call = stub.future(request, timeout=self._plan.deadline_seconds)
        call.add_done_callback(self._end)
        if self._tries * self._plan.cancelled_share % 1 > 0.9999 - self._plan.cancelled_share:
            call.cancel()

    def _end(self, call: Any) -> None:
        name = call.code().name
        if name == "OK" and self._plan.is_read and _is_unknown(call.result()):
            name = "SCORE_UNKNOWN"
        with self._ended:
            self._codes[name] += 1
            self._open -= 1
            self._ended.notify()


def _is_unknown(answer: bytes) -> bool:
    state = score_pb.GetTrustScoreResponse.FromString(answer).trust_score.state
    return state == score_pb.SCORE_STATE_UNKNOWN


@contextmanager
def loading(plans: Sequence[Plan]) -> Iterator[list[Found]]:
    found: list[Found] = []
    processes = [
        subprocess.Popen(
            ["nice", "-n", "5", sys.executable, "-m", "tests.helpers.load", json.dumps(asdict(plan))],
            stdout=subprocess.PIPE,
            text=True,
        )
        for plan in plans
    ]
    try:
        yield found
        for process in processes:
            output, _ = process.communicate(timeout=max(plan.seconds for plan in plans) + 300)
            found.append(Found(**json.loads(output)))
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def load(plans: Sequence[Plan]) -> list[Found]:
    with loading(plans) as found:
        pass
    return found


if __name__ == "__main__":
    print(json.dumps(asdict(Load(Plan(**json.loads(sys.argv[1]))).run())))

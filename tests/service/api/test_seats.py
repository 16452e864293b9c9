import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from sellertrust.v1 import trust_score_service_pb2 as pb
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, Running, exposure, identity, running_server
from tests.helpers.waiting import wait_until
from tests.helpers.worlds import artifact
from tests.service.api.test_overload import value

SELLERS = ["known", "a", "b", "c"]


@contextmanager
def half_computing(tmp_path: Path, **asked: Any) -> Iterator[tuple[Running, Client]]:
    """Yield a server of four threads; two compute `asked` until the end, and `known` is remembered."""
    with (
        running_server(tmp_path, artifact=artifact(), worker_threads=4) as running,
        running.client(service_config={}) as client,
        ExitStack() as stack,
    ):
        for name in SELLERS:
            client.append_entries(MARKET, [identity(f"i-{name}", name), exposure(f"x-{name}", name)])
        client.get_trust_score(MARKET, "known")
        release, begun, scores = threading.Event(), threading.Semaphore(0), running.scorer.scores

        def wait(*arguments: Any) -> Any:
            begun.release()
            release.wait(30)
            return scores(*arguments)

        stack.callback(setattr, running.scorer, "scores", scores)
        running.scorer.scores = wait  # type: ignore[method-assign]
        pool = stack.enter_context(ThreadPoolExecutor(2))
        stack.callback(release.set)
        for name in ("a", "b"):
            pool.submit(client.get_trust_score, MARKET, name, deadline_seconds=30, **asked)
            assert begun.acquire(timeout=30)
        yield running, client


def test_at_most_half_of_the_threads_compute(
    tmp_path: Path,
) -> None:
    with half_computing(tmp_path) as (running, client):
        for _ in range(10):
            error = refusal(client.get_trust_score, MARKET, "c", deadline_seconds=20)
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_BUSY")
            assert error.retry_delay == 1
            found = client.get_trust_score(MARKET, "known", deadline_seconds=20)
            assert found.freshness.state == pb.FRESHNESS_STATE_FRESH
        method = "TrustScoreService/GetTrustScore"
        wait_until(lambda: value(running, "requests_total", method=method, code="UNAVAILABLE") == 10)


def test_scores_of_stated_times_take_half_of_the_threads(tmp_path: Path) -> None:
    times = {"known_time": datetime(2020, 1, 1, tzinfo=UTC)}
    with half_computing(tmp_path, **times) as (_, client):
        with pytest.raises(SellertrustCallError, match="SERVER_BUSY"):
            client.get_trust_score(MARKET, "known", deadline_seconds=20, **times)
        assert client.get_trust_score(MARKET, "known", deadline_seconds=20).points

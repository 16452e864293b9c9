"""Whether the server behind the badges answers, asked of it when somebody asks here."""

import asyncio
import time
from collections.abc import Callable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sellertrust.client import Client

KEPT_SECONDS = 1.0
"""How long one answer holds for all, so that who asks here often does not ask there often."""

_SERVICE = "sellertrust.v1.TrustScoreService"


class ServerHealth:
    """Asks whether the server answers, once for all who ask at a time. One event loop uses it.

    `ask` is called in a thread, and returns within seconds.
    """

    def __init__(self, ask: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._kept: asyncio.Task[bool] | None = None
        self._until = 0.0

    async def answers(self) -> bool:
        """Return whether the server answers now, or did less than KEPT_SECONDS ago."""
        if self._kept is None or (self._kept.done() and self._clock() >= self._until):
            self._kept = asyncio.create_task(self._look())
        return await asyncio.shield(self._kept)

    async def _look(self) -> bool:
        answers = await asyncio.to_thread(self._ask)
        self._until = self._clock() + KEPT_SECONDS
        return answers


def is_serving(client: Client, seconds: float) -> bool:
    """Return whether the server of a client says within `seconds` that it answers with scores, stale ones included."""
    request = health_pb2.HealthCheckRequest(service=_SERVICE)
    try:
        found = health_pb2_grpc.HealthStub(client.channel).Check(request, timeout=seconds)
    except grpc.RpcError:
        return False
    return bool(found.status == health_pb2.HealthCheckResponse.SERVING)

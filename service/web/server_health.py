import asyncio
import time
from collections.abc import Callable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sellertrust.client import Client

KEPT_SECONDS = 1.0
"""One answer serves all requests for so long."""


class ServerHealth:
    """Asks once for all simultaneous requests; for one event loop. `ask` runs in a thread."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask = ask
        self._last_check: asyncio.Task[bool] | None = None
        self._valid_until = 0.0

    async def answers(self) -> bool:
        """Return whether the server answers, as found within the last KEPT_SECONDS, else now."""
        if self._last_check is None or (self._last_check.done() and time.monotonic() >= self._valid_until):
            self._last_check = asyncio.create_task(self._ask_in_thread())
        return await asyncio.shield(self._last_check)

    async def _ask_in_thread(self) -> bool:
        answers = await asyncio.to_thread(self._ask)
        self._valid_until = time.monotonic() + KEPT_SECONDS
        return answers


def is_serving(client: Client, seconds: float, service: str = "TrustScoreService") -> bool:
    """Return whether a service of the contract answers within `seconds` that it serves."""
    request = health_pb2.HealthCheckRequest(service=f"sellertrust.v1.{service}")
    try:
        answer = health_pb2_grpc.HealthStub(client.channel).Check(request, timeout=seconds)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

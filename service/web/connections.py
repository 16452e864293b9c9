import asyncio
import socket
from asyncio import Transport
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from scoring.base.errors import ConfigurationWrong

MAX_CONNECTIONS = 1_000
"""A further one closes the oldest."""
CONNECTION_SECONDS = 60.0
"""A running answer is finished."""
MAX_HEAD_BYTES = 8 << 10
"""The longest request line with headers."""
CHECK_TRIES = 500
"""The start looks so often for its own connection, every 10 ms."""


def bounded_protocol(
    oldest_first: dict[H11Protocol, asyncio.TimerHandle],
    max_connections: int = MAX_CONNECTIONS,
    connection_seconds: float = CONNECTION_SECONDS,
) -> type[H11Protocol]:
    """Return uvicorn's protocol with bounds; `oldest_first` gets its open connections, with the timers that close them.

    A connection beyond `max_connections` closes the oldest one. Each is closed `connection_seconds` after it opened,
    once a running answer is finished.
    """

    class BoundedProtocol(H11Protocol):
        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # asyncio sets it only for sockets that name their protocol; without it a body waits 40 ms.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(oldest_first) >= max_connections:
                oldest = next(iter(oldest_first))
                oldest_first.pop(oldest).cancel()
                oldest.transport.abort()
            oldest_first[self] = self.loop.call_later(connection_seconds, self.shutdown)

        def connection_lost(self, exc: Exception | None) -> None:
            if self in oldest_first:
                oldest_first.pop(self).cancel()
            super().connection_lost(exc)

    return BoundedProtocol


def uvicorn_options(protocol: type[H11Protocol]) -> dict[str, Any]:
    """Return what every uvicorn of ours is started with: bounds, and no logs of requests."""
    return {
        "http": protocol,
        "ws": "none",
        "h11_max_incomplete_event_size": MAX_HEAD_BYTES,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": 5,
        "log_config": None,
        "log_level": "critical",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
    }


async def require_bounds(address: tuple[str, int], connections: dict[H11Protocol, asyncio.TimerHandle]) -> None:
    """Connect; raise ConfigurationWrong if the protocol's `connections` stay empty."""
    _, writer = await asyncio.open_connection(*address)
    try:
        for _ in range(CHECK_TRIES):
            if connections:
                return
            await asyncio.sleep(0.01)
    finally:
        writer.close()
    raise ConfigurationWrong(
        "This release of uvicorn gives connections no bounds. Install the release that pyproject.toml names."
    )

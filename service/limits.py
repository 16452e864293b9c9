"""How much one server takes on at a time, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server. The defaults suit two to eight processors; only tests state others."""

    worker_threads: int = 8
    """Threads that answer GetTrustScore; at most half of them compute scores."""
    slow_threads: int = 4
    """Threads that read the database: explanations, lists, violations. As many batches may compute scores."""
    stream_threads: int = 32
    """Streams (StreamEntries, WatchEntries) that may be open."""
    client_streams: int = 16
    """Streams that one client may have open: by principal under grants, else by host."""
    connection_calls: int = 64
    """Calls that one connection may have; its client lets further ones wait."""
    max_connections: int = 1_000
    """Connections that may be open; further ones are closed."""
    book_sellers: int = 100_000
    """Sellers whose scores a server remembers; 0: none."""
    book_fresh_seconds: float = 2.0
    """Age of the last look at the ledger beyond which a remembered score is stale."""
    book_stale_hours: float = 168.0
    """Age up to which a remembered score is answered, as stale, while the ledger's database is away."""
    drain_seconds: float = 0.5
    """Time between saying NOT_SERVING and refusing calls, on SIGTERM: a balancer looks in between."""

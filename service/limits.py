from scoring.base.frozen import frozen


@frozen
class Limits:
    """The limits of a server, for two to eight processors; only tests change them."""

    worker_threads: int = 8
    """Threads that answer GetTrustScore; at most half of them compute scores."""
    slow_threads: int = 4
    """Threads that read the database: explanations, lists, violations. As many batches may compute scores."""
    stream_threads: int = 32
    client_streams: int = 16
    """Open streams of one client: by principal under grants, else by host."""
    connection_calls: int = 64
    """Concurrent calls of one connection; its client delays further ones."""
    max_connections: int = 1_000
    book_sellers: int = 100_000
    """Sellers with remembered scores; 0: none."""
    book_fresh_seconds: float = 2.0
    """An older read of the ledger makes a remembered score stale."""
    book_stale_hours: float = 168.0
    """Such a score is still answered, as stale, while the database is away."""
    drain_seconds: float = 0.5
    """Time from NOT_SERVING to refusing calls on SIGTERM, in which balancers notice."""

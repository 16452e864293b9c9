import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sellertrust.client import Client
from service.web.frame.visits import Problem

MAX_CLIENTS = 1_000
CLIENT_SECONDS = 4_000.0
"""Longer than a token lives."""


@dataclass
class TokenClients:
    """Thread-safe. `make` returns the client of a token; an old one is closed when another is made."""

    make: Callable[[str | None], Client]
    _made: dict[str, tuple[float, Client]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, token: str) -> Client:
        digest, now = hashlib.sha256(token.encode()).hexdigest(), time.monotonic()
        with self._lock:
            for old in [name for name, (made, _) in self._made.items() if now - made > CLIENT_SECONDS]:
                self._made.pop(old)[1].close()
            if digest not in self._made:
                if len(self._made) >= MAX_CLIENTS:
                    raise Problem(503, "Too many people are signed in", "Try again in some minutes.")
                self._made[digest] = now, self.make(token)
            return self._made[digest][1]

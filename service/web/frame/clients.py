import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from service.web.frame.visits import Problem

MAX_CLIENTS = 1_000
CLIENT_SECONDS = 4_000.0
"""Longer than a token lives."""
CHECK_SECONDS = 15.0
CHECKED_SECONDS = 60.0
"""The server is asked so often whether it refuses a wrong token."""
_CODES_AFTER_AUTHENTICATION = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND}


@dataclass
class TokenClients:
    """Thread-safe. `make` returns the client of a token; old ones are closed."""

    make: Callable[[str], Client]
    _made: dict[str, tuple[float, Client]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _checked_until: float = 0.0

    def find_or_make(self, token: str) -> Client:
        """Return a token's unverified client. Raises Problem if too many people are signed in."""
        digest, now = hashlib.sha256(token.encode()).hexdigest(), time.monotonic()
        with self._lock:
            for old in [name for name, (made_at, _) in self._made.items() if now - made_at > CLIENT_SECONDS]:
                self._made.pop(old)[1].close()
            if digest not in self._made:
                if len(self._made) >= MAX_CLIENTS:
                    raise Problem(503, "Too many people are signed in", "Try again in some minutes.")
                self._made[digest] = now, self.make(token)
            return self._made[digest][1]

    def verify(self, token: str) -> Client | None:
        """Return the client of a token, None for one that the server refuses.

        Raises Problem if the server accepts any token, so that its answer proves nothing.
        """
        client, is_accepted = self.find_or_make(token), False
        try:
            is_accepted = _is_authenticated(client) and self._server_checks_tokens()
        finally:
            if not is_accepted:
                self._forget(client)
        return client if is_accepted else None

    def _server_checks_tokens(self) -> bool:
        """Seldom ask: the server holds off whoever shows it many wrong tokens."""
        if time.monotonic() >= self._checked_until:
            with self.make("none") as probe:
                is_any_accepted = _is_authenticated(probe)
            if is_any_accepted:
                raise Problem(503, "The server checks no tokens", "Give it a file of grants with an issuer of tokens.")
            self._checked_until = time.monotonic() + CHECKED_SECONDS
        return True

    def _forget(self, client: Client) -> None:
        with self._lock:
            self._made = {
                name: time_and_client
                for name, time_and_client in self._made.items()
                if time_and_client[1] is not client
            }
        client.close()


def _is_authenticated(client: Client) -> bool:
    try:
        client.get_trust_score("desk", "desk", deadline_seconds=CHECK_SECONDS)
    except SellertrustCallError as error:
        if error.code is grpc.StatusCode.UNAUTHENTICATED:
            return False
        if error.code not in _CODES_AFTER_AUTHENTICATION:
            raise
    return True

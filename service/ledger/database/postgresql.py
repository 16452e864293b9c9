"""Connections to PostgreSQL that do not wait for ever: a server that has fallen silent is given up.

PostgreSQL's own limits (`statement_timeout`, `lock_timeout`) end what a server that runs takes too long for. A server
that was stopped, or a machine that hangs, keeps none of them, and its sockets stay open: so the client has its own.
"""

import threading
from collections.abc import Callable, Generator
from math import inf
from time import monotonic
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, event

CONNECT_SECONDS = 3
"""How long PostgreSQL may take for a connection: the libpq's least is 2."""

PING_SECONDS = 2.0
"""How long it may take to answer that a connection from the pool is alive, which costs it nothing."""

QUIET_SECONDS = 3.0
"""After how long without an answer to a statement a new connection is tried; then after twice as long, and so on."""

T = TypeVar("T")


class StillSilent(psycopg.OperationalError):
    """PostgreSQL let a connection time out, and another caller tries again.

    All others are refused at once.
    """


class Connector:
    """Makes connections to one PostgreSQL, and knows whether it has fallen silent.

    While it is silent one thread at a time tries again, for `CONNECT_SECONDS`; the others are refused at once, so that
    calls are answered in time and their threads stay free.
    """

    def __init__(self) -> None:
        self._is_silent = False
        self._trying = threading.Lock()

    def serve(self, engine: Engine, limit_seconds: float) -> None:
        """Make an engine open its connections here, with time limits on their answers.

        An answer may take `limit_seconds` while in use, and PING_SECONDS in the pool.
        """

        def connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> "PatientConnection":
            connection = self.connect(*arguments, **parameters)
            connection.limit_seconds = limit_seconds
            return connection

        def limit(seconds: float) -> Any:
            return lambda connection, *_: setattr(connection, "limit_seconds", seconds)

        event.listen(engine, "do_connect", connect)
        event.listen(engine, "checkin", lambda connection, _: connection and limit(PING_SECONDS)(connection))
        event.listen(engine, "checkout", limit(limit_seconds))

    def connect(self, *arguments: Any, **parameters: Any) -> "PatientConnection":
        """Open a new connection, with psycopg's arguments.

        StillSilent at once, if PostgreSQL did not answer before and another thread tries already; else what psycopg
        raises.
        """
        alone = self._is_silent
        if alone and not self._trying.acquire(blocking=False):
            raise StillSilent("PostgreSQL does not answer")
        silent = False
        try:
            connection = PatientConnection.connect(*arguments, **parameters)
        except psycopg.errors.ConnectionTimeout:
            silent = True
            raise
        finally:
            self._is_silent = silent
            if alone:
                self._trying.release()
        connection.is_answering = lambda: self._is_answering(*arguments, **parameters)
        return connection

    def _is_answering(self, *arguments: Any, **parameters: Any) -> bool:
        """Return whether PostgreSQL lets somebody in, or at least says why not."""
        try:
            self.connect(*arguments, **parameters).close()
        except (StillSilent, psycopg.errors.ConnectionTimeout):
            return False
        except psycopg.Error:
            return True
        return True


class PatientConnection(psycopg.Connection[Any]):
    """A connection that closes itself when a server that fell silent owes it an answer.

    Silent is a server that sends nothing for QUIET_SECONDS and lets no new connection in either, or sends nothing for
    `limit_seconds`.
    """

    limit_seconds: float = inf
    """How long an answer may take although the server lets others in: one of its processes may hang alone."""

    is_answering: Callable[[], bool]
    """Whether the server lets anybody in: set by the `Connector`."""

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **named: Any) -> T:
        """Run one exchange with the server, as psycopg does, but end it if the server falls silent.

        Raises OperationalError then, and the connection is closed.
        """
        return super().wait(self._watch(gen), *arguments, **named)

    def _watch(self, exchange: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """Yield the exchange; psycopg resumes it with what is ready, or every 0.1 s with nothing."""
        heard, patience = monotonic(), QUIET_SECONDS
        try:
            wanted = next(exchange)
            while True:
                ready = yield wanted
                if ready:
                    heard, patience = monotonic(), QUIET_SECONDS
                elif (waited := monotonic() - heard) > self.limit_seconds:
                    raise self._given_up(f"no answer in {waited:.1f} s")
                elif waited > patience:
                    if not self.is_answering():
                        raise self._given_up(f"no answer in {waited:.1f} s, and no new connection either")
                    patience = 2 * waited
                wanted = exchange.send(ready)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def _given_up(self, text: str) -> psycopg.OperationalError:
        self.pgconn.finish()
        return psycopg.OperationalError(text)

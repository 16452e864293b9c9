import threading
from collections.abc import Callable, Generator
from math import inf
from time import monotonic
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, event

PING_SECONDS = 2.0

QUIET_SECONDS = 3.0
"""The wait before a new connection is tried; it doubles with each try."""

T = TypeVar("T")


class StillSilent(psycopg.OperationalError):
    """PostgreSQL let a connection time out, and another thread tries again."""


class Connector:
    """Makes connections to one PostgreSQL.

    While it is silent, one thread at a time tries again; the others fail at once.
    """

    def __init__(self) -> None:
        self._is_silent = False
        self._trying = threading.Lock()

    def attach(self, engine: Engine, limit_seconds: float) -> None:
        """Make the engine's connections: they wait `limit_seconds` for an answer, and PING_SECONDS for a ping before use."""

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
        """Open a connection. Raises psycopg's error, or at once StillSilent while another thread tries a silent server."""
        is_trial = self._is_silent
        if is_trial and not self._trying.acquire(blocking=False):
            raise StillSilent("PostgreSQL does not answer")
        timed_out = False
        try:
            connection = PatientConnection.connect(*arguments, **parameters)
        except psycopg.errors.ConnectionTimeout:
            timed_out = True
            raise
        finally:
            self._is_silent = timed_out
            if is_trial:
                self._trying.release()
        connection.is_answering = lambda: self._is_answering(*arguments, **parameters)
        return connection

    def _is_answering(self, *arguments: Any, **parameters: Any) -> bool:
        try:
            self.connect(*arguments, **parameters).close()
        except (StillSilent, psycopg.errors.ConnectionTimeout):
            return False
        except psycopg.Error:
            return True
        return True


class PatientConnection(psycopg.Connection[Any]):
    """A connection that closes itself when the server falls silent.

    Silent: QUIET_SECONDS of silence and no new connection, or `limit_seconds` of silence.
    """

    limit_seconds: float = inf

    is_answering: Callable[[], bool]

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **named: Any) -> T:
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
                    raise self._give_up(f"no answer in {waited:.1f} s")
                elif waited > patience:
                    if not self.is_answering():
                        raise self._give_up(f"no answer in {waited:.1f} s, and no new connection either")
                    patience = 2 * waited
                wanted = exchange.send(ready)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def _give_up(self, text: str) -> psycopg.OperationalError:
        """Close the connection; return the error to raise."""
        self.pgconn.finish()
        return psycopg.OperationalError(text)

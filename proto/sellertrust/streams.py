"""Streams that outlive their connections: batches with acknowledgements, and the ledger's entries.

A stream has no end of its own; keepalive detects a vanished server within 35 s.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import uniform
from time import monotonic

import grpc

from sellertrust.errors import SellertrustCallError
from sellertrust.v1.entry_pb2 import Entry
from sellertrust.v1.ledger_service_pb2 import (
    AppendEntriesResponse,
    StreamEntriesRequest,
    StreamEntriesResponse,
    WatchEntriesRequest,
    WatchEntriesResponse,
)
from sellertrust.waiting import Threads

IN_FLIGHT = 4
"""Batches that are sent ahead of their acknowledgements, and kept to be sent again."""

CONNECTION_SECONDS = 300.0
"""The time after which a stream reconnects, so that an unnoticed hang ends."""

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0

_LOG = logging.getLogger("sellertrust.client")


@dataclass(frozen=True)
class Acknowledgement:
    """The answer to one batch, which is recorded or rejected as a whole."""

    index: int
    """The batch's index, from 0. There is one acknowledgement for each batch, in order."""
    results: list[AppendEntriesResponse.Result] = field(default_factory=list)
    """Each entry's result, in order; empty if rejected."""
    sequence: int = 0
    """The batch's highest sequence; 0 if rejected."""
    error: SellertrustCallError | None = None
    """The reason for rejection, with paths as in `entries[17].violation.harm`; None if recorded."""


class Patience:
    """The limit of a stream's retries: `seconds` after the first of consecutive failures, or until `closed`."""

    def __init__(self, seconds: float, closed: threading.Event, waits: type[Threads]) -> None:
        self.waits = waits
        self._seconds = seconds
        self._closed = closed
        self._has_begun = False
        self._until: float | None = None
        self._pause = FIRST_PAUSE_SECONDS

    def reset(self) -> None:
        """Note that a message arrived: the time for retries begins anew."""
        self._has_begun = True
        self._until = None
        self._pause = FIRST_PAUSE_SECONDS

    def wait(self, error: SellertrustCallError) -> None:
        """Wait before the next try; raise `error` if it is permanent or the limit is reached."""
        pause = max(uniform(0.5, 1) * self._pause, error.retry_delay or 0)  # noqa: S311 (no secret)
        now = monotonic()
        if self._until is None:
            self._until = now + self._seconds
            _LOG.info("stream broken: %s %s", error.code.name, error.reason)  # no message, which may name a seller
        if not self._may_be_temporary(error) or now + pause > self._until:
            raise error
        was_closed = self.waits.block(lambda: self._closed.wait(pause))
        if was_closed:
            raise error
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)

    def _may_be_temporary(self, error: SellertrustCallError) -> bool:
        if self._closed.is_set():
            return False
        if error.reason == "TOO_MANY_CALLS":  # the place of the broken stream may not be free yet
            return self._has_begun
        # A failing server or proxy gives CANCELLED or INTERNAL; INTERNAL with a reason comes from sellertrust.
        broken = error.code in {grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL} and not error.reason
        return broken or error.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


class Outbox:
    """The unanswered batches that were read or sent. A separate thread reads them."""

    def __init__(self, parent: str, batches: Iterable[Sequence[Entry]]) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[StreamEntriesRequest] = deque()
        self._sent = 0
        self._connection = 0
        self._answered = 0
        self._has_all = False
        self._closed = False
        self._error: BaseException | None = None
        threading.Thread(
            target=self._read_batches, args=(parent, batches), name="sellertrust-batches", daemon=True
        ).start()

    def requests(self) -> Iterator[StreamEntriesRequest]:
        """Return the batches to send over a new connection, unanswered ones first.

        The iterator of the connection before it ends.
        """
        with self._changed:
            self._connection += 1
            self._sent = 0
            self._changed.notify_all()
            return iter(self._make_reader(self._connection), None)

    def acknowledge(self, response: StreamEntriesResponse) -> Acknowledgement:
        """Drop the oldest sent batch, which the response answers; return its acknowledgement, or its error in it."""
        with self._changed:
            self._waiting.popleft()
            self._sent -= 1
            index = self._answered
            self._answered += 1
            self._changed.notify_all()
        if response.HasField("error"):
            return Acknowledgement(index, error=SellertrustCallError.of_item(response.error))
        done = response.acknowledgement
        return Acknowledgement(index, list(done.results), done.sequence)

    def wait_for_batch(self) -> None:
        """Wait for a batch or their end: a server ends a stream without a first message."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or self._has_all)

    def is_done(self) -> bool:
        """Return whether every batch was read from the caller's iterable and answered; raise the iterable's own error,
        if any.
        """
        with self._changed:
            if not self._has_all or self._waiting:
                return False
            if self._error is not None:
                raise self._error
            return True

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _make_reader(self, connection: int) -> Callable[[], StreamEntriesRequest | None]:
        def next_batch() -> StreamEntriesRequest | None:
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        self._closed
                        or connection != self._connection
                        or self._sent < len(self._waiting)
                        or self._has_all
                    )
                )
                if self._closed or connection != self._connection or self._sent == len(self._waiting):
                    return None
                self._sent += 1
                return self._waiting[self._sent - 1]

        return next_batch

    def _read_batches(self, parent: str, batches: Iterable[Sequence[Entry]]) -> None:
        try:
            for batch in batches:
                request = StreamEntriesRequest(parent=parent, entries=batch)
                with self._changed:
                    self._changed.wait_for(lambda: self._closed or len(self._waiting) < IN_FLIGHT)
                    if self._closed:
                        return
                    self._waiting.append(request)
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 (raised by `is_done`, in the caller's thread)
            self._error = error
        with self._changed:
            self._has_all = True
            self._changed.notify_all()


def stream_entries(
    method: "grpc.StreamStreamMultiCallable[StreamEntriesRequest, StreamEntriesResponse]",
    parent: str,
    batches: Iterable[Sequence[Entry]],
    patience: Patience,
) -> Iterator[Acknowledgement]:
    """Send batches, and yield one acknowledgement for each, in order; a broken stream is opened again.

    Unanswered batches are then sent again, which appends nothing twice.
    """
    waits, outbox = patience.waits, Outbox(parent, patience.waits.batches(batches))
    try:
        while True:
            waits.block(outbox.wait_for_batch)
            if outbox.is_done():
                return
            call = method(waits.requests(outbox.requests()), timeout=CONNECTION_SECONDS)
            try:
                for response in waits.messages(call):
                    patience.reset()
                    yield outbox.acknowledge(response)
                if not outbox.is_done():
                    patience.wait(_make_early_end_error())
            except grpc.RpcError as error:
                patience.wait(SellertrustCallError.of(error))
            finally:
                call.cancel()
    finally:
        outbox.close()


def watch_entries(
    method: "grpc.UnaryStreamMultiCallable[WatchEntriesRequest, WatchEntriesResponse]",
    request: WatchEntriesRequest,
    patience: Patience,
) -> Iterator[WatchEntriesResponse]:
    """Yield entries after the request's position without end; a broken stream goes on where it was."""
    while True:
        call = method(request, timeout=CONNECTION_SECONDS)
        try:
            for response in patience.waits.messages(call):
                patience.reset()
                request.resume_token = response.resume_token
                request.after_sequence = 0 if response.resume_token else response.sequence
                yield response
            patience.wait(_make_early_end_error())
        except grpc.RpcError as error:
            patience.wait(SellertrustCallError.of(error))
        finally:
            call.cancel()


def _make_early_end_error() -> SellertrustCallError:
    return SellertrustCallError(grpc.StatusCode.UNAVAILABLE, "the server ended the stream before it was done")

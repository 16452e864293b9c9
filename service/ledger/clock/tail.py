"""One thread polls the ledger's end for all readers that wait."""

import threading
from collections.abc import Callable
from math import ceil
from time import monotonic

from scoring.base.errors import LedgerUnavailable, SequenceNotReached, ServerStopping, TooManyCalls
from service.call_context import current_call
from service.engine.fairness import Seats

POLL_SECONDS = 0.2

WAIT_SECONDS = 10.0
"""A read's wait if its call has no deadline."""

MARGIN_SECONDS = 0.05

TICK_SECONDS = 0.01

SILENT_TICKS = 6
"""In ticks, since seconds pass for a busy process, too."""

WRITE_TICKS = 50

FAR_AHEAD = 100_000
"""Beyond this no read waits."""

USUAL_TIMES = 3.0
"""An outage also takes this many times the usual answer time."""

SMOOTHING = 0.2

ANSWERED_SECONDS = 0.05


class Tail:
    """The last sequence of the ledger, read by `read_sequence` while at most `readers` callers wait."""

    def __init__(self, read_sequence: Callable[[], int], readers: int) -> None:
        self._read_sequence = read_sequence
        self._reading = Seats(readers)
        self._lock = threading.Lock()
        self._has_news = threading.Condition(self._lock)
        self._poll_wanted = threading.Condition(self._lock)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._last = 0
        self.losses = 0
        """Times that the ledger lost entries, as by a standby that lagged."""
        self._waiting = 0
        self._urgent = False
        self._failures = 0
        self._last_error: Exception | None = None
        self._polls = 0
        self._is_polling = False
        self._usual_seconds = 0.0
        self._answered_at = float("-inf")

    def note_sequence(self, sequence: int) -> None:
        """Note that the ledger answered just now and has `sequence`; wake those who wait for it."""
        with self._lock:
            self._answered_at = monotonic()
            if sequence > self._last:
                self._last = sequence
                self._has_news.notify_all()

    def restart_after_loss(self, sequence: int) -> None:
        """Go back to `sequence`, since the database lost entries; count the loss, and wake callers."""
        with self._lock:
            self._last = sequence
            self.losses += 1
            self._has_news.notify_all()

    def wait(self, sequence: int, seconds: float) -> int:
        """Wait until the ledger reaches `sequence`, at most `seconds`; return its last sequence.

        It also ends when the caller is gone or the ledger lost entries. Raises ServerStopping or LedgerUnavailable.
        """
        losses = self.losses
        self._wait_until(lambda: self._last >= sequence or self.losses > losses, monotonic() + seconds)
        return self._last

    def reach(self, sequence: int) -> None:
        """Wait, within the call's time, until the ledger holds `sequence`.

        Raises SequenceNotReached at the deadline, and at once for a sequence over FAR_AHEAD ahead. Raises TooManyCalls
        if too many reads wait, LedgerUnavailable after a tenth of a second of silence, and ServerStopping.
        """
        if sequence <= 0 or (sequence <= self._last and monotonic() - self._answered_at < ANSWERED_SECONDS):
            return
        seconds = current_call().seconds_left()
        until = monotonic() + (seconds - MARGIN_SECONDS if seconds < float("inf") else WAIT_SECONDS)
        self._require_answer(until, SILENT_TICKS)
        if sequence > self._last and sequence - self._last <= FAR_AHEAD:
            self._wait_in_turn(sequence, until)
        if sequence > self._last:
            raise sequence_not_reached_error("at_least_sequence", sequence, self._last)

    def require_answering(self) -> None:
        """Raise LedgerUnavailable, within about half a second, unless the database answers or just did."""
        if monotonic() - self._answered_at >= ANSWERED_SECONDS:
            self._require_answer(monotonic() + min(WAIT_SECONDS, current_call().seconds_left()), WRITE_TICKS)

    def _require_answer(self, until: float, ticks: int) -> None:
        asked_at = monotonic()
        self._wait_until(lambda: self._answered_at > asked_at, until, ticks)

    def _wait_in_turn(self, sequence: int, until: float) -> None:
        def refusal(reading: int) -> TooManyCalls:
            return TooManyCalls(
                f"{reading} reads wait for a sequence already, all that may or this marketplace's share; ask again when"
                f" the ledger, which ends at {self._last}, has come closer to {sequence}",
                {"limit": str(reading)},
            )

        with self._reading.require(refusal):
            self._wait_until(lambda: self._last >= sequence, until, SILENT_TICKS)

    def _wait_until(self, is_done: Callable[[], bool], until: float, silent_ticks: int | None = None) -> None:
        """Wait until `is_done`, the time `until` (of `monotonic`), or the caller is gone.

        Raises ServerStopping, or LedgerUnavailable if a poll fails or stays unanswered: for `silent_ticks`, or for
        USUAL_TIMES the usual answer time if that is longer. With None it waits for each poll.
        """
        call = current_call()
        call.on_end(self._wake)
        silent = polls = 0
        with self._lock:
            failures = self._failures
            self._urgent |= silent_ticks is not None
            self._request_poll()
            self._waiting += 1
            try:
                while not is_done() and self._failures == failures and not self._stop.is_set() and call.is_active():
                    seconds = until - monotonic()
                    if seconds <= 0:
                        break
                    self._has_news.wait(seconds if silent_ticks is None else TICK_SECONDS)
                    silent = silent + 1 if self._is_polling and self._polls == polls else 0
                    polls = self._polls
                    usual_ticks = ceil(USUAL_TIMES * self._usual_seconds / TICK_SECONDS)
                    if silent_ticks is not None and silent > max(silent_ticks, usual_ticks):
                        raise _silent_error()
            finally:
                self._waiting -= 1
            if self._stop.is_set():
                raise server_stopping_error()
            if self._failures > failures and not is_done():
                raise _silent_error() from self._last_error

    def close(self, seconds: float | None = None) -> None:
        """End all waits with ServerStopping; wait at most `seconds` for a running query."""
        with self._lock:
            self._stop.set()
            self._has_news.notify_all()
            self._poll_wanted.notify_all()
        if self._thread is not None:
            self._thread.join(seconds)

    @property
    def is_closed(self) -> bool:
        return self._stop.is_set()

    def _wake(self) -> None:
        with self._lock:
            self._has_news.notify_all()

    def _request_poll(self) -> None:
        if self._thread is None and not self._stop.is_set():
            self._thread = threading.Thread(target=self._poll, name="tail", daemon=True)
            self._thread.start()
        self._poll_wanted.notify_all()

    def _poll(self) -> None:
        while True:
            with self._lock:
                self._poll_wanted.wait_for(lambda: self._waiting or self._stop.is_set())
                if self._stop.is_set():
                    return
                self._polls += 1
                self._is_polling, self._urgent = True, False
            began = monotonic()
            try:
                self.note_sequence(self._read_sequence())
                self._usual_seconds += SMOOTHING * (monotonic() - began - self._usual_seconds)
            except Exception as error:  # noqa: BLE001 (whatever it is, those that wait learn that there is no answer)
                with self._lock:
                    self._failures, self._last_error = self._failures + 1, error
            with self._lock:
                self._is_polling = False
                self._has_news.notify_all()
                seconds = max(0.0, POLL_SECONDS - (monotonic() - began))
                self._poll_wanted.wait_for(lambda: self._stop.is_set() or (self._urgent and self._waiting > 0), seconds)


def _silent_error() -> LedgerUnavailable:
    return LedgerUnavailable("the ledger's database does not answer; resume, or ask again")


def server_stopping_error() -> ServerStopping:
    return ServerStopping("the server is about to stop; call again, and resume a stream where it was")


def sequence_not_reached_error(field: str, sequence: int, last: int) -> SequenceNotReached:
    return SequenceNotReached(
        f"the ledger ends at {last} and does not hold {sequence} yet; ask again, or check that the sequence is"
        " one of this ledger",
        {"last_sequence": str(last)},
        (field,),
    )

"""The end of the ledger, as it moves: one thread looks for all that wait for it."""

import threading
from collections.abc import Callable
from math import ceil
from time import monotonic

from scoring.base.errors import LedgerUnavailable, SequenceNotReached, ServerStopping, TooManyCalls
from service.call_context import current_call

POLL_SECONDS = 0.2
"""How late an append of another process is seen; those of this process are seen at once."""

WAIT_SECONDS = 10.0
"""How long a read waits for a sequence if its call has no deadline."""

MARGIN_SECONDS = 0.05
"""What a read that waits leaves of its deadline, so that the refusal still arrives."""

TICK_SECONDS = 0.01
"""How often a read that waits for the database looks whether that still answers."""

SILENT_TICKS = 6
"""So many looks without an answer mean that the database is away. Not seconds, which pass for a busy process, too."""

WRITE_TICKS = 50
"""The same of an append, which may wait for longer, and is worth more."""

FAR_AHEAD = 100_000
"""Entries beyond the end of the ledger for which no read waits: no append has given such a sequence."""

USUAL_TIMES = 3.0
"""How many times longer than it usually takes an answer must take for that; a database may be far away."""

SMOOTHING = 0.2
"""The weight of the latest answer in the average of how long one takes."""

ANSWERED_SECONDS = 0.05
"""For how long after its last answer the database is believed to be there."""


class Tail:
    """The last sequence of the ledger.

    `ask` reads it; at most `readers` reads wait for a sequence at a time. The database is asked only while somebody
    waits. Appends of this process are noted by `note`.
    """

    def __init__(self, ask: Callable[[], int], readers: int) -> None:
        self._ask = ask
        self._readers = readers
        self._reading = threading.BoundedSemaphore(readers)
        self._lock = threading.Lock()
        self._moved = threading.Condition(self._lock)
        self._wanted = threading.Condition(self._lock)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._last = 0
        self.losses = 0
        """How often the ledger turned out to have lost entries, as after the promotion of a standby that lagged."""
        self._waiting = 0
        self._urgent = False  # somebody cannot wait for the next turn
        self._failures = 0
        self._problem: Exception | None = None
        self._asks = 0  # how many have begun
        self._is_asking = False
        self._usual_seconds = 0.0
        self._answered = float("-inf")

    def note(self, sequence: int) -> None:
        """Record that the ledger has come to `sequence`, and wake all that wait for it.

        Nothing happens if a higher one is known.
        """
        with self._lock:
            self._answered = monotonic()
            if sequence > self._last:
                self._last = sequence
                self._moved.notify_all()

    def restart(self, sequence: int) -> None:
        """Begin anew at the end of a ledger that lost entries which were seen; waits for them end."""
        with self._lock:
            self._last = sequence
            self.losses += 1
            self._moved.notify_all()

    def wait(self, sequence: int, seconds: float) -> int:
        """Wait until the ledger has come to `sequence`, at most `seconds`; return its last sequence.

        Ends, too, when the caller is gone. Raises ServerStopping once the server is about to stop; LedgerUnavailable if
        the database stops answering meanwhile.
        """
        call = current_call()
        call.on_end(self._wake)
        with self._lock:
            failures, losses = self._failures, self.losses
            self._look()
            self._waiting += 1
            try:
                self._moved.wait_for(
                    lambda: (
                        self._last >= sequence
                        or self.losses > losses
                        or self._stop.is_set()
                        or self._failures > failures
                        or not call.is_active()
                    ),
                    max(seconds, 0.0),
                )
            finally:
                self._waiting -= 1
            if self._stop.is_set():
                raise server_stopping_error()
            if self._failures > failures:
                raise _silent_error() from self._problem
            return self._last

    def reach(self, sequence: int) -> None:
        """Wait, within the call's time, until the ledger holds `sequence`; at once for 0.

        Raises SequenceNotReached if it does not by then, and at once for one over FAR_AHEAD ahead; TooManyCalls if
        `readers` reads wait already; ServerStopping once the server is about to stop; LedgerUnavailable if the database does
        not answer, a tenth of a second after it fell silent at the latest.
        """
        if sequence <= 0 or (sequence <= self._last and monotonic() - self._answered < ANSWERED_SECONDS):
            return
        seconds = current_call().seconds_left()
        until = monotonic() + (seconds - MARGIN_SECONDS if seconds < float("inf") else WAIT_SECONDS)
        self._require_answer(until, SILENT_TICKS)
        if sequence > self._last and sequence - self._last <= FAR_AHEAD:
            self._wait_in_turn(sequence, until)
        if sequence > self._last:
            raise sequence_not_reached_error("at_least_sequence", sequence, self._last)

    def require_answering(self) -> None:
        """Wait until the database has answered, before an append that would wait for it for seconds.

        At once if it answered just now. Raises LedgerUnavailable within half a second or so if it does not.
        """
        if monotonic() - self._answered >= ANSWERED_SECONDS:
            self._require_answer(monotonic() + min(WAIT_SECONDS, current_call().seconds_left()), WRITE_TICKS)

    def _require_answer(self, until: float, ticks: int) -> None:
        """Wait for an answer of the database that comes after this was asked; as `_wait_answered`."""
        asked = monotonic()
        self._wait_answered(lambda: self._answered > asked, until, ticks)

    def _wait_in_turn(self, sequence: int, until: float) -> None:
        """Wait until the ledger has come to a sequence, as one of `readers`."""
        if not self._reading.acquire(blocking=False):
            raise TooManyCalls(
                f"{self._readers} reads wait for a sequence already, and more would hold up all others; ask again when"
                f" the ledger, which ends at {self._last}, has come closer to {sequence}",
                {"limit": str(self._readers)},
            )
        try:
            self._wait_answered(lambda: self._last >= sequence, until, SILENT_TICKS)
        finally:
            self._reading.release()

    def _wait_answered(self, is_done: Callable[[], bool], until: float, ticks: int) -> None:
        """Have the database asked at once, and wait until something holds, or until a time of the monotonic clock.

        LedgerUnavailable if the question hangs for more than so many ticks.
        """
        call = current_call()
        call.on_end(self._wake)
        silent_ticks = asks = 0
        with self._lock:
            failures = self._failures
            self._urgent = True
            self._look()
            self._waiting += 1
            try:
                while not is_done() and self._failures == failures and not self._stop.is_set() and call.is_active():
                    if monotonic() >= until:
                        break
                    self._moved.wait(TICK_SECONDS)
                    silent_ticks = silent_ticks + 1 if self._is_asking and self._asks == asks else 0
                    asks = self._asks
                    if silent_ticks > max(ticks, ceil(USUAL_TIMES * self._usual_seconds / TICK_SECONDS)):
                        raise _silent_error()
            finally:
                self._waiting -= 1
            if self._stop.is_set():
                raise server_stopping_error()
            if self._failures > failures and not is_done():
                raise _silent_error() from self._problem

    def close(self, seconds: float | None = None) -> None:
        """End the waits of all callers, now and later, with ServerStopping.

        Waits itself at most `seconds` for a query that is under way.
        """
        with self._lock:
            self._stop.set()
            self._wake_all()
        if self._thread is not None:
            self._thread.join(seconds)

    @property
    def is_closed(self) -> bool:
        """Return whether `close` was called: the server is about to stop."""
        return self._stop.is_set()

    def _wake(self) -> None:
        with self._lock:
            self._moved.notify_all()

    def _wake_all(self) -> None:
        self._moved.notify_all()
        self._wanted.notify_all()

    def _look(self) -> None:
        """Have the one thread look, which sleeps while nobody waits. Called with the lock."""
        if self._thread is None and not self._stop.is_set():
            self._thread = threading.Thread(target=self._poll, name="tail", daemon=True)
            self._thread.start()
        self._wanted.notify_all()

    def _poll(self) -> None:
        while True:
            with self._lock:
                self._wanted.wait_for(lambda: self._waiting or self._stop.is_set())
                if self._stop.is_set():
                    return
                self._asks += 1
                self._is_asking, self._urgent = True, False
            began = monotonic()
            try:
                self.note(self._ask())
                self._usual_seconds += SMOOTHING * (monotonic() - began - self._usual_seconds)
            except Exception as error:  # noqa: BLE001 (whatever it is, those that wait learn that there is no answer)
                with self._lock:
                    self._failures, self._problem = self._failures + 1, error
            with self._lock:
                self._is_asking = False
                self._moved.notify_all()
                left = max(0.0, POLL_SECONDS - (monotonic() - began))
                self._wanted.wait_for(lambda: self._stop.is_set() or (self._urgent and self._waiting > 0), left)


def _silent_error() -> LedgerUnavailable:
    return LedgerUnavailable("the ledger's database does not answer; resume, or ask again")


def server_stopping_error() -> ServerStopping:
    """Return the error for calls that wait while the server stops."""
    return ServerStopping("the server is about to stop; call again, and resume a stream where it was")


def sequence_not_reached_error(field: str, sequence: int, last: int) -> SequenceNotReached:
    """Return the error for a sequence beyond the ledger's end, `last`.

    `field`: the request field that asks for it.
    """
    return SequenceNotReached(
        f"the ledger ends at {last} and does not hold {sequence} yet; ask again, or check that the sequence is"
        " one of this ledger",
        {"last_sequence": str(last)},
        (field,),
    )

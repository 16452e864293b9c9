"""The clock that record times follow, and what is held against it.

Record times never go back, so one append by a clock that is years ahead would put everything that comes later years
ahead too. An append is refused where other evidence contradicts its clock:

- on PostgreSQL the record time is the database's own clock, read under the lock, and the server's must agree with it;
- on SQLite, whose clock is the server's, it must not have run ahead of the time that has passed (the monotonic clock)
  since it was last seen to be sound;
- on both, after a rest longer than REST, somebody must vouch for it (`sellertrust ledger mend-clock --rested`).

What no evidence contradicts, such as the first append ever, may be mended later (`service.ledger.clock.mending`).
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from scoring.base.errors import ClockInDoubt
from scoring.base.time import DAY, SECOND, format_time

SKEW = SECOND
"""How far a record time that lies ahead of the clock may move the time that answers are for."""

TOLERANCE = 60 * SECOND
"""How far two clocks may disagree before an append is refused: servers without good NTP differ by seconds."""

REST = 366 * DAY
"""How far a record time may lie after the last one unless somebody vouches for the clock."""


def time_at_end(clock: int, last_record_time: int) -> int:
    """Return the ledger's present by a clock, as `Present.at_end`. Times in microseconds."""
    return max(clock, min(last_record_time, clock + SKEW))


class Present(NamedTuple):
    """The time of an append, and which times it may not have. Times in microseconds."""

    clock: int
    """The clock."""
    taken: tuple[tuple[int, int], ...] = ()
    """Spans of record times that were given before and put right since."""
    ahead: int = 0
    """By how much the last record time lies ahead, as this very append says."""
    mendings: tuple[Any, ...] = ()
    """`mending.Mending`: what is known of record times that were put right, for what the append reads."""

    def record_time(self, last_record_time: int) -> int:
        """Return the record time of the next append: the clock's, or the first one free after it.

        Later than `last_record_time` less `ahead`, by which the last times are put right, and outside the `taken` spans,
        whose times were given once already. So "known before t" is one set for ever.
        """
        record_time = max(self.clock, last_record_time - self.ahead + 1)
        for first, last in self.taken:
            if first <= record_time <= last + 1:
                record_time = last + 2
        return record_time

    def at_end(self, last_record_time: int) -> int:
        """Return the ledger's present, in microseconds, given the record time of its last entry.

        That time if the clock lags it by the skew at most; else the clock, plus the skew if the record time runs further
        ahead. `Present(5 * SECOND).at_end(5_400_000) == 5_400_000`, and after a jump, of `9 * SECOND`: `6 * SECOND`.
        """
        return time_at_end(self.clock, last_record_time)

    def dates(self, record_time: int) -> int:
        """Return the time by which an entry's missing times are filled in.

        The record time, or the clock if that lags the record time by more than the skew.
        """
        return record_time if record_time <= self.clock + SKEW else self.clock


def wall_clock() -> int:
    """Return the machine's time, in microseconds since 1970."""
    return time.time_ns() // 1_000


def steady_clock() -> int:
    """Return microseconds since some moment, by a clock that nobody can set.

    Time in which the machine slept counts where the system knows it.
    """
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return (time.monotonic_ns() if boot is None else time.clock_gettime_ns(boot)) // 1_000


class ServerClock:
    """The clock of one server, and what is known of it.

    Shared by threads.

    `wall` is the server's clock. `is_witnessed`: whether other clocks are held against it; a clock that stands in for
    all of them, as in a test, is not.
    """

    def __init__(self, wall: Callable[[], int], *, is_witnessed: bool) -> None:
        self._wall = wall
        self.is_witnessed = is_witnessed
        self._sound = (steady_clock(), wall())

    def now(self, database: int | None) -> int:
        """Return the present for reads, in microseconds; never refuses.

        `database`: its clock, which counts if there is one; else the server's, or the time expected if that has jumped.
        """
        if database is not None:
            return database
        wall, jump = self._read()
        return wall - jump

    def doubt(self, database: int | None, last_record_time: int) -> int:
        """Return how old an answer may be because the clock is in doubt, in microseconds; 0 if nothing contradicts it.

        `database`: its clock; None if it has none. After a jump it is the time since the clock was last right. Else it is
        the difference to the database's clock, to a last record that lies ahead, or to one longer ago than REST.
        """
        if not self.is_witnessed:
            return 0
        wall, jump = self._read()
        if database is None and jump:
            return max(steady_clock() - self._sound[0], SECOND)
        now = wall if database is None else database
        ahead, rest = last_record_time - now, now - last_record_time if last_record_time else 0
        apart = max(abs(wall - now), ahead)
        return max(apart if apart > TOLERANCE else 0, rest if rest > REST else 0)

    def present(self, database: int | None) -> Present:
        """Return the present for an append, by the database's clock, or the server's if it has none.

        `database`: its clock, in microseconds; None if it has none. Raises ClockInDoubt if the two differ by more than
        TOLERANCE, or if the server's own has jumped ahead.
        """
        wall, jump = self._read()
        if database is not None and abs(wall - database) > TOLERANCE:
            raise _in_doubt(
                f"this server's clock says {format_time(wall)} and the database's {format_time(database)}",
                "set the one that is wrong (NTP)",
            )
        if database is None and jump > 0:
            raise _in_doubt(
                f"this server's clock says {format_time(wall)} and should say {format_time(wall - jump)}, by the time that"
                " has passed since it was last right: it has jumped",
                "set it right (NTP); if it is right by now, restart the server",
            )
        return Present(wall if database is None else database)

    def _read(self) -> tuple[int, int]:
        """Return the clock, and by how much it has jumped since it was last sound: ahead, back if negative, or 0."""
        # A process that is paused between two of these sees no jump.
        before, wall, after = steady_clock(), self._wall(), steady_clock()
        if not self.is_witnessed:
            return wall, 0
        steady, sound = self._sound
        drift = wall - sound
        jump = max(drift - (after - steady), 0) or min(drift - (before - steady), 0)
        if abs(jump) <= TOLERANCE:  # steps that are small, and add up, are no jump
            self._sound = (before, wall)
            return wall, 0
        return wall, jump


def require_no_gap(present: Present, last_record_time: int) -> None:
    """Refuse an append, by ClockInDoubt, if the last record lies longer back than REST.

    Either the ledger rested, or the clock is wrong. An empty ledger has no gap.
    """
    if last_record_time and present.clock - last_record_time > REST:
        raise _in_doubt(
            f"the clock says {format_time(present.clock)}, and the last entry was recorded"
            f" {(present.clock - last_record_time) // DAY:,} days before, at {format_time(last_record_time)}",
            "set the clock right (NTP); if it is right, and the ledger has rested, say so by: sellertrust ledger mend-clock"
            " --rested",
        )


def _in_doubt(seen: str, remedy: str) -> ClockInDoubt:
    return ClockInDoubt(
        f"the time of this append is in doubt, and nothing of it was recorded: {seen}; {remedy}, then repeat the call"
    )


def clock_ahead_caution(ahead: int) -> str:
    """Return the caution for operators that the last record time lies `ahead` of the clock.

    `ahead`: microseconds.
    """
    return (
        f"the last record time lies {ahead / SECOND:,.0f} s ahead of the clock: a server appended by a clock that was"
        " ahead, and what it dated by that clock is not seen until then; say so by: sellertrust ledger mend-clock"
    )

"""The clock of record times, and the evidence that may contradict it.

Record times never go back, so one append by a clock years ahead would move all later ones. On PostgreSQL the server's
clock must agree with the database's, which counts. On SQLite it must not have run ahead of the monotonic clock. After a
rest longer than REST, an operator must vouch for it (`sellertrust ledger mend-clock --rested`).
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from scoring.base.errors import ClockInDoubt
from scoring.base.time import DAY, SECOND, format_time

SKEW = SECOND
"""The most that a record time ahead of the clock moves the time of answers."""

TOLERANCE = 60 * SECOND
"""The most that two clocks may disagree at an append."""

REST = 366 * DAY


def time_at_end(clock: int, last_record_time: int) -> int:
    """Return the ledger's present, in microseconds: the later of the clock and the last record time.

    A record time counts for at most SKEW ahead of the clock. `time_at_end(5 * SECOND, 5_400_000) == 5_400_000`;
    `time_at_end(5 * SECOND, 9 * SECOND) == 6 * SECOND`.
    """
    return max(clock, min(last_record_time, clock + SKEW))


class Present(NamedTuple):
    clock: int
    wrong_times: tuple[tuple[int, int], ...] = ()
    """Spans of record times that were given before and corrected since."""
    ahead: int = 0
    """By how much a correction moves the last record time back, in microseconds."""
    mendings: tuple[Any, ...] = ()

    def record_time(self, last_record_time: int) -> int:
        """Return the record time of the next append: the clock's, or the first free one after it.

        It is later than `last_record_time` less `ahead`, and outside the `wrong_times`, so "known before t" is always
        one set.
        """
        record_time = max(self.clock, last_record_time - self.ahead + 1)
        for first, last in self.wrong_times:
            if first <= record_time <= last + 1:
                record_time = last + 2
        return record_time

    def default_time(self, record_time: int) -> int:
        """Return the time for an entry's missing times: the record time, or the clock if that is over SKEW behind."""
        return record_time if record_time <= self.clock + SKEW else self.clock


def wall_clock() -> int:
    """Return this machine's time in microseconds since 1970 (UTC)."""
    return time.time_ns() // 1_000


def steady_clock() -> int:
    """Return microseconds by a clock that no one can set; it counts time asleep if it can."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return (time.monotonic_ns() if boot is None else time.clock_gettime_ns(boot)) // 1_000


class ServerClock:
    """One server's clock, with the evidence about it. Thread-safe.

    `is_witnessed`: whether it is compared with other clocks.
    """

    def __init__(self, wall: Callable[[], int], *, is_witnessed: bool) -> None:
        self._wall = wall
        self.is_witnessed = is_witnessed
        self._sound = (steady_clock(), wall())
        """The steady and the wall clock at the last reading without a jump."""

    def now(self, database: int | None) -> int:
        """Return the present for reads, in microseconds: the `database`'s, or the server's without its jump."""
        if database is not None:
            return database
        wall, jump = self._read_and_keep_sound()
        return wall - jump

    def doubt(self, database: int | None, last_record_time: int) -> int:
        """Return how old an answer may be because of a doubtful clock, in microseconds; 0 without doubt.

        After a jump, the time since the clock was last right. Otherwise the difference to the `database`'s clock, to a
        last record that lies ahead, or to one longer ago than REST.
        """
        if not self.is_witnessed:
            return 0
        wall, jump = self._read_and_keep_sound()
        if database is None and jump:
            return max(steady_clock() - self._sound[0], SECOND)
        now = wall if database is None else database
        ahead = last_record_time - now
        rest = -ahead if last_record_time else 0
        difference = max(abs(wall - now), ahead)
        return max(difference if difference > TOLERANCE else 0, rest if rest > REST else 0)

    def present(self, database: int | None) -> Present:
        """Return the present for an append: the `database`'s clock (microseconds), or the server's if None.

        Raises ClockInDoubt if they differ by more than TOLERANCE; without a database's, if the server's has jumped
        ahead.
        """
        wall, jump = self._read_and_keep_sound()
        if database is not None and abs(wall - database) > TOLERANCE:
            raise _in_doubt_error(
                f"this server's clock says {format_time(wall)} and the database's {format_time(database)}",
                "correct the wrong clock (NTP)",
            )
        if database is None and jump > 0:
            raise _in_doubt_error(
                f"this server's clock says {format_time(wall)} and should say {format_time(wall - jump)}, by the time that"
                " has passed since it was last right: it has jumped",
                "set it right (NTP); if it is right by now, restart the server",
            )
        return Present(wall if database is None else database)

    def _read_and_keep_sound(self) -> tuple[int, int]:
        """Return the wall clock, and its jump since the last sound reading, in microseconds; behind is below 0.

        A jump of at most TOLERANCE is 0, and the reading is then the last sound one. The steady clock is read before and
        after, so a pause between the readings is no jump.
        """
        before, wall, after = steady_clock(), self._wall(), steady_clock()
        if not self.is_witnessed:
            return wall, 0
        steady, sound_wall = self._sound
        drift = wall - sound_wall
        jump = max(drift - (after - steady), 0) or min(drift - (before - steady), 0)
        if abs(jump) <= TOLERANCE:
            self._sound = (before, wall)
            return wall, 0
        return wall, jump


def require_no_gap(present: Present, last_record_time: int) -> None:
    """Raise ClockInDoubt if the last entry was recorded over 366 days ago: the clock may be fast."""
    if last_record_time and present.clock - last_record_time > REST:
        raise _in_doubt_error(
            f"the clock says {format_time(present.clock)}, and the last entry was recorded"
            f" {(present.clock - last_record_time) // DAY:,} days before, at {format_time(last_record_time)}",
            "set the clock right (NTP); if it is right, and the ledger has rested, say so by: sellertrust ledger mend-clock"
            " --rested",
        )


def _in_doubt_error(seen: str, remedy: str) -> ClockInDoubt:
    return ClockInDoubt(
        f"the time of this append is in doubt, and nothing of it was recorded: {seen}; {remedy}, then repeat the call"
    )


def clock_ahead_caution(ahead: int) -> str:
    """Return a warning for operators; `ahead`: in microseconds."""
    return (
        f"the last record time lies {ahead / SECOND:,.0f} s ahead of the clock: a server appended by a clock that was"
        " ahead, and what it dated by that clock is not seen until then; say so by: sellertrust ledger mend-clock"
    )

"""The places of evaluations, and the record's progress."""

from collections.abc import Callable, Sequence

from scoring.base.enums import Kind
from scoring.base.time import DAY

SOURCE = "mechanism"
"""Partition 0 holds the next sequence."""

TIME_SOURCE = "mechanism:time"
"""The time of every seller's last evaluation, in microseconds."""

LINKS_SOURCE = "mechanism:links"
"""The last day, since 1970, that links were refreshed."""

MAX_DAYS_LATE = 31
"""They are recorded afterwards if no worker ran."""

DECIDING = frozenset(
    {
        *(Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION, Kind.INCIDENT, Kind.CORRECTION, Kind.CONTROL, Kind.IDENTITY),
        *(Kind.INSPECTION, Kind.DISPUTE, Kind.OVERRIDE, Kind.MEASURE, Kind.DEPOSIT, Kind.CASE),
    }
)
"""Evaluated at their own append."""

AT_END_OF_LOOK = frozenset({Kind.EXPOSURE, Kind.FLOW})
"""Evaluated at the end of a look."""


def list_times(since: int, now: int, find_moves: Callable[[int, int], Sequence[int]]) -> list[int]:
    """Return the midnights and policy moves of the last MAX_DAYS_LATE days, in order.

    `find_moves`: the moves after a time, up to another; all in microseconds.
    """
    since = max(since, now - MAX_DAYS_LATE * DAY)
    midnights = range((since // DAY + 1) * DAY, now + 1, DAY)
    return sorted({*midnights, *find_moves(since, now)})

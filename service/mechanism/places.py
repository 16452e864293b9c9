"""The places in time and in the ledger as of which sellers are evaluated, and how far the record has come."""

from collections.abc import Callable, Sequence

from scoring.base.enums import Kind
from scoring.base.time import DAY

SOURCE = "mechanism"
"""The source under which the ledger keeps how far the worker has come: partition 0 the next sequence."""

TIME_SOURCE = "mechanism:time"
"""The source under which the ledger keeps up to when every seller was evaluated: partition 0, in microseconds."""

MAX_DAYS_LATE = 31
"""Days that are recorded afterwards when no worker ran; what lies before is recorded as of the first of them."""

DECIDING = frozenset(
    {
        *(Kind.VIOLATION, Kind.STATUS, Kind.ATTRIBUTION, Kind.INCIDENT, Kind.CORRECTION, Kind.CONTROL, Kind.IDENTITY),
        *(Kind.INSPECTION, Kind.DISPUTE, Kind.OVERRIDE, Kind.MEASURE, Kind.DEPOSIT, Kind.CASE),
    }
)
"""Kinds that are evaluated at the append that brings them."""

LATELY = frozenset({Kind.EXPOSURE, Kind.FLOW})
"""Kinds that are evaluated at the last of a look: one statement more or less of a day decides nothing by itself."""


def list_times(since: int, now: int, find_moves: Callable[[int, int], Sequence[int]]) -> list[int]:
    """Return the midnights and moves of the policy after a time, of the last MAX_DAYS_LATE days, in order.

    `find_moves`: the moves after a time, up to another; all times in microseconds.
    """
    since = max(since, now - MAX_DAYS_LATE * DAY)
    midnights = range((since // DAY + 1) * DAY, now + 1, DAY)
    return sorted({*midnights, *find_moves(since, now)})

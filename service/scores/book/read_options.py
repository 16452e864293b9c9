from collections.abc import Callable

from scoring.base.frozen import frozen
from service.ledger.records import Cut


@frozen
class ReadOptions:
    sequence: int
    """0: any."""
    max_staleness: int | None
    """The largest accepted age of a stale answer, in microseconds; None: any."""
    cut: Callable[[], Cut]
    """Returns the cut to compute at, which has the sequence."""
    reach: Callable[[], object] = lambda: None
    """As `cut`, waits for the sequence, but not for a silent database."""

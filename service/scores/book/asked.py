"""What a call asks of an answer of the score book."""

from collections.abc import Callable
from dataclasses import dataclass

from service.ledger.records import Cut


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call for now asks of an answer."""

    sequence: int
    """The sequence that it must reflect at least; 0: any."""
    max_staleness: int | None
    """The largest age that is taken of a stale one, in microseconds; None: any."""
    cut: Callable[[], Cut]
    """Gives the cut to compute at, which holds the sequence, and raises what it must."""
    reach: Callable[[], object] = lambda: None
    """Waits until the ledger holds the sequence, as `cut` does, but not for a database that is silent."""

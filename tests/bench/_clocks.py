"""Two servers of one ledger whose clocks disagree, by seconds and by hours: each answer against its own recomputation.

On PostgreSQL the database's clock counts, and a server whose own is off by more than a minute is refused its appends. On
SQLite, which knows no other clock, the second server stands for one that was started after the clock was set.
"""

from collections.abc import Callable

from scoring.base.time import SECOND
from service.ledger.clock.server_clock import wall_clock
from tests.bench._overload import Show
from tests.bench._races import race
from tests.helpers.databases import BACKENDS

SECONDS = 40.0
THREADS = 16
AHEAD_SECONDS = {"seconds": 2.5, "hours": 5 * 3_600.0}
"""How far the second server's clock runs ahead of the first one's, which runs behind by as much."""


def run(show: Show, seconds: float = SECONDS, threads: int = THREADS) -> None:
    """All figures, by database and by how far the clocks disagree."""
    for backend in BACKENDS:
        for name, ahead in AHEAD_SECONDS.items():
            clocks = (_shifted(-ahead), _shifted(ahead))
            race(show, f"clocks.{backend}.{name}", backend, seconds, threads, clocks)


def _shifted(seconds: float) -> Callable[[], int]:
    """A clock that is off by so many seconds."""
    return lambda: wall_clock() + round(seconds * SECOND)

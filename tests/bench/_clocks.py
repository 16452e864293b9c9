"""Two servers of one ledger with clocks that differ by seconds and by hours: each answer against a recomputation."""

from collections.abc import Callable

from scoring.base.time import SECOND
from service.ledger.clock.server_clock import wall_clock
from tests.bench._overload import Show
from tests.bench._races import race
from tests.helpers.databases import BACKENDS

SECONDS = 40.0
THREADS = 16
AHEAD_SECONDS = {"seconds": 2.5, "hours": 5 * 3_600.0}


def run(show: Show, seconds: float = SECONDS, threads: int = THREADS) -> None:
    for backend in BACKENDS:
        for name, ahead in AHEAD_SECONDS.items():
            clocks = (_shifted(-ahead), _shifted(ahead))
            race(show, f"clocks.{backend}.{name}", backend, seconds, threads, clocks)


def _shifted(seconds: float) -> Callable[[], int]:
    return lambda: wall_clock() + round(seconds * SECOND)

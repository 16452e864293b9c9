"""A clock for the ledger of a demo: it starts at the same time at each opening, so answers are the same on any day."""

from pathlib import Path

from scoring.base.errors import ConfigurationWrong
from scoring.base.time import parse_time
from service.ledger.clock.server_clock import steady_clock

MARKER = ".sellertrust-demo"
"""The file in a data folder that makes it a demo's; it holds the time at which the clock starts (RFC 3339)."""


class DemoClock:
    """A clock that starts at a fixed time, in microseconds, and runs on from there."""

    def __init__(self, start: int) -> None:
        self._ahead = start - steady_clock()

    def __call__(self) -> int:
        """Return the time of the demo, in microseconds since 1970."""
        return steady_clock() + self._ahead

    def go_on_after(self, record_time: int) -> None:
        """Set the clock to the time of the ledger's last record, unless it is later already.

        So what an earlier process recorded lies in the past of this one.
        """
        self._ahead += max(0, record_time - self())


def find_demo_clock(data_dir: Path) -> DemoClock | None:
    """Return the clock of a demo's data folder, at its start; None if the folder is no demo's.

    ConfigurationWrong if its marker holds no time.
    """
    marker = data_dir / MARKER
    if not marker.exists():
        return None
    try:
        return DemoClock(parse_time(marker.read_text().strip()))
    except (OSError, ValueError):
        raise ConfigurationWrong(
            f"{marker} holds no time such as 2026-06-30T12:00:00Z. Make the demo's data again: delete {data_dir} and run"
            " sellertrust demo"
        ) from None

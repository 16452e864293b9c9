from pathlib import Path

from scoring.base.errors import ConfigurationWrong
from scoring.base.time import parse_time
from service.ledger.clock.server_clock import steady_clock

MARKER = ".sellertrust-demo"
"""It makes a data folder a demo's, and holds the clock's start (RFC 3339)."""


class DemoClock:
    def __init__(self, start: int) -> None:
        self._ahead = start - steady_clock()

    def __call__(self) -> int:
        return steady_clock() + self._ahead

    def go_on_after(self, record_time: int) -> None:
        """Move the clock ahead to a record time (microseconds since 1970), never back."""
        self._ahead += max(0, record_time - self())


def find_demo_clock(data_dir: Path) -> DemoClock | None:
    """Return a demo folder's clock; None for other folders. Raises ConfigurationWrong for a bad marker."""
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

from pathlib import Path

import pytest

from scoring.base.errors import ConfigurationWrong
from scoring.base.time import SECOND, parse_time
from service.bootstrap import open_ledger
from service.ledger.clock.demo_clock import MARKER
from tests.helpers.builders import identity
from tests.helpers.servers import settings_of

NOON = "2026-06-30T12:00:00Z"
START = parse_time(NOON)
MINUTE, HOUR = 60 * SECOND, 3_600 * SECOND


def test_a_demo_ledger_opened_again_goes_on(tmp_path: Path) -> None:
    settings = settings_of(data_dir=tmp_path)
    (tmp_path / MARKER).write_text("2026-06-30T13:00:00Z")
    with open_ledger(settings, create=True) as ledger:
        [first] = ledger.append("demo", [identity(entry_id="identity-1", occur_time=START)])
        assert HOUR <= first.record_time - START < HOUR + MINUTE
    (tmp_path / MARKER).write_text(NOON)
    with open_ledger(settings) as ledger:
        cut = ledger.cut()
        assert first.record_time < cut.known_time <= cut.observe_time < START + HOUR + 2 * MINUTE
        [second] = ledger.append("demo", [identity(entry_id="identity-2", occur_time=START)])
    assert first.record_time < second.record_time < START + HOUR + 2 * MINUTE


def test_a_demo_marker_without_a_time_is_refused(tmp_path: Path) -> None:
    """Otherwise a demo of an earlier release would give other answers each day."""
    (tmp_path / MARKER).touch()
    with pytest.raises(
        ConfigurationWrong, match=r"holds no time such as 2026-06-30T12:00:00Z\. Make the demo's data again"
    ):
        open_ledger(settings_of(data_dir=tmp_path), create=True)

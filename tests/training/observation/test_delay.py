from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoring.base.arrays import Floats
from scoring.base.enums import Action
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from tests.helpers.builders import status, violation
from tests.helpers.training_ledgers import table_of
from tests.training.observation.test_labels import OBSERVE, breach
from training.observation.delay import decision_delay, find_finished

FIRST, LAST = OBSERVE - 720, OBSERVE


def cases(
    reported: Floats, delays: Floats, action: Action = Action.CONFIRM, name: str = "v", **fields: object
) -> list[Entry]:
    entries = []
    for number, (day, delay) in enumerate(zip(reported, delays, strict=True)):
        known, decided = round(day * DAY), round((day + delay) * DAY)
        entries.append(violation(f"{name}{number}", "s", occur_time=known, **fields))  # type: ignore[arg-type]
        if decided < LAST * DAY:
            entries.append(status(f"{name}{number}", action, occur_time=decided))
    return entries


def test_kaplan_and_meiers_estimate_by_hand() -> None:
    """Worked: times 1, 2, 2, 3, the second 2 unfinished: 0.75, 0.5 and 0 are left."""
    time, is_over = np.array([1.0, 2, 2, 3]), np.array([True, True, False, True])
    found = [find_finished(time, is_over, share) for share in (0.25, 0.3, 0.5, 0.51, 0.95)]
    assert found == [1.0, 2.0, 2.0, 3.0, 3.0]
    assert find_finished(np.array([1.0, 2]), np.zeros(2, dtype=bool), 0.5) is None
    assert find_finished(np.empty(0), np.zeros(0, dtype=bool), 0.5) is None


@pytest.mark.long
def test_open_cases_are_counted(tmp_path: Path) -> None:
    """Exponential delays of 90 days on average: half are over after 62.4 days and 95 % after 269.6."""
    rng = np.random.default_rng(3)
    reported = rng.uniform(LAST - 300, LAST, 1500)
    table = table_of(tmp_path, cases(reported, rng.exponential(90, 1500)))
    found = decision_delay(replace(table, end_day=LAST))
    assert found.median_days == pytest.approx(90 * np.log(2), rel=0.1)
    assert found.p95_days == pytest.approx(90 * np.log(20), rel=0.1)
    assert found.decided + found.open == 1500
    assert found.open > 300


def test_what_is_too_often_open_is_not_guessed(tmp_path: Path) -> None:
    days, delays = np.full(5, LAST - 10.0), np.array([1.0, 1, 99, 99, 99])
    found = decision_delay(replace(table_of(tmp_path, cases(days, delays)), end_day=LAST))
    assert (found.median_days, found.p95_days) == (None, None)
    assert (found.decided, found.open) == (2, 3)


def test_only_what_needed_a_decision_has_a_delay(tmp_path: Path) -> None:
    day = LAST - 100.0
    entries = [
        breach("arrived", round(day * DAY)),
        *cases(np.array([day]), np.array([50.0]), Action.WITHDRAW, "w"),
        *cases(np.array([day]), np.array([10.0]), Action.DISMISS, "d"),
        *cases(np.array([day]), np.array([20.0]), Action.CONFIRM, "c"),
        status("c0", Action.OVERTURN, occur_time=round(day + 90) * DAY),
    ]
    table = table_of(tmp_path, entries)
    found = decision_delay(replace(table, end_day=LAST))
    assert (found.decided, found.withdrawn, found.open) == (2, 1, 0)
    assert (found.median_days, found.p95_days) == (20.0, None)
    earlier = decision_delay(replace(table, end_day=LAST - 85))
    assert (earlier.decided, earlier.withdrawn, earlier.open) == (1, 0, 2)

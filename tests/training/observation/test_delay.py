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
from training.observation.delay import decision_delay, kaplan_meier

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
    curve = kaplan_meier(np.array([1.0, 2, 2, 3]), np.array([True, True, False, True]))
    np.testing.assert_allclose(curve.share, [0.75, 0.5, 0.0])
    assert (curve.quantile(0.5), curve.quantile(0.95)) == (2.0, 3.0)
    assert kaplan_meier(np.array([1.0, 2]), np.zeros(2, dtype=bool)).quantile(0.5) is None
    assert kaplan_meier(np.empty(0), np.zeros(0, dtype=bool)).quantile(0.5) is None


@pytest.mark.long
def test_open_cases_are_counted_where_closed_ones_alone_flatter(tmp_path: Path) -> None:
    """Exponential delays of 90 days on average: half are over after 62.4 days and 95 % after 269.6.

    In a ledger of 300 days closed cases give much less; with open cases both are right within a tenth.
    """
    rng = np.random.default_rng(3)
    reported = rng.uniform(LAST - 300, LAST, 1500)
    table = table_of(tmp_path, cases(reported, rng.exponential(90, 1500)))
    found = decision_delay(table, LAST)
    assert found.median_days == pytest.approx(90 * np.log(2), rel=0.1)
    assert found.p95_days == pytest.approx(90 * np.log(20), rel=0.1)
    assert found.p95_closed_only_days is not None
    assert found.p95_closed_only_days < 0.8 * 90 * np.log(20)
    assert found.decided + found.open == 1500
    assert found.open > 300


def test_what_is_too_often_open_is_not_guessed(tmp_path: Path) -> None:
    days, delays = np.full(5, LAST - 10.0), np.array([1.0, 1, 99, 99, 99])
    found = decision_delay(table_of(tmp_path, cases(days, delays)), LAST)
    assert (found.median_days, found.p95_days) == (None, None)
    assert (found.p95_closed_only_days, found.decided, found.open) == (1.0, 2, 3)


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
    found = decision_delay(table, LAST)
    assert (found.decided, found.withdrawn, found.open) == (2, 1, 0)
    assert found.p95_closed_only_days == 20.0
    assert (found.median_days, found.p95_days) == (20.0, None)
    earlier = decision_delay(table, LAST - 85)
    assert (earlier.decided, earlier.withdrawn, earlier.open) == (1, 0, 2)

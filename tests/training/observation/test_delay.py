"""How long the truth takes, where closed cases alone are wrong; and what of it is known at a study's maturity."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.entries.entry import Entry
from scoring.enums import Action, Harm
from scoring.time import DAY
from tests.builders import status, violation
from tests.training.ledgers import table_of
from tests.training.observation.test_labels import OBSERVE, breach
from training.observation.delay import MONTH_DAYS, decision_delay, delay_by_category, development, lift
from training.observation.export import LedgerTable
from training.observation.survival import kaplan_meier
from training.study.definition import Study

Floats = NDArray[np.float64]
FIRST, LAST = OBSERVE - 720, OBSERVE
"""Days of the simulated ledgers, of which nothing after the last is known."""


def cases(
    reported: Floats, delays: Floats, action: Action = Action.CONFIRM, name: str = "v", **fields: object
) -> list[Entry]:
    """Violations by the day they were reported, decided so many days after it, if by the last day."""
    entries = []
    for number, (day, delay) in enumerate(zip(reported, delays, strict=True)):
        known, decided = round(day * DAY), round((day + delay) * DAY)
        entries.append(violation(f"{name}{number}", "s", occur_time=known, report_time=known, **fields))  # type: ignore[arg-type]
        if decided < LAST * DAY:
            entries.append(status(f"{name}{number}", action, occur_time=decided, report_time=decided))
    return entries


def test_kaplan_and_meiers_estimate_by_hand() -> None:
    """The worked numbers of the function, and what is left before and after; all censored: nothing is over."""
    curve = kaplan_meier(np.array([1.0, 2, 2, 3]), np.array([True, True, False, True]))
    np.testing.assert_allclose(curve.share, [0.75, 0.5, 0.0])
    np.testing.assert_allclose(curve.before(np.array([0.5, 1, 1.5, 2, 9])), [1, 1, 0.75, 0.75, 0])
    assert (curve.quantile(0.5), curve.quantile(0.95)) == (2.0, 3.0)
    assert kaplan_meier(np.array([1.0, 2]), np.zeros(2, dtype=bool)).quantile(0.5) is None
    assert kaplan_meier(np.empty(0), np.zeros(0, dtype=bool)).quantile(0.5) is None


def test_open_cases_are_counted_where_closed_ones_alone_flatter(tmp_path: Path) -> None:
    """Exponential delays of 90 days on average: half are over after 62.4 days and 95 % after 269.6. Of a ledger that goes
    on for 300 days closed cases say much less; with the open ones both are right within a tenth.
    """
    rng = np.random.default_rng(3)
    reported = rng.uniform(LAST - 300, LAST, 1500)
    table = table_of(tmp_path, cases(reported, rng.exponential(90, 1500)))
    found = decision_delay(table, LAST)
    assert found.median_days == pytest.approx(90 * np.log(2), rel=0.1)
    assert found.p95_days == pytest.approx(90 * np.log(20), rel=0.1)
    assert found.median_closed_only_days is not None
    assert found.p95_closed_only_days is not None
    assert found.median_closed_only_days < 0.8 * 90 * np.log(2)
    assert found.p95_closed_only_days < 0.8 * 90 * np.log(20)
    assert found.decided + found.open == 1500
    assert found.open > 300


def test_what_is_too_often_open_is_not_guessed(tmp_path: Path) -> None:
    """Three of five open after ten days: neither the median nor the 95 % point is known. The closed ones say one day."""
    days, delays = np.full(5, LAST - 10.0), np.array([1.0, 1, 99, 99, 99])
    found = decision_delay(table_of(tmp_path, cases(days, delays)), LAST)
    assert (found.median_days, found.p95_days) == (None, None)
    assert (found.p95_closed_only_days, found.decided, found.open) == (1.0, 2, 3)


def test_only_what_needed_a_decision_has_a_delay(tmp_path: Path) -> None:
    """Not what was confirmed on arrival; what was withdrawn was never decided; a dismissal is a decision; the first one
    counts; what came after the as-of is not known yet.
    """
    day = LAST - 100.0
    entries = [
        breach("arrived", round(day * DAY)),
        *cases(np.array([day]), np.array([50.0]), Action.WITHDRAW, "w"),
        *cases(np.array([day]), np.array([10.0]), Action.DISMISS, "d"),
        *cases(np.array([day]), np.array([20.0]), Action.CONFIRM, "c"),
        status("c0", Action.OVERTURN, occur_time=round(day + 90) * DAY, report_time=round(day + 90) * DAY),
    ]
    table = table_of(tmp_path, entries)
    found = decision_delay(table, LAST)
    assert (found.decided, found.withdrawn, found.open) == (2, 1, 0)
    assert (found.median_closed_only_days, found.p95_closed_only_days) == (10.0, 20.0)
    assert (found.median_days, found.p95_days) == (20.0, None)
    earlier = decision_delay(table, LAST - 85)
    assert (earlier.decided, earlier.withdrawn, earlier.open) == (1, 0, 2)


def test_delays_are_told_apart_by_category(tmp_path: Path) -> None:
    """Of categories that have any."""
    day = np.array([LAST - 100.0])
    entries = [*cases(day, np.array([5.0])), *cases(day, np.array([7.0]), name="r", violation_type="fake_reviews")]
    found = delay_by_category(table_of(tmp_path, entries))
    assert {name: delay.median_days for name, delay in found.items()} == {"counterfeit": 5.0, "integrity": 7.0}


def simulated(folder: Path, delays: Floats, **fields: object) -> LedgerTable:
    """A ledger of as many incidents as delays, evenly over its days, with those confirmed by its end."""
    days = np.linspace(FIRST, LAST - 0.5, len(delays))
    return table_of(folder, [*cases(days, delays, **fields), *end()])


def end() -> Sequence[Entry]:
    """A last entry, so that the ledger is known to go on until then."""
    return [breach("last", LAST * DAY - DAY, harm=Harm.LOW)]


def test_the_triangle_finds_the_ultimate_number_and_the_share_known(tmp_path: Path, study: Study) -> None:
    """3,000 incidents over two years, exponential delays of 120 days on average: whatever the age, the share known is
    1 - exp(-age / 120), and the ultimate number is the number there was.
    """
    rng = np.random.default_rng(4)
    table = simulated(tmp_path, rng.exponential(120, 3000))
    found = development(table, study)
    for months in (1, 3, 6, 12):
        truth = 1 - np.exp(-months * MONTH_DAYS / 120)
        assert found.known_share(months * MONTH_DAYS) == pytest.approx(truth, abs=0.03)
    mature = slice(0, -6)
    assert found.ultimate[mature].sum() == pytest.approx(3000 * 18 / 24, rel=0.06)
    known = np.nanmax(found.triangle, axis=1)[mature].sum()
    assert known < 0.97 * found.ultimate[mature].sum()
    assert np.isnan(found.triangle[-1, 1:]).all()
    assert not np.isnan(found.triangle[0]).any()


def test_what_is_known_within_days_is_not_lifted_as_if_it_took_a_month(tmp_path: Path, study: Study) -> None:
    """Exponential delays of 3 days on average: after half a month all but 1 % is known, and a line from the first day to the
    end of the month would say 60 %.
    """
    rng = np.random.default_rng(8)
    found = development(simulated(tmp_path, rng.exponential(3, 2000)), study)
    for days in (2, 5, 10, 15):  # whole days, of incidents that happened at noon on average
        assert found.known_share(float(days)) == pytest.approx(1 - np.exp(-(days + 0.5) / 3), abs=0.03)
    assert lift(found, replace(study, maturity_days=14)).factor < 1.002
    assert (np.diff(found.known_share(np.arange(0.0, 90.0, 0.5))) >= 0).all()


def test_the_factor_lifts_what_is_known_at_the_maturity_to_what_will_be(tmp_path: Path, study: Study) -> None:
    """Exponential delays of 120 days: of a window of 180 days and 45 days of maturity the share known is the mean of
    1 - exp(-(45 + u) / 120) over u from 0 to 180: 0.644, factor 1.55. At once known: factor 1.
    """
    rng = np.random.default_rng(6)
    (tmp_path / "slow").mkdir()
    (tmp_path / "fast").mkdir()
    grown = development(simulated(tmp_path / "slow", rng.exponential(120, 3000)), study)
    slow = lift(grown, study)
    share = 1 - 120 / 180 * (np.exp(-45 / 120) - np.exp(-225 / 120))
    assert slow.factor == pytest.approx(1 / share, rel=0.04)
    assert slow.factor > 1.4
    assert "1 / 0.6" in slow.text
    assert "45 days after a window of 180 days" in slow.text
    fast = lift(development(simulated(tmp_path / "fast", np.zeros(100)), study), study)
    assert fast.factor == 1.0
    assert lift(grown, replace(study, maturity_days=300)).factor < 1.1


def test_what_was_overturned_or_does_not_match_is_in_no_triangle(tmp_path: Path, study: Study) -> None:
    """Thirty of each: high harm counts, low harm does not, and what was overturned is as if never reported."""
    days = np.linspace(FIRST, LAST - 100, 30)
    none = np.zeros(30)
    away = [
        status(f"o{number}", Action.OVERTURN, occur_time=(LAST - 1) * DAY, report_time=(LAST - 1) * DAY)
        for number in range(30)
    ]
    entries = [
        *cases(days, none, name="high"),
        *cases(days, none, name="low", harm=Harm.LOW),
        *cases(days, none, name="o"),
        *away,
    ]
    found = development(table_of(tmp_path, entries), study)
    assert np.nanmax(found.triangle, axis=1).sum() == 30


def test_an_incident_is_known_with_its_first_violation(tmp_path: Path, study: Study) -> None:
    """Thirty incidents of two reports each, one confirmed at once and one after 200 days: thirty, known at once."""
    days = np.linspace(FIRST, LAST - 300, 30)
    entries = [
        entry
        for number, day in enumerate(days)
        for entry in (
            *cases(np.array([day]), np.zeros(1), name=f"a{number}-", incident=f"i{number}"),
            *cases(np.array([day]), np.array([200.0]), name=f"b{number}-", incident=f"i{number}"),
        )
    ]
    found = development(table_of(tmp_path, entries), study)
    assert found.triangle[:, 0].sum() == 30
    assert found.share[0] == 1.0


def test_what_few_old_incidents_did_late_is_taken_for_chance(tmp_path: Path, study: Study) -> None:
    """Nineteen of the first month, of which nine were known late, and forty later ones at once: nothing is taken to grow
    at ages that only the nineteen have reached. With twenty it is.
    """
    for old, grows in ((19, False), (20, True)):
        (tmp_path / str(old)).mkdir()
        late = np.where(np.arange(old) < 9, 650.0, 0.0)
        entries = [
            *cases(np.full(old, FIRST + 5.0), late, name="old"),
            *cases(np.full(40, LAST - 400.0), np.zeros(40), name="new"),
            *end(),
        ]
        share = development(table_of(tmp_path / str(old), entries), study).share
        assert bool(share[0] < 1) is grows


def test_too_few_incidents_tell_nothing(tmp_path: Path, study: Study) -> None:
    """Three: factor 1, and why; none at all: the same."""
    few = development(table_of(tmp_path, cases(np.linspace(FIRST, LAST - 100, 3), np.full(3, 60.0))), study)
    assert lift(few, study).factor == 1.0
    assert "too few" in lift(few, study).text
    (tmp_path / "none").mkdir()
    nothing = development(table_of(tmp_path / "none", end()), study)
    assert lift(nothing, study).factor == 1.0
    assert nothing.known_share(45.0) == 1.0

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.base.arrays import Floats
from scoring.base.enums import Action, Harm, MeasureKind, MeasureState
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from tests.helpers.builders import status, violation
from tests.helpers.label_cases import OBSERVE, breach
from tests.helpers.training_ledgers import restated, table_of
from training.observation.delay import decision_delay, find_time_of_share
from training.observation.development import MONTH_DAYS, development, lift
from training.observation.export import LedgerTable
from training.observation.labels import Outcome, Windows, final_facts, label
from training.study.definition import Study

FIRST, LAST = OBSERVE - 720, OBSERVE
RARE = 1e-4
"""A share of bad rows so small that odds grow as their number does."""


@pytest.fixture
def study(study: Study) -> Study:
    return restated(study, exposure={"reference_orders": None})


@pytest.fixture
def daily(study: Study) -> Study:
    return restated(study, window={"days": 1})


def cases(days: Floats, delays: Floats, name: str = "v", **fields: object) -> list[Entry]:
    entries = []
    for number, (day, delay) in enumerate(zip(days, delays, strict=True)):
        known, decided = round(day * DAY), round((day + delay) * DAY)
        seller = f"s-{name}{number}"
        entries.append(violation(f"{name}{number}", seller, occur_time=known, **fields))  # type: ignore[arg-type]
        if decided < LAST * DAY:
            entries.append(status(f"{name}{number}", Action.CONFIRM, occur_time=decided))
    return entries


def simulated(folder: Path, delays: Floats, **fields: object) -> LedgerTable:
    days = np.linspace(FIRST, LAST - 0.5, len(delays))
    return table_of(folder, [*cases(days, delays, **fields), *end()])


def end() -> Sequence[Entry]:
    return [breach("last", LAST * DAY - DAY, harm=Harm.LOW)]


@pytest.mark.long
def test_the_triangle_finds_the_ultimate_number(tmp_path: Path, study: Study) -> None:
    rng = np.random.default_rng(4)
    found = development(simulated(tmp_path, rng.exponential(120, 3000)), study)
    for months in (0, 1, 3, 6, 12):
        age = months * MONTH_DAYS
        truth = 1 - 120 / 180 * (np.exp(-age / 120) - np.exp(-(age + 180) / 120))
        assert found.known_share(age) == pytest.approx(truth, abs=0.03)
    assert found.overlap == pytest.approx(180 / MONTH_DAYS)
    mature = slice(1, -6)
    assert found.ultimate[mature] == pytest.approx(750, rel=0.1)
    known = np.nanmax(found.triangle, axis=1)[mature].sum()
    assert known < 0.97 * found.ultimate[mature].sum()
    assert np.isnan(found.triangle[-1, 1:]).all()
    assert not np.isnan(found.triangle[0]).any()


@pytest.mark.long
def test_what_is_known_within_days_is_not_lifted_by_a_month(tmp_path: Path, daily: Study) -> None:
    rng = np.random.default_rng(8)
    found = development(simulated(tmp_path, rng.exponential(3, 2000)), daily)
    for days in (2, 5, 10, 15):
        assert found.known_share(days) == pytest.approx(1 - np.exp(-(days + 0.5) / 3), abs=0.03)
    assert lift(found, restated(daily, window={"maturity_days": 20}), RARE).factor < 1.002
    assert (np.diff([found.known_share(days) for days in np.arange(0.0, 90.0, 0.5)]) >= 0).all()


@pytest.mark.long
@pytest.mark.parametrize(
    "asks",
    [
        {"bad": {"at_least": 1}},
        {"bad": {"at_least": 2}},
        {"bad": {"share": 0.02}},
        {"bad": {"rules": (), "count": "service_failures", "share": 0.05}},
        {"exposure": {"reference_orders": 1000.0}},
        {"bad": {"weigh_by": "orders"}},
        {"bad": {"least_orders": 30}},
    ],
    ids=str,
)
def test_a_seller_is_known_in_the_triangle_when_its_label_is_bad(
    table: LedgerTable, study: Study, asks: dict[str, Any]
) -> None:
    asked = restated(restated(study, bad={"suspended": True}, eligible={"left": "keep"}), **asks)
    found, final = development(table, asked), final_facts(table)

    def bad(day: int, maturity: int) -> NDArray[np.bool_]:
        ends = asked.point_at(day).window_end
        windows = Windows(np.full(table.columns.cases, day), np.full(table.columns.cases, ends))
        found = label(table, restated(asked, window={"maturity_days": maturity}), windows, final)
        return (found.outcome == Outcome.BAD) & (found.window_orders >= asked.orders_needed)

    for row, day in list(enumerate(found.cohort.tolist()))[1::4]:
        ultimately = bad(day, 5000)
        for age in range(0, found.triangle.shape[1], 3):
            if not np.isnan(found.triangle[row, age]):
                assert found.triangle[row, age] == (bad(day, int(age * MONTH_DAYS)) & ultimately).sum()
    assert np.nansum(found.triangle) > 100


def test_a_suspended_seller_is_known_as_bad_with_the_suspension(tmp_path: Path, daily: Study) -> None:
    days, entries = np.linspace(FIRST, LAST - 400, 30), list(end())
    for number, day in enumerate(days):
        moment, seller = round(day) * DAY, f"s{number}"
        imposed = MeasureChanged(
            f"m{number}", MeasureKind.SUSPENSION, MeasureState.IMPOSED, "staff", "why", violations=(f"v{number}",)
        )
        entries += [
            violation(f"v{number}", seller, occur_time=moment, harm=Harm.LOW),
            status(f"v{number}", Action.CONFIRM, occur_time=moment),
            Entry(f"m{number}-imposed", seller, imposed, moment + 30 * DAY, moment + 130 * DAY),
        ]
    table = table_of(tmp_path, entries)
    found = development(table, restated(daily, bad={"suspended": True}))
    assert np.nansum(found.triangle[:, :4], axis=0).tolist() == [0, 0, 0, 0]
    assert np.nansum(found.triangle[:, 4]) == 30
    assert not np.nansum(development(table, restated(daily, bad={"suspended": False})).triangle)


def test_what_was_overturned_or_does_not_match_is_in_no_triangle(tmp_path: Path, daily: Study) -> None:
    days = np.linspace(FIRST, LAST - 100, 30)
    none = np.zeros(30)
    away = [status(f"o{number}", Action.OVERTURN, occur_time=(LAST - 1) * DAY) for number in range(30)]
    entries = [
        *cases(days, none, name="high"),
        *cases(days, none, name="low", harm=Harm.LOW),
        *cases(days, none, name="o"),
        *away,
    ]
    found = development(table_of(tmp_path, entries), daily)
    assert np.nanmax(found.triangle, axis=1).sum() == 30


def test_an_incident_is_known_with_its_first_violation(tmp_path: Path, daily: Study) -> None:
    entries: list[Entry] = []
    for number, day in enumerate(np.linspace(FIRST, LAST - 300, 30)):
        for name, delay in (("a", 0), ("b", 200)):
            moment = round(day) * DAY
            fields = {"occur_time": moment, "report_time": moment, "incident": f"i{number}"}
            entries.append(violation(f"{name}{number}", f"s{number}", **fields))  # type: ignore[arg-type]
            decided = moment + delay * DAY
            entries.append(status(f"{name}{number}", Action.CONFIRM, occur_time=decided))
    found = development(table_of(tmp_path, entries), daily)
    assert found.triangle[:, 0].sum() == 30
    assert found.share[0] == 1.0


@pytest.mark.long
def test_what_few_old_cases_did_late_is_taken_for_chance(tmp_path: Path, daily: Study) -> None:
    for old, grows in ((19, False), (20, True)):
        (tmp_path / str(old)).mkdir()
        late = np.where(np.arange(old) < 9, 650.0, 0.0)
        entries = [
            *cases(np.full(old, FIRST + 5.0), late, name="old"),
            *cases(np.full(40, LAST - 400.0), np.zeros(40), name="new"),
            *end(),
        ]
        share = development(table_of(tmp_path / str(old), entries), daily).share
        assert bool(share[0] < 1) is grows


def test_windows_that_overlap_do_not_make_many_of_few(tmp_path: Path, study: Study) -> None:
    late = np.where(np.arange(10) < 5, 400.0, 0.0)
    begin = cases(np.array([FIRST]), np.zeros(1), name="first", harm=Harm.LOW)
    table = table_of(tmp_path, [*begin, *cases(np.full(10, FIRST + 170.0), late), *end()])
    found = development(table, study)
    assert np.nanmax(found.triangle, axis=1).sum() > 50
    assert (found.share[0], lift(found, study, RARE).factor) == (1.0, 1.0)


def test_too_few_bad_sellers_tell_nothing(tmp_path: Path, study: Study) -> None:
    few = development(table_of(tmp_path, cases(np.linspace(FIRST, LAST - 300, 3), np.full(3, 60.0))), study)
    assert lift(few, study, RARE).factor == 1.0
    assert "too few" in lift(few, study, RARE).text
    nothing = development(table_of(tmp_path / "none", end()), study)
    assert lift(nothing, study, RARE).factor == 1.0
    assert nothing.known_share(45) == 1.0


def test_the_factor_of_the_worked_numbers(tmp_path: Path, daily: Study) -> None:
    delays = np.where(np.arange(1000) % 5 < 3, 0.0, 200.0)
    table = table_of(tmp_path, [*cases(np.linspace(FIRST, LAST - 300, 1000), delays), *end()])
    found = development(table, daily)
    assert found.known_share(45) == pytest.approx(0.6, abs=0.01)
    assert lift(found, daily, 0.03).factor == pytest.approx(1.70, abs=0.03)
    assert lift(found, daily, 0.8).factor == pytest.approx(0.9 / 0.1 / (0.8 / 0.2))


def delay_cases(
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
    time, is_over = np.array([1.0, 2, 2, 3]), np.array([True, True, False, True])
    found = [find_time_of_share(time, is_over, share) for share in (0.25, 0.3, 0.5, 0.51, 0.95)]
    assert found == [1.0, 2.0, 2.0, 3.0, 3.0]
    assert find_time_of_share(np.array([1.0, 2]), np.zeros(2, dtype=bool), 0.5) is None
    assert find_time_of_share(np.empty(0), np.zeros(0, dtype=bool), 0.5) is None


@pytest.mark.long
def test_open_cases_are_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    reported = rng.uniform(LAST - 300, LAST, 1500)
    table = table_of(tmp_path, delay_cases(reported, rng.exponential(90, 1500)))
    found = decision_delay(replace(table, end_day=LAST))
    assert found.median_days == pytest.approx(90 * np.log(2), rel=0.1)
    assert found.p95_days == pytest.approx(90 * np.log(20), rel=0.1)
    assert found.decided + found.open == 1500
    assert found.open > 300


def test_what_is_too_often_open_is_not_guessed(tmp_path: Path) -> None:
    days, delays = np.full(5, LAST - 10.0), np.array([1.0, 1, 99, 99, 99])
    found = decision_delay(replace(table_of(tmp_path, delay_cases(days, delays)), end_day=LAST))
    assert (found.median_days, found.p95_days) == (None, None)
    assert (found.decided, found.open) == (2, 3)


def test_only_what_needed_a_decision_has_a_delay(tmp_path: Path) -> None:
    day = LAST - 100.0
    entries = [
        breach("arrived", round(day * DAY)),
        *delay_cases(np.array([day]), np.array([50.0]), Action.WITHDRAW, "w"),
        *delay_cases(np.array([day]), np.array([10.0]), Action.DISMISS, "d"),
        *delay_cases(np.array([day]), np.array([20.0]), Action.CONFIRM, "c"),
        status("c0", Action.OVERTURN, occur_time=round(day + 90) * DAY),
    ]
    table = table_of(tmp_path, entries)
    found = decision_delay(replace(table, end_day=LAST))
    assert (found.decided, found.withdrawn, found.open) == (2, 1, 0)
    assert (found.median_days, found.p95_days) == (20.0, None)
    earlier = decision_delay(replace(table, end_day=LAST - 85))
    assert (earlier.decided, earlier.withdrawn, earlier.open) == (1, 0, 2)

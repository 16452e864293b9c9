from dataclasses import replace
from pathlib import Path

import pytest

from scoring.base.time import DAY, format_day
from scoring.entries.entry import Entry
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, SELLER, Clock, confirmed, exposure
from tests.helpers.label_cases import OBSERVE, breach, standing
from tests.helpers.limits import Limit
from tests.helpers.recordings import Told
from tests.helpers.training_ledgers import exported, restated, table_of
from training.observation import points as choosing
from training.observation.export import LedgerTable
from training.observation.labels import final_facts
from training.observation.points import choose_points
from training.observation.snapshots import count_bad, observe_known_outcomes
from training.study.definition import BadRule, Study


@pytest.fixture(scope="module")
def short(study: Study) -> Study:
    return restated(
        study,
        window={"days": 10, "maturity_days": 0},
        observation={"step_days": 7, "train_points": 2},
        bad={"rules": (BadRule(),), "suspended": False, "share": None},
        exposure={"reference_orders": None},
    )


def fading(folder: Path, *bad: int) -> LedgerTable:
    end = OBSERVE + 400
    return weekly(folder, end, exposure(OBSERVE - 90, "s0", report_time=(OBSERVE - 89) * DAY - 1), *bad)


def weekly(folder: Path, end: int, begin: Entry, *bad: int) -> LedgerTable:
    entries = [entry for n in range(max(bad)) for entry in standing(f"s{n}")[:1]]
    for week, number in enumerate(bad):
        moment = (end - 2 - 7 * week) * DAY
        entries += [replace(breach(f"v{week}-{n}", moment), seller=f"s{n}") for n in range(number)]
    return table_of(folder, [*entries, begin, exposure(end - 1, "s0", report_time=end * DAY - 1)])


@pytest.fixture
def enough(limit: Limit) -> None:
    limit(choosing, ENOUGH_BAD=5)


@pytest.mark.usefixtures("enough")
def test_the_test_point_is_the_latest_with_enough_bad_rows(tmp_path: Path, short: Study) -> None:
    table = fading(tmp_path, 2, 0, 6)
    found = choose_points(table, short)
    latest = short.find_points(table.end_day)[1][0].day
    assert found.test == [short.point_at(latest - 7)]
    assert [point.window_end <= found.test[0].day for point in found.train] == [True, True]
    assert found.why == (
        f"test point {format_day(latest - 7)} is the latest with 5 bad rows (6); 1 later ones have 2 at most"
    )


@pytest.mark.long
@pytest.mark.usefixtures("enough")
def test_the_latest_point_is_taken_if_it_has_enough(tmp_path: Path, short: Study) -> None:
    table = fading(tmp_path / "a", 7, 3)
    found, latest = choose_points(table, short), short.find_points(table.end_day)
    assert (found.train, found.test) == latest
    assert found.why == f"test point {format_day(latest[1][0].day)} is the latest with 5 bad rows (7)"
    few = fading(tmp_path / "b", 2, 0, 4)
    found = choose_points(few, short)
    assert (found.train, found.test) == short.find_points(few.end_day)
    assert "has 2 bad rows and not the 5 that a comparison needs; none of " in found.why
    assert found.why.endswith("earlier ones has so many, 4 at most")


@pytest.mark.usefixtures("enough")
def test_it_does_not_go_back_for_a_few_bad_rows_more(tmp_path: Path, short: Study) -> None:
    table = fading(tmp_path, 4, 1, 5)
    found, latest = choose_points(table, short), short.find_points(table.end_day)
    assert (found.train, found.test) == latest
    day = latest[1][0].day
    assert found.why == (
        f"test point {format_day(day)} has 4 bad rows; the latest with 5, {format_day(day - 7)}, is 7 days older for 1 more"
    )


@pytest.mark.usefixtures("enough")
def test_how_long_sellers_exist_makes_no_ledger_older(tmp_path: Path, short: Study) -> None:
    end = OBSERVE + 400
    table = weekly(tmp_path, end, exposure(end - 45, "s0", report_time=(end - 44) * DAY - 1), 1, 0, 0, 0, 6)
    assert table.first_day == end - 45
    found = choose_points(table, short)
    assert (found.train, found.test) == short.find_points(table.end_day)
    assert "none of 2 earlier ones has so many" in found.why


def test_what_a_server_records_moves_no_point(tmp_path: Path) -> None:
    clock = Clock()
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db", create=True, clock=clock) as ledger:
        told = Told(ledger, clock)
        told.append(confirmed("v", SELLER))
        end_day = exported(ledger, MARKET, tmp_path).end_day
        clock.now += 300 * DAY
        assert told.worker.look()
        assert exported(ledger, MARKET, tmp_path).end_day == end_day
        told.append(exposure(clock.now // DAY - 40, SELLER))
        assert exported(ledger, MARKET, tmp_path).end_day == clock.now // DAY + 1


def test_points_that_are_stated_are_taken_as_they_are(table: LedgerTable, study: Study) -> None:
    stated = restated(study, observation={"train": ("2024-05-01",), "test": ("2025-02-01",)}, bad={"at_least": 1000})
    found = choose_points(table, stated)
    assert ((found.train, found.test), found.why) == (stated.find_points(table.end_day), "")


@pytest.mark.parametrize(
    "asks",
    [
        {},
        {"exposure": {"reference_orders": None}, "eligible": {"active_before_months": 3}},
        {"bad": {"least_orders": 30}},
    ],
)
def test_bad_rows_are_counted_as_the_snapshot_holds_them(
    table: LedgerTable, study: Study, asks: dict[str, object]
) -> None:
    how = restated(study, **asks)
    point = how.point_at(table.end_day - 300)
    assert count_bad(table, how, point, final_facts(table)) == observe_known_outcomes(table, how, point).bad.sum() > 3

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from scoring.base.enums import (
    CorrectionKind,
    Kind,
    MeasureKind,
    MeasureState,
)
from scoring.base.errors import ConfigurationWrong
from scoring.base.time import DAY, format_day, parse_day
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged
from tests.helpers.label_cases import inspection
from tests.helpers.limits import Limit
from tests.helpers.training_ledgers import exported, market_ledger, restated
from training.observation import events
from training.observation.events import find_event_cases
from training.observation.export import LedgerTable
from training.observation.snapshots import observe_known_outcomes
from training.study.context import ContextSource, EventPoints
from training.study.definition import Observation, Study
from training.study.loading import load_study

FIRST, LAST = parse_day("2025-01-01"), parse_day("2025-03-31")


@pytest.fixture(scope="module")
def study(study: Study) -> Study:
    points = EventPoints(Kind.INSPECTION, FIRST, LAST, parse_day("2025-10-01"), parse_day("2025-10-31"))
    held = ContextSource("held", "measures_in_force", 0.0)
    features = (*study.features, *held.features)
    return restated(
        study,
        observation={"events": points},
        exposure={"reference_orders": None},
        eligible={"active_before_months": 3},
        context=(held,),
        features=features,
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> LedgerTable:
    folder = tmp_path_factory.mktemp("inspected")
    rng = np.random.default_rng(3)
    with market_ledger(folder, 60) as ledger:
        sellers = exported(ledger, "demo", folder).sellers
        visits = [
            inspection(f"n{k}", sellers[int(rng.integers(0, 40))], int(rng.integers(FIRST - 10, LAST + 10)))
            for k in range(150)
        ]
        twice = [inspection("twice-1", sellers[2], FIRST + 5), inspection("twice-2", sellers[2], FIRST + 5)]
        never = inspection("never", sellers[50], FIRST + 7)
        hold = MeasureChanged(
            "m", MeasureKind.DEPOSIT, MeasureState.IMPOSED, "staff", "a deposit", until=(FIRST + 6) * DAY
        )
        twice += [
            inspection("after", sellers[2], FIRST + 8),
            Entry("m", sellers[2], hold, (FIRST - 20) * DAY, (FIRST - 20) * DAY),
        ]
        void = Entry("void", "", EntryCorrected("never", CorrectionKind.VOID, "staff", "another shop"))
        ledger.append("demo", [*visits, *twice, never, void], imported=True)
        return exported(ledger, "demo", folder)


def span(study: Study) -> Observation:
    return Observation(FIRST, study.point_at(LAST).window_end, LAST)


def test_each_inspection_is_seen_as_a_point_of_its_day_is_seen(table: LedgerTable, study: Study, limit: Limit) -> None:
    seen = observe_known_outcomes(table, study, span(study))
    assert len(seen.bad) > 60
    assert 0 < seen.bad.sum() < len(seen.bad)
    assert seen.x[seen.seller == 2, -1].tolist().count(1.0) == int((seen.day[seen.seller == 2] <= FIRST + 5).sum()) > 0
    for day in np.unique(seen.day).tolist():
        at, plain = seen.take(seen.day == day), observe_known_outcomes(table, study, study.point_at(day))
        same = plain.take(np.isin(plain.seller, at.seller))
        for field in fields(seen):
            assert np.array_equal(getattr(at, field.name), getattr(same, field.name)), (field.name, day)

    limit(events, PART_ENTRIES=5_000)
    again = observe_known_outcomes(table, study, span(study))
    for field in fields(seen):
        assert np.array_equal(getattr(seen, field.name), getattr(again, field.name)), field.name


def test_two_inspections_of_a_day_are_one_point(table: LedgerTable, study: Study) -> None:
    seller, day = find_event_cases(table, study, span(study))
    cases = list(zip(day.tolist(), seller.tolist(), strict=True))
    assert cases == sorted(set(cases))
    assert cases.count((FIRST + 5, 2)) == 1
    assert 50 not in seller.tolist()
    assert FIRST <= day.min() <= day.max() <= LAST
    one = find_event_cases(table, study, Observation(FIRST + 5, FIRST + 6, FIRST + 5))
    assert 2 in one[0].tolist()
    assert set(one[1].tolist()) == {FIRST + 5}


def test_a_span_without_an_inspection_is_refused(table: LedgerTable, study: Study) -> None:
    empty = Observation(FIRST - 400, FIRST - 300, FIRST - 301)
    wanted = f"the ledger has no inspection from {format_day(FIRST - 400)} to {format_day(FIRST - 301)}: import"
    with pytest.raises(ConfigurationWrong, match=wanted):
        observe_known_outcomes(table, study, empty)


def test_the_training_days_are_cut_into_spans_before_the_test(study: Study) -> None:
    short = restated(study, window={"days": 1, "maturity_days": 0})
    train, (test,) = short.find_points(parse_day("2026-01-01"))
    assert [p.day for p in train] == [FIRST, *(p.last_day + 1 for p in train[:-1] if p.last_day is not None)]
    assert (train[-1].last_day, train[-1].window_end, len(train)) == (LAST, LAST + 1, short.observation.train_points)
    assert (test.day, test.last_day) == (parse_day("2025-10-01"), parse_day("2025-10-31"))
    with pytest.raises(ConfigurationWrong, match="the model would learn what the test asks"):
        restated(short, window={"maturity_days": 200}).find_points(parse_day("2027-01-01"))
    with pytest.raises(ConfigurationWrong, match="where the ledger ends"):
        short.find_points(parse_day("2025-10-31"))


AT = """
name = "at"
marketplace = "acme"
[observation]
at = "inspection"
train_from = 2024-01-01
train_to = 2024-06-30
test_from = 2024-07-01
test_to = 2024-07-31
[bad]
any = [{ harm = "high" }]
"""


def test_a_study_at_inspections_looks_at_the_day_by_default(tmp_path: Path) -> None:
    path = tmp_path / "at.toml"
    path.write_text(AT)
    stated = load_study(path)
    assert stated.observation.events == EventPoints(
        Kind.INSPECTION, *map(parse_day, ("2024-01-01", "2024-06-30", "2024-07-01", "2024-07-31"))
    )
    assert stated.point_at(FIRST) == Observation(FIRST, FIRST + 1)
    path.write_text(AT + "[window]\nmonths = 6\n")
    assert load_study(path).point_at(FIRST).window_end == parse_day("2025-07-01")
    for change, wrong in (
        (('at = "inspection"', 'at = "rating"'), "observation.at must be one of inspection"),
        (("train_to = 2024-06-30", ""), "observation.train_to must be a date in quotation marks.*; it is missing"),
        (("2024-07-01", "2024-06-30"), "must have train_from, train_to, test_from, test_to in order of time"),
        (("2024-07-01", '"July"'), 'observation.test_from must be a date in quotation marks.*, not "July"'),
        (('at = "inspection"', ""), "observation.train_from is not a part of a study"),
        (
            ('at = "inspection"', 'at = "inspection"\ntrain = ["2024-01-01"]\ntest = ["2024-02-01"]'),
            "needs no train and test",
        ),
    ):
        path.write_text(AT.replace(*change))
        with pytest.raises(ConfigurationWrong, match=wrong):
            load_study(path)

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from scoring.base.enums import (
    Action,
    ControlReason,
    CorrectionKind,
    Harm,
    InspectionMethod,
    InspectionResult,
    Kind,
    MeasureKind,
    MeasureState,
    Source,
)
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import ControlChanged
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged
from scoring.entries.kinds.trade import InspectionDone
from tests.helpers.builders import exposure, identity, status, violation
from tests.helpers.training_ledgers import restated, table_of
from tests.training.observation.test_labels import END, OBSERVE, TRUTH, breach, standing
from training.observation.labels import Outcome
from training.observation.snapshots import EligibleRows, observe_known_outcomes
from training.observation.snapshots import observe as observe_point
from training.study.context import EventPoints
from training.study.definition import Observation, Study

BEFORE, INSIDE = (OBSERVE - 10) * DAY, (OBSERVE + 10) * DAY


def sales(seller: str, *days: int, orders: int = 100, product_category: str = "") -> list[Entry]:
    return [exposure(day, seller, settled_orders=orders, product_category=product_category) for day in days]


def suspension(
    moment: int, *violations: str, kind: MeasureKind = MeasureKind.SUSPENSION, reported: int | None = None
) -> Entry:
    fact = MeasureChanged("m", kind, MeasureState.IMPOSED, "staff", "counterfeits", violations=violations)
    return Entry("m-imposed", "s", fact, moment, moment if reported is None else reported)


def known(seller: str = "s") -> Entry:
    joined = (OBSERVE - 100) * DAY
    return identity(f"i-{seller}", seller, occur_time=joined)


def observed(folder: Path, study: Study, entries: Sequence[Entry]) -> EligibleRows:
    return observe_point(table_of(folder, entries), study, study.point_at(OBSERVE))


def outcome(folder: Path, study: Study, *entries: Entry) -> Outcome:
    (code,) = observed(folder, study, entries).rows.outcome.tolist()
    return Outcome(code)


@pytest.mark.long
def test_suspended_on_a_violation_that_counts_is_bad(tmp_path: Path, study: Study) -> None:
    facts = [*standing("s"), breach("v", BEFORE), suspension(INSIDE, "v")]
    assert outcome(tmp_path / "bad", study, *facts) is Outcome.BAD
    assert outcome(tmp_path / "none", study, *facts[:-1]) is Outcome.GOOD
    assert outcome(tmp_path / "asked", restated(study, bad={"suspended": False}), *facts) is Outcome.GOOD
    later = (TRUTH + 400) * DAY
    overturned = status("v", Action.OVERTURN, occur_time=later)
    assert outcome(tmp_path / "overturned", study, *facts, overturned) is Outcome.GOOD


@pytest.mark.parametrize(
    ("moment", "bad"), [(OBSERVE * DAY - 1, False), (OBSERVE * DAY, True), (END * DAY - 1, True), (END * DAY, False)]
)
def test_a_suspension_counts_in_the_window_alone(tmp_path: Path, study: Study, moment: int, bad: bool) -> None:
    facts = [*standing("s"), breach("v", BEFORE), suspension(moment, "v")]
    assert (outcome(tmp_path, study, *facts) is Outcome.BAD) is bad


@pytest.mark.parametrize(("reported", "bad"), [(TRUTH * DAY - 1, True), (TRUTH * DAY, False)])
def test_a_suspension_known_after_the_maturity_does_not_count(
    tmp_path: Path, study: Study, reported: int, bad: bool
) -> None:
    facts = [*standing("s"), breach("v", BEFORE), suspension(INSIDE, "v", reported=reported)]
    assert (outcome(tmp_path, study, *facts) is Outcome.BAD) is bad


def test_a_suspension_counts_for_every_point_of_its_window(tmp_path: Path, study: Study) -> None:
    days = (OBSERVE - 300, OBSERVE - 50, OBSERVE - 20, OBSERVE + 50)
    looked = InspectionDone(InspectionResult.PASSED, InspectionMethod.TEST_BUY, Source.TEST_BUY)
    inspections = [Entry(f"n{day}", "s", looked, day * DAY, day * DAY) for day in days]
    joined = (OBSERVE - 400) * DAY
    entries = [
        identity("i", "s", occur_time=joined),
        breach("v", (OBSERVE - 350) * DAY),
        suspension(INSIDE, "v"),
        *inspections,
    ]
    at_events = restated(
        study, exposure={"reference_orders": None}, observation={"events": EventPoints(Kind.INSPECTION, 0, 0, 0, 0)}
    )
    span = Observation(OBSERVE - 400, OBSERVE + 400, last_day=OBSERVE + 200)
    rows = observe_point(table_of(tmp_path, entries), at_events, span).rows
    assert rows.day.tolist() == list(days)
    assert rows.bad.tolist() == [0.0, 1.0, 1.0, 0.0]


@pytest.mark.long
def test_other_measures_and_void_suspensions_make_nobody_bad(tmp_path: Path, study: Study) -> None:
    facts = [*standing("s"), breach("v", BEFORE)]
    deposit = suspension(INSIDE, "v", kind=MeasureKind.DEPOSIT)
    assert outcome(tmp_path / "deposit", study, *facts, deposit) is Outcome.GOOD
    void = Entry("c", "", EntryCorrected("m-imposed", CorrectionKind.VOID, "staff", "wrong seller"), report_time=INSIDE)
    assert outcome(tmp_path / "void", study, *facts, suspension(INSIDE, "v"), void) is Outcome.GOOD


@pytest.mark.long
def test_a_suspension_by_a_policys_rule_makes_nobody_bad(tmp_path: Path, study: Study) -> None:
    """Otherwise a model would learn the previous model's consequences."""
    facts = [*standing("s"), breach("v", BEFORE)]
    imposed = suspension(INSIDE, "v")
    fact = replace(cast(MeasureChanged, imposed.fact), measure="rule~week~suspension~0123456789abcdef")
    assert outcome(tmp_path / "person", study, *facts, imposed) is Outcome.BAD
    assert outcome(tmp_path / "rule", study, *facts, replace(imposed, fact=fact)) is Outcome.GOOD


@pytest.mark.long
@pytest.mark.parametrize(
    ("last", "decided", "moment", "expected"),
    [
        (OBSERVE + 20, None, INSIDE, Outcome.INDETERMINATE),
        (END - 20, None, INSIDE, Outcome.GOOD),
        (OBSERVE + 20, Action.DISMISS, INSIDE, Outcome.GOOD),
        (OBSERVE + 20, Action.CONFIRM, INSIDE, Outcome.INDETERMINATE),
        (OBSERVE + 20, None, BEFORE, Outcome.GOOD),
    ],
    ids=["open", "stayed", "dismissed since", "confirmed after the maturity", "of before"],
)
def test_closed_with_open_claims_is_indeterminate(
    tmp_path: Path, study: Study, last: int, decided: Action | None, moment: int, expected: Outcome
) -> None:
    """The seller would be bad if the claims open at the maturity were upheld."""
    claim = violation("v", "s", occur_time=moment)
    later = (TRUTH + 10) * DAY
    decision = [status("v", decided, occur_time=later)] if decided else []
    found = observed(tmp_path, study, [known(), *sales("s", last), claim, *decision])
    assert found.rows.outcome.tolist() == [expected]
    assert found.exclusions["indeterminate"] == (expected is Outcome.INDETERMINATE)
    assert len(found.rows.with_known_outcome().bad) == (expected is Outcome.GOOD)


@pytest.mark.long
def test_an_open_claim_that_makes_nobody_bad_changes_nothing(tmp_path: Path, study: Study) -> None:
    facts = [known(), *sales("s", OBSERVE + 20)]
    small = violation("v", "s", harm=Harm.LOW, occur_time=INSIDE)
    assert outcome(tmp_path / "low", study, *facts, small) is Outcome.GOOD
    one = violation("v", "s", occur_time=INSIDE)
    two = restated(study, bad={"at_least": 2})
    assert outcome(tmp_path / "one", two, *facts, one) is Outcome.GOOD
    assert outcome(tmp_path / "both", two, *facts, one, breach("w", INSIDE)) is Outcome.INDETERMINATE


@pytest.mark.long
@pytest.mark.parametrize(("last", "has_left"), [(OBSERVE + 88, True), (OBSERVE + 89, False)])
def test_who_leaves_early_is_kept_or_left_out_as_stated(
    tmp_path: Path, study: Study, last: int, has_left: bool
) -> None:
    """Half of 180 days: 89 were seen, or 90."""
    entries = [known(), *sales("s", OBSERVE + 2, last), *sales("s", OBSERVE + 150, orders=0)]
    kept = observed(tmp_path / "kept", study, entries)
    assert (kept.rows.outcome.tolist(), kept.exclusions["left"]) == ([Outcome.GOOD], 0)
    how = restated(study, eligible={"left": "exclude"})
    left_out = observed(tmp_path / "out", how, entries)
    assert left_out.rows.outcome.tolist() == [Outcome.LEFT if has_left else Outcome.GOOD]
    assert left_out.exclusions["left"] == has_left
    learned = observe_known_outcomes(table_of(tmp_path / "learned", entries), how, how.point_at(OBSERVE))
    assert learned.outcome.tolist() == [Outcome.GOOD] * (not has_left)
    third = observed(tmp_path / "third", restated(study, eligible={"left": "exclude", "least_share": 1 / 3}), entries)
    assert third.rows.outcome.tolist() == [Outcome.GOOD]


def test_who_was_bad_before_it_left_is_bad(tmp_path: Path, study: Study) -> None:
    entries = [known(), *sales("s", OBSERVE + 20), breach("v", INSIDE)]
    assert outcome(tmp_path, restated(study, eligible={"left": "exclude"}), *entries) is Outcome.BAD


def test_sold_before_a_change_of_hands_was_sold_in_its_window(tmp_path: Path, study: Study) -> None:
    sold = (TRUTH + 100) * DAY
    control = Entry("k", "s", ControlChanged(ControlReason.SOLD, "staff", "register"), sold, sold)
    found = observed(tmp_path, restated(study, eligible={"left": "exclude"}), [*standing("s"), control])
    assert (found.rows.window_orders.tolist(), found.rows.outcome.tolist()) == ([1000.0], [Outcome.GOOD])


def test_what_is_left_out_is_counted_by_its_first_reason(tmp_path: Path, study: Study) -> None:
    later, old = (OBSERVE + 20) * DAY, OBSERVE - 400
    entries = [
        *sales("active", OBSERVE - 3, END - 3),
        *sales("idle", OBSERVE - 3),
        *sales("dormant", old, END - 3),
        *sales("gone", old),
        identity("i-late", "late", occur_time=later),
    ]
    how = restated(study, eligible={"active_before_months": 6})
    assert observed(tmp_path / "both", how, entries).exclusions == {
        "bad_without_orders_in_window": 0,
        "no_orders_in_window": 2,
        "not_active_before": 1,
        "indeterminate": 0,
        "left": 0,
    }
    free = restated(how, exposure={"reference_orders": None}, eligible={"active_in_window": True})
    found = observed(tmp_path / "free", free, entries)
    assert len(found.rows.bad) == 1
    assert (found.exclusions["not_active_before"], found.exclusions["not_active_in_window"]) == (2, 1)


def test_a_row_says_of_whom_it_is(tmp_path: Path, study: Study) -> None:
    moved = identity("i2", "s", country="DE", occur_time=BEFORE)
    later = identity("i3", "s", country="FR", occur_time=INSIDE)
    entries = [
        known(),
        moved,
        later,
        *sales("s", OBSERVE - 50, OBSERVE - 40, orders=30, product_category="toys"),
        *sales("s", OBSERVE - 30, orders=50, product_category="shoes"),
        *sales("s", OBSERVE + 5, END - 5, orders=500, product_category="food"),
        *sales("plain", OBSERVE - 7, END - 7),
        *sales("even", OBSERVE - 7, orders=5, product_category="toys"),
        *sales("even", OBSERVE - 6, END - 6, orders=5, product_category="shoes"),
    ]
    rows = observed(tmp_path, study, entries).rows
    assert rows.tenure_days.tolist() == [7, 7, 100]
    assert rows.country.tolist() == ["", "", "DE"]
    assert rows.product_category.tolist() == ["shoes", "", "toys"]
    assert rows.raw_count.tolist() == [0.0, 0.0, 0.0]


def test_the_raw_count_is_of_incidents_of_two_years(tmp_path: Path, study: Study) -> None:
    entries = [
        *standing("s"),
        breach("v1", (OBSERVE - 729) * DAY),
        breach("v2", (OBSERVE - 730) * DAY),
        breach("v3", BEFORE, incident="fair"),
        breach("v4", BEFORE, incident="fair"),
    ]
    assert observed(tmp_path, study, entries).rows.raw_count.tolist() == [2.0]


@pytest.mark.parametrize(
    ("ppm", "source", "moment", "expected"),
    [
        (1000, Source.TEST_BUY, INSIDE, True),
        (0, Source.RANDOM_AUDIT, INSIDE, True),
        (0, Source.TEST_BUY, INSIDE, False),
        (1000, Source.TEST_BUY, BEFORE, False),
        (1000, Source.TEST_BUY, END * DAY, False),
    ],
)
def test_inspected_is_who_was_drawn_at_random_in_the_window(
    tmp_path: Path, study: Study, ppm: int, source: Source, moment: int, expected: bool
) -> None:
    fact = InspectionDone(InspectionResult.PASSED, InspectionMethod.TEST_BUY, source, ppm)
    rows = observed(tmp_path, study, [*standing("s"), Entry("n", "s", fact, moment, moment)]).rows
    assert rows.inspected.tolist() == [expected]

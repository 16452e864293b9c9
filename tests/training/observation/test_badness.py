from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
from scoring.base.errors import ConfigurationWrong
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import ControlChanged
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged
from scoring.entries.kinds.trade import InspectionDone
from tests.helpers.builders import exposure, identity, status, violation
from tests.helpers.label_cases import END, OBSERVE, TRUTH, breach, standing
from tests.helpers.training_ledgers import restated, table_of
from training.observation.badness import market_cut, required_count
from training.observation.labels import Outcome
from training.observation.snapshots import EligibleRows, observe, observe_known_outcomes
from training.observation.snapshots import observe as observe_point
from training.study.context import EventPoints
from training.study.definition import BadRule, Observation, Study

MINOR = (BadRule(),)


@pytest.fixture(scope="module")
def asked(study: Study) -> Study:
    return restated(study, exposure={"reference_orders": None}, bad={"rules": MINOR, "suspended": False})


def seen(folder: Path, study: Study, *entries: Entry) -> EligibleRows:
    return observe(table_of(folder, entries), study, study.point_at(OBSERVE))


def sold(seller: str, orders: int, day: int = END - 5, **counts: int) -> Entry:
    return exposure(day, seller, settled_orders=orders, **counts)


def incidents(number: int, **fields: object) -> list[Entry]:
    return [breach(f"v{n}", (OBSERVE + 10 + n) * DAY, incident=f"i{n}", **fields) for n in range(number)]


@pytest.mark.long
def test_a_seller_is_bad_from_the_day_on_which_it_had_enough(tmp_path: Path, asked: Study) -> None:
    how = restated(asked, bad={"share": 0.2}, eligible={"left": "exclude", "least_share": 0.9})
    early = sold("s", 15, OBSERVE + 1)
    assert seen(tmp_path / "a", how, early, *standing("s", orders=0)[:1], *incidents(3)).rows.bad.tolist() == [1.0]
    found = seen(tmp_path / "b", how, early, *standing("s", orders=0)[:1], *incidents(2))
    assert (found.exclusions["left"], found.rows.with_known_outcome().bad.tolist()) == (1, [])


@pytest.mark.parametrize(
    ("failed", "later", "bad"), [(3, None, True), (2, None, False), (3, 2, False), (2, 3, False)], ids=str
)
def test_service_failures_make_bad_as_known_at_the_maturity(
    tmp_path: Path, asked: Study, failed: int, later: int | None, bad: bool
) -> None:
    how = restated(asked, bad={"rules": (), "count": "service_failures", "share": 0.2})
    entries = [standing("s")[0], sold("s", 15, late=failed)]
    if later is not None:
        fields = {"revision": 1, "late": later}
        entries.append(exposure(END - 5, "s", settled_orders=15, report_time=(TRUTH + 9) * DAY, **fields))
    rows = seen(tmp_path, how, *entries, *incidents(20)).rows
    assert rows.bad.tolist() == [float(bad)]


@pytest.mark.long
def test_who_sold_too_little_is_no_row_and_is_counted(tmp_path: Path, asked: Study) -> None:
    others = [entry for n, orders in enumerate((0, 1, 4, 5, 9)) for entry in standing(f"o{n}", orders=orders)]
    entries = [*others, *standing("s", orders=4), *incidents(2)]
    found = seen(tmp_path / "a", restated(asked, bad={"least_orders": 5}), *entries)
    assert found.rows.window_orders.tolist() == [5, 9]
    assert {why: n for why, n in found.exclusions.items() if n} == {
        "no_orders_in_window": 1,
        "bad_with_too_few_orders": 1,
        "too_few_orders_in_window": 2,
    }
    assert len(seen(tmp_path / "b", restated(asked, bad={"share": 0.1}), *entries).rows.bad) == 5
    assert len(seen(tmp_path / "c", restated(asked, bad={"weigh_by": "orders"}), *entries).rows.bad) == 5
    assert len(seen(tmp_path / "d", asked, *entries).rows.bad) == 6
    idle = seen(
        tmp_path / "e", restated(asked, exposure={"reference_orders": 9.0}), standing("s")[0], *incidents(2)
    ).exclusions
    assert (idle["bad_without_orders_in_window"], idle["no_orders_in_window"]) == (1, 0)


@pytest.mark.parametrize(
    ("stated", "bad"), [((4000, 6000), True), ((4000, 5999), False), ((9999, 0), False), ((10_000,), True)]
)
def test_amounts_are_added_over_incidents(tmp_path: Path, asked: Study, stated: tuple[int, ...], bad: bool) -> None:
    how = restated(asked, bad={"amount_minor": 10_000, "currency": "EUR"})
    entries = [
        priced(breach(f"v{n}-{twin}", (OBSERVE + 9 + n) * DAY, incident=f"i{n}"), amount, "EUR")
        for n, amount in enumerate(stated)
        for twin in range(2)
    ]
    assert seen(tmp_path, how, *standing("s"), *entries).rows.bad.tolist() == [float(bad)]


def test_an_amount_in_another_currency_is_refused(tmp_path: Path, asked: Study) -> None:
    how = restated(asked, bad={"amount_minor": 1, "currency": "EUR"})
    stranger = priced(breach("v", (OBSERVE + 9) * DAY), 5, "USD")
    with pytest.raises(ConfigurationWrong, match="is in EUR, and 1 violations that match state an amount in another"):
        seen(tmp_path / "a", how, *standing("s"), stranger)
    graver = restated(how, bad={"rules": (BadRule(harm=Harm.EXTREME),)})
    assert not seen(tmp_path / "b", graver, *standing("s"), stranger).rows.bad.any()


def priced(entry: Entry, amount: int, currency: str) -> Entry:
    fact = replace(entry.fact, amount_minor=amount, currency=currency if amount else "")  # type: ignore[call-arg]
    return replace(entry, fact=fact)


def test_rows_weigh_by_their_orders_and_one_on_average(tmp_path: Path, asked: Study) -> None:
    entries = [entry for name, orders in (("a", 10), ("b", 20), ("c", 60)) for entry in standing(name, orders=orders)]
    rows = seen(tmp_path, restated(asked, bad={"weigh_by": "orders"}), *entries).rows
    np.testing.assert_allclose(rows.weight, [1 / 3, 2 / 3, 2])


@given(
    share=st.integers(1, 999).map(lambda n: n / 1000),
    orders=st.integers(0, 10**7),
    at_least=st.integers(1, 5),
)
def test_the_needed_count_is_the_least_whose_share_is_enough(
    asked: Study, share: float, orders: int, at_least: int
) -> None:
    how = restated(asked, bad={"share": share, "at_least": at_least})
    (found,) = required_count(how, np.array([orders]), np.inf).tolist()
    wanted = Fraction(str(share)) * orders
    assert found == max(at_least, -(-wanted.numerator // wanted.denominator))


@example(counts=[(0, 10), (0, 20), (1, 10), (2, 20), (5, 10)], worst=0.6)
@given(
    counts=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=30),
    worst=st.integers(1, 100).map(lambda n: n / 100),
)
def test_the_worst_of_a_market_are_as_many_as_ties_allow(
    asked: Study, counts: list[tuple[int, int]], worst: float
) -> None:
    how = restated(asked, bad={"worst": worst})
    count, orders = np.array(counts, dtype=np.int64).T
    enough = required_count(how, orders, market_cut(how, count, orders))
    rates = [Fraction(int(c), int(n)) for c, n in zip(count, orders, strict=True) if n]
    expected = [
        bool(n and c and sum(r >= Fraction(int(c), int(n)) for r in rates) <= Fraction(str(worst)) * len(rates))
        for c, n in zip(count, orders, strict=True)
    ]
    assert ((count >= enough) & (orders > 0)).tolist() == expected


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

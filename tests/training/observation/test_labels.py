from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoring.base.enums import (
    Action,
    Attribution,
    Category,
    ControlReason,
    CorrectionKind,
    Harm,
    IncidentChange,
    Severity,
    Source,
)
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.account import ControlChanged
from scoring.entries.kinds.conduct import AttributionStated, IncidentChanged
from scoring.entries.kinds.decisions import EntryCorrected
from tests.helpers.builders import exposure, identity, status, violation
from tests.helpers.label_cases import END, OBSERVE, TRUTH, breach, standing
from tests.helpers.training_ledgers import restated, table_of
from training.fitting.fit import baseline_seller, golden_rows
from training.observation.snapshots import Snapshot, observe_known_outcomes
from training.study.definition import BadRule, Study


def observe(folder: Path, study: Study, *entries: Entry) -> Snapshot:
    everything = [*standing("clean"), *standing("s"), *entries]
    return observe_known_outcomes(table_of(folder, everything), study, study.point_at(OBSERVE))


def is_bad(folder: Path, study: Study, *entries: Entry) -> bool:
    seen = observe(folder, study, *entries)
    assert seen.bad[0] == 0
    return bool(seen.bad[1])


@pytest.mark.parametrize(
    ("moment", "bad"),
    [
        (OBSERVE * DAY - 1, False),
        (OBSERVE * DAY, True),
        (END * DAY - 1, True),
        (END * DAY, False),
    ],
)
def test_the_window_holds_its_first_microsecond_and_its_last(
    tmp_path: Path, study: Study, moment: int, bad: bool
) -> None:
    assert is_bad(tmp_path, study, breach("v", moment)) is bad


@pytest.mark.parametrize(("decided", "bad"), [(TRUTH * DAY - 1, True), (TRUTH * DAY, False)])
def test_what_is_confirmed_after_the_maturity_does_not_count(
    tmp_path: Path, study: Study, decided: int, bad: bool
) -> None:
    moment = (OBSERVE + 10) * DAY
    allegation = violation("v", "s", occur_time=moment)
    decision = status("v", Action.CONFIRM, occur_time=decided)
    assert is_bad(tmp_path, study, allegation, decision) is bad


@pytest.mark.parametrize(("reported", "bad"), [(TRUTH * DAY - 1, True), (TRUTH * DAY, False)])
def test_what_is_reported_after_the_maturity_does_not_count(
    tmp_path: Path, study: Study, reported: int, bad: bool
) -> None:
    assert is_bad(tmp_path, study, breach("v", (OBSERVE + 10) * DAY, reported=reported)) is bad


def test_an_allegation_makes_nobody_bad(tmp_path: Path, study: Study) -> None:
    moment = (OBSERVE + 10) * DAY
    assert not is_bad(tmp_path, study, violation("v", "s", occur_time=moment))


def test_what_was_overturned_since_counts_for_no_label(tmp_path: Path, study: Study) -> None:
    years_later = (TRUTH + 400) * DAY
    overturned = status("v", Action.OVERTURN, occur_time=years_later)
    assert is_bad(tmp_path, study, breach("v", (OBSERVE + 10) * DAY))
    assert not is_bad(tmp_path / "again", study, breach("v", (OBSERVE + 10) * DAY), overturned)


def test_reported_late_is_neither_label_nor_feature(tmp_path: Path, study: Study) -> None:
    late = observe(tmp_path, study, breach("v", (OBSERVE - 10) * DAY, reported=(OBSERVE + 10) * DAY))
    assert late.bad[1] == 0
    assert late.clean[1]
    np.testing.assert_array_equal(late.x[0], late.x[1])
    known = tmp_path / "known"
    early = observe(known, study, breach("v", (OBSERVE - 10) * DAY))
    assert not early.clean[1]
    assert (early.x[0] != early.x[1]).any()


def test_one_incident_counts_once_towards_bad(tmp_path: Path, study: Study) -> None:
    twice = restated(study, bad={"at_least": 2})
    first = breach("v1", (OBSERVE + 10) * DAY, incident="fair")
    same = breach("v2", (OBSERVE + 11) * DAY, incident="fair")
    other = breach("v3", (OBSERVE + 12) * DAY, incident="market")
    for entries, bad in (([first], False), ([first, same], False), ([first, other], True)):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        assert is_bad(folder, twice, *entries) is bad


@pytest.mark.parametrize(
    ("rules", "bad"),
    [
        ([BadRule()], True),
        ([BadRule(severity=Severity.MAJOR)], True),
        ([BadRule(severity=Severity.CRITICAL)], False),
        ([BadRule(harm=Harm.HIGH)], True),
        ([BadRule(harm=Harm.EXTREME)], False),
        ([BadRule(violation_type="counterfeit_goods")], True),
        ([BadRule(violation_type="fake_reviews")], False),
        ([BadRule(category=Category.COUNTERFEIT)], True),
        ([BadRule(category=Category.IP)], False),
        ([BadRule(category=Category.COUNTERFEIT, harm=Harm.EXTREME)], False),
        ([BadRule(category=Category.IP), BadRule(harm=Harm.HIGH)], True),
    ],
)
def test_bad_is_what_one_of_the_rules_says_in_all_its_parts(
    tmp_path: Path, study: Study, rules: Sequence[BadRule], bad: bool
) -> None:
    assert is_bad(tmp_path, restated(study, bad={"rules": tuple(rules)}), breach("v", (OBSERVE + 10) * DAY)) is bad


def test_severity_is_the_one_that_was_left_at_the_maturity(tmp_path: Path, study: Study) -> None:
    moment = (OBSERVE + 10) * DAY
    reduced = status("v", Action.REDUCE, severity=Severity.MINOR, occur_time=moment + DAY)
    major = restated(study, bad={"rules": (BadRule(severity=Severity.MAJOR),)})
    assert not is_bad(tmp_path, major, breach("v", moment), reduced)


def test_only_known_sellers_that_sell_are_observed(tmp_path: Path, study: Study) -> None:
    later, joined = (OBSERVE + 20) * DAY, (OBSERVE - 20) * DAY
    entries = [
        *standing("a"),
        identity("i-idle", "idle", occur_time=joined),
        identity("i-late", "late", occur_time=later),
        exposure(OBSERVE + 30, "late", report_time=(OBSERVE + 31) * DAY),
        exposure(OBSERVE - 30, "past", report_time=(OBSERVE - 29) * DAY),
    ]
    table = table_of(tmp_path, entries)

    def observed(how: Study) -> list[str]:
        return [table.sellers[code] for code in observe_known_outcomes(table, how, how.point_at(OBSERVE)).seller]

    assert observed(study) == ["a"]
    free = restated(study, exposure={"reference_orders": None})
    assert observed(free) == ["a", "idle", "past"]
    assert observed(restated(free, eligible={"active_in_window": True})) == ["a"]
    assert observed(restated(free, eligible={"active_before_months": 1})) == ["past"]
    assert observed(restated(free, eligible={"active_before_months": 1, "active_in_window": True})) == []


@pytest.mark.long
def test_the_points_rule_adds_the_gravest_of_each_incident(tmp_path: Path, study: Study) -> None:
    harms = [(Harm.LOW, 170), (Harm.MEDIUM, 160), (Harm.HIGH, 150), (Harm.EXTREME, 140)]
    plain = [
        breach(
            f"v-{harm.name}", (OBSERVE - days) * DAY, harm=harm, violation_type="unsafe_product", source=Source.BUYER
        )
        for harm, days in harms
    ]
    confirmations = [
        status(entry.entry_id, Action.CONFIRM, occur_time=entry.occur_time, report_time=entry.occur_time)
        for entry in plain
    ]
    # unsafe_product: low harm is moderate, medium and high are major, extreme is critical: 2 + 4 + 4 + 12.
    assert observe(tmp_path, study, *plain, *confirmations).rule_points.tolist() == [0.0, 22.0]

    for days, expected in ((179, 4.0), (180, 0.0)):
        folder = tmp_path / str(days)
        assert observe(folder, study, breach("v", (OBSERVE - days) * DAY)).rule_points[1] == expected
    folder = tmp_path / "incident"
    one = [breach(f"v{n}", (OBSERVE - 10 - n) * DAY, incident="one") for n in range(3)]
    assert observe(folder, study, *one).rule_points[1] == 4.0


def test_the_baseline_is_the_median_clean_established_seller(tmp_path: Path, study: Study) -> None:
    entries = [*standing("guilty"), breach("v", (OBSERVE - 10) * DAY)]
    entries[-1] = replace(entries[-1], seller="guilty")
    for seller, orders in (("a", 0), ("b", 300), ("c", 500)):
        entries += standing(seller)
        entries.append(exposure(OBSERVE - 50, seller, settled_orders=orders, report_time=(OBSERVE - 49) * DAY))
    rows = observe_known_outcomes(table_of(tmp_path, entries), study, study.point_at(OBSERVE))
    assert rows.orders.tolist() == [0.0, 300.0, 500.0, 0.0]
    assert rows.clean.tolist() == [True, True, True, False]
    expected = np.median(rows.x[[1, 2]], axis=0)
    np.testing.assert_array_equal(baseline_seller(rows), expected)
    assert golden_rows(rows, 3).shape == (3, rows.x.shape[1])


LATER = (TRUTH + 400) * DAY
INSIDE, BEFORE = (OBSERVE + 10) * DAY, (OBSERVE - 10) * DAY


def folder(tmp_path: Path, name: str) -> Path:
    return tmp_path / name


def correction(entry_id: str, moved_to: int | None, known: int) -> Entry:
    kind = CorrectionKind.VOID if moved_to is None else CorrectionKind.MOVED
    fact = EntryCorrected(entry_id, kind, "staff", "entered wrongly", moved_to)
    return Entry(f"c-{entry_id}", "", fact, report_time=known)


def same(one: Snapshot, other: Snapshot) -> bool:
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in Snapshot.__dataclass_fields__)


def test_goods_that_were_somebody_elses_make_nobody_bad(tmp_path: Path, study: Study) -> None:
    accepted = AttributionStated("v", Attribution.ACCEPTED, "staff", "another shop's parcel")
    said = Entry("a", "", accepted, LATER, LATER)
    assert is_bad(folder(tmp_path, "held"), study, breach("v", INSIDE))
    assert not is_bad(folder(tmp_path, "away"), study, breach("v", INSIDE), said)


@pytest.mark.long
@pytest.mark.parametrize("moved_to", [(OBSERVE - 5) * DAY, END * DAY])
def test_a_violation_moved_out_of_the_window_makes_nobody_bad(tmp_path: Path, study: Study, moved_to: int) -> None:
    moved = correction("v", moved_to, (TRUTH - 1) * DAY)
    known = max(INSIDE, moved_to)
    assert not is_bad(folder(tmp_path, "moved"), study, breach("v", INSIDE, reported=known), moved)
    assert is_bad(
        folder(tmp_path, "inside"),
        study,
        breach("v", INSIDE, reported=INSIDE + DAY),
        correction("v", INSIDE + DAY, LATER),
    )


@pytest.mark.long
def test_what_was_void_before_the_observation_leaves_no_trace(tmp_path: Path, study: Study) -> None:
    facts = [breach("v", BEFORE), breach("w", BEFORE - DAY)]
    control = Entry("k", "s", ControlChanged(ControlReason.SOLD, "staff", "register"), BEFORE, BEFORE)
    merge = Entry("g", "s", IncidentChanged(IncidentChange.MERGED, "w", "staff", "one", "v"), BEFORE, BEFORE)
    voids = [correction(name, None, BEFORE + DAY) for name in ("k", "g")]
    plain = observe(folder(tmp_path, "plain"), study, *facts)
    assert same(observe(folder(tmp_path, "void"), study, *facts, control, merge, *voids), plain)
    assert not same(observe(folder(tmp_path, "merged"), study, *facts, merge), plain)
    assert not same(observe(folder(tmp_path, "sold"), study, *facts, control), plain)


@pytest.mark.long
def test_the_order_of_report_and_decision_changes_nothing(tmp_path: Path, study: Study) -> None:
    for name, moment in (("before", BEFORE), ("inside", INSIDE)):
        report = violation("v", "s", occur_time=moment)
        decision = status("v", Action.CONFIRM, seller="s", occur_time=moment + DAY)
        one = observe(folder(tmp_path, f"{name}-1"), study, report, decision)
        other = observe(folder(tmp_path, f"{name}-2"), study, decision, report)
        assert same(one, other)
        assert bool(one.bad[1]) == (name == "inside")
        assert bool(one.clean[1]) == (name == "inside")

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import Category, CorrectionKind, Kind, Severity, Source, Status
from scoring.base.time import DAY
from scoring.caution.history import MAX_TRACED
from scoring.features.columns import FactRow
from scoring.policy.caution import CROWD, MAX_DAYS_IN_SPAN, SPAN_DAYS
from scoring.policy.policy import Policy
from tests.helpers.answers import evaluate_measures, find_cautions_of_seller, score
from tests.helpers.caution_rules import (
    BUSY,
    FEW,
    GENERAL,
    SEEN,
    SOLD,
    Seen,
    caution_rule,
    cautions,
    history,
    policy_of,
    report,
    taken_over,
    visible,
)
from tests.helpers.worlds import (
    NOW,
    TODAY,
    artifact,
    decision,
    identity,
    numbered,
    sellers,
    status,
    violation,
)

PAIRED = policy_of(caution_rule(), sources={"customs": {"weight": 60, "at_most": 400}})
"""Two of customs' reports set a caution off."""


def test_a_grave_report_of_an_authority_stops_intake_for_3_days() -> None:
    rows = [report("r", TODAY)]
    [found] = cautions(rows)
    assert (found.rule, found.start, found.end) == ("grave-reports", visible(TODAY), visible(TODAY + 3))
    assert (found.case, found.decide_by) == ("grave-reports~r", visible(TODAY + 3))
    assert found.measured == (100, 0)
    assert cautions(rows, visible(TODAY) - 1) == ()
    assert cautions(rows, found.end - 1) == (found,)
    assert cautions(rows, found.end) == ()
    held = evaluate_measures(numbered([*SOLD, *rows]), "s", NOW, artifact(), GENERAL, "acme")
    intake = next(m for m in held.measures if m.rule == "grave-reports")
    assert (intake.start, intake.end, intake.entries) == (found.start, found.end, ("r",))
    assert (held.terms.intake_caps, held.find_terms_for_earlier().manual_review) == ((("", 0),), True)
    assert held.terms_at_capture.intake_caps == ()


def test_a_caution_uses_its_facts_up() -> None:
    rows = [report(f"r{n}", TODAY - 10 + n) for n in range(4)]
    assert cautions(rows[:1], visible(TODAY - 10), PAIRED) == ()
    [first] = cautions(rows, visible(TODAY - 9), PAIRED)
    assert (first.entries, first.measured.counted) == (("r0", "r1"), 120)
    assert cautions(rows[:3], visible(TODAY - 6), PAIRED) == ()
    [again] = cautions(rows, visible(TODAY - 5), PAIRED)
    assert (again.start, again.entries) == (visible(TODAY - 7), ("r2", "r3"))


def test_reports_of_one_incident_weigh_once_and_old_ones_nothing() -> None:
    same = [report(f"r{n}", TODAY - n, incident="raid") for n in range(5)]
    assert cautions(same, policy=PAIRED) == ()
    assert cautions([*same, report("other", TODAY)], policy=PAIRED) != ()
    assert cautions([report("old", TODAY - 14), report("new", TODAY)], policy=PAIRED) == ()
    assert cautions([report("old", TODAY - 13), report("new", TODAY)], policy=PAIRED) != ()


def test_reports_that_a_rule_does_not_ask_for_set_it_not_off() -> None:
    assert cautions([report("r", TODAY, severity=2)]) == ()
    assert cautions([report("r", TODAY, category=Category.SERVICE)]) == ()


def test_the_reports_of_one_source_weigh_no_more_than_its_limit() -> None:
    limits = {"customs": {"weight": 60, "at_most": 90}, "test_buy": {"weight": 60, "at_most": 60}}
    policy = policy_of(caution_rule(), sources=limits)
    rows = [report(f"r{n}", TODAY) for n in range(9)]
    assert cautions([*rows, report("long ago", TODAY - 20, Source.TEST_BUY)], policy=policy) == ()
    assert cautions([*rows, report("lately", TODAY, Source.TEST_BUY)], policy=policy) != ()


def test_reports_of_all_who_can_come_in_crowds_set_nothing_off() -> None:
    rows = [
        report(f"{source.name}-{n}-{k}", TODAY - k % 3, source, Severity.CRITICAL)
        for source in sorted(CROWD)
        for n in range(50)
        for k in range(20)
    ]
    assert cautions(rows) == ()
    [beside] = cautions([*rows, report("detected", TODAY, Source.PLATFORM_DETECTION)])
    assert (beside.rule, beside.measures) == ("grave-reports", ())


def test_a_crowd_opens_a_case_and_uses_up_no_other_report() -> None:
    crowd = [report(f"{s.name}-{n}", TODAY - 3, s) for s in sorted(CROWD) for n in range(90)]
    detected, audited = (
        report("detected", TODAY - 2, Source.PLATFORM_DETECTION),
        report("a", TODAY, Source.RANDOM_AUDIT),
    )
    [case] = cautions([*crowd, detected], visible(TODAY - 2))
    assert (case.measures, case.end - case.start) == ((), 3 * DAY)
    alone, beside = cautions([detected, audited]), cautions([*crowd, detected, audited])
    assert [one for one in beside if one.measures] == [*alone] != []


def test_cases_of_crowds_use_up_no_day_of_protection() -> None:
    sources = {"platform_detection": {"weight": 99, "at_most": 99}, "customs": {"weight": 100, "at_most": 100}}
    policy = policy_of(caution_rule(days=14), sources=sources)
    crowd = [
        report(f"{n}-{source.name}", TODAY - 150 + 14 * n, source)
        for n in range(8)
        for source in (Source.PLATFORM_DETECTION, Source.BUYER)
    ]
    assert len([one for n in range(8) for one in cautions(crowd, visible(TODAY - 150 + 14 * n), policy)]) == 8
    [found] = cautions([*crowd, report("c", TODAY)], policy=policy)
    assert found.end - found.start == 14 * DAY


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([taken_over("c", TODAY)], ["taken_over"]),
        ([identity("lower", TODAY, 2)], ["identity_lowered"]),
        ([identity("higher", TODAY, 4)], []),
        ([identity("same", TODAY, 3)], []),
        ([taken_over("c", TODAY), decision(Kind.CORRECTION, "z", TODAY, target="c", status=CorrectionKind.VOID)], []),
    ],
)
def test_signs_of_other_hands_set_caution_off(rows: list[FactRow], words: list[str]) -> None:
    found = cautions(rows)
    assert [one.rule for one in found] == ["new-hands"] * len(words)
    for word in ("sold", "taken_over", "identity_lowered"):
        only = policy_of(caution_rule(control=[word]))
        assert bool(cautions(rows, policy=only)) == (word in words)


@pytest.mark.long
def test_a_rule_lasts_at_most_30_days_of_180() -> None:
    policy = policy_of(caution_rule(days=14), sources={"customs": {"weight": 100, "at_most": 400}})
    rows = [report(f"r{n}", TODAY - 60 + 14 * n) for n in range(5)]
    assert days_under_caution(rows, policy) == MAX_DAYS_IN_SPAN
    [last] = cautions(rows, visible(TODAY - 32), policy)
    assert (last.start, last.end) == (visible(TODAY - 32), visible(TODAY - 30))
    guilty = violation("v", TODAY - 70)
    assert days_under_caution([*rows, guilty], policy) == 70
    assert days_under_caution([*rows, violation("v", TODAY - 60 - SPAN_DAYS)], policy) < 70


def days_under_caution(rows: list[FactRow], policy: Policy) -> int:
    return sum(lived(rows, policy))


def lived(rows: list[FactRow], policy: Policy) -> list[bool]:
    found = []
    for day in range(TODAY - 200, TODAY + 20):
        moment = visible(day) + 1
        found.append(bool(cautions([row for row in rows if row.report_time < moment], moment, policy)))
    return found


"""Reports: day, source, incident, and the days until its dismissal, or None."""


@pytest.mark.long
@settings(max_examples=12, deadline=None)
@given(SEEN)
def test_reports_give_no_more_than_30_days_of_180(
    seen: Seen,
) -> None:
    mornings = lived(history(seen), BUSY)
    for end in range(len(mornings)):
        # A span of 30 days can touch 31 mornings, each further span one more.
        assert sum(mornings[max(end - SPAN_DAYS, 0) : end]) <= MAX_DAYS_IN_SPAN + len(seen)
    assert not any(one.end - one.start > 14 * DAY for one in cautions(history(seen), policy=BUSY))


@pytest.mark.long
@FEW
@given(SEEN, st.integers(0, 30), st.sampled_from([Source.CUSTOMS, Source.TEST_BUY]), st.integers(0, 6))
def test_what_is_taken_back_leaves_no_caution(seen: Seen, age: int, source: Source, incident: int) -> None:
    rows = [violation(f"guilty-{age}", TODAY - age, severity=1) for age in (191, 50)] + history(seen)
    false = report("false", TODAY - age, source, incident=f"incident-{incident}")
    for undone in (Status.DISMISSED, Status.WITHDRAWN, Status.OVERTURNED):
        with_it = [*rows, false, status("undo", "false", undone, TODAY)]
        for moment in (NOW, visible(TODAY - 3), visible(TODAY - age)):
            assert cautions(with_it, moment, BUSY) == cautions(rows, moment, BUSY)
    for one, other in zip(
        cautions([*history(seen), false, status("undo", "false", Status.DISMISSED, TODAY)], policy=BUSY),
        cautions(history(seen), policy=BUSY),
        strict=False,
    ):
        assert one.end <= other.end


@FEW
@given(SEEN, st.randoms(use_true_random=False))
def test_the_order_in_which_reports_arrive_does_not_matter(seen: Seen, chance: random.Random) -> None:
    rows = history(seen)
    reports = [row for row in rows if row.kind == Kind.VIOLATION]
    chance.shuffle(reports)
    shuffled = [*reports, *(row for row in rows if row.kind != Kind.VIOLATION)]
    assert cautions(shuffled, policy=BUSY) == cautions(rows, policy=BUSY)


@FEW
@given(sellers(), SEEN, st.booleans())
def test_no_field_of_a_score_rests_on_a_caution(rows: list[FactRow], seen: Seen, has_model: bool) -> None:
    every = numbered([*rows, *history(seen), violation("guilty", TODAY - 50, severity=1), taken_over("c", TODAY - 1)])
    model = artifact() if has_model else None
    with_caution = replace(GENERAL, caution=BUSY.caution)
    [found] = score(every, ["s"], NOW, model, with_caution)
    [plain] = score(every, ["s"], NOW, model, replace(GENERAL, caution=None))
    assert plain is not None
    assert found.cautions
    assert replace(found, cautions=()) == plain


@pytest.mark.long
@FEW
@given(SEEN)
def test_an_answer_holds_until_its_first_caution_ends(seen: Seen) -> None:
    rows = numbered([*SOLD, *history([*seen, (TODAY, Source.TEST_BUY, 9, None)])])
    for moment in (NOW, *(one.end - 1 for one in cautions(rows, policy=BUSY))):
        [answer] = score(rows, ["s"], moment, artifact(), replace(GENERAL, caution=BUSY.caution))
        later = (answer.valid_until - 1, answer.valid_until)
        then, after = (score(rows, ["s"], t, artifact(), replace(GENERAL, caution=BUSY.caution))[0] for t in later)
        assert then.cautions == answer.cautions
        assert all(answer.valid_until <= one.end for one in answer.cautions)
        assert not {one for one in answer.cautions if one.end == answer.valid_until} & {*after.cautions}


def test_many_sellers_have_the_cautions_each_has_alone() -> None:
    rows = [
        report("a", TODAY),
        taken_over("b", TODAY)._replace(seller="t"),
        identity("c", TODAY - 9)._replace(seller="u"),
    ]
    every = numbered([*rows, *(row._replace(seller=name) for name in "stu" for row in SOLD)])
    together = score(every, ["s", "t", "u"], NOW, artifact(), GENERAL)
    alone = [score([row for row in every if row.seller == name], [name], NOW, artifact(), GENERAL)[0] for name in "stu"]
    assert together == alone
    assert [len(one.cautions) for one in together if one is not None] == [1, 1, 0]


def test_very_many_dismissed_reports_are_counted_in_one_step() -> None:
    def timed(row: FactRow, day: int, n: int) -> FactRow:
        return row._replace(occur_time=day * DAY + n, report_time=day * DAY + n)

    days = [TODAY - 170 + n * 2 // 5 for n in range(400)]
    reports = [timed(report(f"r{n}", day, incident=f"q{n}"), day, n) for n, day in enumerate(days)]
    dismissed = [timed(status(f"d{n}", f"r{n}", Status.DISMISSED, day), day + 1, n) for n, day in enumerate(days)]
    last = report("last", TODAY - 1, incident="last")
    rows = numbered([*reports, *dismissed, last])
    steps: list[None] = []
    assert GENERAL.caution is not None
    assert find_cautions_of_seller(rows, NOW, GENERAL.caution, (), lambda: steps.append(None)) == ()
    assert len(steps) <= MAX_TRACED + 3
    assert find_cautions_of_seller(numbered([last]), NOW, GENERAL.caution) != ()


def test_a_listing_under_another_incident_counts_once() -> None:
    """For one source, within half a year: otherwise a second name for a fact would trigger the caution again."""

    def about(name: str, day: int, source: Source = Source.CUSTOMS, listing: str = "l1") -> FactRow:
        return report(name, day, source, incident=f"of-{name}")._replace(listing=listing)

    def begun(*rows: FactRow, day: int = TODAY) -> list[int]:
        return [one.start // DAY for one in cautions([*rows], day * DAY + 2 * DAY - 1)]

    first = about("r1", TODAY - 30)
    assert begun(first, day=TODAY - 30) == [TODAY - 30]
    assert begun(first, about("r2", TODAY)) == []
    for other in (about("r2", TODAY, listing="l2"), about("r2", TODAY, listing=""), about("r2", TODAY, Source.COURT)):
        assert begun(first, other) == [TODAY]
    assert begun(about("r1", TODAY - 180), about("r2", TODAY)) == [TODAY]
    withdrawn = status("w1", "r1", Status.WITHDRAWN, TODAY - 20)
    assert begun(first, withdrawn, about("r2", TODAY)) == [TODAY]

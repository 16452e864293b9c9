import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import (
    CaseState,
    Category,
    ControlReason,
    Kind,
    MeasureKind,
    MeasureState,
    ScoreState,
    Severity,
    Status,
    Tier,
)
from scoring.base.time import DAY, format_day
from scoring.entries.kinds.decisions import CaseChanged, MeasureChanged
from scoring.features.columns import FactRow
from scoring.features.resolved import resolve_sellers
from scoring.measures.in_force import InForce, MeasureInputs
from scoring.measures.in_force import evaluate_measures as evaluate
from scoring.measures.listed import MeasureInForce
from scoring.measures.record import LinkInForce, MeasureStatement, name_measure
from scoring.measures.waiting import TermsBefore, wait_for_notice
from scoring.policy.measures import Deposit, ListingCap, Suspension, Terms
from scoring.policy.policy import Policy
from scoring.scores.notice import EndedPair, Move, ServedPair, answer_within_notice, list_ended_pairs
from scoring.scores.score import compute_answer
from scoring.scores.settled_value import list_exposure_values
from tests.helpers.answers import answer, evaluate_measures, with_values
from tests.helpers.histories import RETRACTIONS, files
from tests.helpers.monotone import draw_policies, find_laxer_day
from tests.helpers.policies import CLOSED, OVERRIDES, POLICIES, policy_of, rule, shipped, standing
from tests.helpers.worlds import (
    NOW,
    TODAY,
    artifact,
    decision,
    exposure,
    identity,
    numbered,
    override,
    sellers,
    status,
    violation,
)

FEW = settings(max_examples=40, deadline=None)
GENERAL = replace(shipped("graded"), cut_offs={Tier.STANDARD: 500, Tier.TRUSTED: 600, Tier.EXEMPLARY: 700})
COUNTERFEIT, CRITICAL, MAJOR = Category.COUNTERFEIT, Severity.CRITICAL, Severity.MAJOR
SOLD = [identity("i", TODAY - 600), exposure("x", TODAY - 300, 5_000), exposure("y", TODAY - 10, 50)]


def evaluated(
    rows: list[FactRow], moment: int = NOW, policy: Policy = GENERAL, settled: dict[str, int] | None = None
) -> InForce:
    found = evaluate_measures(numbered(rows), "s", moment, artifact(), policy, "acme", settled or {})
    assert found is not None
    return found


def suspension(found: InForce) -> MeasureInForce | None:
    return next((m for m in found.measures if isinstance(m.current, Suspension)), None)


TRADE = {"delivery_promise_days": 7, "claim_days": 30, "deposit_returned_after_days": 90, "deposit_is_refilled": False}


def midnight(day: int) -> int:
    return day * DAY


def test_a_suspension_begins_with_the_decision() -> None:
    rows = [*SOLD, violation("v", TODAY - 40, COUNTERFEIT, CRITICAL, Status.ALLEGED)]
    assert suspension(evaluated(rows)) is None
    decided = [*rows, status("c", "v", Status.CONFIRMED, TODAY - 3)]
    held = suspension(evaluated(decided))
    begun = midnight(TODAY - 3) + 2
    assert (held.start, held.end, held.entries) == (begun, begun + 7 * DAY, ("v", "c"))
    assert evaluated(decided).terms.suspension_days == 7
    served = evaluated(decided, begun + 7 * DAY)
    assert suspension(served) is None
    assert served.terms.suspension_days == 0
    assert suspension(evaluated(decided, begun + 7 * DAY - 1)) is not None


def test_an_overturn_ends_what_stood_on_it_and_leaves_no_trace() -> None:
    rows = [*SOLD, violation("v", TODAY - 40, COUNTERFEIT, CRITICAL), status("o", "v", Status.OVERTURNED)]
    assert evaluated(rows) == evaluated(SOLD)


@pytest.mark.long
@FEW
@given(sellers(), RETRACTIONS, st.integers(0, 5), st.integers(1, 500))
def test_a_retracted_violation_changes_nothing_that_is_in_force(
    rows: list[FactRow], path: list[Status], incident: int, age: int
) -> None:
    alleged = violation("new", TODAY - age, COUNTERFEIT, CRITICAL, Status.ALLEGED, f"incident-{incident}")
    changes = [status(f"c{n}", "new", to) for n, to in enumerate(path)]
    assert evaluated([*rows, alleged, *changes]) == evaluated(rows)


@pytest.mark.long
@FEW
@given(sellers(), st.randoms(use_true_random=False))
def test_the_order_in_which_facts_arrive_does_not_matter(rows: list[FactRow], chance: random.Random) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert evaluated(shuffled) == evaluated(rows)


def test_a_termination_is_announced_and_begins_after_its_notice() -> None:
    breaches = [violation(f"v{n}", TODAY - 60, COUNTERFEIT, MAJOR) for n in range(4)]
    rows = [*SOLD, *breaches]
    decided = midnight(TODAY - 60) + 1
    for moment, suspended in ((decided + 29 * DAY, False), (decided + 30 * DAY, True)):
        found = evaluated(rows, moment)
        closed = next(m for m in found.measures if m.rule == "account-closed")
        assert closed.start == decided + 30 * DAY
        assert (found.terms.suspension_days > 30) == suspended


def test_each_further_violation_suspends_anew() -> None:
    breaches = [violation(f"v{n}", TODAY - 60, COUNTERFEIT, MAJOR) for n in range(3)]
    assert suspension(evaluated([*SOLD, *breaches])) is None
    again = evaluated([*SOLD, *breaches, violation("again", TODAY - 3, Category.IP, Severity.MODERATE)])
    month = next(m for m in again.measures if m.rule == "suspended-a-month" and isinstance(m.current, Suspension))
    begun = midnight(TODAY - 3) + 1
    assert (month.start, month.end) == (begun, begun + 30 * DAY)


def test_during_a_notice_nothing_is_listed_and_payouts_wait() -> None:
    policy = policy_of(rule("closed", CLOSED, standing={"from": 24}), trade=TRADE)
    decided = midnight(TODAY - 5) + 1
    for moment, is_closed in ((decided + 1, False), (decided + 29 * DAY, False), (decided + 30 * DAY, True)):
        found = evaluated([*SOLD, violation("v", TODAY - 5, COUNTERFEIT, CRITICAL)], moment, policy)
        assert (found.terms.suspension_days > 0) == is_closed
        assert (dict(found.terms.intake_caps), found.find_terms_for_earlier().hold_days) == ({"": 0}, 30)


def test_a_newcomers_violation_never_eases_its_terms() -> None:
    young = [identity("i", TODAY - 20), exposure("x", TODAY - 10, 500)]
    slip = violation("v", TODAY - 2, Category.SERVICE, Severity.MINOR)
    without, guilty = evaluated(young), evaluated([*young, slip])
    assert (without.score.tier, guilty.score.state) == (Tier.UNRATED, ScoreState.RATED)
    assert guilty.terms == without.terms
    assert without.find_terms_for_earlier() == Terms(), "what a tier asks for reaches no earlier order"
    newcomers = {m.rule: m.start for m in guilty.measures if m.rule == "newcomers"}
    assert newcomers == {m.rule: m.start for m in without.measures if m.rule == "newcomers"}
    assert "newcomers" not in {m.rule for m in evaluated([*young, slip], NOW + 10 * DAY).measures}


def test_who_lifts_a_deposit_lifts_what_awaits_it() -> None:
    """Otherwise a seller without the duty to place it could sell nothing."""
    asked = rule("all", {"kind": "deposit", "amount_minor": 500}, {"kind": "value_cap", "value_minor": 90})
    policy = policy_of(asked, trade=TRADE | {"deposit_is_refilled": True})
    assert dict(evaluated(SOLD, policy=policy).terms.value_caps) == {"": 0}
    deposit = name_measure("s", "all", Deposit(500))
    lift = MeasureChanged(deposit, MeasureKind.DEPOSIT, MeasureState.LIFTED, "r.head", "known for years")
    stated = [MeasureStatement("l", 9, NOW - DAY, lift)]
    found = evaluate_measures(numbered(SOLD), "s", NOW, artifact(), policy, "acme", statements=stated)
    assert dict(found.terms.value_caps) == {"": 90}


REFILLED = TRADE | {"deposit_is_refilled": True, "deposit_refill_days": 3}
SECURED = rule("grave", {"kind": "deposit", "amount_minor": 500}, standing={"from": 12})


def confirmed(name: str, happened: int, decided: int) -> list[FactRow]:
    reported = violation(name, TODAY - happened, COUNTERFEIT, MAJOR, Status.ALLEGED)
    return [reported, status(f"c-{name}", name, Status.CONFIRMED, TODAY - decided)]


def find_stop(
    rows: list[FactRow],
    *placed: int,
    policy: Policy,
    days: int = 0,
    statements: Sequence[MeasureStatement] = (),
    links: Sequence[LinkInForce] = (),
) -> tuple[int | None, bool]:
    """Return when sales stop, in days from TODAY, and whether they have."""
    counted, table = policy.rule_book.refill_days + 1, with_values(numbered(rows), ["s"], {}, "EUR")
    held = (*placed, *[0] * counted)[:counted]
    given = answer(table, ["s"], NOW + days * DAY, artifact(), policy, looks_back=True)
    [found] = evaluate(given, "acme", {"s": MeasureInputs(statements, held, links)})
    assert found is not None
    [stop] = [one.start for one in found.measures if one.rule == "grave-awaits-deposit"] or [None]
    return stop and stop // DAY - TODAY, "" in dict(found.terms.value_caps)


def test_a_violation_gives_days_to_place_its_deposit() -> None:
    policy, rows = policy_of(SECURED, trade=REFILLED), [*SOLD, *confirmed("v", 9, 1)]
    assert find_stop(rows, policy=policy) == find_stop(rows, policy=policy, days=1) == (2, False)
    assert find_stop(rows, policy=policy, days=2) == (2, True)
    assert find_stop(rows, 500, policy=policy, days=2) == (None, False)
    assert find_stop(rows, 499, 500, policy=policy, days=2) == (5, False)


def test_a_stop_has_no_begin_once_the_days_are_over() -> None:
    policy, rows = policy_of(SECURED, trade=REFILLED), [*SOLD, *confirmed("v", 60, 50)]
    assert find_stop(rows, 0, 0, 0, 500, policy=policy) == (1, False)
    assert find_stop(rows, policy=policy, days=1) == (None, True)


def test_a_violation_after_a_lift_gives_days_for_its_deposit() -> None:
    deposit = name_measure("s", "grave", Deposit(500))
    lift = MeasureChanged(deposit, MeasureKind.DEPOSIT, MeasureState.LIFTED, "r.head", "known for years")
    lifted = [MeasureStatement("l", 9, midnight(TODAY - 45), lift)]
    policy, rows = policy_of(SECURED, trade=REFILLED), [*SOLD, *confirmed("v", 60, 50)]
    assert find_stop(rows, policy=policy, statements=lifted)[1] is False
    rows += confirmed("w", 30, 1)
    assert find_stop(rows, policy=policy, statements=lifted) == (2, False)
    assert find_stop(rows, policy=policy, statements=lifted, days=2) == (2, True)


def test_a_link_gives_days_to_place_a_newcomers_deposit() -> None:
    fact = CaseChanged("k", CaseState.OPENED, "mechanism", "link", strength_ppm=900_000, accounts=2)
    links = [LinkInForce("k", NOW - DAY, NOW + 90 * DAY, fact)]
    for conditions, stops in (({"tenure": {"below": 90}}, [(2, False), (2, True)]), ({}, [True, True])):
        owed = rule("grave", {"kind": "deposit", "amount_minor": 500}, **conditions)
        policy = policy_of(owed, trade=REFILLED, links={"newcomer_from_percent": 80})
        found = [find_stop(SOLD, policy=policy, links=links, days=days) for days in (0, 2)]
        assert (found if conditions else [stopped for _, stopped in found]) == stops


def test_the_days_also_pass_for_who_never_sold() -> None:
    policy = policy_of(SECURED, trade=REFILLED)
    assert [find_stop(confirmed("v", 60, ago), policy=policy) for ago in (1, 50)] == [(2, False), (None, True)]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_no_violation_ever_gives_laxer_terms_on_any_later_day(seed: int) -> None:
    chance = random.Random(seed)
    for policy in islice(draw_policies(chance), 8):
        assert find_laxer_day(policy, chance) is None


def test_each_incident_states_its_points_end_and_entries() -> None:
    rows = [
        *SOLD,
        violation("a", TODAY - 10, COUNTERFEIT, CRITICAL, incident="one"),
        violation("b", TODAY - 9, Category.DISCLOSURE, Severity.MODERATE, incident="one"),
        violation("c", TODAY - 364, COUNTERFEIT, MAJOR),
        violation("d", TODAY - 365, COUNTERFEIT, MAJOR),
    ]
    found = evaluated(rows)
    assert [(part.points, part.until, part.entries) for part in found.standing_parts] == [
        (24, midnight(TODAY - 9 + 365), ("a", "b")),
        (12, midnight(TODAY + 1), ("c",)),
    ]
    assert found.score.standing == 36


def first_begin(rows: list[FactRow]) -> int | None:
    by_tier = {r.id for r in GENERAL.rule_book.rules if r.tiers}
    return next(m.start for m in evaluated(rows).measures if m.rule in by_tier)


def test_of_many_incidents_the_largest_are_listed() -> None:
    breaches = [violation(f"v{n}", TODAY - 1 - n % 300, COUNTERFEIT, MAJOR if n else CRITICAL) for n in range(1_003)]
    found = evaluated([*SOLD, *breaches])
    assert (len(found.standing_parts), found.standing_parts_omitted) == (1_000, 3)
    assert found.standing_parts[0].entries == ("v0",)
    assert found.score.standing == 24 + 1_002 * 12
    review = next(m for m in found.measures if m.rule == "new-listings-reviewed")
    assert (len(review.entries), review.entries_omitted) == (1_000, 3)


def test_a_measure_by_tier_begins_when_the_clear_days_are_over() -> None:
    sold = [identity("i", TODAY - 600), exposure("x", TODAY - 500, 60), exposure("y", TODAY - 30, 100_000_000)]
    breach = violation("v", TODAY - 300, Category.DISCLOSURE, Severity.MINOR)
    assert first_begin([*sold, breach]) == midnight(TODAY - 29 + 13)


def test_unrateds_measures_begin_with_a_violation() -> None:
    slip = violation("v", TODAY - 50, Category.SERVICE, Severity.MINOR)
    trusted = override("o", midnight(TODAY - 20), Tier.TRUSTED, midnight(TODAY - 9))
    known = identity("i", TODAY - 30)
    for days, rows in ((49, [slip]), (49, [slip, known]), (9, [slip, known, trusted])):
        assert first_begin(rows) == midnight(TODAY - days)


def test_the_days_until_a_closure_are_from_the_day_asked_for() -> None:
    breaches = [violation(f"v{n}", TODAY - 60, COUNTERFEIT, MAJOR) for n in range(4)]
    decided = midnight(TODAY - 60) + 1
    for passed, left in ((1, 30), (DAY, 29), (30 * DAY - 1, 1), (30 * DAY, 0), (50 * DAY, 0)):
        found = evaluated([*SOLD, *breaches], decided + passed)
        assert (found.terms.closes_in_days, found.terms_at_capture.closes_in_days) == (left, left)
    assert evaluated(SOLD).terms.closes_in_days is None


def test_without_a_model_only_confirmed_facts_hold() -> None:
    rows = numbered([*SOLD, violation("v", TODAY - 2, COUNTERFEIT, CRITICAL)])
    found = evaluate_measures(rows, "s", NOW, None, GENERAL, "acme")
    assert (found.score.state, found.score.tier) == (ScoreState.UNKNOWN, None)
    for_everybody = {"short-history", "growing-history", "middle-history", "every-order", "daily-limit"}
    assert {m.rule for m in found.measures} == {"new-listings-reviewed", "suspended-a-week", *for_everybody}


def test_a_rule_by_the_deposit_placed_holds_below_it() -> None:
    policy = policy_of(
        rule("all", {"kind": "deposit", "amount_minor": 1_000}, {"kind": "settlement_hold", "days": 3}),
        rule("unsecured", {"kind": "settlement_hold", "days": 9}, deposit={"below": 400}),
    )

    def held(placed: int) -> tuple[int, int, set[str]]:
        found = evaluate_measures(numbered(SOLD), "s", NOW, artifact(), policy, "acme", deposits_minor=(placed,))
        return found.terms.hold_days, found.terms_at_capture.deposit_minor, {m.rule for m in found.measures}

    assert held(399) == (9, 601, {"all", "unsecured"})
    assert held(400) == (3, 600, {"all"})
    assert held(1_001) == (3, 0, {"all"})


def test_a_seller_of_whom_nothing_is_stated_placed_nothing() -> None:
    trade = {"delivery_promise_days": 3, "claim_days": 30, "deposit_returned_after_days": 90}
    policy = policy_of(
        rule("all", {"kind": "deposit", "amount_minor": 1_000}),
        trade=trade | {"deposit_is_refilled": True, "deposit_refill_days": 2},
    )
    rows = numbered([*of_seller(SOLD, "s"), *of_seller(SOLD, "other")])
    given = answer(rows, ["s", "other"], NOW, artifact(), policy, looks_back=True)
    placed, missing = evaluate(given, "acme", {"s": MeasureInputs((), (1_000, 1_000, 1_000))})
    assert placed is not None
    assert missing is not None
    assert (placed.terms.value_caps, missing.terms.value_caps) == ((), (("", 0),))


def test_a_rule_by_value_or_tenure_holds_below_it() -> None:
    deposit = {"kind": "deposit", "amount_minor": 5}
    policy = policy_of(
        rule("all", {"kind": "settlement_hold", "days": 9}, settled={"below": 300}),
        rule("toys", deposit, settled={"below": 100, "product_category": "toys"}),
        rule("young", {"kind": "manual_review"}, tenure={"below": 31}),
    )
    sold = [identity("i", TODAY - 30), exposure("x", TODAY - 20, 5_000)]

    def held(settled: int, moment: int) -> set[str]:
        return {m.rule for m in evaluated(sold, moment, policy, {"x": settled}).measures}

    assert list_exposure_values([policy]) == {"EUR"}
    assert not list_exposure_values([policy_of(rule("young", deposit, tenure={"below": 31}))])
    assert held(299, NOW) == {"all", "toys", "young"}
    assert held(300, NOW) == {"toys", "young"}
    assert held(300, NOW + DAY) == {"toys"}


def test_a_rule_by_failures_holds_while_many_orders_fail() -> None:
    failing = {"from_ppm": 50_000, "days": 30, "orders": 100}
    policy = policy_of(rule("failing", {"kind": "manual_review"}, failure_rate=failing))

    def holds(*sold: FactRow, moment: int = NOW) -> bool:
        return bool(evaluated([identity("i", TODAY - 600), *sold], moment, policy).measures)

    late = exposure("late", TODAY - 30, 20, failures=5)
    assert holds(late, exposure("good", TODAY - 1, 80))
    assert not holds(late, exposure("good", TODAY - 1, 81))  # 49,504 in a million
    assert not holds(late, exposure("few", TODAY - 1, 79, failures=79))
    assert not holds(late, exposure("good", TODAY - 1, 80), moment=NOW + DAY)
    assert not holds(exposure("older", TODAY - 31, 900, failures=900), exposure("good", TODAY - 1, 100))


def test_good_orders_since_the_last_violation_earn_terms_back() -> None:
    at_risk = rule("at-risk", {"kind": "manual_review"}, standing={"from": 1}, good_orders={"below": 100})
    policy = policy_of(at_risk)
    guilty = [*SOLD, violation("v", TODAY - 30, COUNTERFEIT, MAJOR), exposure("before", TODAY - 30, 900)]

    def holds(*more: FactRow) -> bool:
        return bool(evaluated([*guilty, *more], NOW, policy).measures)

    assert holds(exposure("good", TODAY - 29, 49))  # with the 50 of SOLD
    assert not holds(exposure("good", TODAY - 29, 50))
    assert holds(exposure("good", TODAY - 29, 60, failures=11))
    again = violation("again", TODAY - 9, Category.SERVICE, Severity.MINOR)
    assert holds(exposure("good", TODAY - 29, 50), again)


def test_a_ladder_counts_the_standing_of_its_categories() -> None:
    goods = {"from": 12, "categories": ["counterfeit", "safety"]}
    policy = policy_of(rule("goods", {"kind": "suspension", "days": 7}, standing=goods))
    service = [violation(f"s{n}", TODAY - 1, Category.DISCLOSURE, CRITICAL) for n in range(4)]
    assert not evaluated([*SOLD, *service], NOW, policy).measures
    found = evaluated([*SOLD, *service, violation("v", TODAY - 2, COUNTERFEIT, MAJOR)], NOW, policy)
    assert [(m.rule, m.entries) for m in found.measures] == [("goods", ("v",))]


def test_a_suspension_is_served_through_a_reset() -> None:
    reset = format_day(TODAY + 2)[5:]
    policy = policy_of(
        rule("suspended", {"kind": "suspension", "days": 7}, {"kind": "manual_review"}, standing={"from": 12}),
        standing=standing() | {"reset": reset},
    )
    rows = [*SOLD, violation("v", TODAY - 2, COUNTERFEIT, MAJOR)]
    before, after, ended = (evaluated(rows, NOW + days * DAY, policy) for days in (0, 3, 5))
    assert [m.measure for m in after.measures] == [m.measure for m in before.measures if m.end is not None][:1]
    assert [(m.start, m.end) for m in after.measures] == [(m.start, (m.start or 0) + 7 * DAY) for m in after.measures]
    assert (after.score.standing, after.terms.suspension_days, after.terms.manual_review) == (0, 7, False)
    assert not ended.measures
    overturned = [*rows, status("o", "v", Status.OVERTURNED, TODAY + 2)]
    assert not evaluated(overturned, NOW + 3 * DAY, policy).measures


def test_a_violation_confirmed_after_a_reset_suspends() -> None:
    stated = rule("out", {"kind": "suspension", "days": 30}, confirmed={"days": 5})
    policy = policy_of(stated, standing=standing() | {"reset": format_day(TODAY - 5)[5:]})
    rows = [*SOLD, violation("v", TODAY - 8, status=Status.ALLEGED), status("c", "v", Status.CONFIRMED, TODAY - 4)]
    found = suspension(evaluated(rows, NOW, policy))
    assert found is not None
    assert (found.start, found.entries) == ((TODAY - 4) * DAY + 2, ("v", "c"))


def test_a_set_tier_asks_for_its_measures_until_it_ends() -> None:
    held = override("o", NOW - DAY, Tier.STANDARD, NOW + 30 * DAY)
    found = evaluated([*SOLD, violation("v", TODAY - 2, COUNTERFEIT, CRITICAL), held])
    standard = [m for m in found.measures if m.rule == "standard"]
    assert {(m.entries, m.end) for m in standard} == {(("o",), NOW + 30 * DAY)}
    assert {m.start for m in standard} == {NOW - DAY}
    assert suspension(found) is not None


@pytest.mark.parametrize("ago", [60_000_000, DAY // 24, DAY, 5 * DAY - 1, 40 * DAY])
def test_a_measure_of_an_override_begins_when_it_was_set(ago: int) -> None:
    found = evaluated([*SOLD, override("o", NOW - ago, Tier.PROBATION, NOW + DAY)])
    assert {m.start for m in found.measures if m.rule == "probation"} == {NOW - ago}


def test_a_confirmed_tier_has_its_measures_since_it_began() -> None:
    guilty = [*SOLD, violation("v", TODAY - 20, COUNTERFEIT, MAJOR)]
    since = {m.start for m in evaluated(guilty).measures if m.rule == "probation"}
    again = evaluated([*guilty, override("o", NOW - 2 * DAY, Tier.PROBATION, NOW + DAY)])
    assert {m.start for m in again.measures if m.rule == "probation"} == since != set()


@pytest.mark.parametrize(
    ("changes", "cap"),
    [
        ([], 200),
        ([exposure("again", TODAY - 5, 500, revision=2)], 100),
        ([exposure("again", TODAY - 20, 1, revision=2)], 100),
        ([decision(Kind.CONTROL, "sold", TODAY - 15, status=ControlReason.SOLD)], 100),
    ],
)
def test_a_cap_grows_with_the_value_of_the_orders_that_count(changes: list[FactRow], cap: int) -> None:
    growing = {"kind": "value_cap", "value_minor": 100, "grows": [{"settled_minor": 900, "value_minor": 200}]}
    policy = policy_of(rule("x", growing))
    rows = [
        identity("i", TODAY - 600),
        exposure("a", TODAY - 20, 40),
        exposure("b", TODAY - 5, 4),
        exposure("n", TODAY - 7, 10_000),
        exposure("c", TODAY, 9),
    ]
    settled = {"a": 600, "b": 300, "c": 5_000, "again": 1}
    [measure] = evaluated([*rows, *changes], policy=policy, settled=settled).measures
    assert measure.current.value_minor == cap  # type: ignore[union-attr]
    assert measure.original.value_minor == 100  # type: ignore[union-attr]


def test_a_cap_of_a_product_category_grows_with_its_own_value() -> None:
    growing = {
        "kind": "value_cap", "value_minor": 100, "product_category": "phones",
        "grows": [{"settled_minor": 900, "value_minor": 200}],
    }  # fmt: skip
    policy = policy_of(rule("x", growing))
    sold = [exposure("a", TODAY - 20, 40), exposure("b", TODAY - 20, 40)]
    for phones, cap in ((899, 100), (900, 200)):
        rows = [one._replace(product_category=name) for one, name in zip(sold, ("toys", "phones"), strict=True)]
        settled = {"a": 5_000, "b": phones}
        [measure] = evaluated([identity("i", TODAY - 600), *rows], policy=policy, settled=settled).measures
        assert measure.current.value_minor == cap  # type: ignore[union-attr]


LISTED = {"kind": "listing_cap", "listings": 500}
HELD = {"kind": "settlement_hold", "days": 3}
BEFORE = policy_of(rule("listed", LISTED), rule("held", HELD), notice_days=15)
AFTER = policy_of(
    rule("listed", LISTED | {"listings": 200}, {"kind": "manual_review"}),
    rule("held", HELD | {"days": 9}),
    cut_offs={"standard": 998, "trusted": 999, "exemplary": 1000},
)
MOVED, UNTIL = NOW - 3 * DAY, (TODAY + 13) * DAY


def seen(rows: list[FactRow], before: Policy | None = BEFORE, after: Policy = AFTER) -> InForce:
    table = with_values(numbered([*SOLD, *rows]), ["s"], {}, "EUR")
    served = [] if before is None else [ServedPair(artifact(), before, MOVED, UNTIL)]
    core = compute_answer(resolve_sellers(["s"], table, NOW), artifact(), after, looks_back=True)
    given = answer_within_notice(core, served, looks_back=True)
    [found] = evaluate(given, "acme", {})
    assert found is not None
    return found


def test_tiers_reviews_and_listings_wait() -> None:
    found, own = seen([]), seen([], None)
    assert own.score.tier is not None
    kept = seen([], None, BEFORE).score.tier
    assert kept is not None
    assert found.score.tier == kept > own.score.tier
    assert found.score.notice == (own.score.tier, UNTIL)
    assert (found.score.badge, found.terms.hold_days) == (own.score.badge, 9)
    assert (found.terms.listing_caps, found.terms.manual_review) == ((("", 500),), False)
    assert (own.terms.listing_caps, own.terms.manual_review) == ((("", 200),), True)
    [review] = [one for one in found.measures if one.current.kind is MeasureKind.MANUAL_REVIEW]
    assert review.start == review.notice_until == UNTIL
    [listed] = [one for one in found.measures if one.current.kind is MeasureKind.LISTING_CAP]
    assert (listed.start, listed.notice_until) == (None, UNTIL)
    assert {one.notice_until for one in found.measures} == {UNTIL, None}
    assert {one.notice_until for one in own.measures} == {None}
    [cap] = [one for one in own.measures if one.current.kind is MeasureKind.LISTING_CAP]
    [listing] = [rule for rule in AFTER.rule_book.rules if rule.id == cap.rule]
    for end, notice in ((UNTIL - DAY, None), (UNTIL, None), (UNTIL + DAY, UNTIL), (None, UNTIL)):
        waiting = wait_for_notice(replace(cap, end=end), listing, [TermsBefore(found.terms, UNTIL)])
        assert waiting is not None
        assert (waiting.current, waiting.notice_until) == (ListingCap(500), notice)


@pytest.mark.parametrize(
    "fact",
    [
        violation("v", TODAY - 2, Category.QUALITY, Severity.MINOR),
        decision(Kind.CONTROL, "c", status=int(ControlReason.SOLD)),
        identity("j", TODAY - 1, 1),
    ],
)
def test_a_new_fact_ends_the_notice(fact: FactRow) -> None:
    assert seen([fact]) == seen([fact], None)


def test_other_facts_do_not_end_the_notice() -> None:
    for fact in (
        violation("v", TODAY - 2, status=Status.ALLEGED),
        violation("v", TODAY - 9, Category.QUALITY, Severity.MINOR),
        identity("j", TODAY - 1, 4),
    ):
        assert seen([fact]).terms.listing_caps == (("", 500),), fact


def test_a_laxer_policy_acts_at_once() -> None:
    assert seen([], AFTER, BEFORE) == seen([], None, BEFORE)


def test_each_move_has_the_longer_notice_of_its_policies() -> None:
    policies = [Move(1, "a", "b"), Move(DAY, "b", "c")]
    models = [Move(2 * DAY, "m", "n")]
    days = {"a": 3, "b": 0, "c": 1}
    found = list_ended_pairs(policies, models, "n", "c", 3 * DAY, days.__getitem__)
    assert found == [
        EndedPair("m", "a", 1, 4 * DAY), EndedPair("m", "b", DAY, 2 * DAY), EndedPair("m", "c", 2 * DAY, 3 * DAY),
    ][::2]  # fmt: skip
    assert list_ended_pairs(policies, models, "m", "b", 3 * DAY, days.__getitem__) == [EndedPair("m", "a", 1, 4 * DAY)]
    assert list_ended_pairs(policies, models, "n", "c", 1, days.__getitem__) == []


def test_an_immediate_move_ends_all_notices() -> None:
    policies = [Move(1, "a", "b"), Move(2, "b", "c", is_immediate=True)]
    assert list_ended_pairs(policies, [], "m", "c", 3, lambda _: 9) == []
    assert list_ended_pairs(policies, [], "m", "b", 3, lambda _: 9) == [EndedPair("m", "a", 1, 10 * DAY)]


def test_moves_back_and_forth_leave_one_answer_each() -> None:
    chance = random.Random(5)
    for _ in range(200):
        names = [chance.choice("abc") for _ in range(9)]
        moves = [Move(n, *pair) for n, pair in enumerate(pairwise(names)) if pair[0] != pair[1]]
        found = list_ended_pairs(moves, [], "m", names[-1], 99, lambda _: 9)
        assert sorted(one.policy for one in found) == sorted({*names} - {names[-1]})


def of_seller(rows: list[FactRow], seller: str) -> list[FactRow]:
    return [row._replace(seller=seller) for row in rows]


def at_once_and_alone(files_of: dict[str, list[FactRow]], policy: Policy) -> tuple[list[object], list[object]]:
    rows = [row for one in files_of.values() for row in one]
    sellers = [*files_of]
    given = answer(rows, sellers, NOW, artifact(), policy, looks_back=True)
    at_once = evaluate(given, "acme", {seller: MeasureInputs((), (3,)) for seller in sellers})
    alone = [
        evaluate_measures(files_of[seller], seller, NOW, artifact(), policy, "acme", deposits_minor=(3,))
        for seller in sellers
    ]
    return at_once, alone  # type: ignore[return-value]


@pytest.mark.long
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(files(), OVERRIDES), min_size=2, max_size=5), st.sampled_from(POLICIES))
def test_many_sellers_are_answered_as_each_alone(
    drawn: list[tuple[list[FactRow], list[FactRow]]], policy: Policy
) -> None:
    files_of = {f"s{n}": of_seller(numbered([*file, *stated]), f"s{n}") for n, (file, stated) in enumerate(drawn)}
    at_once, alone = at_once_and_alone(files_of, policy)
    assert at_once == alone

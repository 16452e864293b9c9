import random
from itertools import islice
from typing import Any

import pytest

from scoring.base.canonical import JsonObject
from scoring.base.enums import Category, Severity, Tier
from scoring.base.errors import PolicyRefused
from scoring.base.time import parse_day
from scoring.policy.checking import find_oddities
from scoring.policy.difference import find_changes
from scoring.policy.measures import (
    CapStep,
    RollingReserve,
    SettlementHold,
    Suspension,
    Terms,
    ValueCap,
    combine,
    find_binding,
)
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from scoring.policy.rules import Counter, Quantity, Situation
from scoring.policy.space import Cell, build_space
from tests.helpers.monotone import draw_policies
from tests.helpers.policies import CLOSED, HOLD, data, policy_of, refused, rule, shipped, standing

SUSPENDED = {"kind": "suspension", "days": 7}


def test_the_worked_terms() -> None:
    measures = [SettlementHold(7), RollingReserve(100_000, 30), SettlementHold(14), RollingReserve(50_000, 90)]
    assert combine(measures) == Terms(hold_days=14, reserve_ppm=100_000, reserve_days=90)
    assert combine([]) == Terms()


def test_the_stricter_of_two_terms_is_that_of_their_measures() -> None:
    one = [SettlementHold(7), RollingReserve(100_000, 30), ValueCap(900), ValueCap(50, "toys")]
    other = [SettlementHold(14), ValueCap(100), ValueCap(70, "toys"), ValueCap(5, "food")]
    assert combine(one).stricter_of(combine(other)) == combine([*one, *other])
    assert combine(one).stricter_of(Terms()) == combine(one)


def test_a_cap_grows_with_what_was_settled() -> None:
    cap = ValueCap(2_000, grows=(CapStep(10_000, 5_000), CapStep(50_000, 20_000)))
    assert [cap.after(settled).value_minor for settled in (0, 9_999, 10_000, 12_000, 50_000)] == [
        *(2_000, 2_000, 5_000, 5_000, 20_000),
    ]


@pytest.mark.parametrize("name", ["tiers", "general", "health", "ladder"])
def test_a_shipped_policy_holds_together_and_has_nothing_odd(name: str) -> None:
    assert find_oddities(shipped(name)) == []


@pytest.mark.parametrize("name", ["general", "health", "ladder"])
def test_closures_wait_30_days_or_name_an_exception(name: str) -> None:
    policy = shipped(name)
    suspensions = [one for rule in policy.rule_book.rules for one in rule.measures if isinstance(one, Suspension)]
    closures = [one for one in suspensions if one.terminates]
    assert closures
    for closure in closures:
        assert closure.notice_days >= 30 or closure.exception


def test_the_ladder_climbs_at_12_24_36_and_48() -> None:
    book = shipped("ladder").rule_book
    terms = [book.terms(Situation(Tier.PROBATION, points)) for points in (0, 11, 12, 24, 36, 47, 48)]
    assert [one.suspension_days for one in terms] == [0, 0, 7, 14, 21, 21, 30]
    assert [one.closes_in_days for one in terms] == [*[None] * 6, 30]


def test_no_tier_alone_suspends() -> None:
    book = shipped("graded").rule_book
    assert all(book.terms(Situation(tier)).suspension_days == 0 for tier in (None, *Tier))
    assert "suspends without confirmed facts" in refused(rule("x", SUSPENDED))
    policy_of(rule("x", SUSPENDED, tiers=["probation"], standing={"from": 1}))


def test_counted_incidents_and_standing_hold_whatever_the_tier() -> None:
    counterfeit = {"categories": ["counterfeit"], "severity": "critical", "incidents": 2, "days": 90}
    book = policy_of(rule("x", SUSPENDED, confirmed=counterfeit)).rule_book
    counter = Counter(frozenset({Category.COUNTERFEIT}), Severity.CRITICAL, 90)
    for tier in (None, Tier.EXEMPLARY):
        assert book.terms(Situation(tier, incidents={counter: 1})).suspension_days == 0
        assert book.terms(Situation(tier, incidents={counter: 2})).suspension_days == 7


def test_a_waiver_ends_what_the_tier_asks_for_alone() -> None:
    book = policy_of(
        rule("all", HOLD),
        rule("facts", {"kind": "settlement_hold", "days": 3}, standing={"from": 1}),
        rule("best", {"kind": "waiver", "waives": "settlement_hold"}, tiers=["exemplary"]),
    ).rule_book
    assert book.terms(Situation(Tier.EXEMPLARY)).hold_days == 0
    assert book.terms(Situation(Tier.EXEMPLARY, standing=1)).hold_days == 3
    assert book.terms(Situation(Tier.TRUSTED)).hold_days == 7
    assert [one.waived for one in book.apply(Situation(Tier.EXEMPLARY, standing=1))] == [True, False, False]


def test_a_marketplace_may_allow_shorter_holds() -> None:
    book = policy_of(rule("x", {"kind": "settlement_hold", "days": 90}), hold_limits={"shop": 60}).rule_book
    [applied] = book.apply(Situation(Tier.STANDARD, marketplace="shop"))
    assert (applied.stated, applied.current) == (SettlementHold(90), SettlementHold(60))
    assert book.terms(Situation(Tier.STANDARD, marketplace="other")).hold_days == 90


def test_a_group_rule_limits_new_intake_alone_and_for_a_time() -> None:
    group = {"product_category": "toys", "from": "2026-03-01", "until": "2026-03-30", "legal_ground": "Act 5"}
    stop = {"kind": "intake_cap", "new_listings": 0, "product_category": "toys"}
    book = policy_of(rule("toys", stop, group=group)).rule_book
    first = 20_513
    held = [bool(book.apply(Situation(Tier.TRUSTED, day=day))) for day in (first - 1, first, first + 29, first + 30)]
    assert held == [False, True, True, False]
    assert "limits new intake alone" in refused(rule("x", stop | {"product_category": "books"}, group=group))


def test_groups_of_one_product_category_last_at_most_30_days() -> None:
    def group(name: str, first: str, last: str, category: str = "toys") -> JsonObject:
        stop = {"kind": "intake_cap", "new_listings": 0, "product_category": category}
        days = {"product_category": category, "from": first, "until": last, "legal_ground": "Act 5"}
        return rule(name, stop, group=days)

    january = group("january", "2026-01-01", "2026-01-30")
    adjoining = refused(january, group("february", "2026-01-31", "2026-03-01"))
    assert (
        "rules january and february are for the group toys on 60 days together; groups of one product category must be"
        " within 30 days in one policy"
    ) in adjoining
    apart = refused(january, group("may", "2026-05-01", "2026-05-01"))
    assert "rules january and may are for the group toys on 31 days" in apart
    within = [group("half", "2026-01-01", "2026-01-20"), group("rest", "2026-01-15", "2026-01-30")]
    assert len(policy_of(*within, group("books", "2026-01-31", "2026-03-01", "books")).rule_book.rules) == 3


@pytest.mark.parametrize(
    ("measure", "fault"),
    [
        ({"kind": "deposit", "amount_minor": 10.5}, "write minor units, such as cents, or"),
        ({"kind": "rolling_reserve", "ppm": 10}, "days must be a whole number"),
        ({"kind": "settlement_hold", "days": 1, "dayz": 2}, "dayz is not a part of a policy"),
        ({"kind": "waiver", "waives": "suspension"}, "waives must be one of"),
        ({"kind": "waiver", "waives": "waiver"}, "waives must be one of"),
        ({"kind": "suspension", "days": 7, "notice_days": 1}, "notice_days is of a termination alone"),
        ({"kind": "suspension", "terminates": True, "days": 7, "notice_days": 30}, "days has no meaning"),
    ],
)
def test_a_measure_that_cannot_be_meant_is_refused_by_its_path(measure: JsonObject, fault: str) -> None:
    with pytest.raises(PolicyRefused) as error:
        policy_of(rule("x", measure, standing={"from": 1}))
    [text] = error.value.faults
    assert text.startswith(f"rules[x].measures[{measure['kind']}]")
    assert fault in text


def test_terms_of_programmes_that_cannot_be_meant_are_refused() -> None:
    for reset in ("02-29", "04-31", "13-01", "1-1", 101):
        with pytest.raises(PolicyRefused, match=r"standing\.reset must be a day of each year, such as"):
            policy_of(standing=standing() | {"reset": reset})
    with pytest.raises(PolicyRefused, match="days has no meaning beside until_plan = true"):
        policy_of(rule("x", {"kind": "suspension", "days": 7, "until_plan": True}, standing={"from": 1}))
    suspended = rule("x", {"kind": "suspension", "days": 7}, standing={"from": 1}, good_orders={"below": 5})
    with pytest.raises(PolicyRefused, match="suspends until good orders end it: state good_orders in rules without"):
        policy_of(suspended)


def test_conditions_that_cannot_be_meant_are_refused_all_at_once() -> None:
    with pytest.raises(PolicyRefused) as error:
        parse_policy(
            data(
                rules=[
                    rule("Bad id", {"kind": "deposit", "amount_minor": 1}, tiers=["gold"], standing={"from": 3}),
                    rule("x", HOLD, confirmed={"categories": ["theft"], "incidents": 0}),
                    rule("x", standing={"from": 5, "below": 5}),
                    rule("y", HOLD, settled={"below": 0.5, "product_category": ""}, tenure={"below": 0}),
                    rule("z", HOLD, failure_rate={"from_ppm": 0, "days": 367, "orders": 0, "of": "late"}),
                ]
            )
        )
    for fault in (
        "rules[Bad id].id must be 1 to 64 of a-z",
        'rules[Bad id].tiers must be a list of one or more of unrated, probation, standard, trusted, exemplary, not "gold"',
        "rules[Bad id].standing has no meaning in a policy without a table [standing]",
        "rules[1].confirmed.categories must be a list",
        "rules[1].confirmed.incidents must be a whole number, 1 to",
        "rules[1].confirmed.days must be a whole number",
        "rules[2].measures must state one measure or more",
        "rules[2].standing.below must be more than from",
        "rules[y].settled.below must be a whole number",
        "rules[y].settled.product_category must be given as text",
        "rules[y].tenure.below must be a whole number, 1 to",
        "rules[z].failure_rate.from_ppm must be a whole number, 1 to 1,000,000",
        "rules[z].failure_rate.days must be a whole number, 1 to 366",
        "rules[z].failure_rate.orders must be a whole number, 1 to 1,000,000",
        "rules[z].failure_rate.of must be a list of one or more of cancelled, late, not_received, returned, claims",
        "rules has two rules with the id x",
        "currency must be the ISO 4217 code of all amounts: three capital letters, such as EUR",
    ):
        assert fault in str(error.value)


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        (
            [rule("x", HOLD, tiers=["trusted"])],
            "hold_days is 0 with points 500 to 599, standing 0 to 1, and 7 with points 600 to 699, standing 0 to 1",
        ),
        (
            [rule("x", HOLD, tiers=["probation"])],
            "hold_days is 0 with unrated, standing 0 to 1, and 7 with points 0 to 499, standing 0 to 1",
        ),
        ([rule("x", SUSPENDED, standing={"from": 3, "below": 9})], "suspension_days is 0 with"),
        (
            [rule("x", {"kind": "waiver", "waives": "settlement_hold"}, tenure={"below": 90}), rule("y", HOLD)],
            "hold_days is 0 with unrated, standing 0 to 1, tenure of 0 to 89 days, and 7 with",
        ),
        (
            [rule("x", {"kind": "waiver", "waives": "settlement_hold"}, deposit={"below": 90}), rule("y", HOLD)],
            "hold_days is 0 with unrated, standing 0 to 1, deposit placed 0.00 EUR to 0.89 EUR, and 7 with",
        ),
        (
            [rule("x", {"kind": "waiver", "waives": "settlement_hold"}, settled={"below": 90}), rule("y", HOLD)],
            "hold_days is 0 with unrated, standing 0 to 1, settled value 0.00 EUR to 0.89 EUR, and 7 with",
        ),
        (
            [
                rule(
                    "x",
                    {"kind": "waiver", "waives": "settlement_hold"},
                    failure_rate={"from_ppm": 9, "days": 30, "orders": 5},
                ),
                rule("y", HOLD),
            ],
            "hold_days is 0 with unrated, standing 0 to 1, 9 or more failures in a million of at least 5 orders in",
        ),
        (
            [
                rule("a", {"kind": "value_cap", "value_minor": 9}, tiers=["unrated", "probation"]),
                rule("b", {"kind": "value_cap", "value_minor": 5, "product_category": "toys"}, tiers=["standard"]),
            ],
            "value_caps[toys] is 0.09 EUR with",
        ),
        (
            [rule("x", {"kind": "waiver", "waives": "settlement_hold"}, standing={"from": 2}), rule("y", HOLD)],
            "hold_days is 0 with",
        ),
    ],
)
def test_a_policy_that_is_laxer_for_who_is_worse_is_refused(rules: list[JsonObject], fault: str) -> None:
    assert fault in refused(*rules)


COUNTED = {"categories": ["counterfeit"], "days": 365}


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        (
            [rule("a", SUSPENDED, standing={"from": 3, "below": 9}), rule("b", CLOSED, standing={"from": 9})],
            "suspension_days is 0 with points 0 to 499, standing 9 to 11, and 7 with points 0 to 499, standing 6 to 8",
        ),
        (
            [
                rule("a", SUSPENDED | {"days": 14}, standing={"from": 3, "below": 9}),
                rule("b", SUSPENDED, standing={"from": 9}),
            ],
            "suspension_days is 7 with",
        ),
        (
            [
                rule("a", CLOSED, standing={"from": 3, "below": 9}),
                rule("b", CLOSED, standing={"from": 9}),
            ],
            "closes_in_days is counted anew with points 0 to 499, standing 9 to 11, and running by a with",
        ),
        (
            [
                rule("a", SUSPENDED, standing={"from": 1, "below": 9}, confirmed=COUNTED),
                rule("b", SUSPENDED, standing={"from": 9}),
            ],
            "suspension_days is 0 with",
        ),
    ],
)
def test_a_worse_offence_that_ends_a_suspension_is_refused(rules: list[JsonObject], fault: str) -> None:
    assert fault in refused(*rules)


def test_a_suspension_may_be_taken_over_by_one_as_long() -> None:
    policy_of(
        rule("a", SUSPENDED, standing={"from": 3, "below": 9}),
        rule("b", SUSPENDED | {"days": 14}, standing={"from": 9, "below": 24}),
        rule("c", {"kind": "suspension", "terminates": True, "exception": "legal_obligation"}, standing={"from": 24}),
    )


def test_a_closure_stops_listings_and_payouts_at_its_decision() -> None:
    trade = {
        "delivery_promise_days": 7,
        "claim_days": 30,
        "deposit_returned_after_days": 90,
        "deposit_is_refilled": False,
    }
    closing, guilty = rule("x", CLOSED, standing={"from": 3}), Situation(Tier.STANDARD, standing=3)
    held = policy_of(closing, trade=trade).rule_book.terms(guilty)
    assert held == Terms(hold_days=30, intake_caps=(("", 0),), closes_in_days=30)
    assert policy_of(closing).rule_book.terms(guilty).hold_days == 180
    longer = rule("x", CLOSED, HOLD | {"days": 60}, standing={"from": 3})
    assert policy_of(longer, trade=trade).rule_book.terms(guilty).hold_days == 60


def test_a_first_violation_buys_a_newcomer_no_terms() -> None:
    book = policy_of(
        rule("new", {"kind": "value_cap", "value_minor": 100}, HOLD, tiers=["unrated"]),
        rule("rated", {"kind": "value_cap", "value_minor": 200}, tiers=["probation"]),
        rule("first", {"kind": "settlement_hold", "days": 3}, standing={"from": 1}),
        rule("waived", {"kind": "waiver", "waives": "value_cap"}, tiers=["exemplary"]),
    ).rule_book
    newcomer = book.terms(Situation(Tier.UNRATED))
    assert newcomer == Terms(hold_days=7, value_caps=(("", 100),))
    for tier in (Tier.PROBATION, Tier.EXEMPLARY):
        assert book.terms(Situation(tier, standing=1, rated_by_violation=True)) == newcomer
    assert book.terms(Situation(Tier.PROBATION, standing=1)) == Terms(hold_days=3, value_caps=(("", 200),))


def test_who_has_not_placed_its_deposit_sells_nothing() -> None:
    trade = {"delivery_promise_days": 7, "claim_days": 30, "deposit_returned_after_days": 90}
    asking = [
        rule("all", {"kind": "deposit", "amount_minor": 500}, {"kind": "value_cap", "value_minor": 90}),
        rule("best", {"kind": "waiver", "waives": "deposit"}, tiers=["exemplary"]),
    ]
    for is_refilled, limits in ((True, [0, 0, 90, 90]), (False, [90, 90, 90, 90])):
        book = policy_of(*asking, trade=trade | {"deposit_is_refilled": is_refilled}).rule_book
        sellers = [Situation(Tier.TRUSTED, deposit_minor=placed) for placed in (0, 499, 500)]
        assert [dict(book.terms(one).value_caps)[""] for one in (*sellers, Situation(Tier.EXEMPLARY))] == limits


def test_a_deposit_that_is_placed_buys_terms_and_never_a_tier() -> None:
    policy = policy_of(
        rule("all", HOLD),
        rule("unsecured", {"kind": "settlement_hold", "days": 14}, deposit={"below": 500}),
    )
    held = [
        policy.rule_book.terms(Situation(Tier.STANDARD, deposit_minor=placed)).hold_days for placed in (0, 499, 500)
    ]
    assert held == [14, 14, 7]
    assert policy.rule_book.currency == "EUR"
    space = build_space(policy)
    axis = space.axes[-1]
    assert (axis.operand, axis.values) == (Quantity.DEPOSIT, (0, 500))
    tiers: dict[Cell, set[Tier | None]] = {}
    for cell in space.cells():
        tiers.setdefault(cell._replace(values=cell.values[:-1]), set()).add(space.situation(0, cell).tier)
    assert {len(found) for found in tiers.values()} == {1}


def test_what_is_stated_in_vain_is_shown() -> None:
    odd = find_oddities(
        policy_of(
            rule("long", {"kind": "settlement_hold", "days": 9}, tiers=["unrated", "probation"]),
            rule("short", HOLD, tiers=["unrated"]),
            rule("one", {"kind": "manual_review"}, standing={"from": 3}),
            rule("two", {"kind": "manual_review"}, SUSPENDED, standing={"from": 3}),
        )
    )
    assert [(o.kind, o.rule) for o in odd] == [
        *(("shadowed", "short"), ("shadowed", "one"), ("gap", ""), ("gap", ""), ("newcomers", "")),
    ]
    both = find_oddities(
        policy_of(
            rule("low", HOLD, tiers=["unrated", "probation"]),
            rule("high", HOLD, tiers=["unrated", "probation", "standard"]),
            rule("facts", HOLD, standing={"from": 3}),
        )
    )
    assert [(o.kind, o.rule) for o in both] == [
        ("shadowed", "low"),
        ("overlap", "high"),
        ("gap", ""),
        ("newcomers", ""),
    ]


def drawn_terms(policy: Policy, points: int | None, standing: int, incidents: int, *trade: int) -> dict[str, int]:
    tier = policy.tier_with_standing(points, standing)
    settled, tenure, deposit = trade
    counted = {
        one.operand: incidents
        for rule_ in policy.rule_book.rules
        for one in rule_.conditions
        if isinstance(one.operand, Counter)
    }
    seller = Situation(tier, standing, counted, {"": settled}, tenure_days=tenure, deposit_minor=deposit)
    return policy.rule_book.terms(seller).strictness({"toys"})


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_who_is_worse_in_all_has_better_terms_in_nothing(seed: int) -> None:
    chance = random.Random(seed)
    for policy in islice(draw_policies(chance), 50):
        ends = (1001, 40, 4, 700, 400, 600)
        less, more = zip(*(sorted(chance.randrange(end) for _ in "ab") for end in ends), strict=True)
        if chance.random() < 0.2:
            worse, better = (None, 0, 0, *less[3:]), (more[0], 0, 0, *more[3:])
        else:
            worse, better = (less[0], *more[1:3], *less[3:]), (more[0], *less[1:3], *more[3:])
        strict, lax = drawn_terms(policy, *worse), drawn_terms(policy, *better)
        assert all(strict[aspect] >= lax[aspect] for aspect in strict)


GROWING = {"kind": "value_cap", "value_minor": 333, "grows": [{"settled_minor": 1_000, "value_minor": 2_000}]}
FACTS = rule("facts", {"kind": "value_cap", "value_minor": 300}, standing={"from": 6})


def season(first: str = "2026-11-01", last: str = "2026-11-12", ppm: int = 1_500_000, **parts: Any) -> JsonObject:
    return {"name": "sales", "from": first, "until": last, "times_ppm": ppm} | parts


def policy_with(*seasons: JsonObject, value: int = 333) -> Policy:
    limit = rule("limit", GROWING | {"value_minor": value}, HOLD)
    parts = {"seasons": list(seasons)} if seasons else {}
    return parse_policy(data(standing=standing(), currency="EUR", rules=[limit, FACTS], **parts))


def limit_on(policy: Policy, date: str, **seller: Any) -> int:
    terms = policy.rule_book.terms(Situation(Tier.STANDARD, day=parse_day(date), **seller))
    assert terms.hold_days == 7
    return dict(terms.value_caps)[""]


def test_limits_are_multiplied_in_a_season_and_rounded_down() -> None:
    policy = policy_with(season())
    dates = ("2026-10-31", "2026-11-01", "2026-11-12", "2026-11-13", "2027-11-05")
    assert [limit_on(policy, date) for date in dates] == [333, 499, 499, 333, 333]
    assert limit_on(policy, "2026-11-05", settled_minor={"": 1_000}) == 3_000
    assert limit_on(policy_with(season(ppm=500_000)), "2026-11-05") == 166


def test_a_limit_by_confirmed_facts_is_lifted_by_no_season() -> None:
    assert limit_on(policy_with(season()), "2026-11-05", standing=6) == 300


def test_a_season_is_in_a_difference_on_its_days_alone() -> None:
    changes = find_changes(policy_with(), policy_with(season()))
    assert [axis.values for axis in build_space(policy_with(season())).axes if axis.operand is Quantity.DAY] == [
        (0, parse_day("2026-11-01"), parse_day("2026-11-13"))
    ]
    assert {aspect for one in changes for aspect in one.aspects()} == {
        "value_caps all: 3.33 EUR -> all: 4.99 EUR",
        "value_caps all: 20.00 EUR -> all: 30.00 EUR",
    }
    assert all("from 2026-11-01" in one.where for one in changes)


@pytest.mark.parametrize(
    ("seasons", "fault"),
    [
        ([season(last="2026-10-01")], "seasons[sales].until lies before from"),
        ([season(last="2027-02-01")], "seasons[sales].until must be within 92 days"),
        (
            [season(), season("2026-11-12", "2026-11-20", name="more")],
            "seasons[more].from lies within the season sales",
        ),
        (
            [season("1969-12-20", "1970-01-01"), season("1969-12-25", "1970-01-01", name="more")],
            "seasons[more].from lies within the season sales",
        ),
        ([season(ppm=99_999)], "seasons[sales].times_ppm must be a whole number, 100,000 to 10,000,000"),
        ([season(ppm=1.5)], "seasons[sales].times_ppm must be a whole number"),
        ([season(first="soon")], "seasons[sales].from must be a date in quotation marks"),
        ([season(tiers=["trusted"])], "seasons[sales].tiers is not a part of a policy"),
    ],
)
def test_a_season_that_does_not_hold_together_is_refused_by_name(seasons: list[JsonObject], fault: str) -> None:
    with pytest.raises(PolicyRefused) as error:
        policy_with(*seasons)
    assert fault in str(error.value)
    assert len(error.value.faults) == 1


def test_a_season_that_makes_a_limit_overflow_is_refused() -> None:
    with pytest.raises(PolicyRefused, match="lifts a value_cap beyond 1,000,000,000,000,000"):
        policy_with(season(), value=10**15 - 1)


@pytest.mark.parametrize(
    ("days", "binding"), [((7, 14), {1}), ((14, 7, 14), {0, 2}), ((14, 14), set()), ((14,), set())]
)
def test_the_strictest_of_a_kind_bind_beside_laxer_ones(days: tuple[int, ...], binding: set[int]) -> None:
    assert find_binding({place: SettlementHold(number) for place, number in enumerate(days)}) == binding

import random
import tomllib
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from scoring.base.canonical import JsonObject
from scoring.base.enums import Tier
from scoring.base.errors import PolicyRefused
from scoring.policy.cases import parse_cases, run_cases
from scoring.policy.difference import CellChange, answer_in, compare, find_changes
from scoring.policy.measures import FOR_GOOD, Terms
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from scoring.policy.sample import SampleSeller
from scoring.policy.value_changes import list_value_changes
from tests.helpers.policies import (
    GRADED,
    SEVERITIES,
    TIERS,
    cell_of,
    data,
    direct,
    policy_of,
    rule,
    sample,
    shipped,
    standing,
)


@cache
def grouped() -> Policy:
    stop = {"kind": "intake_cap", "new_listings": 0, "product_category": "toys"}
    group = {"product_category": "toys", "from": "2026-03-01", "until": "2026-03-30", "legal_ground": "Act 5"}
    cap = {
        "kind": "value_cap", "value_minor": 100, "product_category": "toys",
        "grows": [{"settled_minor": 900, "value_minor": 200}],
    }  # fmt: skip
    soon = {"severity": "major", "incidents": 2, "days": 30}
    return policy_of(
        rule("stop", stop, group=group),
        rule("hold", {"kind": "settlement_hold", "days": 90}, confirmed=soon),
        rule("later", {"kind": "settlement_hold", "days": 30}, confirmed=soon | {"days": 200}),
        rule("cap", cap),
        rule("ladder", {"kind": "search_demotion"}, standing={"from": 4, "categories": ["ip", "service"]}),
        hold_limits={"acme": 60},
        clear_days=7,
    )


@cache
def growing() -> Policy:
    return policy_of(
        rule("young", {"kind": "settlement_hold", "days": 9}, tenure={"below": 90}),
        rule("small", {"kind": "deposit", "amount_minor": 5}, settled={"below": 900, "product_category": "toys"}),
        rule("unsecured", {"kind": "settlement_hold", "days": 30}, deposit={"below": 700}),
        rule("earning", {"kind": "campaign_exclusion"}, standing={"from": 1}, good_orders={"below": 100}),
        rule("failing", {"kind": "manual_review"}, failure_rate={"from_ppm": 50_000, "days": 30, "orders": 10}),
        rule(
            "late",
            {"kind": "search_demotion"},
            failure_rate={"from_ppm": 50_000, "days": 30, "orders": 10, "of": ["late"]},
        ),
    )


@cache
def typed() -> Policy:
    types = {
        "order_fraud": {"minor": 5, "moderate": 10, "major": 20, "critical": 24},
        "fake_reviews": dict.fromkeys(("minor", "moderate", "major", "critical"), 0),
    }
    return parse_policy(
        data(
            standing=standing() | {"types": types, "reset": "06-01"},
            currency="EUR",
            rules=[rule("review", {"kind": "manual_review"}, standing={"from": 20})],
        )
    )


@pytest.mark.long
@pytest.mark.parametrize(
    "names",
    [("tiers", "general"), ("general", "ladder"), ("ladder", "grouped"), ("ladder", "growing"), ("ladder", "typed")],
)
def test_a_seller_is_answered_otherwise_iff_its_cell_changes(names: tuple[str, str]) -> None:
    own = {"grouped": grouped, "growing": growing, "typed": typed}
    before, after = (own[name]() if name in own else shipped(name) for name in names)
    space, answers = compare(before, after)
    chance = random.Random(16)
    differing = 0
    for _ in range(1_000):
        seller = sample(chance)
        found = direct(before, seller), direct(after, seller)
        assert answers[cell_of(space, seller)] == found, str(seller)
        differing += found[0] != found[1]
    assert differing > 100


@pytest.mark.long
def test_too_many_situations_differ_by_kind_of_measure() -> None:
    before, after = shipped("general"), shipped("health")
    with pytest.raises(PolicyRefused, match="distinguish 376,320 situations"):
        compare(before, after)
    changes = find_changes(before, after)
    listed = {text for one in changes for text in one.aspects()}
    for one in changes[::50]:
        if one.example is not None:
            assert {*one.aspects()} <= {*_list_aspects(before, after, one.example)}, one.where
    chance = random.Random(28)
    for _ in range(1_000):
        seller = sample(chance)
        assert {*_list_aspects(before, after, seller)} <= listed, str(seller)


def _list_aspects(before: Policy, after: Policy, seller: SampleSeller) -> list[str]:
    return CellChange("", direct(before, seller), direct(after, seller), seller).aspects()


def test_a_type_named_anew_changes_cells_with_its_example() -> None:
    plain = parse_policy(
        data(
            standing=standing(),
            currency="EUR",
            rules=[rule("review", {"kind": "manual_review"}, standing={"from": 20})],
        )
    )
    changes = find_changes(plain, typed())
    examples = [str(one.example) for one in changes if one.example is not None]
    assert any("major order_fraud" in text for text in examples)
    parts = list_value_changes(plain, typed())
    assert {"standing.types.order_fraud.major none -> 20", "standing.reset none -> 06-01"} <= {*parts}


@pytest.mark.long
@pytest.mark.parametrize("names", [("tiers", "general"), ("general", "ladder")])
def test_every_example_lies_in_its_cell(names: tuple[str, str]) -> None:
    before, after = (shipped(name) for name in names)
    space, answers = compare(before, after)
    changes = [one for one in find_changes(before, after) if one.example is not None]
    assert len(changes) > 200
    for one in changes:
        assert one.example is not None
        cell = cell_of(space, one.example)
        assert space.describe(cell) == one.where
        assert answers[cell] == (one.before, one.after) == (direct(before, one.example), direct(after, one.example))


@pytest.mark.long
def test_a_small_edit_changes_what_it_says_and_nothing_else() -> None:
    data: JsonObject = tomllib.loads(GRADED.read_text(encoding="utf-8"))
    general = parse_policy(data)
    [standard] = [one for one in data["rules"] if one["id"] == "standard"]
    standard["measures"][0]["days"] = 8
    edited = parse_policy(data)
    assert find_changes(general, general) == []
    changes = find_changes(general, edited)
    assert {tuple(one.aspects()) for one in changes} == {("hold_days 7 -> 8",)}
    assert all(one.before.tier is Tier.STANDARD for one in changes)
    space, answers = compare(general, edited)
    assert len(changes) == sum(old.tier is Tier.STANDARD and old.terms.hold_days < 8 for old, _ in answers.values())
    assert answer_in(space, 0, cell_of(space, SampleSeller(400))).terms.hold_days == 17
    assert answer_in(space, 0, cell_of(space, SampleSeller(400, settled_minor={"": 160_000_000}))).terms.hold_days == 7


def general(**parts: Any) -> Policy:
    return parse_policy(tomllib.loads(GRADED.read_text(encoding="utf-8")) | parts)


LONGER, OLDER = {"settled_orders": 50, "tenure_days": 30}, {"settled_orders": 20, "tenure_days": 90}


@pytest.mark.long
@pytest.mark.parametrize(
    "parts",
    [
        *({"thin_file": LONGER}, {"thin_file": OLDER}, {"clear_days": 30}, {"clear_days": 7}),
        {"thin_file": OLDER, "clear_days": 30},
    ],
)
def test_whom_a_thin_file_or_clear_days_move_is_listed(parts: JsonObject) -> None:
    before, after = general(), general(**parts)
    changes = find_changes(before, after)
    assert len(changes) > 20
    for one in changes:
        if one.example is not None:
            assert (direct(before, one.example), direct(after, one.example)) == (one.before, one.after), one.where
    listed = {(one.before, one.after) for one in changes}
    chance = random.Random(7)
    differing = 0
    for _ in range(1_000):
        seller = replace(
            sample(chance),
            tier=None,
            orders=chance.choice([0, 9, 10, 19, 20, 49, 50]),
            tenure_days=chance.choice([0, 29, 30, 89, 90]),
            earlier=(chance.choice([1, 7, 8, 14, 15, 30, 31]), chance.choice([0, 379, 380, 450, 600])),
        )
        answers = direct(before, seller), direct(after, seller)
        differing += answers[0] != answers[1]
        assert answers[0] == answers[1] or answers in listed, str(seller)
    assert differing > 20


def test_parts_that_no_cell_has_are_compared_value_by_value() -> None:
    data_ = tomllib.loads(GRADED.read_text(encoding="utf-8"))
    data_["caution"]["sources"]["buyer"]["weight"] = 4
    data_["caution"]["rules"][0] |= {"days": 4}
    data_["caution"]["rules"][4]["measures"] = data_["caution"]["rules"][4]["measures"][:1]
    data_["caution"]["decide_days"] = 2
    data_["standing"]["points"]["ip"]["major"] = 9
    data_["standing"]["types"] = {"order_fraud": {"minor": 1, "moderate": 2, "major": 3, "critical": 4}}
    data_["trade"]["claim_days"] = 31
    data_["clear_days"] = 15
    assert list_value_changes(shipped("graded"), parse_policy(data_)) == [
        "clear_days 14 -> 15",
        "standing.points.ip.major 8 -> 9",
        "trade.claim_days 30 -> 31",
        "caution.decide_days 3 -> 2",
        "caution.weights.buyer.weight 5 -> 4",
        "caution.rules[grave-reports].days 3 -> 4",
        "caution.rules[disputed].measures[settlement_hold] settlement_hold -> none",
        "caution.rules[disputed].measures[settlement_hold].days 30 -> none",
        *(f"standing.types.order_fraud.{name} none -> {n}" for n, name in enumerate(SEVERITIES, 1)),
    ]
    assert list_value_changes(shipped("graded"), shipped("graded")) == []


def test_a_suspension_without_an_end_reads_for_good() -> None:
    assert Terms().list_changes(Terms(suspension_days=FOR_GOOD), ("", "")) == ["suspension_days 0 -> for good"]
    breaches = [{"category": "counterfeit", "severity": "critical", "day": f"2026-02-2{n}"} for n in range(3)]
    case = {"name": "a", "points": 900, "violations": breaches, "expect": {"suspension_days": 7}}
    [outcome] = run_cases(shipped("graded"), parse_cases({"now": "2026-03-01", "cases": [case]}))
    assert outcome.faults == ("suspension_days is 1,000,000 (for good), expected 7",)


@pytest.mark.parametrize("name", ["tiers", "general", "health", "ladder"])
def test_the_cases_beside_a_shipped_policy_hold(name: str) -> None:
    data = tomllib.loads(TIERS.with_name(f"{name}.cases.toml").read_text(encoding="utf-8"))
    assert [one.faults for one in run_cases(shipped(name), parse_cases(data))] == [()] * len(data["cases"])
    data["cases"][0]["expect"] = {"hold_days": 99, "standing": 5}
    [first, *_] = run_cases(shipped(name), parse_cases(data))
    assert len(first.faults) == 2
    assert "expected 99" in " ".join(first.faults)


def test_a_case_may_state_the_deposit_that_is_placed() -> None:
    policy = policy_of(
        rule("all", {"kind": "deposit", "amount_minor": 1_000}),
        rule("unsecured", {"kind": "settlement_hold", "days": 30}, deposit={"below": 700}),
    )
    expected = {"deposit_minor": 300, "hold_days": 0, "rules": ["all"]}
    case = {"name": "a", "deposit_placed_minor": 700, "expect": expected}
    assert run_cases(policy, parse_cases({"now": "2026-03-01", "cases": [case]}))[0].faults == ()
    case["deposit_placed_minor"] = 699
    assert run_cases(policy, parse_cases({"now": "2026-03-01", "cases": [case]}))[0].faults == (
        "deposit_minor is 3.01 EUR, expected 3.00 EUR",
        "hold_days is 30, expected 0",
        "rules is all, unsecured, expected all",
    )


def test_a_case_may_name_a_type_which_states_its_category() -> None:
    breach_ = {"violation_type": "order_fraud", "severity": "major", "day": "2026-02-20"}
    case = {"name": "a", "points": 900, "violations": [breach_], "expect": {"standing": 20, "manual_review": True}}
    assert run_cases(typed(), parse_cases({"now": "2026-03-01", "cases": [case]}))[0].faults == ()
    breach_["category"] = "integrity"
    with pytest.raises(PolicyRefused, match="category is that of its violation_type"):
        parse_cases({"now": "2026-03-01", "cases": [case]})


def test_a_case_that_expects_an_unknown_rule_fails_by_its_name() -> None:
    cases = parse_cases({"now": "2026-03-01", "cases": [{"name": "a", "expect": {"rules": ["newcomers", "newcomer"]}}]})
    [outcome] = run_cases(shipped("graded"), cases)
    assert outcome.faults == (
        "rules expected has newcomer, and the policy has no such rule",
        "rules is daily-limit, every-order, growing-history, middle-history, newcomers, short-history,"
        " expected newcomer, newcomers",
    )


def test_a_case_of_a_rate_that_no_rule_asks_for_fails() -> None:
    """A slip in `days` or `orders` would else test nothing."""
    rate = {"ppm": 500_000, "days": 31, "orders": 50}
    case = {"name": "a", "failure_rates": [rate], "expect": {"suspension_days": 0}}
    [outcome] = run_cases(shipped("health"), parse_cases({"now": "2026-03-01", "cases": [case]}))
    rate_ = "failures in a million of at least 50 orders in 31 days"
    assert outcome.faults == (f"failure_rates has {rate_}, for which no rule asks",)


def test_a_sample_of_a_season_names_its_day() -> None:
    assert str(SampleSeller(900, day=20_000)) == "900 points, on 2024-10-04"


def test_cases_that_cannot_be_meant_are_refused_all_at_once() -> None:
    with pytest.raises(PolicyRefused) as refused:
        parse_cases(
            {
                "now": "2026-03-01",
                "cases": [
                    {"name": "a", "expect": {}},
                    {"name": "b", "violations": [{"category": "theft", "severity": "major", "day": "2026-03-02"}],
                     "expect": {"tier": "gold", "colour": 1}},
                ],
            }
        )  # fmt: skip
    for fault in (
        "cases[a].expect must state what is expected",
        "cases[b].points must be stated",
        "cases[b].violations[0].category must be one of",
        "cases[b].violations[0].day lies after now",
        "cases[b].expect.tier must be one of",
        "cases[b].expect.colour is not a part of a case",
    ):
        assert fault in str(refused.value)


def test_sums_are_shown_in_units() -> None:
    toys = {"below": 900, "product_category": "toys"}
    before, after = (
        policy_of(rule("d", {"kind": "deposit", "amount_minor": sum_}, settled=toys), rule("c", *caps), currency="JOD")
        for sum_, caps in ((500, [value_cap(9)]), (700, [value_cap(1_234_000)]))
    )
    changes = find_changes(before, after)
    aspects = {aspect for one in changes for aspect in one.aspects()}
    assert aspects == {"deposit_minor 0.500 JOD -> 0.700 JOD", "value_caps all: 0.009 JOD -> all: 1,234.000 JOD"}
    assert any("settled value 0.900 JOD or more of toys" in one.where for one in changes)
    assert any("settled 0.900 JOD of toys" in str(one.example) for one in changes)
    trade = {"delivery_promise_days": 7, "claim_days": 30, "deposit_returned_after_days": 60}
    parts = [policy_of(trade=trade | {"smallest_order_minor": least}, currency="EUR") for least in (100, 250)]
    assert list_value_changes(*parts) == ["trade.smallest_order_minor 1.00 EUR -> 2.50 EUR"]


def value_cap(limit: int) -> JsonObject:
    return {"kind": "value_cap", "value_minor": limit}

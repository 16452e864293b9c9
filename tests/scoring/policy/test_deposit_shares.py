from typing import Any

import pytest

from scoring.base.canonical import JsonObject
from scoring.base.errors import PolicyRefused
from scoring.policy.cases import parse_cases, run_cases
from scoring.policy.checking import find_contradictions
from scoring.policy.difference import find_changes
from scoring.policy.reading import parse_policy
from scoring.policy.rules import Situation
from tests.helpers.policies import data, direct, policy_of, rule

TRADE = {
    "delivery_promise_days": 3,
    "claim_days": 30,
    "deposit_returned_after_days": 90,
    "deposit_is_refilled": True,
    "deposit_refill_days": 14,
}


def share(ppm: int, days: int = 30, **more: Any) -> JsonObject:
    return {"kind": "deposit", "ppm": ppm, "days": days} | more


@pytest.mark.parametrize(
    ("rules", "trade", "fault"),
    [
        (
            [rule("a", share(1_000_001))],
            {},
            "measures[deposit].ppm must be a whole number, 1 to 1,000,000, not 1000001",
        ),
        ([rule("a", share(-1))], {}, "rules[a].measures[deposit].ppm must be a whole number, 1 to 1,000,000, not -1"),
        ([rule("a", share(0))], {}, "rules[a].measures[deposit].ppm must be a whole number, 1 to 1,000,000, not 0"),
        (
            [rule("a", {"kind": "deposit"})],
            {},
            "must state amount_minor, ppm of the value settled in some days, or both",
        ),
        ([rule("a", share(5, 367))], {}, "rules[a].measures[deposit].days must be a whole number, 1 to 366, not 367"),
        (
            [rule("a", {"kind": "deposit", "ppm": 5})],
            {},
            "rules[a].measures[deposit].days must be stated beside ppm, and only there: the days whose settled value",
        ),
        (
            [rule("a", {"kind": "deposit", "amount_minor": 5, "days": 9})],
            {},
            "rules[a].measures[deposit].days must be stated beside ppm, and only there",
        ),
        (
            [rule("a", share(5)), rule("b", share(5, 60))],
            {},
            "rules state deposits as shares of 30 and 60 days; state the same days in each",
        ),
        (
            [rule("a", share(5))],
            {"deposit_is_refilled": False},
            "trade.deposit_refill_days needs deposit_is_refilled = true: else no sale awaits a deposit",
        ),
        (
            [rule("a", share(5))],
            {"deposit_refill_days": 61},
            "trade.deposit_refill_days must be a whole number, 0 to 60",
        ),
        (
            [rule("a", share(5), failure_rate={"from_ppm": 9, "days": 30, "orders": 1})],
            {},
            "rules[a].failure_rate has no first day from which a deposit is owed: leave it out beside a deposit and its"
            " waiver, or set trade.deposit_refill_days to 0",
        ),
        (
            [rule("a", share(5), tiers=["unrated", "probation"])],
            {},
            "rules[a].tiers has no first day from which a deposit is owed",
        ),
        (
            [rule("a", share(5)), rule("b", {"kind": "waiver", "waives": "deposit"}, tiers=["exemplary"])],
            {},
            "rules[b].tiers has no first day from which a deposit is owed",
        ),
        (
            [rule("a", share(9), tiers=["trusted"])],
            {"deposit_refill_days": 0},
            "rules are laxer for who is worse: deposit_ppm is 0 with points 500 to 599",
        ),
        (
            [rule("a", share(5), standing={"from": 3, "below": 12}), rule("b", share(9), standing={"from": 12})],
            {},
            "value_caps is counted anew with points 0 to 499, standing 12",
        ),
    ],
)
def test_a_deposit_that_cannot_be_is_refused(rules: list[JsonObject], trade: JsonObject, fault: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        policy_of(*rules, trade=TRADE | trade)
    assert fault in str(refused.value)


def test_shares_are_compared_by_the_share_and_not_by_the_sum() -> None:
    policy = policy_of(
        rule("a", share(50_000, amount_minor=900)), rule("b", share(70_000), tiers=["unrated", "probation"])
    )
    assert find_contradictions(policy) == []
    terms = policy.rule_book.terms(Situation(None))
    assert [terms.find_deposit(recent) for recent in (0, 17_999, 18_000, 18_020, 10**17)] == [
        900,
        900,
        900,
        901,
        5 * 10**15,
    ]
    assert policy.rule_book.terms(Situation(policy.tier(0))).deposit_ppm == 70_000


def test_a_difference_shows_shares_and_stops() -> None:
    before = policy_of(rule("a", share(50_000)), trade=TRADE)
    after = policy_of(rule("a", share(60_000, amount_minor=100)), trade=TRADE)
    changes = find_changes(before, after)
    assert {text for one in changes for text in one.aspects()} == {
        "deposit_ppm 50,000 -> 60,000",
        "deposit_minor 0.00 EUR -> 1.00 EUR",
        "value_caps none -> all: 0.00 EUR",
    }
    stopped = next(one for one in changes if len(one.aspects()) == 3)
    assert "15 or more days without the deposit of 1.00 EUR or 6 % of 30 days' sales" in stopped.where
    assert stopped.example is not None
    assert (direct(before, stopped.example), direct(after, stopped.example)) == (stopped.before, stopped.after)
    assert "15 days without the deposit of 1.00 EUR or 6 %" in str(stopped.example)


@pytest.mark.parametrize("trade", [{}, {"trade": TRADE}])
def test_two_windows_of_a_share_differ(trade: JsonObject) -> None:
    before, after = (policy_of(rule("a", share(50_000, days)), **trade) for days in (30, 90))
    changes = find_changes(before, after)
    assert "deposit_days 30 -> 90" in {text for one in changes for text in one.aspects()}
    assert all(one.example is not None for one in changes)


def test_a_case_states_recent_sales_and_missing_days() -> None:
    policy = policy_of(rule("a", share(50_000)), trade=TRADE)
    missing = {"ppm": 50_000, "days": 30, "missing_days": 15}
    seller = {"recent_minor": 1_000, "deposit_placed_minor": 20}
    cases = [
        {"name": "late", "missing_deposits": [missing], "expect": {"value_cap": 0}},
        {
            "name": "owing",
            **seller,
            "expect": {"deposit_minor": 30, "deposit_ppm": 50_000, "deposit_days": 30, "rules": ["a"]},
        },
        {"name": "slip", "missing_deposits": [missing | {"ppm": 5}], "expect": {"deposit_minor": 0}},
    ]
    outcomes = run_cases(policy, parse_cases({"now": "2026-03-01", "cases": cases}))
    assert [one.faults for one in outcomes[:2]] == [(), ()]
    assert outcomes[2].faults == (
        "missing_deposits has days without the deposit of 0.0005 % of 30 days' sales, for which no rule asks",
    )


def test_a_sum_alone_reads_as_before() -> None:
    plain = {name: value for name, value in TRADE.items() if name != "deposit_refill_days"}
    stated = data(currency="EUR", rules=[rule("a", {"kind": "deposit", "amount_minor": 500})], trade=plain)
    policy = parse_policy(stated)
    assert policy.digest == "a8717f2fd4a16e38fa123b32bd25df3f02e6a257f8fee27c1b4a261987cc07af"
    [_, awaiting] = policy.rule_book.rules
    assert [str(one.operand) for one in awaiting.conditions] == ["deposit_minor"]

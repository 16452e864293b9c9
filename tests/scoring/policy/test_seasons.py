from typing import Any

import pytest

from scoring.base.enums import Tier
from scoring.base.errors import PolicyRefused
from scoring.base.time import parse_day
from scoring.policy.difference import find_changes
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from scoring.policy.rules import Quantity, Situation
from scoring.policy.space import build_space
from tests.helpers.policies import data, rule, standing

GROWING = {"kind": "value_cap", "value_minor": 333, "grows": [{"settled_minor": 1_000, "value_minor": 2_000}]}
FACTS = rule("facts", {"kind": "value_cap", "value_minor": 300}, standing={"from": 6})
HOLD = {"kind": "settlement_hold", "days": 7}


def season(first: str = "2026-11-01", last: str = "2026-11-12", ppm: int = 1_500_000, **parts: Any) -> dict[str, Any]:
    return {"name": "sales", "from": first, "until": last, "times_ppm": ppm} | parts


def policy_with(*seasons: dict[str, Any], value: int = 333) -> Policy:
    limit = rule("limit", GROWING | {"value_minor": value}, HOLD)
    parts = {"seasons": list(seasons)} if seasons else {}
    return parse_policy(data(standing=standing(), currency="EUR", rules=[limit, FACTS], **parts))


def limit_on(policy: Policy, date: str, **seller: Any) -> int:
    terms = policy.rule_book.terms(Situation(Tier.STANDARD, day=parse_day(date), **seller))
    assert terms.hold_days == 7
    return dict(terms.value_caps)[""]


def test_limits_are_multiplied_in_a_season_and_rounded_down() -> None:
    """By half as much again: 333 is 499, and 3,000 once it grew to 2,000."""
    policy = policy_with(season())
    dates = ("2026-10-31", "2026-11-01", "2026-11-12", "2026-11-13", "2027-11-05")
    assert [limit_on(policy, date) for date in dates] == [333, 499, 499, 333, 333]
    assert limit_on(policy, "2026-11-05", settled_minor={"": 1_000}) == 3_000
    assert limit_on(policy_with(season(ppm=500_000)), "2026-11-05") == 166


def test_a_limit_by_confirmed_facts_is_lifted_by_no_season() -> None:
    """300 from a standing of 6 on, also in the season."""
    assert limit_on(policy_with(season()), "2026-11-05", standing=6) == 300


def test_a_season_is_in_a_difference_on_its_days_alone() -> None:
    changes = find_changes(policy_with(), policy_with(season()))
    assert [axis.values for axis in build_space(policy_with(season())).axes if axis.operand is Quantity.DAY] == [
        (0, parse_day("2026-11-01"), parse_day("2026-11-13"))
    ]
    assert {aspect for one in changes for aspect in one.aspects()} == {
        "value_caps all: 333 -> all: 499",
        "value_caps all: 2,000 -> all: 3,000",
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
def test_a_season_that_does_not_hold_together_is_refused_by_name(seasons: list[dict[str, Any]], fault: str) -> None:
    with pytest.raises(PolicyRefused) as error:
        policy_with(*seasons)
    assert fault in str(error.value)
    assert len(error.value.faults) == 1


def test_a_season_that_makes_a_limit_overflow_is_refused() -> None:
    """The largest limit is 10^15."""
    with pytest.raises(PolicyRefused, match="lifts a value_cap beyond 1,000,000,000,000,000"):
        policy_with(season(), value=10**15 - 1)

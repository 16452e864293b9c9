import pytest

from scoring.base.canonical import JsonObject
from scoring.policy.checking import find_oddities
from tests.helpers.policies import HOLD, policy_of, refused, rule


@pytest.mark.parametrize(
    ("caps", "shown"),
    [
        ([], "any value"),
        ([{"kind": "value_cap", "value_minor": 700}], "7.00 EUR"),
        ([{"kind": "value_cap", "value_minor": 700, "product_category": "toys"}], "any value"),
        ([{"kind": "value_cap", "value_minor": 700, "grows": [{"settled_minor": 9, "value_minor": 800}]}], None),
    ],
)
def test_that_a_new_name_does_not_start_small_is_shown(caps: list[JsonObject], shown: str | None) -> None:
    odd = find_oddities(policy_of(rule("all", HOLD, *caps)))
    expected = [] if shown is None else [f"a new name may sell {shown} a day, as much as the best: no value_cap grows"]
    assert [one.text for one in odd if one.kind == "newcomers"] == expected
    small = rule("new", {"kind": "value_cap", "value_minor": 5}, tiers=["unrated"])
    assert "newcomers" not in {one.kind for one in find_oddities(policy_of(rule("all", HOLD, *caps), small))}


@pytest.mark.parametrize(
    "cap",
    [
        {"kind": "value_cap", "value_minor": 0},
        {"kind": "value_cap", "value_minor": 0, "grows": [{"settled_minor": 5, "value_minor": 9}]},
        {"kind": "listing_cap", "listings": 0},
    ],
)
def test_no_model_suspends_by_a_cap_of_nothing(cap: JsonObject) -> None:
    for conditions in ({}, {"tiers": ["unrated", "probation"]}):
        fault = f"rules[stop].measures[{cap['kind']}] lets nobody sell, which suspends under another name"
        assert fault in refused(rule("stop", cap, **conditions))
    policy_of(rule("facts", cap, standing={"from": 3}))
    policy_of(rule("unsecured", cap, deposit={"below": 500}))
    policy_of(rule("toys", cap | {"product_category": "toys"}))

from typing import Any

import pytest

from scoring.base.errors import PolicyRefused
from scoring.policy.reading import parse_policy
from tests.helpers.policies import data, standing


def faults(**parts: Any) -> str:
    with pytest.raises(PolicyRefused) as refused:
        parse_policy(data(**parts))
    return str(refused.value)


def test_a_standing_is_part_of_the_digest() -> None:
    assert parse_policy(data()).standing is None
    assert parse_policy(data(standing=standing())).digest != parse_policy(data()).digest


def test_a_name_with_control_characters_is_shown_escaped() -> None:
    text = faults(**{"a\x1b[31m\nb": 1})
    assert r"a\x1b[31m\nb is not a part of a policy" in text


def test_every_fault_of_a_file_is_named_at_once() -> None:
    wrong = standing()
    wrong["points"]["ip"]["major"] = 2.5
    wrong["points"]["safety"]["minor"] = 90
    del wrong["points"]["quality"]
    wrong["incident_cap"] = 3
    wrong["at_most"] = {"trusted": 9, "standard": 5, "exemplary": 1}
    text = faults(
        name=7,
        clear_days=61,
        cut_offs={"standard": 700, "trusted": 600, "exemplary": 2000},
        colour="red",
        standing=wrong,
    )
    for part in (
        "name must be given as text",
        "clear_days must be a whole number, 0 to 60",
        "cut_offs.exemplary must be a whole number, 1 to 1,000",
        "cut_offs must rise from tier to tier",
        "colour is not a part of a policy",
        "standing.points.ip.major must be a whole number",
        "standing.points.safety must never fall with the severity",
        "standing.points.quality must be a table",
        "standing.incident_cap is less than the 90 that one violation alone gives",
        "standing.at_most must rise as the tiers fall",
        "standing.at_most.exemplary is not a part of a policy",
    ):
        assert part in text


@pytest.mark.parametrize("value", [None, 3, "text", ["list"]])
@pytest.mark.parametrize("name", ["name", "cut_offs", "badges", "standing", "thin_file"])
def test_no_value_of_another_shape_is_anything_but_a_named_fault(name: str, value: object) -> None:
    if name == "name" and value == "text":
        return
    assert name in faults(**{name: value})


def test_limits_of_trade_that_cannot_be_are_refused_all_at_once() -> None:
    trade = {"delivery_promise_days": 1.5, "claim_days": 367, "deposit_is_refilled": "yes", "colour": 1}
    found = faults(trade=trade)
    for fault in (
        "trade.delivery_promise_days must be a whole number, 0 to 366",
        "trade.claim_days must be a whole number, 0 to 366",
        "trade.deposit_returned_after_days must be a whole number",
        "trade.deposit_is_refilled must be true or false",
        "trade.colour is not a part of a policy",
    ):
        assert fault in found

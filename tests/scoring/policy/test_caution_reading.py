from typing import Any

import pytest

from scoring.base.canonical import JsonObject
from scoring.base.enums import MeasureKind, Source
from scoring.base.errors import PolicyRefused
from scoring.policy.caution import CROWD
from scoring.policy.reading import parse_policy
from tests.helpers.caution_rules import WEIGHTS, caution_rule, policy_of
from tests.helpers.policies import data, shipped

BURST = {"of": "disputed", "share_ppm": 1, "orders": 1, "days": 7}
JUMP = {"times": 5, "days": 3, "before_days": 28, "value_minor": 10_000}


def refused(*rules: JsonObject, **parts: Any) -> str:
    with pytest.raises(PolicyRefused) as error:
        policy_of(*rules, **parts)
    return str(error.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"days": 15}, "caution.rules[r].days must be a whole number, 1 to 14"),
        ({"days": 0}, "caution.rules[r].days must be a whole number, 1 to 14"),
        ({"id": "Grave!"}, "caution.rules[Grave!].id must be 1 to 64"),
        ({"reference": ""}, "caution.rules[r].reference must be given"),
        ({"measures": []}, "caution.rules[r].measures must state one measure or more"),
        ({"reports": {"weight": 100, "days": 91}}, "caution.rules[r].reports.days must be a whole number, 1 to 90"),
        ({"reports": {"weight": 0.5, "days": 9}}, "caution.rules[r].reports.weight must be a whole number"),
        ({"reports": {"weight": 99, "days": 9, "tiers": ["trusted"]}}, "caution.rules[r].reports.tiers is not a part"),
        ({"control": ["moved"]}, "caution.rules[r].control must be a list of one or more of sold, taken_over"),
        ({"control": ["sold"], "reports": {}}, "caution.rules[r].reports must state what sets the rule off by one of"),
        (
            {"reports": {}, "jump": JUMP},
            "caution.rules[r].jump must state what sets the rule off by one of reports, control",
        ),
        ({"jump": JUMP | {"times": 1}}, "caution.rules[r].jump.times must be a whole number, 2 to"),
        ({"jump": JUMP | {"before_days": 2}}, "caution.rules[r].jump.before_days must be a whole number, 3 to 45"),
        ({"jump": JUMP}, "currency must be stated, since caution names amounts"),
        ({"burst": BURST | {"of": "late"}}, "caution.rules[r].burst.of must be one of undelivered, disputed"),
        ({"burst": BURST | {"share_ppm": 0.3}}, "caution.rules[r].burst.share_ppm must be a whole number"),
        ({"burst": BURST | {"grace_days": 3}}, "caution.rules[r].burst.grace_days is of undelivered orders alone"),
        ({"burst": BURST | {"of": "undelivered"}}, "caution.rules[r].burst.grace_days must be a whole number, 1 to 45"),
        ({"tiers": ["probation"]}, "caution.rules[r].tiers is not a part of a policy"),
    ],
)
def test_a_wrong_rule_of_caution_is_refused_by_its_path(changed: JsonObject, said: str) -> None:
    assert said in refused(caution_rule(**changed))


def test_a_rule_that_nothing_sets_off_is_refused() -> None:
    nothing = caution_rule()
    del nothing["reports"]
    assert "caution.rules[r] must state what sets the rule off by one of reports, control, burst, jump" in refused(
        nothing
    )


@pytest.mark.parametrize(
    "measure",
    [
        {"kind": "suspension", "days": 7},
        {"kind": "deposit", "amount_minor": 5},
        {"kind": "listing_cap", "listings": 5},
        {"kind": "waiver", "waives": "deposit"},
    ],
)
def test_caution_asks_for_nothing_that_cannot_be_undone(measure: JsonObject) -> None:
    path = f"caution.rules[r].measures[{measure['kind']}]"
    found = refused(caution_rule(measures=[measure]), currency="EUR")
    assert f"{path} is not reversible; caution may ask for settlement_hold" in found


def test_a_caution_does_not_suspend_by_a_cap_of_nothing() -> None:
    fault = "caution.rules[r].measures[value_cap] lets nobody sell, which suspends under another name"
    nothing = {"kind": "value_cap", "value_minor": 0}
    assert fault in refused(caution_rule(measures=[nothing]))
    toys = caution_rule(measures=[nothing | {"product_category": "toys"}])
    parse_policy(data(caution={"decide_days": 1, "sources": WEIGHTS, "rules": [toys]}, currency="EUR"))


def test_a_cap_of_a_caution_does_not_grow() -> None:
    growing = {"kind": "value_cap", "value_minor": 1, "grows": [{"settled_minor": 1, "value_minor": 2}]}
    assert "grows has no meaning for a cap of a few days" in refused(caution_rule(measures=[growing]))


def test_a_crowd_alone_can_set_no_caution_off() -> None:
    heavy = {source.name.lower(): {"weight": 20, "at_most": 40} for source in CROWD}
    assert "caution.rules[r].reports.weight must be more than 120, what brand, buyer, partner weigh" in refused(
        caution_rule(reports={"weight": 120, "days": 9}), sources=heavy
    )
    policy_of(caution_rule(reports={"weight": 121, "days": 9}), sources=heavy)


def test_every_source_has_a_weight_and_no_lower_limit() -> None:
    assert "caution.sources.customs must never fall from weight to at_most" in refused(
        caution_rule(), sources={"customs": {"weight": 9, "at_most": 8}}
    )
    without = {name: row for name, row in WEIGHTS.items() if name != "court"}
    with pytest.raises(PolicyRefused, match=r"caution\.sources\.court must be a table"):
        parse_policy(data(caution={"decide_days": 1, "sources": without, "rules": [caution_rule()]}))


def test_a_case_is_decided_before_the_shortest_caution_ends() -> None:
    assert "caution.decide_days must be a whole number, 1 to 2" in refused(
        caution_rule(), caution_rule("s", days=2), decide_days=3
    )


def test_no_two_rules_have_one_id_of_caution_or_not() -> None:
    assert "caution.rules has an id that another rule has: r" in refused(caution_rule(), caution_rule())


@pytest.mark.parametrize("name", ["link", "payouts"])
def test_no_caution_has_the_name_of_the_ledgers_own_cases(name: str) -> None:
    assert f"caution.rules must give no rule the id {name}" in refused(caution_rule(name))


def test_the_general_policy_is_cautious_by_reversible_measures() -> None:
    table = shipped("general").caution
    kinds = {measure.kind for rule in table.rules for measure in rule.measures}
    assert MeasureKind.INTAKE_CAP in kinds
    assert kinds <= {MeasureKind.INTAKE_CAP, MeasureKind.SETTLEMENT_HOLD, MeasureKind.MANUAL_REVIEW}
    assert {*table.weights} == {*Source}

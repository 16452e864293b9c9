import json
from typing import Any

import pytest

from scoring.base.enums import MeasureKind, Tier
from scoring.base.errors import CertificateRefused
from scoring.loss_certificate.certificate import (
    GrantedExceptions,
    GrantedSeller,
    certify,
    digest_certificate,
    list_excess_losses,
    list_failed,
)
from scoring.loss_certificate.independent.checking import check_certificate
from scoring.loss_certificate.independent.world import NotProven
from tests.helpers.policies import rule
from tests.helpers.toys import FAKED, REAL, TOY, assumed, cap, policy_of, stated, toy

HOLD, CAP = ("below-100000", MeasureKind.SETTLEMENT_HOLD), ("limit", MeasureKind.VALUE_CAP)
GONE = ("another-policy", MeasureKind.DEPOSIT)


def seller(name: str, *lifted: tuple[str, MeasureKind], tier: Tier | None = None) -> GrantedSeller:
    return GrantedSeller("acme", name, tier, None if tier is None else 86_400_000_000, frozenset(lifted))


def certified(*sellers: GrantedSeller, accepted: dict[str, str] | None = None, data: Any = TOY) -> dict[str, Any]:
    made = certify(policy_of(data), assumed(), accepted, granted=GrantedExceptions(7, sellers))
    found: dict[str, Any] = json.loads(json.dumps(made))
    check_certificate(data, found, stated())
    return found


def test_the_most_that_each_seller_can_take_is_stated() -> None:
    found = certified(seller("a", HOLD), seller("b", tier=Tier.EXEMPLARY), seller("c", GONE))["granted"]
    assert found["sequence"] == 7
    assert [(one["seller"], one["most"]["after_refunds_minor"], one["is_within"]) for one in found["sellers"]] == [
        ("a", 20_000, True),
        ("b", 20_000, True),
    ]
    assert found["sellers"][0]["lifted"] == [{"rule": "below-100000", "kind": "settlement_hold"}]
    assert (found["sellers"][1]["tier"], found["sellers"][1]["until"]) == ("exemplary", "1970-01-02T00:00:00Z")


def test_a_lift_beyond_the_bound_fails_unless_it_is_accepted() -> None:
    held = toy(TOY["rules"][0], rule("below-100000", {"kind": "settlement_hold", "days": 5}))
    assert list_failed(certified(data=held)) == []
    lifted = seller("a", HOLD), seller("b", HOLD)
    found = certified(*lifted, data=held)
    assert list_excess_losses(found) == {"granted": 20_000}
    assert list_failed(found) == ["granted"]
    taken = certified(*lifted, data=held, accepted={"granted": "r.head"})
    assert taken["accepted"] == [{"verdict": "granted", "by": "r.head", "most_minor": 20_000}]
    assert list_failed(taken) == []
    with pytest.raises(CertificateRefused, match="granted holds, and there is nothing to accept"):
        certified(data=held, accepted={"granted": "r.head"})


def test_a_lift_that_leaves_no_bound_has_no_sum_to_accept() -> None:
    found = certified(seller("a", CAP))
    assert (found["granted"]["sellers"][0]["most"], found["granted"]["sellers"][0]["is_within"]) == (None, False)
    assert list_failed(found) == [FAKED, REAL, "granted"]
    with pytest.raises(CertificateRefused, match="granted has no sum to accept"):
        certified(seller("a", CAP), accepted={"granted": "r.head"})


def test_a_lift_of_what_a_closure_or_a_deposit_brings_counts() -> None:
    data = toy(
        cap(1_000),
        rule("deposit", {"kind": "deposit", "amount_minor": 3_000}),
        rule("suspended", {"kind": "suspension", "days": 30}, standing={"from": 12}),
        rule("closed", {"kind": "suspension", "terminates": True, "notice_days": 30}, standing={"from": 24}),
    )
    closure, beside = ("closed", MeasureKind.SETTLEMENT_HOLD), ("suspended", MeasureKind.SUSPENSION)
    awaiting = ("deposit-awaits-deposit", MeasureKind.VALUE_CAP)
    found = certified(
        seller("a", closure), seller("b", beside), seller("c", awaiting), seller("d", beside, closure), data=data
    )
    assert found["takes"]["largest"] == {"gross_minor": 5_000, "after_refunds_minor": 2_000}
    most = [one["most"] for one in found["granted"]["sellers"]]
    assert most[1:] == [
        {"gross_minor": 35_000, "after_refunds_minor": 2_000},
        {"gross_minor": 5_000, "after_refunds_minor": 5_000},
        None,
    ]
    assert [one["is_within"] for one in found["granted"]["sellers"]] == [True, False, False, False]


def test_what_was_not_looked_at_is_stated_as_such() -> None:
    assert certify(policy_of(TOY), assumed())["granted"] is None


def test_an_altered_grant_is_refused_but_whose_it_is() -> None:
    found = certified(seller("a", HOLD, ("below-100000", MeasureKind.DEPOSIT)), seller("b", CAP))

    def fault(change: Any) -> str:
        altered = json.loads(json.dumps(found))
        change(altered["granted"]["sellers"])
        altered["digest"] = digest_certificate(altered)
        with pytest.raises(NotProven) as error:
            check_certificate(TOY, altered)
        return str(error.value)

    assert "is stated as the most" in fault(lambda sellers: sellers[0]["most"].update(gross_minor=1))
    assert "is stated as the most" in fault(lambda sellers: sellers[1].update(most=sellers[0]["most"]))
    assert "is stated as the most" in fault(lambda sellers: sellers[1]["lifted"].pop())
    assert "is not as stated within the bound" in fault(lambda sellers: sellers[1].update(is_within=True))
    assert "has no such measure" in fault(lambda sellers: sellers[0]["lifted"][1].update(rule="z"))
    assert "not in order" in fault(lambda sellers: sellers.reverse())
    assert "not once each" in fault(lambda sellers: sellers.append(sellers[1]))
    assert "not in order, or not once each" in fault(lambda sellers: sellers[0]["lifted"].reverse())
    assert "has other parts" in fault(lambda sellers: sellers[0].pop("until"))
    assert "no such tier" in fault(lambda sellers: sellers[0].update(tier="best", until="x"))

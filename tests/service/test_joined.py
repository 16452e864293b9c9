import random

import pytest

from scoring.loss_certificate.certificate import certify
from tests.helpers.limits import Limit
from tests.helpers.policies import rule
from tests.helpers.toys import LITTLE, assumed, cap, policy_of, stated, toy
from tests.scoring.loss_certificate.joined import Served
from tests.service import joined

FACTS = rule(
    "facts", {"kind": "settlement_hold", "days": 30}, {"kind": "deposit", "amount_minor": 40}, standing={"from": 1}
)
HELD = toy(cap(30_000), rule("hold", {"kind": "settlement_hold", "days": 4}), FACTS)


def test_parts_that_meet_agree_in_a_short_history(limit: Limit) -> None:
    limit(joined, RUNNERS=2, TWINS=2, DAYS=9)
    listed = rule("listed", {"kind": "listing_cap", "listings": 5}, {"kind": "manual_review"})
    data = (HELD, LITTLE | {"rules": [*LITTLE["rules"], FACTS, listed], "notice_days": 3})
    policies = tuple(policy_of(one) for one in data)
    found = certify(policies[1], assumed(), older=policies[:1])
    counts, faults = joined.live(Served(data, policies, assumed(), stated(), found), 3)
    assert faults == []
    assert (counts["histories"], counts["contested"]) == (4, 9)
    assert counts["waited"] == counts["notices"] > 0


@pytest.mark.long
def test_parts_that_meet_agree_for_random_policies() -> None:
    counts, faults = joined.play(1, random.Random(5).randrange(99))
    assert (counts["histories"], faults) == (20, [])

import random
from collections.abc import Iterator
from dataclasses import dataclass

from scoring.base.canonical import JsonObject
from scoring.base.errors import CertificateRefused, PolicyRefused
from scoring.loss_certificate.assumptions import Assumptions, parse_assumptions
from scoring.loss_certificate.certificate import certify
from scoring.policy.policy import Policy
from tests.helpers.policies import rule
from tests.helpers.toys import make_world, policy_of

MARKETS = ("", "acme", "other")


@dataclass(frozen=True)
class Served:
    data: tuple[JsonObject, ...]
    policies: tuple[Policy, ...]
    assumptions: Assumptions
    stated: JsonObject
    certificate: JsonObject

    def bound(self, *, is_real: bool) -> int:
        most: int = self.certificate["sequence"]["most_minor"]["unconditional" if is_real else "against_faked_history"]
        return most


def draw_sequences(chance: random.Random) -> Iterator[Served]:
    while True:
        worlds = [make_world(chance.randint) for _ in range(chance.choice([2, 2, 3]))]
        stated = worlds[0][1]
        if chance.random() < 0.4:
            stated = stated | {"carrier": {"days": chance.randint(1, 6), "source": "contract"}}
        data = tuple(_dress(one, chance, number) for number, (one, _) in enumerate(worlds))
        try:
            policies = tuple(policy_of(one) for one in data)
            assumptions = parse_assumptions(stated)
            found = certify(policies[-1], assumptions, older=policies[:-1])
        except (PolicyRefused, CertificateRefused):
            continue
        yield Served(data, policies, assumptions, stated, found)


def _dress(data: JsonObject, chance: random.Random, number: int) -> JsonObject:
    rules = list(data["rules"])
    if chance.random() < 0.4:
        closed = {"kind": "suspension", "terminates": True, "notice_days": 30}
        week = {"kind": "suspension", "days": 30}
        rules.append(rule("closed", closed, week, {"kind": "settlement_hold", "days": 180}, standing={"from": 40}))
    if chance.random() < 0.3:
        group = {"product_category": "toys", "from": "2026-11-02", "until": "2026-11-20", "legal_ground": "a recall"}
        capped = {"kind": "intake_cap", "new_listings": 0, "product_category": "toys"}
        rules.append(rule("group", capped, group=group))
    if chance.random() < 0.6:
        cap = {"kind": "listing_cap", "listings": chance.choice([5, 50, 500])}
        of_tiers = {"tiers": ["unrated", "probation", "standard"][: chance.randint(1, 3)]}
        rules.append(rule("listed", cap, *([{"kind": "manual_review"}] * chance.randint(0, 1)), **of_tiers))
    limits = {"hold_limits": {name: chance.randint(1, 8) for name in MARKETS[1:] if chance.random() < 0.7}}
    notice = {"notice_days": chance.choice([1, 3, 9])} if chance.random() < 0.6 else {}
    return {**data, "version": number + 1, "rules": rules} | notice | (limits if chance.random() < 0.5 else {})

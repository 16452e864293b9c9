"""The loss certificate: its time, its statements about the shipped policies, and laxer terms for who is worse.

By shipped policy: seconds to make and to prove the certificate, states, edges, the largest take by tier. Verdicts are 1
or 0, `.most_minor` is the most that one name gets. `NAME.VERDICT.largest_stop_days`, `.smallest_wash_ppm`,
`.smallest_identity_minor`: where the verdict turns, -1 for nowhere.

`monotone.broken`: random policies that give one of two random sellers a laxer term on one of 23 later days, with one
more or one worse violation.
"""

import json
import random
from collections.abc import Callable
from itertools import islice
from time import perf_counter

from scoring.loss_certificate.certificate import certify
from scoring.loss_certificate.independent.checking import check_certificate
from scoring.loss_certificate.sensitivity import find_sensitivity
from service.policy.certificate_file import SHIPPED_ASSUMPTIONS, read_assumptions
from tests.helpers.monotone import draw_policies, find_laxer_day
from tests.helpers.toys import policy_of, shipped_data

Say = Callable[[str], None]
POLICIES = ("general", "ladder", "health")
ROUNDS = 5
MONOTONE, SELLERS = 1_000, 2


def run(say: Say) -> dict[str, float]:
    figures: dict[str, float] = {}
    for part in (shipped, monotone):
        began = perf_counter()
        found = part()
        say(f"{part.__name__}: {found} in {perf_counter() - began:.0f} s")
        figures |= found
    return figures


def shipped() -> dict[str, float]:
    figures: dict[str, float] = {}
    assumptions = read_assumptions(SHIPPED_ASSUMPTIONS)
    for name in POLICIES:
        data = shipped_data(name)
        policy, certified, checked = policy_of(data), [], []
        for _ in range(ROUNDS):
            began = perf_counter()
            found = certify(policy, assumptions)
            certified.append(perf_counter() - began)
            found, began = json.loads(json.dumps(found)), perf_counter()
            proven = check_certificate(data, found, assumptions.data)
            checked.append(perf_counter() - began)
        figures |= {
            f"{name}.certify_s": round(sorted(certified)[ROUNDS // 2], 3),
            f"{name}.check_s": round(sorted(checked)[ROUNDS // 2], 3),
            f"{name}.states": proven.states,
            f"{name}.edges": proven.edges,
        }
        for verdict, one in found["verdicts"].items():
            figures |= {f"{name}.{verdict}": int(one["holds"]), f"{name}.{verdict}.most_minor": one["most_minor"]}
        for tier, take in found["takes"]["by_tier"].items():
            figures |= {f"{name}.take.{tier}.{key}": value for key, value in take.items()}
        for verdict, turns in find_sensitivity(policy, assumptions).items():
            for key in ("largest_stop_days", "smallest_wash_ppm", "smallest_identity_minor"):
                value = getattr(turns, key)
                figures[f"{name}.{verdict}.{key}"] = -1 if value is None else value
    return figures


def monotone() -> dict[str, float]:
    chance = random.Random(2525)
    broken = 0
    for policy in islice(draw_policies(chance), MONOTONE):
        broken += find_laxer_day(policy, chance, SELLERS) is not None
    return {"monotone.policies": MONOTONE, "monotone.broken": broken}

"""The loss certificate: its time, its statements about the shipped policies, and attempts to exceed its bounds.

By shipped policy: seconds to make and to prove the certificate, states, edges, the largest take by tier. Verdicts are 1
or 0, `.most_minor` is the most that one name gets. `NAME.VERDICT.largest_stop_days`, `.smallest_wash_ppm`,
`.smallest_identity_minor`: where the verdict turns, -1 for nowhere.

`attacks.differ`: printed attacks with another sum by the real terms and payouts (beyond one minor unit).
`attackers.above_bound`: adaptive attackers in the simulated market that got more than the bound;
`attackers.best_over_bound`: the best take over the smallest bound of the failed verdicts.
`refinement.laxer_than_abstract`: random real histories with a day of laxer terms, or of more growth in a run, than the
abstract state has. `altered.accepted`: damaged or forged certificates, with a new digest, still proven.
`forged.accepted`: assumptions without sources, invalid sections, or unprovable statements neither rejected nor listed
as not proven. `lp.differ`: states with another value by HiGHS.

`monotone.broken`: random policies that give one of two random sellers a laxer term on one of 23 later days, with one
more or one worse violation.

`joined.above_bound`: lives by random sequences of policies that took more than their sequence's certificate.
`joined.near_bound`: the share of sequences with a life that took at least nine tenths of it. `joined.ledger`: the same
through the real ledger. `.traces`: sellers whose reports are all overturned and that differ from a twin without
reports. `.contested`: measures contested before the mechanism looked; `.not_contestable`: contests refused.
`.unrecorded`: looks after which a seller's record differed from the measures in force.

Half an hour on an idle core.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from time import perf_counter
from typing import Any

from scoring.base.errors import PolicyRefused
from scoring.loss_certificate.assumptions import parse_assumptions
from scoring.loss_certificate.certificate import VERDICTS, certify
from scoring.loss_certificate.independent.checking import check_certificate, digest_of
from scoring.loss_certificate.independent.world import NotProven
from scoring.loss_certificate.sensitivity import find_sensitivity
from scoring.loss_certificate.states import build_states
from service.policy.certificate_file import SHIPPED_ASSUMPTIONS, read_assumptions
from tests.scoring.loss_certificate import joined
from tests.scoring.loss_certificate.attackers import live_at_random
from tests.scoring.loss_certificate.damage import damage, forge, forge_statement, misspell, provable, to_be_altered
from tests.scoring.loss_certificate.lives import Life, replay
from tests.scoring.loss_certificate.market import let_loose_in_market
from tests.scoring.loss_certificate.programs import solve_as_linear_program, table_of
from tests.scoring.loss_certificate.toys import TOY, World, make_world, policy_of, shipped_data, stated
from tests.scoring.monotone import draw_policies, find_laxer_day
from tests.service import joined as ledgers

Say = Callable[[str], None]
POLICIES = ("general", "ladder")
ROUNDS, WORLDS, PROGRAMS = 5, 1_000, 200
GENERATIONS, EACH = 10, 25
HISTORIES, DAYS = 100, 20
DAMAGES = 10_000
SEQUENCES, LIVES, LEDGERS = 250, 400, 100
MONOTONE, SELLERS = 1_000, 2


def run(say: Say) -> dict[str, float]:
    figures: dict[str, float] = {}
    for part in (shipped, attacks, attackers, refinement, altered, forged, programs, monotone, across):
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


def attacks() -> dict[str, float]:
    stated_of_shipped = read_assumptions(SHIPPED_ASSUMPTIONS).data
    replayed = differ = 0
    for data, parts in [*((shipped_data(name), stated_of_shipped) for name in POLICIES), *_worlds(WORLDS)]:
        if not _is_exact(data):
            continue
        policy, assumptions = policy_of(data), parse_assumptions(parts)
        found = certify(policy, assumptions)
        for verdict in found["verdicts"].values():
            attack = verdict["attack"]
            total = attack["entry_cash_minor"] + attack["history_cash_minor"] + attack["run_cash_minor"]
            played = replay(policy, assumptions, attack)
            replayed += 1
            differ += not total - attack["deposit_minor"] - 1 <= played <= total - attack["deposit_minor"]
    return {"attacks.replayed": replayed, "attacks.differ": differ}


def attackers() -> dict[str, float]:
    assumptions = read_assumptions(SHIPPED_ASSUMPTIONS)
    tried = above = 0
    ratios = []
    for name in POLICIES:
        policy = policy_of(shipped_data(name))
        verdicts = certify(policy, assumptions)["verdicts"]
        for verdict, is_real in VERDICTS.items():
            bound = verdicts[verdict]["most_minor"]
            totals = [
                total
                for _, total, _ in let_loose_in_market(
                    policy, assumptions, not is_real, GENERATIONS, EACH, seed=len(ratios)
                )
            ]
            tried, above = tried + len(totals), above + sum(total > bound for total in totals)
            ratios += [max(totals) / bound] if bound else []
    return {
        "attackers.tried": tried,
        "attackers.above_bound": above,
        "attackers.best_over_bound": round(min(ratios), 3),
    }


def refinement() -> dict[str, float]:
    laxer, chance = 0, random.Random(1717)
    for data, parts in _worlds(WORLDS):
        policy, assumptions = policy_of(data), parse_assumptions(parts)
        states, known = build_states(policy, assumptions), {}
        for _ in range(HISTORIES):
            life = Life(policy, assumptions, known=known)
            laxer += live_at_random(policy, states, life, chance, DAYS) > 0
    return {"refinement.histories": WORLDS * HISTORIES, "refinement.laxer_than_abstract": laxer}


def altered() -> dict[str, float]:
    certificate = to_be_altered()
    where, chance = provable(certificate), random.Random(99)
    tried = accepted = 0
    while tried < DAMAGES:
        damaged, _ = forge(certificate, chance) if tried % 2 else damage(certificate, where, chance)
        if damaged == certificate:
            continue
        tried += 1
        try:
            check_certificate(TOY, damaged, stated())
            accepted += 1
        except NotProven:
            continue
    return {"altered.tried": tried, "altered.accepted": accepted}


def forged() -> dict[str, float]:
    certificate, chance = to_be_altered(), random.Random(25)
    accepted = 0
    for number in range(DAMAGES):
        if number % 2:
            policy, text = misspell(TOY, chance), ""
            damaged = certificate | {"policy": certificate["policy"] | {"digest": digest_of(policy)}}
            damaged["digest"] = digest_of({key: value for key, value in damaged.items() if key != "digest"})
        else:
            policy, (damaged, text) = TOY, forge_statement(certificate, chance)
        try:
            listed = check_certificate(policy, damaged).not_proven
        except NotProven:
            continue
        accepted += not text or not any(text in one for one in listed)
    return {"forged.tried": DAMAGES, "forged.accepted": accepted}


def programs() -> dict[str, float]:
    stated_of_shipped = read_assumptions(SHIPPED_ASSUMPTIONS).data
    states = differ = 0
    for data, parts in [*((shipped_data(name), stated_of_shipped) for name in POLICIES), *_worlds(PROGRAMS)]:
        assumptions = parse_assumptions(parts)
        abstract = build_states(policy_of(data), assumptions)
        for is_real in VERDICTS.values():
            ours = table_of(abstract, assumptions, is_real)
            theirs = solve_as_linear_program(abstract, assumptions, is_real)
            states += len(ours)
            differ += sum(a != b for a, b in zip(ours, theirs, strict=True))
    return {"lp.states": states, "lp.differ": differ}


def monotone() -> dict[str, float]:
    chance = random.Random(2525)
    broken = 0
    for policy in islice(draw_policies(chance), MONOTONE):
        broken += find_laxer_day(policy, chance, SELLERS) is not None
    return {"monotone.policies": MONOTONE, "monotone.broken": broken}


def across() -> dict[str, float]:
    number, above, near = joined.play(SEQUENCES, LIVES, 25)
    found, faults = ledgers.play(LEDGERS, 25)
    names = ("histories", "above_bound", "traces", "contested", "not_contestable", "unrecorded")
    print(*above[:5], *faults[:5], sep="\n", file=sys.stderr)
    return {
        "joined.histories": number,
        "joined.above_bound": len(above),
        "joined.near_bound": round(near, 3),
        **{f"joined.ledger.{name}": found[name] for name in names},
    }


def _worlds(count: int) -> Iterator[World]:
    chance = random.Random(2026)
    while count:
        data, parts = make_world(chance.randint)
        try:
            policy_of(data)
        except PolicyRefused:
            continue
        count -= 1
        yield data, parts


def _is_exact(data: dict[str, Any]) -> bool:
    """Return whether a day's orders stay whole: without reserves, or without small orders."""
    has_reserve = any(
        m["kind"] == "rolling_reserve" for rule in data["rules"] for m in rule["measures"] if not rule.get("tiers")
    )
    return not has_reserve or data["trade"]["smallest_order_minor"] > 10**5

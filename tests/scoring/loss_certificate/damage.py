"""Damage to certificates: one changed value or a false statement, with a new digest, as a forger would."""

import copy
import json
import random
from typing import Any

from scoring.base.canonical import JsonObject
from scoring.base.enums import MeasureKind, Tier
from scoring.loss_certificate.certificate import GrantedExceptions, GrantedSeller, certify, digest_certificate
from tests.helpers.toys import TOY, assumed, policy_of

SOURCES: list[Any] = [None, "", "  ", 0, [], {"by": "us"}]


def to_be_altered() -> JsonObject:
    lifted = frozenset({("below-100000", MeasureKind.SETTLEMENT_HOLD), ("below-100000", MeasureKind.DEPOSIT)})
    sellers = (
        GrantedSeller("acme", "a", Tier.TRUSTED, 86_400_000_000, frozenset()),
        GrantedSeller("acme", "b", None, None, lifted),
        GrantedSeller("acme", "c", None, None, frozenset({("limit", MeasureKind.VALUE_CAP)})),
    )
    made = certify(
        policy_of(TOY), assumed(), {"against_faked_history": "r.head"}, granted=GrantedExceptions(9, sellers)
    )
    found: JsonObject = json.loads(json.dumps(made))
    return found


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [found for key, part in value.items() for found in places(part, (*path, key))]
    if isinstance(value, list):
        return [found for key, part in enumerate(value) for found in places(part, (*path, key))]
    return [path]


def damage(certificate: JsonObject, where: list[tuple[Any, ...]], chance: random.Random) -> tuple[JsonObject, str]:
    found = copy.deepcopy(certificate)
    path = chance.choice(where)
    parent = found
    for key in path[:-1]:
        parent = parent[key]
    value, kind = parent[path[-1]], chance.choice(["other", "gone", "other", "type"])
    if kind == "gone":
        if isinstance(parent, list):
            parent.pop(path[-1])
        else:
            del parent[path[-1]]
    elif kind == "type":
        parent[path[-1]] = [None, [value], 0.5, {}, ""][chance.randrange(5)]
    elif isinstance(value, bool):
        parent[path[-1]] = not value
    elif isinstance(value, int):
        parent[path[-1]] = value + chance.choice([-1, 1, 1, -(10**6), 10**6, chance.randrange(1, 10**9)])
    else:
        parent[path[-1]] = f"{value}x"
    if path[-1:] != ("digest",):
        found["digest"] = digest_certificate(found)
    return found, f"{kind} at {'.'.join(map(str, path))}"


def provable(certificate: JsonObject) -> list[tuple[Any, ...]]:
    """Return the places whose damage a check must find: all but names of persons and sellers, which no other part
    states.
    """
    names = {"by", "marketplace", "seller", "until", "sequence"}
    return [path for path in places(certificate) if path[-1] not in names]


def forge_statement(certificate: JsonObject, chance: random.Random) -> tuple[JsonObject, str]:
    """Return a copy with an unproven statement, and its text: a check must reject it or list it as not proven."""
    found = copy.deepcopy(certificate)
    part = chance.choice([*(name for name in found["assumptions"] if name != "currency")])
    places = [
        (found, ["sequence_of", "note"]),
        (found["assumptions"], ["carier", "wsh"]),
        (found["assumptions"][part], ["by_product_categry", "day", "note"]),
        (found["verdicts"]["unconditional"], ["proof"]),
        (found["takes"], ["note"]),
    ]
    where, names = chance.choice(places)
    kind, name = chance.choice(["source", "section", "section", "granted", "accepted"]), chance.choice(names)
    text = f"{kind}: {name}"
    if kind == "source":
        found["assumptions"][part].pop("source")
        if source := chance.choice(SOURCES):
            found["assumptions"][part]["source"] = source
    elif kind == "section":
        where[name] = chance.choice([{}, 1, {"days": 1, "source": "cases"}, "x", [1]])
    elif kind == "granted":
        text = f"to 0 sellers alone, by entry {(number := chance.randrange(10**6))} of a ledger"
        found["granted"] = {"sequence": number, "sellers": []}
    else:
        by = chance.choice(["the board", "", " ", 7])
        text = f"{by} accepted against_faked_history"
        most = found["verdicts"]["against_faked_history"]["most_minor"]
        found["accepted"] = [{"verdict": "against_faked_history", "by": by, "most_minor": most}]
    found["digest"] = digest_certificate(found)
    return found, text


def misspell(policy: JsonObject, chance: random.Random) -> JsonObject:
    found = copy.deepcopy(policy)
    parts = [found, found["trade"], *found["rules"], *(part for one in found["rules"] for part in one["measures"])]
    parts += [step for part in parts for step in part.get("grows", ())]
    parts += [rule[name] for rule in found["rules"] for name in ("settled", "tenure", "standing") if name in rule]
    parts += found.get("seasons", [])
    part = chance.choice(parts)
    if chance.random() < 0.5:
        name = chance.choice([*part])
        part[f"{name}s"] = part.pop(name)
    else:
        part["note"] = 1
    return found

"""What a run takes, derived anew: by tier, and of each seller that persons granted more than the policy."""

from collections.abc import Iterable, Mapping
from typing import Any

from scoring.certificate.independent.world import TIERS, Data, Unbounded, World, awaiting, need, whole

GRANTED = {"marketplace", "seller", "tier", "until", "lifted", "most", "is_within"}


def take_of_tier(world: World, tier: str | None) -> dict[str, int]:
    """Return the largest take of a seller of one tier, with a real history."""
    table = world.grant((tier,))
    value = [[0] * len(world.tenure) for _ in world.settled]
    for day in range(world.days - 1, -1, -1):
        value = [
            [
                world.released(terms, day)
                + max(
                    value[to][older]
                    for to in range(b, world.farthest(terms, b) + 1)
                    for older in range(j, min(j + 2, len(row)))
                )
                for j, terms in enumerate(row)
            ]
            for b, row in enumerate(table)
        ]
    net = max(value[b][j] - world.lost(terms.deposit) for b, row in enumerate(table) for j, terms in enumerate(row))
    gross = max(terms.cap for row in table for terms in row) * (world.days + world.notice)
    return {"gross_minor": gross, "after_refunds_minor": max(net, 0)}


def largest_of(takes: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return of several takes the largest of each sort."""
    found = [*takes]
    return {key: max(take[key] for take in found) for key in ("gross_minor", "after_refunds_minor")}


def check_granted(world: World, stated: Data, granted: Any, largest: Mapping[str, int]) -> None:
    """Check the largest take of each seller that persons granted more than the policy; nothing if nobody looked.

    `stated`: the assumptions' data; `largest`: the takes of everybody else.
    """
    if granted is None:
        return
    need(set(granted) == {"sequence", "sellers"}, "what persons granted has other parts")
    whole(granted["sequence"])
    names = [(one["marketplace"], one["seller"]) for one in granted["sellers"]]
    need(names == sorted(set(names)), "sellers that persons granted something are not in order, or not once each")
    known = {(rule["id"], measure["kind"]) for rule in world.policy.get("rules", ()) for measure in rule["measures"]}
    for one, name in zip(granted["sellers"], names, strict=True):
        who = f"what persons granted {'/'.join(name)}"
        need(
            set(one) == GRANTED and all(set(each) == {"rule", "kind"} for each in one["lifted"]),
            f"{who} has other parts",
        )
        need((one["tier"] is None) == (one["until"] is None) and one["tier"] in TIERS, f"{who}: no such tier")
        lifted = [(each["rule"], each["kind"]) for each in one["lifted"]]
        need(lifted == sorted(set(lifted)), f"{who}: measures are not in order, or not once each")
        need(set(lifted) <= known, f"{who}: the policy has no such measure")
        most = _take_without(world, stated, lifted)
        need(one["most"] == most, f"{who}: {one['most']} is stated as the most, and it is {most}")
        is_within = most is not None and all(most[key] <= value for key, value in largest.items())
        need(one["is_within"] is is_within, f"{who} is not as stated within the bound")


def _take_without(world: World, stated: Data, lifted: list[tuple[str, str]]) -> dict[str, int] | None:
    """Return the largest take of any tier by the policy without some measures; None if nothing bounds it."""
    rules = world.policy.get("rules", ())
    gone = {*lifted} | {(rule["id"], "deposit") for rule in rules if (awaiting(rule["id"]), "value_cap") in lifted}
    rules = [
        {**rule, "measures": [m for m in rule["measures"] if (rule["id"], m["kind"]) not in gone]} for rule in rules
    ]
    try:
        without = World({**world.policy, "rules": rules}, stated)
    except Unbounded:
        return None
    return largest_of(take_of_tier(without, tier) for tier in TIERS)

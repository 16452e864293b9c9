"""Takes of a run, derived again: by tier, of sellers with grants, and across several policies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from scoring.loss_certificate.independent.world import (
    MILLION,
    TIERS,
    Data,
    Unbounded,
    World,
    awaiting,
    complete,
    name_of,
    need,
    whole,
)

GRANTED = {"marketplace", "seller", "tier", "until", "lifted", "most", "is_within"}


def take_of_tier(world: World, tier: str | None) -> dict[str, int]:
    """Return the largest take of a seller of one tier, with a real history."""
    table = world.grant((tier,), world.settled, world.tenure)
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
    """Return the largest take of each sort."""
    found = [*takes]
    return {key: max(take[key] for take in found) for key in ("gross_minor", "after_refunds_minor")}


def check_granted(world: World, stated: Data, granted: Any, largest: Mapping[str, int]) -> None:
    """Check the largest take of each seller with grants; nothing if grants were not considered.

    `stated`: the assumptions' data; `largest`: the takes of all other sellers.
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


def entry_costs(world: World, b: int, j: int) -> Iterator[int]:
    """Yield the cost of entering each state with a name, without its deposit."""
    if b == 0 and j == 0:
        yield world.identity
    yield world.aged[0] + world.settled[b] * world.aged[1] // MILLION


def check_sequence(policies: Sequence[Data], certificate: Data) -> None:
    """Check the most that one name gets in a run across several policies, the oldest first; the last is certified."""
    sequence = certificate["sequence"]
    if len(policies) == 1:
        need(sequence is None, "the certificate counts policies before its own, which are not at hand")
        return
    alone = [World(complete(policy), certificate["assumptions"]) for policy in policies]
    worlds, before = (
        [World(one.policy, certificate["assumptions"], among) for one in among] for among in (alone, alone[:-1])
    )
    verdicts = {"against_faked_history": False, "unconditional": True}
    found = {
        "older": [name_of(policy) for policy in policies[:-1]],
        "run_days": worlds[0].days,
        "most_minor": {name: _most_of(worlds, is_real) for name, is_real in verdicts.items()},
        "before_minor": {name: _most_of(before, is_real) for name, is_real in verdicts.items()},
    }
    need(sequence == found, "the sums of a run across policies are not theirs")


def _most_of(worlds: Sequence[World], is_real: bool) -> int:
    """Return the most that one name gets: a run begins under any policy, and a later one may replace it on any day."""
    last, most = worlds[-1], 0
    price, buckets, ages = last.price(is_real), range(len(last.settled)), range(len(last.tenure))
    cheapest = [
        min(cost + max(price[b] - price[start], 0) for start in buckets for cost in entry_costs(last, start, 0))
        for b in buckets
    ]
    zero = [[0 for _ in ages] for _ in buckets]
    reach = [[max(one.farthest(one.terms[b][j], b) for one in worlds) for j in ages] for b in buckets]
    asked = [[terms.deposit for terms in row] for row in last.terms]
    after = [zero] * (last.days + 1)
    for world in reversed(worlds):
        tables = [zero] * (last.days + 1)
        for day in range(last.days - 1, -1, -1):
            grown = price if day < last.claim_days else [0] * len(price)
            ahead = [[*map(max, *rows)] for rows in zip(tables[day + 1], after[day + 1], strict=True)]
            tables[day] = [
                [
                    max(
                        0,
                        world.released(world.terms[b][j], day)
                        + max(
                            ahead[to][older] - grown[to] + grown[b]
                            for to in range(b, reach[b][j] + 1)
                            for older in range(j, min(j + 2, len(ages)))
                        ),
                    )
                    for j in ages
                ]
                for b in buckets
            ]
        asked = [[min(asked[b][j], world.terms[b][j].deposit) for j in ages] for b in buckets]
        gains = (tables[0][b][j] - world.lost(asked[b][j]) - cheapest[b] for b in buckets for j in ages)
        most = max(most, *gains)
        after = [[[*map(max, *rows)] for rows in zip(*pair, strict=True)] for pair in zip(tables, after, strict=True)]
    return most

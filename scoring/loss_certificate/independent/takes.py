"""Takes of a run: by tier, of sellers with grants, and across several policies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from scoring.loss_certificate.independent.world import (
    MILLION,
    TIERS,
    Data,
    Terms,
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
    table = world.grant((tier,), world.settled, world.tenure)
    ahead = world.paid_on_young(table, is_free=True)
    [value, *_] = _solve_run(world, table, [0] * len(table), _find_reach([world], [table]), ahead)
    net = max(value[b][j] - world.lost(terms.deposit) for b, row in enumerate(table) for j, terms in enumerate(row))
    gross = max(terms.cap for row in table for terms in row) * (world.days + world.notice)
    return {"gross_minor": gross, "after_refunds_minor": max(net, 0)}


def _find_reach(worlds: Sequence[World], tables: Sequence[list[list[Terms]]]) -> list[list[int]]:
    """Return the last bucket that a run's day leads to from each, by the farthest policy."""
    rows = [
        [[world.farthest(terms, b) for terms in row] for b, row in enumerate(table)]
        for world, table in zip(worlds, tables, strict=True)
    ]
    return _most_of_each(rows)


def _most_of_each(tables: Sequence[list[list[int]]]) -> list[list[int]]:
    return [[max(values) for values in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]


def _solve_run(
    world: World,
    table: list[list[Terms]],
    price: Sequence[int],
    reach: list[list[int]],
    ahead: list[list[int]],
    after: Sequence[Any] = (),
) -> list[list[list[int]]]:
    """Return the rest of a run's gain on each day, and `ahead` after it; `after`: under later policies."""
    ages = range(len(table[0]))
    found = [ahead]
    for day in range(world.days - 1, -1, -1):
        grown = price if day < world.claim_days else [0] * len(price)
        ahead = _most_of_each([found[0], *after[day + 1 : day + 2]])
        found.insert(
            0,
            [
                [
                    max(
                        0,
                        world.released(terms, day)
                        + max(
                            ahead[to][older] - grown[to] + grown[b]
                            for to in range(b, reach[b][j] + 1)
                            for older in ages[j : j + 2]
                        ),
                    )
                    for j, terms in enumerate(row)
                ]
                for b, row in enumerate(table)
            ],
        )
    return found


def largest_of(takes: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found = [*takes]
    return {key: max(take[key] for take in found) for key in ("gross_minor", "after_refunds_minor")}


def check_granted(world: World, stated: Data, granted: Any, largest: Mapping[str, int]) -> None:
    """Check the largest take of each seller with grants; `largest`: of all others."""
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
    """Check the most that one name gets across policies, the oldest first; the last is certified."""
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
    last, most = worlds[-1], 0
    after: list[list[list[int]]] = []
    price, buckets = last.price(is_real), range(len(last.settled))
    cheapest = [
        min(cost + max(price[b] - price[start], 0) for start in buckets for cost in entry_costs(last, start, 0))
        for b in buckets
    ]
    reach = _find_reach(worlds, [world.terms for world in worlds])
    ahead = _most_of_each([world.paid_on_young(world.terms, is_real) for world in worlds])
    asked = [[terms.deposit for terms in row] for row in last.terms]
    for world in reversed(worlds):
        found = _solve_run(world, world.terms, price, reach, ahead, after)
        asked = [
            [*map(min, old, (terms.deposit for terms in row))] for old, row in zip(asked, world.terms, strict=True)
        ]
        gains = (
            gain - last.lost(deposit) - cheapest[b]
            for b in buckets
            for gain, deposit in zip(found[0][b], asked[b], strict=True)
        )
        most = max(most, *gains)
        after = [_most_of_each(pair) for pair in zip(found, after, strict=True)] if after else found
    return most

"""An independent check of a loss certificate, in plain Python.

It derives states, terms and edges from the files' data, and proves each value of both tables by its best edge. The
three files of this package also work alone.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from scoring.loss_certificate.independent.world import (
    ASSUMED,
    MILLION,
    TIERS,
    Data,
    NotProven,
    Unbounded,
    World,
    WorldTerms,
    add_implied_rules,
    digest_of,
    identify_policy,
    list_not_covered,
    name_awaiting_rule,
    need,
    require_whole,
)

GRANTED = {"marketplace", "seller", "tier", "until", "lifted", "most", "is_within"}


def find_take_of_tier(world: World, tier: str | None) -> dict[str, int]:
    """Return the most that a run takes at a tier: `gross_minor`, `after_refunds_minor`."""
    table = world.list_laxest_terms((tier,), world.settled, world.tenure)
    ahead = world.find_paid_on_young(table, is_free=True)
    [value, *_] = _solve_run(world, table, [0] * len(table), _find_farthest_buckets([world], [table]), ahead)
    net = max(map(max, _subtract_lost_deposits(world, table, value)))
    gross = max(terms.cap for row in table for terms in row) * (world.days + world.notice)
    return {"gross_minor": gross, "after_refunds_minor": max(net, 0)}


def _subtract_lost_deposits(world: World, table: list[list[WorldTerms]], gains: list[list[int]]) -> list[list[int]]:
    return [
        [gain - world.find_lost_deposit(terms.deposit) for terms, gain in zip(*rows, strict=True)]
        for rows in zip(table, gains, strict=True)
    ]


def _find_farthest_buckets(worlds: Sequence[World], tables: Sequence[list[list[WorldTerms]]]) -> list[list[int]]:
    rows = [
        [[world.find_farthest_bucket(terms, b) for terms in row] for b, row in enumerate(table)]
        for world, table in zip(worlds, tables, strict=True)
    ]
    return _join_largest_values(rows)


def _join_largest_values(tables: Sequence[list[list[int]]]) -> list[list[int]]:
    return [[max(values) for values in zip(*rows, strict=True)] for rows in zip(*tables, strict=True)]


def _solve_run(
    world: World,
    table: list[list[WorldTerms]],
    price: Sequence[int],
    reach: list[list[int]],
    ahead: list[list[int]],
    after: Sequence[Any] = (),
) -> list[list[list[int]]]:
    """Return the rest of a run's gain on each day, and `ahead` after it; `after`: under later policies."""
    tables = [ahead]
    for day in range(world.days - 1, -1, -1):
        following = _join_largest_values([tables[0], *after[day + 1 : day + 2]])
        tables.insert(0, _solve_day(world, table, price, reach, following, day))
    return tables


def _solve_day(
    world: World,
    table: list[list[WorldTerms]],
    price: Sequence[int],
    reach: list[list[int]],
    following: Sequence[Sequence[int]],
    day: int,
) -> list[list[int]]:
    """Return the rest of a run's gain from each state on a day; `following`: of the next day."""
    price_of_growth = price if day < world.claim_days else [0] * len(price)
    return [
        [
            max(
                0,
                world.find_most_released(terms, day)
                + max(
                    value - price_of_growth[to] + price_of_growth[b]
                    for to in range(b, reach[b][j] + 1)
                    for value in following[to][j : j + 2]
                ),
            )
            for j, terms in enumerate(row)
        ]
        for b, row in enumerate(table)
    ]


def join_largest(takes: Iterable[Mapping[str, int]]) -> dict[str, int]:
    all_takes = [*takes]
    return {key: max(take[key] for take in all_takes) for key in ("gross_minor", "after_refunds_minor")}


def check_granted(world: World, assumed: Data, granted: Any, largest: Mapping[str, int]) -> None:
    """Raise NotProven unless the stated takes of sellers with grants are right; `largest`: of all others."""
    if granted is None:
        return
    need(set(granted) == {"sequence", "sellers"}, "what persons granted has other parts")
    require_whole(granted["sequence"])
    names = [(one["marketplace"], one["seller"]) for one in granted["sellers"]]
    need(names == sorted(set(names)), "sellers that persons granted something are not in order, or not once each")
    measures = {(rule["id"], measure["kind"]) for rule in world.policy.get("rules", ()) for measure in rule["measures"]}
    for one, name in zip(granted["sellers"], names, strict=True):
        who = f"what persons granted {'/'.join(name)}"
        need(
            set(one) == GRANTED and all(set(each) == {"rule", "kind"} for each in one["lifted"]),
            f"{who} has other parts",
        )
        need((one["tier"] is None) == (one["until"] is None) and one["tier"] in TIERS, f"{who}: no such tier")
        lifted = [(each["rule"], each["kind"]) for each in one["lifted"]]
        need(lifted == sorted(set(lifted)), f"{who}: measures are not in order, or not once each")
        need(set(lifted) <= measures, f"{who}: the policy has no such measure")
        most = _find_take_without(world, assumed, lifted)
        need(one["most"] == most, f"{who}: {one['most']} is stated as the most, and it is {most}")
        is_within = most is not None and all(most[key] <= value for key, value in largest.items())
        need(one["is_within"] is is_within, f"{who} is not as stated within the bound")


def _find_take_without(world: World, assumed: Data, lifted: list[tuple[str, str]]) -> dict[str, int] | None:
    """Return the most that a seller freed of `lifted` measures takes at any tier; None if unbounded."""
    rules = world.policy.get("rules", ())
    # An awaiting rule's cap stops sales until the deposit is placed; without it a cheat places none.
    gone = {*lifted} | {
        (rule["id"], "deposit") for rule in rules if (name_awaiting_rule(rule["id"]), "value_cap") in lifted
    }
    rules = [
        {**rule, "measures": [m for m in rule["measures"] if (rule["id"], m["kind"]) not in gone]} for rule in rules
    ]
    try:
        without = World({**world.policy, "rules": rules}, assumed)
    except Unbounded:
        return None
    return join_largest(find_take_of_tier(without, tier) for tier in TIERS)


def list_entry_costs(world: World, b: int, j: int) -> Iterator[int]:
    """Yield each cost, in minor units, of entering a bucket `b` and tenure `j`, without the deposit: new, then bought."""
    if b == 0 and j == 0:
        yield world.identity
    yield world.aged[0] + world.settled[b] * world.aged[1] // MILLION


def check_sequence(policies: Sequence[Data], certificate: Data) -> None:
    """Check the most that one name gets across policies, the oldest first; the last is certified."""
    sequence = certificate["sequence"]
    if len(policies) == 1:
        need(sequence is None, "the certificate counts policies before its own, which are not at hand")
        return
    alone = [World(add_implied_rules(policy), certificate["assumptions"]) for policy in policies]
    worlds, before = (
        [World(one.policy, certificate["assumptions"], among) for one in among] for among in (alone, alone[:-1])
    )
    verdicts = {"against_faked_history": False, "unconditional": True}
    sums = {
        "older": [identify_policy(policy) for policy in policies[:-1]],
        "run_days": worlds[0].days,
        "most_minor": {name: _find_most_of_sequence(worlds, is_real) for name, is_real in verdicts.items()},
        "before_minor": {name: _find_most_of_sequence(before, is_real) for name, is_real in verdicts.items()},
    }
    need(sequence == sums, "the sums of a run across policies are not theirs")


def _find_most_of_sequence(worlds: Sequence[World], is_real: bool) -> int:
    """Return the most that a new name gets while these policies follow one another."""
    last, most = worlds[-1], 0
    after: list[list[list[int]]] = []
    price, buckets = last.list_history_costs(is_real), range(len(last.settled))
    cheapest = [
        min(cost + max(price[b] - price[start], 0) for start in buckets for cost in list_entry_costs(last, start, 0))
        for b in buckets
    ]
    reach = _find_farthest_buckets(worlds, [world.terms for world in worlds])
    ahead = _join_largest_values([world.find_paid_on_young(world.terms, is_real) for world in worlds])
    deposits = [[terms.deposit for terms in row] for row in last.terms]
    for world in reversed(worlds):
        tables = _solve_run(world, world.terms, price, reach, ahead, after)
        deposits = [
            [*map(min, old, (terms.deposit for terms in row))] for old, row in zip(deposits, world.terms, strict=True)
        ]
        gains = (
            gain - last.find_lost_deposit(deposit) - cheapest[b]
            for b in buckets
            for gain, deposit in zip(tables[0][b], deposits[b], strict=True)
        )
        most = max(most, *gains)
        after = [_join_largest_values(pair) for pair in zip(tables, after, strict=True)] if after else tables
    return most


FORMAT = "loss-certificate@4"
PARTS = (
    "format policy currency assumptions most_loss_minor run_days notice_days settled tenure deposits verdicts"
    " temptation_minor takes granted sequence overturned_ppm not_covered accepted digest"
)

ATTACK = {
    *("entered_with_minor", "entry_cash_minor", "deposit_minor", "history_cash_minor", "days", "run_cash_minor"),
    *("ended_with_minor", "ended_after_days", "ahead_minor"),
}


class CheckResult(NamedTuple):
    states: int
    edges: int
    not_proven: tuple[str, ...]
    """Statements of the certificate that no check of it alone can prove."""


def check_certificate(
    policy: Data,
    certificate: Data,
    assumptions: Data | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    older: Sequence[Data] = (),
) -> CheckResult:
    """Prove a certificate of a policy, edge by edge. Raise NotProven, which names the first fault.

    `older`: the data of the earlier policies, the oldest first.
    """
    try:
        _check_frame(policy, certificate, assumptions)
        check_sequence([*older, policy], certificate)
        world = World(add_implied_rules(policy), certificate["assumptions"])
        world.compare(certificate)
        return _check_verdicts_and_figures(world, certificate, progress)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise NotProven(f"a part is missing or of another form: {type(error).__name__} {error}") from None


def _check_verdicts_and_figures(
    world: World, certificate: Data, progress: Callable[[str, int, int], None] | None
) -> CheckResult:
    edges = 0
    for name, is_real in (("against_faked_history", False), ("unconditional", True)):
        verdict = certificate["verdicts"][name]
        need(
            set(verdict) == {"holds", "most_minor", "attack", "building", "running", "ahead"}, f"{name} has other parts"
        )
        edges += _check_verdict(world, name, verdict, is_real, progress)
    _check_figures(world, certificate)
    return CheckResult(world.count_states(), edges, tuple(_list_not_proven(certificate)))


def _list_not_proven(certificate: Data) -> Iterator[str]:
    for name in ASSUMED:
        if name in certificate["assumptions"]:
            yield f"the assumption {name} holds, by its source: {certificate['assumptions'][name]['source']}"
    granted = certificate["granted"]
    if granted is None:
        yield "nobody was granted more than the policy: nobody looked"
    else:
        number = len(granted["sellers"])
        yield f"persons granted more than the policy to {number} sellers alone, by entry {granted['sequence']} of a ledger"
    for one in certificate["accepted"]:
        yield f"{one['by']} accepted {one['verdict']}"


def _check_frame(policy: Data, certificate: Data, assumptions: Data | None) -> None:
    need(set(certificate) == {*PARTS.split()}, "the certificate lacks a part, or has one that is none")
    need(certificate["format"] == FORMAT, f"the certificate is not of the form {FORMAT}")
    content = {key: value for key, value in certificate.items() if key != "digest"}
    need(certificate["digest"] == digest_of(content), "the certificate was altered: its digest is another")
    need(certificate["policy"] == identify_policy(policy), "the certificate is of another policy")
    need(
        certificate["currency"] == certificate["assumptions"]["currency"] == policy.get("currency"),
        "the certificate, its assumptions and the policy are not in one currency",
    )
    need(assumptions is None or certificate["assumptions"] == assumptions, "the certificate rests on other assumptions")
    need("trade" in policy, "the policy states no limits of trade")
    need(
        certificate["not_covered"] == list_not_covered(policy),
        "what the certificate does not cover is stated otherwise",
    )
    allowed = policy["trade"].get("most_loss_minor", 0)
    need(certificate["most_loss_minor"] == allowed, "the loss that the policy allows is not as stated")
    need(set(certificate["verdicts"]) == {"against_faked_history", "unconditional"}, "a verdict is missing")


def _check_verdict(
    world: World, name: str, verdict: Data, is_real: bool, progress: Callable[[str, int, int], None] | None
) -> int:
    """Prove every state's value and the most that can be taken; return the number of edges that were tried."""
    price, running, building = world.list_history_costs(is_real), verdict["running"], verdict["building"]
    sizes = (len(world.settled), len(world.tenure))
    need(_measure_table(running) == (world.days, *sizes), f"{name} lacks a state of a run")
    need(_measure_table(building) == (*sizes, len(world.deposits)), f"{name} lacks a state")
    need(
        verdict["ahead"] == world.find_paid_on_young(world.terms, is_real),
        f"{name}: payouts on young orders are not these",
    )
    reach = _find_farthest_buckets([world], [world.terms])
    edges = world.days * sum(
        (last - b + 1) * len(row[j : j + 2]) + 1 for b, row in enumerate(reach) for j, last in enumerate(row)
    )
    for day in range(world.days):
        best = _solve_day(world, world.terms, price, reach, [*running, verdict["ahead"]][day + 1], day)
        for b, (stated_row, best_row) in enumerate(zip(running[day], best, strict=True)):
            _require_same(stated_row, best_row, f"{name}, day {day} of a run, bucket {b}")
        refunds_pay = any(less > more for rows in itertools.pairwise(best) for less, more in zip(*rows, strict=True))
        need(not refunds_pay, f"{name}: a refund pays on day {day} of a run")
        if progress is not None:
            progress(f"check {name}", day + 1, world.days)
    for place in itertools.product(*map(range, _measure_table(building))):
        bucket, tenure, deposit = place
        values = list(_list_values_before_run(world, building, running, price, place))
        edges += len(values)
        _require_same(building[bucket][tenure][deposit], max(values), f"{name}, bucket {bucket}, {tenure}, {deposit}")
    gains_fresh = [
        building[b][j][world.deposits.index(terms.deposit)] - terms.deposit - cost
        for b, row in enumerate(world.terms)
        for j, terms in enumerate(row)
        for cost in list_entry_costs(world, b, j)
    ]
    most = max(0, *gains_fresh)
    _require_same(verdict["most_minor"], most, f"{name}, fresh")
    need(verdict["holds"] is (most <= (world.most_loss if is_real else 0)), f"{name} does not hold as stated")
    gain_at_once = max(0, *map(max, _subtract_lost_deposits(world, world.terms, running[0])))
    gain_after_building = max(
        b[j][k] - world.deposits[k] for b in building for j in range(sizes[1]) for k in range(len(world.deposits))
    )
    _require_same(gain_after_building, gain_at_once, f"{name}, the best state")
    _require_same(max(0, _check_attack(world, name, verdict, price)), most, f"{name}, the attack")
    return edges + len(gains_fresh)


def _measure_table(table: Any) -> tuple[int, int, int]:
    try:
        sizes = {(len(table), len(rows), len(row)) for rows in table for row in rows}
        need(
            len(sizes) == 1 and all(type(v) is int for rows in table for row in rows for v in row), "a table is uneven"
        )
    except TypeError:
        raise NotProven("a table is none") from None
    [size] = sizes
    return size


def _require_same(claimed: object, best: object, where: str) -> None:
    if claimed != best:
        raise NotProven(f"{where}: {claimed} is stated, and its best edge gives {best}")


def _list_values_before_run(
    world: World, building: Any, running: Any, price: Sequence[int], place: tuple[int, ...]
) -> Iterator[int]:
    """Yield the value of each edge from a state before a run."""
    b, j, k = place
    deposit = world.deposits[k]
    yield deposit
    if deposit >= world.terms[b][j].deposit or not world.refilled:
        yield running[0][b][j] + (deposit if world.comes_back else 0)
    if b + 1 < len(world.settled):
        yield building[b + 1][j][k] - price[b + 1] + price[b]  # sells, to itself or in earnest
    if b > 0:
        yield building[b - 1][j][k]
    if j + 1 < len(world.tenure):
        yield building[b][j + 1][k]
    if k > 0:
        # cheats a little: claims are drawn from the deposit
        yield building[b][j][k - 1] + deposit - world.deposits[k - 1]
    if k + 1 < len(world.deposits):
        yield building[b][j][k + 1] + deposit - world.deposits[k + 1]  # refills the deposit


def _check_attack(world: World, name: str, verdict: Data, price: Sequence[int]) -> int:
    """Check each step of an attack; return what it takes, in minor units."""
    attack = verdict["attack"]
    days = attack["days"]
    need(set(attack) == ATTACK, f"{name}: the attack has other parts")
    need(len(days) == world.days, f"{name}: the attack does not end with the stop")
    places = [(world.settled.index(d["settled_minor"]), world.tenure.index(d["tenure_days"])) for d in days]
    places.append((world.settled.index(attack["ended_with_minor"]), world.tenure.index(attack["ended_after_days"])))
    entered = world.settled.index(attack["entered_with_minor"])
    bought = [cost for j in range(len(world.tenure)) for cost in list_entry_costs(world, entered, j)]
    start, cash = places[0], 0
    need(-attack["entry_cash_minor"] in bought and entered <= start[0], f"{name}: the attack has no such entry")
    _require_same(attack["history_cash_minor"], price[entered] - price[start[0]], f"{name}, the attack's history")
    _require_same(
        attack["deposit_minor"],
        world.find_lost_deposit(world.terms[start[0]][start[1]].deposit),
        f"{name}, the attack's deposit",
    )
    for day, ((b, j), (to, older), step) in enumerate(zip(places, places[1:], days, strict=False)):
        terms = world.terms[b][j]
        price_of_growth = price[to] - price[b] if day < world.claim_days else 0
        need(
            b <= to <= world.find_farthest_bucket(terms, b) and j <= older <= j + 1, f"{name}: day {day} leads nowhere"
        )
        expected = {
            "settled_minor": world.settled[b],
            "tenure_days": world.tenure[j],
            "captured_minor": terms.cap,
            "released_minor": world.find_most_released(terms, day),
            "washed_minor": world.settled[to] - world.settled[b],
        }
        _require_same(step, expected, f"{name}, day {day} of the attack")
        cash += step["released_minor"] - price_of_growth
    ended, aged = places[-1]
    _require_same(attack["ahead_minor"], verdict["ahead"][ended][aged], f"{name}, the attack's payouts on young orders")
    cash += attack["ahead_minor"]
    _require_same(attack["run_cash_minor"], cash, f"{name}, the attack's run")
    total: int = attack["entry_cash_minor"] + attack["history_cash_minor"] + cash - attack["deposit_minor"]
    return total


def _check_figures(world: World, certificate: Data) -> None:
    running = certificate["verdicts"]["unconditional"]["running"]
    temptation = _subtract_lost_deposits(world, world.terms, running[0])
    need(certificate["temptation_minor"] == temptation, "the temptation is not what a run brings less the deposit")
    by_tier = {"none" if tier is None else tier: find_take_of_tier(world, tier) for tier in TIERS}
    largest = join_largest(by_tier.values())
    takes = {
        "by_tier": by_tier,
        "largest": largest,
        "runners": world.runners,
        "runners_on_one_day": {key: value * world.runners for key, value in largest.items()},
    }
    need(certificate["takes"] == takes, "the takes are not those of the policy's tiers")
    check_granted(world, certificate["assumptions"], certificate["granted"], largest)
    need(certificate["overturned_ppm"] == world.overturned, "the share that is overturned is not the assumed one")
    sequence = certificate["sequence"] or {"most_minor": {}, "before_minor": {}}
    sums = {name: one["most_minor"] for name, one in certificate["verdicts"].items()}
    sums |= {name: most for name, most in sequence["most_minor"].items() if most > sequence["before_minor"][name]}
    sums = {name: most for name, most in sums.items() if most > (world.most_loss if name == "unconditional" else 0)}
    beyond = [one["most"] for one in (certificate["granted"] or {"sellers": ()})["sellers"] if not one["is_within"]]
    if beyond and None not in beyond:
        sums["granted"] = max(most["after_refunds_minor"] for most in beyond)
    names = [one["verdict"] for one in certificate["accepted"]]
    need(names == sorted(set(names)), "what is accepted is not in order, or not once each")
    for one in certificate["accepted"]:
        need(set(one) == {"verdict", "by", "most_minor"}, "who accepted is not stated")
        need(isinstance(one["by"], str) and one["by"].strip() != "", "who accepted is not stated")
        need(one["verdict"] in sums and one["most_minor"] == sums[one["verdict"]], "another sum was accepted")

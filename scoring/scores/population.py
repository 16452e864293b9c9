"""Many sellers at one time, with their tiers and terms by any policy, as arrays; each situation is answered once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from scoring.base.arrays import Bools, Ints, first_of_runs
from scoring.base.enums import Tier
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.caution.cautions import Caution
from scoring.features.facts import Facts
from scoring.features.resolved import SellerFacts
from scoring.model.artifact import Artifact
from scoring.policy.history import find_bounds, list_established, trace_facts
from scoring.policy.measures import Terms, combine
from scoring.policy.policy import Policy
from scoring.policy.rules import Counter, Ladder, Operand, Quantity, SettledValue, Situation
from scoring.policy.space import build_space
from scoring.scores.look_back import look_back
from scoring.scores.points import find_points
from scoring.scores.settled_value import (
    add_up_settled,
    count_good_orders,
    find_rates_and_missing_days,
)
from scoring.scores.tiers import NO_TIER, decide_tiers, find_cases_with_violation, find_rated


@frozen
class Population:
    """Arrays of shape (n,)."""

    marketplace: str
    known: SellerFacts
    artifact: Artifact | None
    facts: Facts
    points: Ints | None
    """Now and on the requested last day-ends, of shape (views, n). Set if a model is served."""

    @property
    def exists(self) -> Bools:
        return self.facts.exists

    def largest_products(self) -> list[str]:
        """Return each seller's product category with the most settled orders; "" without orders."""
        products = self.known.table.products
        n, width = self.facts.cases, max(len(products), 1)
        sold = np.zeros((n, width), dtype=np.int64)
        np.add.at(sold, (self.facts.exposure_case, self.facts.exposure_product), self.facts.exposure_orders)
        names = np.array([*products, ""], dtype=object)
        return [str(name) for name in names[np.where(sold.any(axis=1), sold.argmax(axis=1), -1)]]

    def sells(self, product_category: str) -> Bools:
        sells = np.zeros(self.facts.cases, dtype=np.bool_)
        codes = [code for code, name in enumerate(self.known.table.products) if name == product_category]
        sells[self.facts.exposure_case[np.isin(self.facts.exposure_product, codes)]] = True
        return sells


def observe(
    seller_facts: SellerFacts, marketplace: str, artifact: Artifact | None, policies: Sequence[Policy]
) -> Population:
    """Return sellers with their facts and points, now and at midnights, enough to place them by any of `policies`."""
    points = None
    if artifact is None:
        facts = seller_facts.view().facts
    else:
        widest = max(policies, key=lambda policy: policy.clear_days)
        points_found = find_points(seller_facts, artifact, widest)
        facts, points = points_found.facts, np.concatenate([points_found.now[None], points_found.midnights])
    return Population(marketplace, seller_facts, artifact, facts, points)


@frozen
class Placement:
    tier: Ints
    """Numbers of tiers, or NO_TIER."""
    tier_points: Ints
    """The lowest points that count for the tier, -1 unless rated."""
    terms: Sequence[Terms]
    terms_of: Ints
    """By seller, the index of its terms."""
    by_rules_of: Ints
    """The same without cautions."""
    by_rule: Mapping[str, int]
    """Number of sellers by rule id."""


def place(policy: Policy, people: Population, deposits: Ints | None = None) -> Placement:
    """Return the tier and terms of each seller by a policy.

    `deposits`: of shape (days, n), in minor units; None counts as 0. Terms state the whole deposit.
    """
    n = people.facts.cases
    if deposits is None:
        deposits = np.zeros((policy.rule_book.refill_days + 1, n), dtype=np.int64)
    standing = np.zeros(n, dtype=np.int64) if policy.standing is None else policy.standing.add_up(people.facts)
    tier, tier_points = _find_tiers(policy, people, standing)
    rules = policy.rule_book.rules
    axes = [axis for axis in build_space(policy).axes if axis.operand is not Quantity.DAY]
    values = _find_operand_values(policy, people, standing, deposits)
    edges = [_round_down_to_edges(axis.values, values.get(axis.operand, np.zeros(n, dtype=np.int64))) for axis in axes]
    is_rated_by_violation = (
        (people.points is not None)
        & find_cases_with_violation(people.facts)
        & (people.facts.override == 0)
        & policy.is_thin(people.facts.settled_orders, people.facts.tenure_days)
    )
    keys, inverse = np.unique(np.stack([tier, *edges, is_rated_by_violation], axis=1), axis=0, return_inverse=True)
    key_of_seller = inverse.ravel()
    sizes = np.bincount(key_of_seller[people.exists], minlength=len(keys))
    terms: dict[Terms, int] = {}
    terms_of_key: list[int] = []
    by_rule = dict.fromkeys((rule.id for rule in rules), 0)
    situations_with_later_rule: dict[int, Situation] = {}
    for key, size in zip(keys.tolist(), sizes.tolist(), strict=True):
        reached = {axis.operand: value for axis, value in zip(axes, key[1:-1], strict=True)}
        reached |= {Quantity.DAY: people.known.observe_time // DAY}
        key_tier = Tier(key[0]) if key[0] != NO_TIER else None
        seller = Situation.of_values(key_tier, reached, people.marketplace, bool(key[-1]))
        holding = {applied.rule.id: applied.rule for applied in policy.rule_book.apply(seller)}
        for name in holding:
            by_rule[name] += size
        if any(rule.begins_later for rule in holding.values()):
            situations_with_later_rule[len(terms_of_key)] = seller
        terms_of_key.append(terms.setdefault(policy.rule_book.terms(seller), len(terms)))
    terms_of = np.array(terms_of_key, dtype=np.int64)[key_of_seller]
    cases = np.flatnonzero(np.isin(key_of_seller, [*situations_with_later_rule]) & people.exists).tolist()
    begins = _trace_later_rules(policy, people, cases, is_rated_by_violation)
    for case, begin_by_rule in zip(cases, begins, strict=True):
        seller = situations_with_later_rule[int(key_of_seller[case])]
        stricter = policy.rule_book.terms(seller, begin_by_rule, people.known.observe_time)
        terms_of[case] = terms.setdefault(stricter, len(terms))
    return Placement(tier, tier_points, [*terms], terms_of, terms_of, by_rule)


def _find_operand_values(policy: Policy, people: Population, standing: Ints, deposits: Ints) -> dict[Operand, Ints]:
    """Return, by what the policy's rules ask about, the value of each seller."""
    facts, table, book = people.facts, people.known.table, policy.rule_book
    values: dict[Operand, Ints] = {
        Quantity.STANDING: standing,
        Quantity.TENURE: facts.tenure_days,
        Quantity.DEPOSIT: deposits[0],
        Quantity.GOOD_ORDERS: count_good_orders(facts),
    }
    values |= {SettledValue(name): value for name, value in add_up_settled(facts, table, book.currency).items()}
    values.update(find_rates_and_missing_days(facts, table, book, deposits).items())
    for operand in book.operands:
        if isinstance(operand, Counter):
            values[operand] = count_incidents(operand, facts, facts.cases)
        elif isinstance(operand, Ladder) and policy.standing is not None:
            values[operand] = policy.standing.add_up(facts, categories=operand.categories)
    return values


def _trace_later_rules(
    policy: Policy, people: Population, cases: Sequence[int], is_rated_by_violation: Bools
) -> Iterator[dict[str, int | None]]:
    """Yield, for each of `cases`, since when each rule that begins later holds, in microseconds."""
    rules = [rule for rule in policy.rule_book.rules if rule.begins_later]
    table, facts, time = people.known.table, people.facts, people.known.observe_time
    rows_of = table.rows_by_case() if cases else []
    established = list_established(facts, table.rows, rows_of, time) if cases else []
    asks_for_tier = cases and any(rule.tiers for rule in rules)
    past = look_back(people.known, people.artifact, policy)[1] if asks_for_tier and people.artifact else None
    for case in cases:
        traced = trace_facts(established[case], policy)
        override_time = table.rows[int(facts.override_row[case])].occur_time if facts.override[case] else None
        begin_by_rule: dict[str, int | None] = {}
        for rule in rules:
            starts, _ = find_bounds(rule.conditions, traced, time)
            tier_start = (
                past.find_tier_start(case, rule.tiers, bool(is_rated_by_violation[case]), override_time)
                if rule.tiers and past
                else None
            )
            starts += [] if tier_start is None else [tier_start]
            begin_by_rule[rule.id] = max(starts, default=None)
        yield begin_by_rule


def add_cautions(
    policy: Policy, placed: Placement, marketplace: str, cautions: Mapping[int, Sequence[Caution]]
) -> Placement:
    """Return the placement with the cautions' terms, which only get stricter, and the number of sellers by rule."""
    by_rule = dict(placed.by_rule)
    by_rule |= {f"caution~{rule.id}": 0 for rule in (policy.caution.rules if policy.caution is not None else ())}
    places = {term: number for number, term in enumerate(placed.terms)}
    terms_of = placed.terms_of.copy()
    for case, cautions_of_case in cautions.items():
        for rule in {caution.rule for caution in cautions_of_case}:
            by_rule[f"caution~{rule}"] += 1
        measures = [
            policy.rule_book.limit_days(measure, marketplace)
            for caution in cautions_of_case
            for measure in caution.measures
        ]
        stricter = placed.terms[terms_of[case]].stricter_of(combine(measures))
        terms_of[case] = places.setdefault(stricter, len(places))
    return replace(placed, terms=[*places], terms_of=terms_of, by_rule=by_rule)


def count_incidents(counter: Counter, facts: Facts, n: int) -> Ints:
    v = facts.violations
    age = facts.observe_day[v.case] - v.day
    counts = np.isin(v.category, [int(c) for c in counter.categories]) & (v.severity >= int(counter.severity))
    counted = v.take(counts & (age < counter.days) & (v.case < n))
    return np.bincount(counted.case[first_of_runs(counted.case, counted.incident)], minlength=n).astype(np.int64)


def _find_tiers(policy: Policy, people: Population, standing: Ints) -> tuple[Ints, Ints]:
    """Return each tier number, and the points that count for it, -1 unless rated."""
    facts = people.facts
    if people.points is None:
        return np.full(facts.cases, NO_TIER), np.full(facts.cases, -1)
    lowest = people.points[: policy.clear_days + 1].min(axis=0)
    is_rated = find_rated(policy, facts)
    tier = decide_tiers(policy, lowest, standing, is_rated, facts.override, facts.exists)
    return tier, np.where(is_rated, lowest, -1)


def _round_down_to_edges(edges: Sequence[int], values: Ints) -> Ints:
    rising = np.array(edges, dtype=np.int64)
    return rising[np.searchsorted(rising, values, side="right") - 1]

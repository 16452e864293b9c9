"""Many sellers at one time, with their tiers and terms by any policy, as arrays; each situation is answered once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scoring.base.arrays import Bools, Floats, Ints, add_up_amounts, first_of_runs
from scoring.base.enums import Tier
from scoring.base.time import DAY
from scoring.caution.cautions import Caution
from scoring.features.columns import FactTable
from scoring.features.facts import Facts, apply_changes
from scoring.features.views import view_often
from scoring.model.artifact import Artifact
from scoring.policy.history import establish, find_bounds, trace_facts
from scoring.policy.measures import Terms, combine
from scoring.policy.policy import Policy
from scoring.policy.rules import Asked, Counter, Quantity, Settled, Situation
from scoring.policy.space import build_space
from scoring.scores.look_back import LookBack
from scoring.scores.score import fold_views

NO_TIER = 0
"""Without a model, or of an unknown seller."""


@dataclass(frozen=True, slots=True)
class Population:
    """Arrays of shape (n,)."""

    marketplace: str
    day: int
    facts: Facts
    orders: Ints
    products: Sequence[str]
    """Product categories by code."""
    points: Ints | None
    """Now and on the requested last day-ends, of shape (views, n); None without a model."""
    table: FactTable
    observe_time: int
    artifact: Artifact | None

    @property
    def exists(self) -> Bools:
        return self.facts.exists

    @property
    def tenure_days(self) -> Ints:
        """Return the days since the first exposure or identity, 0 without either."""
        return self.facts.observe_day - self.facts.start_day

    def is_guilty(self) -> Bools:
        return np.bincount(self.facts.violations.case, minlength=self.facts.cases)[: self.facts.cases] > 0

    def largest_products(self) -> list[str]:
        """Return each seller's product category with most settled orders, or ""."""
        n, width = self.facts.cases, max(len(self.products), 1)
        sold = np.zeros((n, width), dtype=np.int64)
        np.add.at(sold, (self.facts.exposure_case, self.facts.exposure_product), self.facts.exposure_orders)
        names = np.array([*self.products, ""], dtype=object)
        return [str(name) for name in names[np.where(sold.any(axis=1), sold.argmax(axis=1), -1)]]

    def sells(self, product_category: str) -> Bools:
        found = np.zeros(self.facts.cases, dtype=np.bool_)
        codes = [code for code, name in enumerate(self.products) if name == product_category]
        found[self.facts.exposure_case[np.isin(self.facts.exposure_product, codes)]] = True
        return found


def observe(
    table: FactTable, marketplace: str, observe_time: int, artifact: Artifact | None, policies: Sequence[Policy]
) -> Population:
    """Return a table's sellers at a time, with all that any of the policies considers."""
    widest = max(policies, key=lambda policy: policy.clear_days)
    if artifact is None:
        facts = view_often(apply_changes(table.columns), [observe_time, observe_time], table.sales).facts
        points = None
    else:
        views = fold_views(table, observe_time, artifact, widest)
        facts = views.facts
        raw: Floats = artifact.raw_score(views.x)
        points = artifact.scale.points(raw).reshape(-1, views.n)[: widest.clear_days + 1]
    orders = np.zeros(facts.cases, dtype=np.int64)
    np.add.at(orders, facts.exposure_case, facts.exposure_orders)
    day = observe_time // DAY
    return Population(marketplace, day, facts, orders, table.products, points, table, observe_time, artifact)


def add_up_values(valued: FactTable, observe_time: int) -> dict[str, Ints]:
    """Return each seller's settled value by product category, and of all under the empty text.

    `valued`: entries with values in place of settled orders.
    """
    facts = view_often(apply_changes(valued.columns), [observe_time, observe_time], valued.sales).facts
    found = {"": add_up_amounts(facts.exposure_orders, facts.exposure_case, facts.cases)}
    for code, name in enumerate(valued.products):
        mine = facts.exposure_product == code
        if name:
            found[name] = add_up_amounts(facts.exposure_orders[mine], facts.exposure_case[mine], facts.cases)
    return found


@dataclass(frozen=True, slots=True)
class Placed:
    tier: Ints
    """Numbers of tiers, or NO_TIER."""
    terms: Sequence[Terms]
    terms_of: Ints
    """By seller, the index of its terms."""
    by_rule: Mapping[str, int]
    """Number of sellers by rule id."""


def place(policy: Policy, people: Population, settled: Mapping[str, Ints], deposits: Ints | None = None) -> Placed:
    """Return the tier and terms of each seller by a policy.

    `settled`: as by `add_up_values`. `deposits`: placed, shape (n,). In minor units; None counts as 0. Terms state the
    whole deposit.
    """
    n = people.facts.cases
    standing = np.zeros(n, dtype=np.int64) if policy.standing is None else policy.standing.add_up(people.facts, n)
    tier = _tiers(policy, people, standing)
    rules = policy.rule_book.rules
    axes = [axis for axis in build_space(policy).axes if axis.asked is not Quantity.DAY]
    values: dict[Asked, Ints] = {
        Quantity.STANDING: standing,
        Quantity.TENURE: people.tenure_days,
        Quantity.DEPOSIT: np.zeros(n, dtype=np.int64) if deposits is None else deposits,
    }
    values |= {Settled(name): value for name, value in settled.items()}
    values |= {
        axis.asked: count_incidents(axis.asked, people.facts, n) for axis in axes if isinstance(axis.asked, Counter)
    }
    edges = [_reached(axis.values, values.get(axis.asked, np.zeros(n, dtype=np.int64))) for axis in axes]
    is_view = (
        (people.points is not None)
        & people.is_guilty()
        & (people.facts.override == 0)
        & policy.is_thin(people.orders, people.tenure_days)
    )
    keys, which = np.unique(np.stack([tier, *edges, is_view], axis=1), axis=0, return_inverse=True)
    sizes = np.bincount(which.ravel()[people.exists], minlength=len(keys))
    terms: dict[Terms, int] = {}
    of_key: list[int] = []
    by_rule = dict.fromkeys((rule.id for rule in rules), 0)
    closing: dict[int, Situation] = {}
    for key, size in zip(keys.tolist(), sizes.tolist(), strict=True):
        reached = {axis.asked: value for axis, value in zip(axes, key[1:-1], strict=True)} | {Quantity.DAY: people.day}
        tier_of = Tier(key[0]) if key[0] != NO_TIER else None
        seller = Situation.of_values(tier_of, reached, people.marketplace, bool(key[-1]))
        holding = {applied.rule.id: applied.rule for applied in policy.rule_book.apply(seller)}
        for name in holding:
            by_rule[name] += size
        if any(rule.closes_after_notice for rule in holding.values()):
            closing[len(of_key)] = seller
        of_key.append(terms.setdefault(policy.rule_book.terms(seller), len(terms)))
    terms_of = np.array(of_key, dtype=np.int64)[which.ravel()]
    cases = np.flatnonzero(np.isin(which.ravel(), [*closing]) & people.exists).tolist()
    for case, begun in zip(cases, _find_closures(policy, people, cases, is_view), strict=True):
        left = policy.rule_book.terms(closing[int(which.ravel()[case])], begun, people.observe_time)
        terms_of[case] = terms.setdefault(left, len(terms))
    return Placed(tier, [*terms], terms_of, by_rule)


def _find_closures(
    policy: Policy, people: Population, cases: Sequence[int], is_view: Bools
) -> Iterator[dict[str, int | None]]:
    """Yield for each case since when each rule holds that closes its account after a notice, in microseconds."""
    rules = [rule for rule in policy.rule_book.rules if rule.closes_after_notice]
    table, facts, time = people.table, people.facts, people.observe_time
    rows_of = table.rows_by_case() if cases else []
    established = establish(facts, table.rows, rows_of, time) if cases else []
    past = LookBack(table, time, people.artifact, policy, apply_changes(table.columns), lambda: None)
    for case in cases:
        traced = trace_facts(established[case], policy)
        imposed = table.rows[int(facts.override_row[case])].occur_time if facts.override[case] else None
        begun: dict[str, int | None] = {}
        for rule in rules:
            starts, _ = find_bounds(rule.conditions, traced, time)
            if rule.tiers and (since := past.tier_since(case, rule.tiers, bool(is_view[case]), imposed)) is not None:
                starts.append(since)
            begun[rule.id] = max(starts, default=None)
        yield begun


def add_cautions(policy: Policy, placed: Placed, marketplace: str, cautions: Mapping[int, Sequence[Caution]]) -> Placed:
    """Return the placement with the cautions' terms, which only get stricter, and the number of sellers by rule."""
    by_rule = dict(placed.by_rule)
    by_rule |= {f"caution~{rule.id}": 0 for rule in (policy.caution.rules if policy.caution is not None else ())}
    places = {one: number for number, one in enumerate(placed.terms)}
    terms_of = placed.terms_of.copy()
    for case, found in cautions.items():
        for rule in {caution.rule for caution in found}:
            by_rule[f"caution~{rule}"] += 1
        measures = [policy.rule_book.limit_days(one, marketplace) for caution in found for one in caution.measures]
        stricter = placed.terms[terms_of[case]].stricter_of(combine(measures))
        terms_of[case] = places.setdefault(stricter, len(places))
    return Placed(placed.tier, [*places], terms_of, by_rule)


def count_incidents(counter: Counter, facts: Facts, n: int) -> Ints:
    v = facts.violations
    age = facts.observe_day[v.case] - v.day
    counts = np.isin(v.category, [int(c) for c in counter.categories]) & (v.severity >= int(counter.severity))
    mine = v.take(counts & (age < counter.days) & (v.case < n))
    return np.bincount(mine.case[first_of_runs(mine.case, mine.incident)], minlength=n).astype(np.int64)


def _tiers(policy: Policy, people: Population, standing: Ints) -> Ints:
    facts = people.facts
    if people.points is None:
        return np.zeros(facts.cases, dtype=np.int64)
    lowest = people.points[: policy.clear_days + 1].min(axis=0)
    tier = policy.tiers_with_standing(lowest, standing)
    tier = np.where(people.is_guilty() | ~policy.is_thin(people.orders, people.tenure_days), tier, int(Tier.UNRATED))
    tier = np.where(facts.override > 0, facts.override, tier)
    return np.where(facts.exists, tier, NO_TIER)


def _reached(edges: Sequence[int], values: Ints) -> Ints:
    rising = np.array(edges, dtype=np.int64)
    return rising[np.searchsorted(rising, values, side="right") - 1]


def known_before(table: FactTable, time: int) -> FactTable:
    """Return the part of a table that was reported before a time, in microseconds."""
    columns = table.columns.take(table.columns.report_time < time)
    sales = table.sales and table.sales.take(table.sales.report_time < time)
    return replace(table, columns=columns, sales=sales)

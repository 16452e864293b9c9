"""All situations that policies distinguish, as finitely many cells: within a cell no answer changes.

A policy asks only whether points, a standing, a count, a settled value or a day reach a stated value. The cells of
several policies use all these values together, so a comparison of cells is exact.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scoring.base.enums import RATED_TIERS, Tier
from scoring.base.time import format_day
from scoring.policy.measures import ValueCap
from scoring.policy.policy import Policy
from scoring.policy.rules import Counter, Situation

MAX_CELLS = 200_000
"""Policies with more cells are rejected."""

MAX_POINTS = 1_000


class Cell(NamedTuple):
    """One cell, by the lowest value of each of its ranges."""

    points: int | None
    """None for an UNRATED seller."""
    tier: Tier | None
    standings: tuple[int, ...]
    counts: tuple[int, ...]
    settled: tuple[int, ...]
    tenure: int
    deposit: int
    day: int
    marketplace: str
    thin: tuple[int, ...] = ()
    """Places of the policies by which a violation alone makes the seller rated."""


@dataclass(frozen=True, slots=True)
class Space:
    policies: tuple[Policy, ...]
    points: tuple[int | None, ...]
    """None for UNRATED, then the lowest points of each band."""
    tiers: tuple[Tier | None, ...]
    table: tuple[int, ...]
    """By policy, the index of its table of standing in `standings`."""
    standings: tuple[tuple[int, ...], ...]
    counters: tuple[Counter, ...]
    counts: tuple[tuple[int, ...], ...]
    categories: tuple[str, ...]
    """The empty text is all together."""
    settled: tuple[tuple[int, ...], ...]
    tenures: tuple[int, ...]
    deposits: tuple[int, ...]
    days: tuple[int, ...]
    marketplaces: tuple[str, ...]
    thin: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        """Return the number of cells, impossible ones included but for those of `points`, `tiers` and `thin`.

        Only sellers with points have a choice of `thin`, and sellers whose tier a person set have no points.
        """
        sellers = len(self.tiers) + (len(self.points) - 1) * len(self.thin)
        return sellers * math.prod(map(len, self.axes()[2:-1]))

    def axes(self) -> list[tuple[Any, ...]]:
        """Return the values of each axis, in the order of `build`."""
        return [
            *(self.points, self.tiers, *self.standings, *self.counts, *self.settled),
            *(self.tenures, self.deposits, self.days, self.marketplaces, self.thin),
        ]

    def build(self, values: Sequence[Any]) -> Cell:
        """Return the cell with one value of each axis, in the order of `axes`."""
        first = 2 + len(self.standings)
        second = first + len(self.counts)
        last = second + len(self.settled)
        standings, counts, settled = (tuple(values[a:b]) for a, b in ((2, first), (first, second), (second, last)))
        return Cell(values[0], values[1], standings, counts, settled, *values[last : last + 5])

    def cells(self) -> Iterator[Cell]:
        """Yield every cell for which `is_possible` is true."""
        for values in itertools.product(*self.axes()):
            cell = self.build(values)
            if self.is_possible(cell):
                yield cell

    def is_possible(self, cell: Cell) -> bool:
        """Return whether a seller can be in a cell, as far as its values alone show.

        False if it is unrated with confirmed violations, if a narrower counter exceeds a wider one, or if one category
        settled more than all.
        """
        if cell.tier is not None and cell.points != 0:
            return False  # a tier set by a person ignores points: one cell is enough
        if cell.points is None and (any(cell.standings) or any(cell.counts)):
            return False  # a confirmed violation makes a seller rated
        if cell.thin and (cell.tier is not None or cell.points is None or self.find_thin_file(cell) is None):
            return False
        for narrow, wide in self._nested():
            if cell.counts[narrow] > last_of(self.counts[wide], cell.counts[wide]):
                return False
        if "" in self.categories:
            place = self.categories.index("")
            of_all = last_of(self.settled[place], cell.settled[place])
            return all(value <= of_all for value in cell.settled)
        return True

    def _nested(self) -> Iterator[tuple[int, int]]:
        for (a, narrow), (b, wide) in itertools.permutations(enumerate(self.counters), 2):
            if narrow.categories <= wide.categories and narrow.severity >= wide.severity and narrow.days <= wide.days:
                yield a, b

    def find_thin_file(self, cell: Cell) -> tuple[int, int] | None:
        """Return (settled orders, days of tenure) in a cell by which a file is thin for `cell.thin` alone, if any."""
        last = last_of(self.tenures, cell.tenure)
        days = sorted({cell.tenure, *(policy.thin_file_days for policy in self.policies)})
        for orders in sorted({0, *(policy.thin_file_orders for policy in self.policies)}):
            for tenure in days:
                if cell.tenure <= tenure <= last and cell.thin == _find_thin(self.policies, orders, tenure):
                    return orders, tenure
        return None

    def situation(self, place: int, cell: Cell) -> Situation:
        policy = self.policies[place]
        standing = cell.standings[self.table[place]]
        tier = cell.tier
        if tier is None:
            tier = Tier.UNRATED if cell.points is None else policy.tier_with_standing(cell.points, standing)
        return Situation(
            tier=tier,
            standing=standing if policy.standing is not None else 0,
            incidents=dict(zip(self.counters, cell.counts, strict=True)),
            settled_minor=dict(zip(self.categories, cell.settled, strict=True)),
            day=cell.day,
            marketplace=cell.marketplace,
            tenure_days=cell.tenure,
            deposit_minor=cell.deposit,
            rated_by_violation=place in cell.thin,
        )

    def describe_points(self, points: int) -> str:
        return f"points {_range(self.points[1:], points, MAX_POINTS)}"

    def describe(self, cell: Cell) -> str:
        """Describe a cell for a person, such as `points 500 to 599, standing 12 or more`."""
        parts = []
        if cell.tier is not None:
            parts.append(f"tier {cell.tier.name.lower()} set by a person")
        elif cell.points is None:
            parts.append("unrated")
        else:
            parts.append(self.describe_points(cell.points))
        for place, value in enumerate(cell.standings):
            if len(self.standings[place]) > 1:
                names = [p.name for p, table in zip(self.policies, self.table, strict=True) if table == place]
                whose = f" by {names[0]}" if len(self.standings) > 1 else ""
                parts.append(f"standing {_range(self.standings[place], value)}{whose}")
        parts += [
            f"{_range(self.counts[place], value)} incidents of {describe_counter(counter)}"
            for place, (counter, value) in enumerate(zip(self.counters, cell.counts, strict=True))
        ]
        parts += [
            f"settled value {_range(self.settled[place], value)}" + (f" of {category}" if category else "")
            for place, (category, value) in enumerate(zip(self.categories, cell.settled, strict=True))
        ]
        if len(self.tenures) > 1:
            parts.append(f"tenure of {_range(self.tenures, cell.tenure)} days")
        if len(self.deposits) > 1:
            parts.append(f"deposit placed {_range(self.deposits, cell.deposit)}")
        if len(self.days) > 1:
            parts.append(f"from {format_day(cell.day)}" if cell.day else f"before {format_day(self.days[1])}")
        if len(self.marketplaces) > 1:
            parts.append(f"marketplace {cell.marketplace}" if cell.marketplace else "another marketplace")
        if cell.thin:
            names = [self.policies[place].name for place in cell.thin]
            whose = f" by {names[0]}" if len(names) < len(self.policies) else ""
            parts.append(f"rated{whose} only because of a violation")
        return ", ".join(parts)


def describe_counter(counter: Counter) -> str:
    """Return text such as `counterfeit, safety of at least major in 365 days`."""
    categories = ", ".join(sorted(category.name.lower() for category in counter.categories))
    return f"{categories} of at least {counter.severity.name.lower()} in {counter.days} days"


def build_space(*policies: Policy, with_overrides: bool = False, with_thin_files: bool = False) -> Space:
    """Return the space of situations that policies distinguish together.

    With `with_overrides`, tiers that a person sets are cells of their own; with `with_thin_files`, sellers whom a violation
    alone makes rated.
    """
    rules = [rule for policy in policies for rule in policy.rule_book.rules]
    tables: list[object] = []
    table, edges = [], []
    for policy in policies:
        key = policy.standing and policy.standing.key
        if key not in tables:
            tables.append(key)
            edges.append({0})
        place = tables.index(key)
        table.append(place)
        if policy.standing is not None:
            edges[place] |= set(policy.standing.at_most.values())
            for rule in policy.rule_book.rules:
                edges[place] |= {rule.standing_from, rule.standing_below or 0}
    thresholds: dict[Counter, set[int]] = {}
    steps: dict[str, set[int]] = {}
    tenures, deposits, days = {0}, {0}, {0}
    for rule in rules:
        if rule.counter is not None:
            thresholds.setdefault(rule.counter, {0}).add(rule.incidents)
        if rule.group is not None:
            days |= {rule.group.first_day, rule.group.last_day + 1}
        if rule.settled_below is not None:
            steps.setdefault(rule.settled_category, {0}).add(rule.settled_below)
        tenures |= {rule.tenure_below or 0}
        deposits |= {rule.deposit_below or 0}
        for measure in rule.measures:
            if isinstance(measure, ValueCap) and measure.grows:
                steps.setdefault(measure.product_category, {0}).update(s.settled_minor for s in measure.grows)
    for season in (season for policy in policies for season in policy.rule_book.seasons):
        days |= {season.first_day, season.last_day + 1}
    cut_offs = {cut_off for policy in policies for cut_off in policy.cut_offs.values()}
    return Space(
        policies=policies,
        points=(None, *sorted({0, *cut_offs})),
        tiers=(None, Tier.UNRATED, *RATED_TIERS) if with_overrides else (None,),
        table=tuple(table),
        standings=tuple(tuple(sorted(values)) for values in edges),
        counters=tuple(thresholds),
        counts=tuple(tuple(sorted(values)) for values in thresholds.values()),
        categories=tuple(steps),
        settled=tuple(tuple(sorted(values)) for values in steps.values()),
        tenures=tuple(sorted(tenures)),
        deposits=tuple(sorted(deposits)),
        days=tuple(sorted(days)),
        marketplaces=("", *sorted({name for policy in policies for name in policy.rule_book.hold_limits})),
        thin=_list_thin(policies) if with_thin_files else ((),),
    )


def _list_thin(policies: Sequence[Policy]) -> tuple[tuple[int, ...], ...]:
    orders = {0, *(policy.thin_file_orders for policy in policies)}
    days = {0, *(policy.thin_file_days for policy in policies)}
    return tuple(sorted({(), *(_find_thin(policies, *both) for both in itertools.product(orders, days))}))


def _find_thin(policies: Sequence[Policy], orders: int, tenure: int) -> tuple[int, ...]:
    return tuple(place for place, policy in enumerate(policies) if policy.is_thin(orders, tenure))


def last_of(values: Sequence[int], first: int) -> int:
    """Return the largest value of the range that begins at `first`, up to the next of `values`."""
    place = values.index(first) + 1
    return values[place] - 1 if place < len(values) else 2**63 - 1


def _range(values: Sequence[int | None], first: int, most: int | None = None) -> str:
    last = last_of([value for value in values if value is not None], first)
    if last == 2**63 - 1:
        return f"{first:,} to {most:,}" if most is not None else f"{first:,} or more"
    return f"{first:,} to {last:,}" if last > first else f"{first:,}"

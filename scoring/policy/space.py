"""All situations that policies distinguish, as finitely many cells: within a cell no answer changes.

A policy asks only whether points, a standing, a count, a settled value or a day reach a stated value. The cells of
several policies use all these values together, so a comparison of cells is exact.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from scoring.base.enums import RATED_TIERS, Tier
from scoring.base.frozen import frozen
from scoring.base.money import show_amount
from scoring.base.time import format_day
from scoring.model.scale import MAX_POINTS
from scoring.policy.policy import Policy
from scoring.policy.rules import (
    Counter,
    FailureRate,
    Ladder,
    MissingDays,
    Operand,
    Quantity,
    SettledValue,
    Situation,
    is_of_facts,
)

MAX_CELLS = 200_000


class Cell(NamedTuple):
    points: int | None
    """None for an UNRATED seller."""
    tier: Tier | None
    values: tuple[int, ...]
    """By axis."""
    marketplace: str
    thin: tuple[int, ...] = ()
    """Places of the policies that rate the seller only because of a violation."""


_QUANTITY_TEXTS = {
    Quantity.STANDING: "standing {}",
    Quantity.TENURE: "tenure of {} days",
    Quantity.DEPOSIT: "deposit placed {}",
    Quantity.GOOD_ORDERS: "{} good orders since the last violation",
    Quantity.LINK: "link of {} percent",
}


class CellAxis(NamedTuple):
    """A number that policies ask about, and the lowest value of each range that they distinguish."""

    operand: Operand
    places: tuple[int, ...]
    """The policies with this axis; policies with equal tables of standing share one."""
    values: tuple[int, ...]

    def describe(self, value: int, currency: str = "") -> str:
        """Return the range that begins at `value`, as `standing 12 or more`."""
        is_sum = isinstance(self.operand, SettledValue) or self.operand is Quantity.DEPOSIT
        shown = show_range(self.values, value, currency=currency if is_sum else "")
        match self.operand:
            case Counter():
                return f"{shown} incident{'s' * (shown != '1')} of {describe_counter(self.operand)}"
            case Ladder():
                return f"standing {shown} of {', '.join(sorted(one.word for one in self.operand.categories))}"
            case SettledValue(product_category=category):
                return f"settled value {shown}" + (f" of {category}" if category else "")
            case FailureRate() | MissingDays():
                return f"{shown} {self.operand.describe(currency)}"
            case Quantity.DAY:
                return f"from {format_day(value)}" if value else f"before {format_day(self.values[1])}"
        return _QUANTITY_TEXTS[self.operand].format(shown)


@frozen
class Space:
    policies: tuple[Policy, ...]
    points: tuple[int | None, ...]
    """None for UNRATED, then the lowest points of each band."""
    tiers: tuple[Tier | None, ...]
    axes: tuple[CellAxis, ...]
    """Each has several ranges; axes of confirmed facts are first."""
    marketplaces: tuple[str, ...]
    thin: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        """Return the number of cells, with some that no seller can be in."""
        sellers = len(self.tiers) + (len(self.points) - 1) * len(self.thin)
        return sellers * math.prod(len(axis.values) for axis in self.axes) * len(self.marketplaces)

    @property
    def currency(self) -> str:
        currencies = {policy.rule_book.currency for policy in self.policies}
        return currencies.pop() if len(currencies) == 1 else ""

    @property
    def fact_axes(self) -> tuple[CellAxis, ...]:
        return tuple(axis for axis in self.axes if is_of_facts(axis.operand))

    @property
    def tenures(self) -> tuple[int, ...]:
        """Return where each range of tenure begins, in days; (0,) if no policy asks."""
        return next((axis.values for axis in self.axes if axis.operand is Quantity.TENURE), (0,))

    def cells(self) -> Iterator[Cell]:
        """Yield the cells that a seller can be in: no count exceeds that of a wider axis."""
        nested = [
            (narrow, wide)
            for (narrow, narrow_axis), (wide, wide_axis) in itertools.permutations(enumerate(self.axes), 2)
            if _is_part_of(narrow_axis, wide_axis)
        ]
        values = itertools.product(*(axis.values for axis in self.axes))
        for cell in itertools.starmap(
            Cell, itertools.product(self.points, self.tiers, values, self.marketplaces, self.thin)
        ):
            if self._is_possible(cell) and all(
                cell.values[narrow] <= find_last_value(self.axes[wide].values, cell.values[wide])
                for narrow, wide in nested
            ):
                yield cell

    def _is_possible(self, cell: Cell) -> bool:
        if cell.tier is not None and cell.points != 0:
            return False  # a tier set by a person ignores points: one cell is enough
        if cell.points is None and self.has_violations(cell):
            return False  # a confirmed violation makes a seller rated
        is_rated = cell.tier is None and cell.points is not None
        return not cell.thin or (is_rated and self.find_thin_file(cell) is not None)

    def has_violations(self, cell: Cell) -> bool:
        return any(cell.values[: len(self.fact_axes)])

    def values_by(self, number: int, cell: Cell) -> Mapping[Operand, int]:
        """Return the cell's values of the quantities that the policy at `number` reads."""
        of_axes = zip(self.axes, cell.values, strict=True)
        return {axis.operand: value for axis, value in of_axes if number in axis.places}

    def find_thin_file(self, cell: Cell) -> tuple[int, int] | None:
        """Return (settled orders, days of tenure) in a cell that make a file thin for `cell.thin` alone, if any."""
        first = self.values_by(0, cell).get(Quantity.TENURE, 0)
        last = find_last_value(self.tenures, first)
        days = sorted({first, *(policy.thin_file_days for policy in self.policies)})
        for orders in sorted({0, *(policy.thin_file_orders for policy in self.policies)}):
            for tenure in days:
                if first <= tenure <= last and cell.thin == _find_policies_with_thin_file(
                    self.policies, orders, tenure
                ):
                    return orders, tenure
        return None

    def situation(self, number: int, cell: Cell) -> Situation:
        """Return a cell's sellers as the rules of the policy at `number` see them."""
        policy, values, tier = self.policies[number], self.values_by(number, cell), cell.tier
        if tier is None:
            tier = policy.tier_with_standing(cell.points, values.get(Quantity.STANDING, 0))
        return Situation.of_values(tier, values, cell.marketplace, rated_by_violation=number in cell.thin)

    def describe_points(self, points: int) -> str:
        return f"points {show_range(self.points[1:], points, MAX_POINTS)}"

    def describe(self, cell: Cell) -> str:
        """Describe a cell for a person, such as `points 500 to 599, standing 12 or more`."""
        parts = []
        if cell.tier is not None:
            parts.append(f"tier {cell.tier.word} set by a person")
        elif cell.points is None:
            parts.append("unrated")
        else:
            parts.append(self.describe_points(cell.points))
        for axis, value in zip(self.axes, cell.values, strict=True):
            parts.append(axis.describe(value, self.currency) + self._name_policy(axis.places))
        if len(self.marketplaces) > 1:
            parts.append(f"marketplace {cell.marketplace}" if cell.marketplace else "another marketplace")
        if cell.thin:
            parts.append(f"rated{self._name_policy(cell.thin)} only because of a violation")
        return ", ".join(parts)

    def _name_policy(self, places: Sequence[int]) -> str:
        return f" by {self.policies[places[0]].name}" if len(places) < len(self.policies) else ""


def _is_part_of(narrow: CellAxis, wide: CellAxis) -> bool:
    """Return whether one number never exceeds another: of fewer categories or failures, graver violations, fewer days."""
    one, other = narrow.operand, wide.operand
    is_part = False
    match one, other:
        case Ladder(), Quantity.STANDING:
            is_part = narrow.places == wide.places
        case Ladder(), Ladder():
            is_part = narrow.places == wide.places and one.categories <= other.categories
        case Counter(), Counter():
            is_part = one.categories <= other.categories and one.severity >= other.severity and one.days <= other.days
        case SettledValue(), SettledValue(product_category=""):
            is_part = True
        case FailureRate(), FailureRate():
            is_part = {*one.of} <= {*other.of} and (one.days, one.orders) == (other.days, other.orders)
        case MissingDays(deposit=less), MissingDays(deposit=more):
            is_part = less.amount_minor <= more.amount_minor and less.ppm <= more.ppm and less.days in (0, more.days)
    return is_part


def describe_counter(counter: Counter) -> str:
    categories = ", ".join(sorted(category.word for category in counter.categories))
    return f"{categories} of at least {counter.severity.word} in {counter.days} days"


def build_space(*policies: Policy, with_overrides: bool = False, with_thin_files: bool = False) -> Space:
    """Return the space of situations that policies distinguish together.

    With `with_overrides`, tiers that a person sets are cells of their own; with `with_thin_files`, sellers whom a violation
    alone makes rated.
    """
    standing_keys = [policy.standing and policy.standing.key for policy in policies]
    edges: dict[tuple[Operand, tuple[int, ...]], set[int]] = {}
    for number, policy in enumerate(policies):
        sharing_places = tuple(other for other, key in enumerate(standing_keys) if key == standing_keys[number])
        limits = policy.standing.at_most.values() if policy.standing is not None else ()
        of_standing = ((Quantity.STANDING, limit) for limit in limits)
        for operand, value in (*of_standing, *policy.rule_book.list_edges()):
            is_of_table = operand is Quantity.STANDING or isinstance(operand, Ladder)
            places = sharing_places if is_of_table else tuple(range(len(policies)))
            edges.setdefault((operand, places), {0}).add(value)
    axes = [CellAxis(*key, tuple(sorted(values))) for key, values in edges.items() if len(values) > 1]
    cut_offs = {cut_off for policy in policies for cut_off in policy.cut_offs.values()}
    return Space(
        policies=policies,
        points=(None, *sorted({0, *cut_offs})),
        tiers=(None, Tier.UNRATED, *RATED_TIERS) if with_overrides else (None,),
        axes=tuple(sorted(axes, key=_rank_axis)),
        marketplaces=("", *sorted({name for policy in policies for name in policy.rule_book.hold_limits})),
        thin=_list_sets_of_thin_policies(policies) if with_thin_files else ((),),
    )


def _rank_axis(axis: CellAxis) -> int:
    order = (Quantity.STANDING, Ladder, Counter, FailureRate, SettledValue, *[*Quantity][1:], MissingDays)
    return order.index(axis.operand if isinstance(axis.operand, Quantity) else type(axis.operand))


def _list_sets_of_thin_policies(policies: Sequence[Policy]) -> tuple[tuple[int, ...], ...]:
    orders = {0, *(policy.thin_file_orders for policy in policies)}
    days = {0, *(policy.thin_file_days for policy in policies)}
    return tuple(
        sorted({(), *(_find_policies_with_thin_file(policies, *both) for both in itertools.product(orders, days))})
    )


def _find_policies_with_thin_file(policies: Sequence[Policy], orders: int, tenure: int) -> tuple[int, ...]:
    return tuple(number for number, policy in enumerate(policies) if policy.is_thin(orders, tenure))


def find_last_value(values: Sequence[int], first: int) -> int:
    """Return the last value of the range that begins at `first`, just before the next of `values`, which rise.

    The last range ends at 2**63 - 1.
    """
    index = values.index(first) + 1
    return values[index] - 1 if index < len(values) else 2**63 - 1


def show_range(values: Sequence[int | None], first: int, most: int | None = None, currency: str = "") -> str:
    """Describe the range that begins at `first`, such as `500 to 599`; `most` ends the last range, else `or more`."""
    last: int | None = find_last_value([value for value in values if value is not None], first)
    if last == 2**63 - 1:
        last = most
    shown = show_amount(first, currency)
    if last is None:
        return f"{shown} or more"
    return f"{shown} to {show_amount(last, currency)}" if last > first or last == most else shown

"""The exact difference of two policies: every cell whose answer changes."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import field, replace
from itertools import combinations, product

from scoring.base.enums import Category, MeasureKind, Severity, Tier
from scoring.base.errors import PolicyRefused
from scoring.base.frozen import frozen
from scoring.entries.violation_types import category_of_type
from scoring.policy.cell_moves import find_cell_moves
from scoring.policy.history import add_up_incident, matches
from scoring.policy.measures import Terms
from scoring.policy.policy import Policy
from scoring.policy.rules import Counter, Ladder
from scoring.policy.sample import Breach, SampleSeller
from scoring.policy.space import MAX_CELLS, Cell, CellAxis, Space, build_space


@frozen
class CellOutcome:
    tier: Tier | None
    badge: str
    terms: Terms
    currency: str = field(compare=False)


@frozen
class CellChange:
    where: str
    before: CellOutcome
    after: CellOutcome
    example: SampleSeller | None
    """A seller in the cell; None if it takes more than a few incidents of at most two violations."""

    def aspects(self) -> list[str]:
        """Return changes such as `hold_days 7 -> 14`."""
        texts = []
        for name in ("tier", "badge"):
            one, other = (
                str(getattr(getattr(a, name), "name", getattr(a, name))).lower() for a in (self.before, self.after)
            )
            texts += [f"{name} {one} -> {other}"] if one != other else []
        return texts + self.before.terms.list_changes(self.after.terms, (self.before.currency, self.after.currency))


def compare(before: Policy, after: Policy) -> tuple[Space, dict[Cell, tuple[CellOutcome, CellOutcome]]]:
    """Return (the space that two policies distinguish, (answer before, answer after) by possible cell).

    Raise PolicyRefused if the space has more than MAX_CELLS.
    """
    space = _build_common_space(before, after)
    if len(space) > MAX_CELLS:
        raise PolicyRefused(
            f"the two policies distinguish {len(space):,} situations; at most {MAX_CELLS:,} are compared"
        )
    return space, {cell: (answer_in(space, 0, cell), answer_in(space, 1, cell)) for cell in space.cells()}


def _build_common_space(before: Policy, after: Policy) -> Space:
    return build_space(before, after, with_overrides=True, with_thin_files=True)


def answer_in(space: Space, number: int, cell: Cell) -> CellOutcome:
    """Return tier, badge and terms of a cell's sellers under the policy at `number`."""
    policy, seller = space.policies[number], space.situation(number, cell)
    return CellOutcome(
        seller.tier, policy.badges[seller.tier], policy.rule_book.terms(seller), policy.rule_book.currency
    )


def find_changes(before: Policy, after: Policy) -> list[CellChange]:
    """List every cell whose tier, badge or terms change, in order; then sellers who change cells.

    A cell is a combination of ranges, such as points 500 to 599 with standing 12 or more. Sellers change cells by thin
    file and clear days (`scoring.policy.cell_moves`). Beyond MAX_CELLS cells, tiers and badges come first. Each kind of
    measure follows by itself, under the earlier tier and badge.
    """
    if len(_build_common_space(before, after)) <= MAX_CELLS:
        return _list_cell_changes(before, after)
    changes = _list_cell_changes(_keep_kind(before, None), _keep_kind(after, None))
    for kind in MeasureKind:
        for one in _list_cell_changes(_keep_kind(before, kind), _keep_kind(after, kind)):
            if one.before.terms != one.after.terms:
                changes.append(replace(one, after=replace(one.after, tier=one.before.tier, badge=one.before.badge)))
    return changes


def _keep_kind(policy: Policy, kind: MeasureKind | None) -> Policy:
    """Return a policy with one kind of measure, and the waivers, or with none: no kind depends on another."""
    book, kinds = policy.rule_book, (kind, MeasureKind.WAIVER)
    measures_by_rule = ((rule, tuple(one for one in rule.measures if one.kind in kinds)) for rule in book.rules if kind)
    rules = tuple(replace(rule, measures=measures) for rule, measures in measures_by_rule if measures)
    return replace(policy, rule_book=replace(book, rules=rules))


def _list_cell_changes(before: Policy, after: Policy) -> list[CellChange]:
    space, answers = compare(before, after)
    examples = _find_examples(space)
    changes = [
        CellChange(space.describe(cell), old, new, _build_example(space, cell, examples))
        for cell, (old, new) in answers.items()
        if old != new
    ]
    for move in find_cell_moves(space):
        old, new = answers[move.before][0], answers[move.after][1]
        if old != new:
            rated = max((move.before, move.after), key=lambda cell: -1 if cell.points is None else cell.points)
            seller = _build_example(space, rated, examples)
            if seller is not None:
                seller = replace(seller, earlier=move.earlier)
                if move.orders is not None:
                    seller = replace(seller, orders=move.orders, tenure_days=move.tenure_days)
            changes.append(CellChange(f"{space.describe(rated)}, {move.where}", old, new, seller))
    return changes


def _find_examples(space: Space) -> dict[tuple[int, ...], tuple[Breach, ...]]:
    """Return breaches by the values of `fact_axes` that a few incidents can reach, the fewest first."""
    incident_by_effect, axes = _list_distinct_incidents(space), space.fact_axes
    top_values = tuple(axis.values[-1] for axis in axes)
    zero = (0,) * len(top_values)
    breaches: dict[tuple[int, ...], tuple[tuple[Breach, ...], ...]] = {zero: ()}
    frontier = [zero]
    examples: dict[tuple[int, ...], tuple[Breach, ...]] = {}
    while frontier:
        following = []
        for sums in frontier:
            floors = tuple(
                axis.values[bisect_right(axis.values, value) - 1] for axis, value in zip(axes, sums, strict=True)
            )
            examples.setdefault(
                floors, tuple(replace(b, incident=n) for n, one in enumerate(breaches[sums]) for b in one)
            )
            for effect, incident in incident_by_effect.items():
                reached = tuple(min(a + b, top) for a, b, top in zip(sums, effect, top_values, strict=True))
                if reached not in breaches:
                    breaches[reached] = (*breaches[sums], incident)
                    following.append(reached)
        frontier = following
    return examples


def _list_distinct_incidents(space: Space) -> dict[tuple[int, ...], tuple[Breach, ...]]:
    """Return one incident for each effect on `fact_axes` that an incident can have."""
    tables = [policy.standing for policy in space.policies if policy.standing is not None]
    counters = [axis.operand for axis in space.axes if isinstance(axis.operand, Counter)]
    days = {0, *(counter.days for counter in counters), *(table.expiry_days for table in tables)}
    named_types = {number for table in tables for number in table.types}
    categories_and_types = [
        *((category, 0) for category in Category),
        *((category_of_type(number), number) for number in named_types),
    ]
    singles = [
        Breach(category, severity, age, violation_type=number)
        for (category, number), severity, age in product(categories_and_types, Severity, sorted(days))
    ]
    incident_by_effect: dict[tuple[int, ...], tuple[Breach, ...]] = {}
    pairs = (pair for pair in combinations(singles, 2) if pair[0].category is not pair[1].category)
    for incident in (*((single,) for single in singles), *pairs):
        incident_by_effect.setdefault(
            tuple(_measure_effect(incident, space, axis) for axis in space.fact_axes), incident
        )
    return incident_by_effect


def _measure_effect(incident: Sequence[Breach], space: Space, axis: CellAxis) -> int:
    """Return how far an incident moves its seller along an axis."""
    table = space.policies[axis.places[0]].standing
    today = _pick_day_before_reset(space)
    if isinstance(axis.operand, Counter):
        return int(any(matches(b.establish(0), axis.operand) and b.age_days < axis.operand.days for b in incident))
    if table is None:
        return 0
    categories = axis.operand.categories if isinstance(axis.operand, Ladder) else frozenset(Category)
    counting = [b for b in incident if b.category in categories and today < table.find_expiry(today - b.age_days)]
    return add_up_incident([b.establish(today) for b in counting], table)


def _pick_day_before_reset(space: Space) -> int:
    tables = (policy.standing for policy in space.policies if policy.standing is not None)
    return next((int(table.find_reset_after(0)) - 1 for table in tables if table.reset is not None), 0)


def _build_example(
    space: Space, cell: Cell, examples: dict[tuple[int, ...], tuple[Breach, ...]]
) -> SampleSeller | None:
    breaches = examples.get(cell.values[: len(space.fact_axes)])
    if breaches is None:
        return None
    seller, orders = space.situation(0, cell), None
    tenure = seller.tenure_days
    if cell.thin:
        breaches = breaches or (_build_expired_breach(space),)
        orders, tenure = space.find_thin_file(cell) or (orders, tenure)
    if seller.day and _pick_day_before_reset(space):
        return None  # a season and a reset: their days differ
    situation = (seller.settled_minor, seller.day or _pick_day_before_reset(space), cell.marketplace)
    return SampleSeller(
        cell.points,
        breaches,
        *situation,
        cell.tier,
        tenure,
        seller.deposit_minor,
        orders,
        measured=seller.measured,
        good_orders=seller.good_orders,
        currency=space.currency,
    )


def _build_expired_breach(space: Space) -> Breach:
    expiries = [policy.standing.expiry_days for policy in space.policies if policy.standing is not None]
    days = [axis.operand.days for axis in space.axes if isinstance(axis.operand, Counter)]
    return Breach(Category.SERVICE, Severity.MINOR, max(0, *expiries, *days))

"""The exact difference of two policies: every cell whose answer changes."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product

from scoring.base.enums import Category, MeasureKind, Severity, Tier
from scoring.base.errors import PolicyRefused
from scoring.entries.violation_types import category_of_type
from scoring.policy.history import add_up_incident, matches
from scoring.policy.measures import Terms
from scoring.policy.moved import find_moved
from scoring.policy.policy import Policy
from scoring.policy.rules import Counter, Ladder
from scoring.policy.sample import Breach, SampleSeller
from scoring.policy.space import MAX_CELLS, Cell, CellAxis, Space, build_space


@dataclass(frozen=True, slots=True)
class CellOutcome:
    tier: Tier | None
    badge: str
    terms: Terms
    currency: str = field(compare=False)


@dataclass(frozen=True, slots=True)
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
    space = _build(before, after)
    if len(space) > MAX_CELLS:
        raise PolicyRefused(
            f"the two policies distinguish {len(space):,} situations; at most {MAX_CELLS:,} are compared"
        )
    return space, {cell: (answer_in(space, 0, cell), answer_in(space, 1, cell)) for cell in space.cells()}


def _build(before: Policy, after: Policy) -> Space:
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
    file and clear days (`scoring.policy.moved`). Beyond MAX_CELLS cells, tiers and badges come first. Each kind of
    measure follows by itself, under the earlier tier and badge.
    """
    if len(_build(before, after)) <= MAX_CELLS:
        return _list_changes(before, after)
    changes = _list_changes(_keep(before, None), _keep(after, None))
    for kind in MeasureKind:
        for one in _list_changes(_keep(before, kind), _keep(after, kind)):
            if one.before.terms != one.after.terms:
                changes.append(replace(one, after=replace(one.after, tier=one.before.tier, badge=one.before.badge)))
    return changes


def _keep(policy: Policy, kind: MeasureKind | None) -> Policy:
    """Return a policy with one kind of measure, and the waivers, or with none: no kind depends on another."""
    book, kinds = policy.rule_book, (kind, MeasureKind.WAIVER)
    measures_by_rule = ((rule, tuple(one for one in rule.measures if one.kind in kinds)) for rule in book.rules if kind)
    rules = tuple(replace(rule, measures=measures) for rule, measures in measures_by_rule if measures)
    return replace(policy, rule_book=replace(book, rules=rules))


def _list_changes(before: Policy, after: Policy) -> list[CellChange]:
    space, answers = compare(before, after)
    examples = _find_examples(space)
    changes = [
        CellChange(space.describe(cell), old, new, _example(space, cell, examples))
        for cell, (old, new) in answers.items()
        if old != new
    ]
    for moved in find_moved(space):
        old, new = answers[moved.before][0], answers[moved.after][1]
        if old != new:
            rated = max((moved.before, moved.after), key=lambda cell: -1 if cell.points is None else cell.points)
            seller = _example(space, rated, examples)
            if seller is not None:
                seller = replace(seller, earlier=moved.earlier)
                if moved.orders is not None:
                    seller = replace(seller, orders=moved.orders, tenure_days=moved.tenure_days)
            changes.append(CellChange(f"{space.describe(rated)}, {moved.where}", old, new, seller))
    return changes


def _floor(values: Sequence[int], value: int) -> int:
    return values[bisect_right(values, value) - 1]


def _find_examples(space: Space) -> dict[tuple[int, ...], tuple[Breach, ...]]:
    """Return breaches by the values of `fact_axes` that a few incidents can reach.

    An incident has one violation, or two of different categories. Examples with fewer incidents come first.
    """
    kinds, axes = _distinct_incidents(space), space.fact_axes
    most = tuple(axis.values[-1] for axis in axes)
    zero = (0,) * len(most)
    breaches: dict[tuple[int, ...], tuple[tuple[Breach, ...], ...]] = {zero: ()}
    ahead = [zero]
    examples: dict[tuple[int, ...], tuple[Breach, ...]] = {}
    while ahead:
        following = []
        for sums in ahead:
            floors = tuple(_floor(axis.values, value) for axis, value in zip(axes, sums, strict=True))
            examples.setdefault(
                floors, tuple(replace(b, incident=n) for n, one in enumerate(breaches[sums]) for b in one)
            )
            for effect, incident in kinds.items():
                reached = tuple(min(a + b, top) for a, b, top in zip(sums, effect, most, strict=True))
                if reached not in breaches:
                    breaches[reached] = (*breaches[sums], incident)
                    following.append(reached)
        ahead = following
    return examples


def _distinct_incidents(space: Space) -> dict[tuple[int, ...], tuple[Breach, ...]]:
    tables = [policy.standing for policy in space.policies if policy.standing is not None]
    counters = [axis.operand for axis in space.axes if isinstance(axis.operand, Counter)]
    days = {0, *(counter.days for counter in counters), *(table.expiry_days for table in tables)}
    named = {number for table in tables for number in table.types}
    sorts = [*((category, 0) for category in Category), *((category_of_type(number), number) for number in named)]
    singles = [
        Breach(category, severity, age, violation_type=number)
        for (category, number), severity, age in product(sorts, Severity, sorted(days))
    ]
    kinds: dict[tuple[int, ...], tuple[Breach, ...]] = {}
    for incident in (*((single,) for single in singles), *_pairs(singles)):
        kinds.setdefault(tuple(_add_up(incident, space, axis) for axis in space.fact_axes), incident)
    return kinds


def _add_up(incident: Sequence[Breach], space: Space, axis: CellAxis) -> int:
    table = space.policies[axis.places[0]].standing
    today = _pick_day(space)
    if isinstance(axis.operand, Counter):
        return int(any(matches(b.establish(0), axis.operand) and b.age_days < axis.operand.days for b in incident))
    if table is None:
        return 0
    categories = axis.operand.categories if isinstance(axis.operand, Ladder) else frozenset(Category)
    counting = [b for b in incident if b.category in categories and today < table.find_expiry(today - b.age_days)]
    return add_up_incident([b.establish(today) for b in counting], table)


def _pick_day(space: Space) -> int:
    tables = (policy.standing for policy in space.policies if policy.standing is not None)
    return next((int(table.find_reset_after(0)) - 1 for table in tables if table.reset is not None), 0)


def _pairs(singles: Sequence[Breach]) -> Iterator[tuple[Breach, ...]]:
    return (pair for pair in combinations(singles, 2) if pair[0].category is not pair[1].category)


def _example(space: Space, cell: Cell, examples: dict[tuple[int, ...], tuple[Breach, ...]]) -> SampleSeller | None:
    breaches = examples.get(cell.values[: len(space.fact_axes)])
    if breaches is None:
        return None
    seller, orders = space.situation(0, cell), None
    tenure = seller.tenure_days
    if cell.thin:
        breaches = breaches or (_find_expired(space),)
        orders, tenure = space.find_thin_file(cell) or (orders, tenure)
    if seller.day and _pick_day(space):
        return None  # a season and a reset: their days differ
    situation = (seller.settled_minor, seller.day or _pick_day(space), cell.marketplace)
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


def _find_expired(space: Space) -> Breach:
    expiries = [policy.standing.expiry_days for policy in space.policies if policy.standing is not None]
    days = [axis.operand.days for axis in space.axes if isinstance(axis.operand, Counter)]
    return Breach(Category.SERVICE, Severity.MINOR, max(0, *expiries, *days))

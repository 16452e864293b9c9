"""The exact difference of two policies: every cell whose answer changes."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from scoring.base.enums import Category, Severity, Tier
from scoring.base.errors import PolicyRefused
from scoring.entries.violation_types import category_of_type
from scoring.policy.history import Established, matches
from scoring.policy.measures import Terms
from scoring.policy.moved import find_moved
from scoring.policy.policy import Policy
from scoring.policy.sample import Breach, Sample
from scoring.policy.space import MAX_CELLS, Cell, Space, build_space


@dataclass(frozen=True, slots=True)
class Answer:
    tier: Tier | None
    badge: str
    terms: Terms


@dataclass(frozen=True, slots=True)
class Change:
    where: str
    before: Answer
    after: Answer
    example: Sample | None
    """A seller in the cell; None if a few incidents of at most two violations lead no seller there."""

    def aspects(self) -> list[str]:
        """Return the changes, such as `hold_days 7 -> 14`."""
        found = []
        for name in ("tier", "badge"):
            one, other = (
                str(getattr(getattr(a, name), "name", getattr(a, name))).lower() for a in (self.before, self.after)
            )
            found += [f"{name} {one} -> {other}"] if one != other else []
        return found + self.before.terms.list_changes(self.after.terms)


def compare(before: Policy, after: Policy) -> tuple[Space, dict[Cell, tuple[Answer, Answer]]]:
    """Return (the space that two policies distinguish, (answer before, answer after) by possible cell).

    Raise PolicyRefused if the space has more than MAX_CELLS.
    """
    space = build_space(before, after, with_overrides=True, with_thin_files=True)
    if len(space) > MAX_CELLS:
        raise PolicyRefused(
            f"the two policies distinguish {len(space):,} situations; at most {MAX_CELLS:,} are compared"
        )
    return space, {cell: (answer_in(space, 0, cell), answer_in(space, 1, cell)) for cell in space.cells()}


def answer_in(space: Space, place: int, cell: Cell) -> Answer:
    policy, seller = space.policies[place], space.situation(place, cell)
    return Answer(seller.tier, policy.badges[seller.tier], policy.rule_book.terms(seller))


def find_changes(before: Policy, after: Policy) -> list[Change]:
    """Return every cell whose tier, badge or terms change, in order; then sellers who change cells.

    Sellers change cells by thin file and clear days (`scoring.policy.moved`).
    """
    space, answers = compare(before, after)
    examples = _find_examples(space)
    found = [
        Change(space.describe(cell), old, new, _example(space, cell, examples))
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
            found.append(Change(f"{space.describe(rated)}, {moved.where}", old, new, seller))
    return found


def _floor(values: Sequence[int], value: int) -> int:
    return values[bisect_right(values, value) - 1]


Reached = tuple[tuple[int, ...], tuple[int, ...]]


def _find_examples(space: Space) -> dict[Reached, tuple[Breach, ...]]:
    """Return breaches for each combination of standings and counts that a few incidents can reach.

    An incident has one violation, or two of different categories. Examples with fewer incidents come first.
    """
    kinds = _distinct_incidents(space)
    most = tuple(values[-1] for values in (*space.standings, *space.counts))
    zero = (0,) * len(most)
    found: dict[tuple[int, ...], tuple[tuple[Breach, ...], ...]] = {zero: ()}
    ahead = [zero]
    examples: dict[Reached, tuple[Breach, ...]] = {}
    while ahead:
        following = []
        for sums in ahead:
            cut = len(space.standings)
            place = (
                tuple(map(_floor, space.standings, sums[:cut])),
                tuple(map(_floor, space.counts, sums[cut:])),
            )
            examples.setdefault(place, tuple(replace(b, incident=n) for n, one in enumerate(found[sums]) for b in one))
            for effect, incident in kinds.items():
                reached = tuple(min(a + b, top) for a, b, top in zip(sums, effect, most, strict=True))
                if reached not in found:
                    found[reached] = (*found[sums], incident)
                    following.append(reached)
        ahead = following
    return examples


def _distinct_incidents(space: Space) -> dict[tuple[int, ...], tuple[Breach, ...]]:
    tables = {place: policy.standing for place, policy in zip(space.table, space.policies, strict=True)}
    days = {counter.days for counter in space.counters} | {t.expiry_days for t in tables.values() if t is not None}
    named = {number for table in tables.values() if table is not None for number in table.types}
    sorts = [*((category, 0) for category in Category), *((category_of_type(number), number) for number in named)]
    singles = [
        Breach(category, severity, age, violation_type=number)
        for (category, number), severity, age in product(sorts, Severity, sorted({0, *days}))
    ]
    kinds: dict[tuple[int, ...], tuple[Breach, ...]] = {}
    for incident in (*((one,) for one in singles), *_pairs(singles)):
        effect = []
        for place in range(len(space.standings)):
            table = tables[place]
            points = 0
            if table is not None:
                points = sum(
                    table.points_of(b.violation_type, b.category, b.severity)
                    for b in incident
                    if b.age_days < table.expiry_days
                )
                points = min(points, table.incident_cap)
            effect.append(points)
        for counter in space.counters:
            counted = (
                matches(Established("", 0, b.category, b.severity, 0, 0), counter) and b.age_days < counter.days
                for b in incident
            )
            effect.append(int(any(counted)))
        kinds.setdefault(tuple(effect), incident)
    return kinds


def _pairs(singles: Sequence[Breach]) -> Iterator[tuple[Breach, ...]]:
    return (pair for pair in combinations(singles, 2) if pair[0].category is not pair[1].category)


def _example(space: Space, cell: Cell, examples: dict[Reached, tuple[Breach, ...]]) -> Sample | None:
    breaches = examples.get((cell.standings, cell.counts))
    if breaches is None:
        return None
    settled = dict(zip(space.categories, cell.settled, strict=True))
    orders, tenure = None, cell.tenure
    if cell.thin:
        breaches = breaches or (_find_expired(space),)
        orders, tenure = space.find_thin_file(cell) or (orders, tenure)
    return Sample(cell.points, breaches, settled, cell.day, cell.marketplace, cell.tier, tenure, cell.deposit, orders)


def _find_expired(space: Space) -> Breach:
    """Return a breach that no longer counts for a standing or a counter."""
    expiries = (policy.standing.expiry_days for policy in space.policies if policy.standing is not None)
    return Breach(Category.SERVICE, Severity.MINOR, max(0, *expiries, *(counter.days for counter in space.counters)))

"""The credit mechanism: the exact difference of two policies, and a preview.

`diff.cells`: situations in which the ladder and the general policy differ; `diff.wrong`: of `diff.checked` sellers,
those about whom the difference is wrong. `preview_s`: seconds of a preview of the ladder for 100,000 sellers and
300,000 entries on SQLite. `preview.sample_s`: seconds of the sample before it. `preview.moved`: sellers with other
terms.

Five minutes on an idle core.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import perf_counter

from scoring.policy.difference import compare, find_changes
from scoring.policy.rules import Settled
from scoring.policy.sample import Sample
from scoring.policy.space import Space
from tests.bench import _preview
from tests.bench.year import policy_named
from tests.helpers.policies import cell_of, direct, sample

Say = Callable[[str], None]
RANDOM_SELLERS, PREVIEWED = 10_000, 100_000


def run(say: Say) -> dict[str, float]:
    figures = difference()
    say(
        f"{figures['diff.cells']:,.0f} cells differ, {figures['diff.wrong']:.0f} of {figures['diff.checked']:,.0f} wrong"
    )
    figures |= _preview.measure(PREVIEWED, policy_named("general"), policy_named("ladder"), _by_tenths(say))
    say(f"a preview of {figures['preview.sellers']:,.0f} sellers takes {figures['preview_s']} s")
    return figures


def _by_tenths(say: Say) -> Callable[[str, int, int], None]:
    said: dict[str, int] = {}

    def progress(step: str, done: int, total: int) -> None:
        tenth = 10 * done // total
        if said.get(step, 0) != tenth:
            said[step] = tenth
            say(f"{step}: {tenth}0 %")

    return progress


def difference() -> dict[str, float]:
    before, after = policy_named("general"), policy_named("ladder")
    begin = perf_counter()
    changes = [one for one in find_changes(before, after) if one.example is not None]
    took = perf_counter() - begin
    space, answers = compare(before, after)
    chance = random.Random(2014)
    sellers = [sample(chance) for _ in range(RANDOM_SELLERS)]
    sellers += [edge for one in changes if one.example is not None for edge in _edges(space, one.example)]
    wrong = sum(
        answers[cell_of(space, seller)] != (direct(before, seller), direct(after, seller)) for seller in sellers
    )
    return {"diff.cells": len(changes), "diff.s": round(took, 2), "diff.wrong": wrong, "diff.checked": len(sellers)}


def _edges(space: Space, example: Sample) -> Iterator[Sample]:
    yield example
    if example.points is not None and example.tier is None:
        edges = [points for points in space.points if points is not None and points > example.points]
        yield replace(example, points=min(edges, default=1001) - 1)
    for axis in space.axes:
        if not isinstance(axis.operand, Settled):
            continue
        name = axis.operand.product_category
        above = [value for value in axis.values if value > example.settled_minor.get(name, 0)]
        if above:
            yield replace(example, settled_minor={**example.settled_minor, name: min(above) - 1})

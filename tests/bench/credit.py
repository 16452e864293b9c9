"""The credit mechanism: the exact difference of two policies, limits, the cost of measures, and a preview.

`diff.cells`: situations in which the ladder and the general policy differ; `diff.wrong`: of `diff.checked` sellers,
those about whom the difference is wrong. `diff.by_kind.`: the same of the health policy, compared by kind of measure.
`paid_ahead.above_limit`: days of `paid_ahead.histories` random histories on which young orders got more than the limit.
`measures_over_score`: the time of a score with measures over that of a score alone.

`preview_s.SELLERS`: seconds of a preview of the ladder on SQLite, with three entries for each seller.
`preview.sample_s`: seconds of the sample before it. `preview.rss_mb`: the peak memory of the process.
`preview.moved`: sellers with other terms.

Five minutes on an idle core.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import perf_counter

import numpy as np

from scoring.features.columns import tabulate
from scoring.features.resolved import resolve_sellers
from scoring.measures.in_force import evaluate_measures
from scoring.policy.difference import CellChange, compare, find_changes
from scoring.policy.measures import Terms
from scoring.policy.rules import SettledValue
from scoring.policy.sample import SampleSeller
from scoring.policy.space import Space
from scoring.scores.score import compute_answer
from tests.bench import _preview
from tests.bench.answers import make_seller
from tests.bench.year import policy_named
from tests.helpers.policies import cell_of, direct, sample
from tests.helpers.worlds import NOW, artifact
from tests.helpers.young_orders import pay_daily

PARTS = ("difference", "difference_by_kind", "limits", "measures", "preview")
Say = Callable[[str], None]
RANDOM_SELLERS, PREVIEWED, HISTORIES, TIMED_SELLERS = 10_000, (5_000, 100_000), 2_000, 300


def run(say: Say, only: str = "") -> dict[str, float]:
    figures: dict[str, float] = {}
    for part in (difference, difference_by_kind, limits, measures):
        if only in ("", part.__name__):
            figures |= part()
            say(str(figures))
    for sellers in PREVIEWED if only in ("", "preview") else ():
        figures |= _preview.measure(sellers, policy_named("general"), policy_named("ladder"), _by_tenths(say))
        say(f"a preview of {sellers:,} sellers takes {figures[f'preview_s.{sellers}']} s")
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


def difference_by_kind() -> dict[str, float]:
    before, after = policy_named("general"), policy_named("health")
    begin = perf_counter()
    changes = [one for one in find_changes(before, after) if one.example is not None]
    took = perf_counter() - begin
    wrong = 0
    for one in changes:
        if (seller := one.example) is not None:
            whole = CellChange("", direct(before, seller), direct(after, seller), seller)
            wrong += not {*one.aspects()} <= {*whole.aspects()}
    return {"diff.by_kind.cells": len(changes), "diff.by_kind.s": round(took, 2), "diff.by_kind.wrong": wrong}


def limits(histories: int = HISTORIES) -> dict[str, float]:
    chance, above = random.Random(28), 0
    for _ in range(histories):
        orders = [(chance.randrange(21), chance.randrange(10), chance.randint(1, 900)) for _ in range(8)]
        terms = Terms(
            hold_days=chance.randrange(6),
            delivery_hold_days=chance.randrange(10),
            reserve_ppm=chance.choice([0, 200_000]),
            reserve_days=chance.randrange(31),
            ahead_days=chance.randint(1, 25),
            ahead_minor=chance.randrange(900),
            ahead_ppm=chance.randrange(200_000),
            ahead_at_most_minor=chance.randint(1, 1_200),
        )
        above += sum(one.young_minor > one.limit_minor for one in pay_daily(orders, terms, 60))
    return {"paid_ahead.histories": histories, "paid_ahead.above_limit": above}


def measures(sellers: int = TIMED_SELLERS) -> dict[str, float]:
    policy, model, spent = policy_named("general"), artifact(), [0.0, 0.0]
    for number in range(sellers):
        known = resolve_sellers(["s"], tabulate(make_seller(np.random.default_rng(number)), ["s"]), NOW)
        for place, with_measures in enumerate((False, True)):
            begin = perf_counter()
            core = compute_answer(known, model, policy, looks_back=with_measures)
            if with_measures:
                evaluate_measures(core, "m", {})
            spent[place] += perf_counter() - begin
    return {"measures_over_score": round(spent[1] / spent[0], 2), "score_ms": round(1e3 * spent[0] / sellers, 2)}


def _edges(space: Space, example: SampleSeller) -> Iterator[SampleSeller]:
    yield example
    if example.points is not None and example.tier is None:
        edges = [points for points in space.points if points is not None and points > example.points]
        yield replace(example, points=min(edges, default=1001) - 1)
    for axis in space.axes:
        if not isinstance(axis.operand, SettledValue):
            continue
        name = axis.operand.product_category
        above = [value for value in axis.values if value > example.settled_minor.get(name, 0)]
        if above:
            yield replace(example, settled_minor={**example.settled_minor, name: min(above) - 1})

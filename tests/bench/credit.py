"""The credit mechanism: measures in force for a seller, and the exact difference of two policies.

`measures_us`: microseconds of the core for the measures of one seller of 50 entries, nine of them confirmed violations;
`score_us`: for its score. `diff.cells`: situations in which the ladder and the general policy differ; `diff.wrong`: of
`diff.checked` sellers, those about whom the difference is wrong. `payout.unbalanced`: of 1,000,000 random orders, those
whose released, drawn and held amounts do not add up to captured less refunded. `preview_s`: seconds of a preview of the
ladder for 100,000 sellers and 300,000 entries on SQLite; `preview.sample_s`: of the sample before it;
`preview.moved`: sellers with other terms.
`caution.false_hold_days`: mean days of a year that a clean seller was under caution. `caution.false_value_share`: the
share of clean sellers' value whose payout a caution delayed. `caution.days_until_stopped`: mean, from the first day of
a runner's run. `year.*`: as in `./dev bench year`. `worker.lost`, `.duplicated`, `.out_of_order`: of
`worker.statements`, after `worker.tries` kills. `_poison.py` and `_record.py` state theirs.

Eight minutes on an idle core.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import quantiles
from time import perf_counter

from scoring.base.time import DAY
from scoring.policy.difference import compare, find_changes
from scoring.policy.measures import Terms
from scoring.policy.payout import Order, pay_out
from scoring.policy.rules import Settled
from scoring.policy.sample import Sample
from scoring.policy.space import Space
from tests.bench import _mechanism, _poison, _preview, _record
from tests.bench.year import credit_figures, policy_named
from tests.helpers.answers import evaluate_measures, score
from tests.helpers.policies import cell_of, direct, sample
from tests.helpers.worlds import NOW, TODAY, artifact, exposure, identity, numbered, violation

Say = Callable[[str], None]
CALLS, RANDOM_SELLERS, ORDERS, PREVIEWED = 400, 10_000, 1_000_000, 100_000


def run(say: Say) -> dict[str, float]:
    figures = measures()
    say(f"what is in force: {figures['measures_us.p50']:,.0f} us (p99 {figures['measures_us.p99']:,.0f})")
    figures |= difference()
    say(
        f"{figures['diff.cells']:,.0f} cells differ, {figures['diff.wrong']:.0f} of {figures['diff.checked']:,.0f} wrong"
    )
    figures |= payouts()
    say(f"{figures['payout.unbalanced']:.0f} of {ORDERS:,} orders do not add up, {figures['payout.us']} us each")
    figures |= credit_figures(say)
    say(f"a runner is stopped after {figures['caution.days_until_stopped']} days")
    figures |= _mechanism.measure()
    say(
        f"{figures['worker.tries']:.0f} kills: of {figures['worker.statements']:,.0f} statements"
        f" {figures['worker.lost']:.0f} lost, {figures['worker.duplicated']:.0f} twice,"
        f" {figures['worker.out_of_order']:.0f} out of order"
    )
    figures |= _poison.measure(policy_named("general"))
    say(
        f"{figures['poison.frozen_free']:.0f} of {figures['poison.small_sellers']:.0f} small sellers are frozen for free"
    )
    figures |= _record.measure()
    say(f"the record of a commit is whole after {figures['record_s']} s")
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


def measures() -> dict[str, float]:
    general = policy_named("general")
    rows = [identity("i", TODAY - 600), *(exposure(f"x{n}", TODAY - 1 - 9 * n, 50, 1) for n in range(40))]
    rows += [violation(f"v{n}", TODAY - 20 * n - 1, 1 + n % 8, 1 + n % 4) for n in range(9)]
    rows = numbered(rows)
    settled = {row.entry_id: 10_000 for row in rows}
    took, scored = [], []
    for _ in range(CALLS):
        begin = perf_counter()
        evaluate_measures(rows, "s", NOW, artifact(), general, "acme", settled)
        took.append((perf_counter() - begin) * 1e6)
        begin = perf_counter()
        score(rows, ["s"], NOW, artifact(), general)
        scored.append((perf_counter() - begin) * 1e6)
    return {
        "measures_us.p50": round(quantiles(took, n=100)[49]),
        "measures_us.p99": round(quantiles(took, n=100)[98]),
        "score_us.p50": round(quantiles(scored, n=100)[49]),
    }


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


def payouts() -> dict[str, float]:
    chance = random.Random(7)
    unbalanced, took = 0, 0.0
    for _ in range(ORDERS):
        captured = int(10 ** (chance.random() * 15))
        refunded = chance.choice([0, 0, captured, chance.randrange(captured + 1)])
        drawn = chance.choice([0, 0, chance.randrange(captured - refunded + 1)])
        is_delivered = chance.random() < 0.9
        confirmed_time = (20_000 + chance.randrange(1, 30)) * DAY if is_delivered else None
        drawn_day = 20_000 if drawn else None
        order = Order(
            captured, 20_000, "EUR", is_delivered, refunded, drawn, drawn, confirmed_time, drawn_day=drawn_day
        )
        terms = Terms(
            hold_days=chance.randrange(181), reserve_ppm=chance.randrange(1_000_001), reserve_days=chance.randrange(181)
        )
        begin = perf_counter()
        found = pay_out(order, terms, 20_000 + chance.randrange(200), "EUR")
        took += perf_counter() - begin
        parts = (found.released_minor, found.drawn_minor, found.held_minor)
        unbalanced += sum(parts) != captured - refunded or min(parts) < 0
    return {"payout.unbalanced": unbalanced, "payout.us": round(took / ORDERS * 1e6, 2)}


def _edges(space: Space, example: Sample) -> Iterator[Sample]:
    yield example
    if example.points is not None and example.tier is None:
        edges = [points for points in space.points if points is not None and points > example.points]
        yield replace(example, points=min(edges, default=1001) - 1)
    for axis in space.axes:
        if not isinstance(axis.asked, Settled):
            continue
        name = axis.asked.product_category
        above = [value for value in axis.values if value > example.settled_minor.get(name, 0)]
        if above:
            yield replace(example, settled_minor={**example.settled_minor, name: min(above) - 1})

import random
import sqlite3

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scoring.base.enums import Category, Kind, Severity, Status
from scoring.base.time import DAY
from scoring.features.columns import FactRow
from scoring.features.decay import HALF_LIVES, UNIT, decay_table
from tests.helpers.answers import score, score_one
from tests.helpers.histories import COUNTING, RETRACTIONS, UNITS, answer, points
from tests.helpers.worlds import (
    CONSTANTS,
    NOW,
    TODAY,
    artifact,
    exposure,
    facts_of,
    numbered,
    policy,
    sellers,
    status,
    violation,
)  # fmt: skip


@pytest.mark.long
@COUNTING
@given(sellers(), st.randoms(use_true_random=False))
def test_the_order_in_which_facts_arrive_does_not_matter(rows: list[FactRow], chance: random.Random) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert answer(shuffled) == answer(rows)


@pytest.mark.long
@COUNTING
@given(sellers(), st.integers(TODAY - 400, TODAY - 1), st.integers(1, 8), st.integers(1, 4), UNITS, RETRACTIONS)
def test_a_retracted_violation_leaves_no_trace_in_the_answer(
    rows: list[FactRow], day: int, category: int, severity: int, units: int, path: list[Status]
) -> None:
    for incident in ("", "incident-1"):
        wrong = violation("wrong", day, category, severity, Status.ALLEGED, incident)._replace(units=units)
        accused = [*rows, wrong, *(status(f"c{i}", "wrong", to) for i, to in enumerate(path))]
        assert answer(accused) == answer(rows)


@pytest.mark.long
@COUNTING
@given(sellers(), st.integers(0, 29), st.integers(0, 900))
def test_an_exposure_day_counts_by_its_highest_revision(rows: list[FactRow], which: int, orders: int) -> None:
    stated = [row for row in rows if row.kind == Kind.EXPOSURE]
    assume(stated)
    old = stated[which % len(stated)]
    new = old._replace(entry_id="again", revision=7, settled_orders=orders, service_failures=0)
    replaced = [new if row is old else row for row in rows]
    assert answer([*rows, new]) == answer(replaced)
    assert answer([new, *rows]) == answer(replaced)


@pytest.mark.long
@COUNTING
@given(sellers(), st.integers(0, 60))
def test_what_came_later_does_not_reach_an_earlier_time(rows: list[FactRow], ago: int) -> None:
    then = (TODAY - ago) * DAY
    seen = [row for row in rows if row.occur_time < then and row.report_time < then]
    seen = [row for row in seen if row.kind != Kind.EXPOSURE or row.exposure_day < then // DAY]
    late = violation("late", TODAY - 300)._replace(report_time=then)
    assert answer([*rows, late], then) == answer(seen, then)


def test_facts_of_the_observation_day_do_not_count_at_midnight() -> None:
    midnight = TODAY * DAY
    rows = [exposure("x", TODAY - 1, 100), exposure("y", TODAY, 100), violation("v", TODAY)]
    assert answer(rows, midnight) == answer(rows[:1], midnight)


@pytest.mark.long
@COUNTING
@given(st.lists(sellers(), min_size=1, max_size=5))
def test_the_fold_of_one_seller_is_the_fold_of_many(population: list[list[FactRow]]) -> None:
    rows = numbered([row._replace(seller=f"s{i}") for i, seller in enumerate(population) for row in seller])
    names = [f"s{i}" for i in range(len(population))]
    together = score(rows, names, NOW, artifact(), policy())
    alone = [score([r for r in rows if r.seller == name], [name], NOW, artifact(), policy())[0] for name in names]
    assert together == alone


@COUNTING
@given(sellers())
def test_the_fold_is_the_sum_a_database_would_give(rows: list[FactRow]) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE v (incident TEXT, category INT, mass INT)")
    weight = {severity: CONSTANTS.severity_weights[severity] for severity in Severity}
    for half_life in HALF_LIVES:
        table = decay_table(half_life)
        database.execute("DELETE FROM v")
        for row in rows:
            if row.kind == Kind.VIOLATION and row.status == Status.CONFIRMED:
                age = TODAY - row.occur_time // DAY
                mass = weight[Severity(row.severity)] * (table[age] if age < len(table) else 0)
                database.execute("INSERT INTO v VALUES (?, ?, ?)", (row.incident, row.category, mass))
        sums = dict(
            database.execute(
                "SELECT category, SUM(largest) FROM"
                " (SELECT category, MAX(mass) AS largest FROM v GROUP BY incident, category) GROUP BY category"
            )
        )
        facts = facts_of(rows)
        folded = artifact().folder.fold(facts).series[HALF_LIVES.index(half_life), : len(Category), 0]
        assert folded.tolist() == [sums.get(category, 0) / UNIT for category in range(1, 9)]
    database.close()


@pytest.mark.long
@COUNTING
@given(sellers(), st.integers(1, 8), st.integers(TODAY - 300, TODAY - 1), st.integers(1, 30))
def test_one_incident_counts_once_however_many_report_it(
    rows: list[FactRow], category: int, day: int, reports: int
) -> None:
    first = violation("first", day, category, 3, Status.CONFIRMED, "flood")
    flood = [violation(f"more-{i}", day, category, 3, Status.CONFIRMED, "flood") for i in range(reports)]
    once, often = (score_one([*rows, *f]) for f in ([first], [first, *flood]))
    assert once == often


@pytest.mark.long
@COUNTING
@given(sellers(), st.integers(1, 3), st.integers(0, 200))
def test_reducing_never_lowers_points_and_an_appeal_moves_none(rows: list[FactRow], severity: int, age: int) -> None:
    accused = [*rows, violation("v", TODAY - 1 - age, 1, 4)]
    appealed = [*accused, status("a", "v", Status.APPEALED)]
    assert points(appealed) == points(accused)
    reduced = [*appealed, status("r", "v", Status.REDUCED, severity=severity)]
    assert points(reduced) >= points(accused)
    assert points(reduced) == points([*rows, violation("v", TODAY - 1 - age, 1, severity)])
    many = violation("w", TODAY - 1 - age, 1, 1, incident="v")._replace(units=1_000)
    assert points([*reduced, many]) == points([*rows, many])
    lost = [*reduced, status("b", "v", Status.APPEALED), status("c", "v", Status.CONFIRMED)]
    assert points(lost) == points(reduced)


@pytest.mark.long
def test_the_tier_falls_at_once_and_rises_after_clear_days() -> None:
    history = [exposure(f"x{d}", TODAY - d, 60) for d in range(1, 400)]
    clean = score_one(history)
    fallen_rows = [*history, violation("v", TODAY, 1, 4)]
    fallen = score_one(fallen_rows)
    assert fallen.points < clean.points
    assert fallen.tier < clean.tier
    for days in range(1, 120):
        later = score_one(fallen_rows, NOW + days * DAY)
        lows = [
            score_one(fallen_rows, moment).points
            for moment in [NOW + days * DAY, *((TODAY + days - k) * DAY for k in range(14))]
            if moment > TODAY * DAY + 1
        ]
        if days >= 14:
            assert later.tier_points == min(lows)


@pytest.mark.long
@COUNTING
@given(sellers(), st.integers(1, 60), st.integers(1, 2000), st.integers(0, 20))
def test_clean_orders_reported_late_never_lower_the_tier(
    rows: list[FactRow], ago: int, orders: int, reported_ago: int
) -> None:
    before = score_one(rows)
    assume(before is not None)
    assume(before.points is not None)
    day = TODAY - ago
    others = [row for row in rows if row.exposure_day != day]
    assume(len(others) == len(rows))
    late = exposure("late", day, orders)._replace(report_time=max((TODAY - reported_ago) * DAY, (day + 1) * DAY - 1))
    after = score_one([*rows, late])
    assert after.points >= before.points
    assert after.tier_points >= before.tier_points
    assert after.tier >= before.tier


def test_an_alleged_violation_moves_only_the_points_if_upheld() -> None:
    history = [exposure(f"x{d}", TODAY - d, 60) for d in range(1, 400)]
    clean = score_one(history)
    many = violation("v", TODAY, 1, 2)._replace(units=1_000)
    accused, guilty = (score_one([*history, many._replace(status=to)]) for to in (Status.ALLEGED, Status.CONFIRMED))
    assert (accused.points, accused.tier, accused.badge) == (clean.points, clean.tier, clean.badge)
    assert accused.points_if_upheld == guilty.points < clean.points_if_upheld
    assert accused.open_allegations == 1


def test_a_confirmed_violation_makes_a_newcomer_rated() -> None:
    newcomer = [exposure("x", TODAY - 2, 5)]
    unrated = score_one(newcomer)
    assert (unrated.state.name, unrated.points, unrated.badge) == ("UNRATED", None, "none")
    rated = score_one([*newcomer, violation("v", TODAY - 1)])
    assert rated.state.name == "RATED"


def test_nothing_that_stands_is_no_seller() -> None:
    accused = [violation("v", TODAY - 1, status=Status.ALLEGED)]
    assert answer(accused) is not None
    assert answer([*accused, status("d", "v", Status.DISMISSED)]) is None

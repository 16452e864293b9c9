from collections import Counter
from copy import deepcopy
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scoring.base.errors import InvalidInput
from scoring.sampling.independent import Row, check_sample
from scoring.sampling.sample import (
    FLOOR_PPM,
    MIN_STRATUM,
    PPB,
    PPM,
    ErrorsOfTest,
    Frame,
    Plan,
    Unit,
    describe_estimate,
    describe_plan,
    draw,
    draw_plan,
    estimate_shares,
    find_interval,
    find_probabilities,
    join_strata,
    make_frame,
)

UNITS = st.builds(
    Unit,
    listing=st.just(""),
    seller=st.sampled_from(("s-1", "s-2")),
    category=st.sampled_from(("", "toys", "shoes")),
    units=st.integers(0, 1_000),
    value_minor=st.integers(0, 10**9),
    expected_ppm=st.integers(0, PPM),
)


@st.composite
def frames(draw_: Any) -> Frame:
    units = draw_(st.lists(UNITS, min_size=1, max_size=60))
    return frame_of(units)


def frame_of(units: list[Unit]) -> Frame:
    named = [
        Unit(f"l-{place:04}", one.seller, one.category, one.units, one.value_minor, one.expected_ppm)
        for place, one in enumerate(units)
    ]
    return make_frame(named)


def rows_of(frame: Frame) -> list[Row]:
    return [(u.listing, u.seller, u.category, u.units, u.value_minor, u.expected_ppm) for u in frame.units]


def estimated(frame: Frame, seed: str, budget: int, share: float, known: float = 1.0) -> tuple[Plan, dict[str, Any]]:
    chance = Random(seed)
    plan = draw_plan(frame, seed, budget)
    fakes = {one.unit.listing: chance.random() < share for one in plan.drawn if chance.random() < known}
    errors = ErrorsOfTest(0.97, 0.99)
    shares = estimate_shares(plan, fakes, errors)
    return plan, describe_estimate(describe_plan(plan), fakes, errors, shares)


@given(frames(), st.text("abc019", min_size=1, max_size=8), st.data())
def test_a_plan_draws_its_budget_and_no_chance_is_zero(frame: Frame, seed: str, data: st.DataObject) -> None:
    budget = data.draw(st.integers(1, len(frame.units)))
    chances = find_probabilities(frame.units, budget)
    assert sum(chances) == budget * PPB
    assert all(budget * PPB * FLOOR_PPM // PPM // len(frame.units) <= one <= PPB for one in chances)
    plan = draw_plan(frame, seed, budget)
    assert len(plan.drawn) == budget
    due: Counter[str] = Counter()
    for unit, chance in zip(frame.units, chances, strict=True):
        due[unit.category] += chance
    drawn = Counter(one.unit.category for one in plan.drawn)
    assert all(abs(drawn[name] * PPB - due[name]) < PPB for name in due)


@given(frames(), st.data())
def test_the_order_of_the_file_changes_nothing(frame: Frame, data: st.DataObject) -> None:
    again = make_frame(data.draw(st.permutations(frame.units)))
    assert again == frame
    assert draw_plan(again, "seed", 1) == draw_plan(frame, "seed", 1)


def test_listings_are_drawn_as_often_as_their_chances_say() -> None:
    random = Random(1)
    frame = frame_of([Unit("", "s", str(n % 3), n, n * n, random.randrange(PPM // 3)) for n in range(60)])
    chances = find_probabilities(frame.units, 12)
    drawn = Counter(place for seed in range(4_000) for place in draw(frame, str(seed), chances))
    rates = np.array([drawn[place] for place in range(60)]) / 4_000
    expected = np.array(chances) / PPB
    assert (np.abs(rates - expected) < 5 * np.sqrt(expected * (1 - expected) / 4_000) + 1e-9).all()
    assert max(chances) > 4 * min(chances)


@given(frames(), st.text("abc", min_size=1), st.data())
def test_the_independent_check_agrees_with_every_estimate(frame: Frame, seed: str, data: st.DataObject) -> None:
    budget = data.draw(st.integers(1, len(frame.units)))
    known = data.draw(st.sampled_from((1.0, 0.7)))
    try:
        _, document = estimated(frame, seed, budget, data.draw(st.sampled_from((0.0, 0.1, 0.6, 1.0))), known)
    except InvalidInput:
        assume(False)
    assume(document["shares"])
    assert check_sample(document, rows_of(frame)) == []


def test_a_share_without_doubt_has_no_interval() -> None:
    """One listing is nearly all of the value, and is drawn for sure: rounding once left no number for an end."""
    worth = [(10**9, PPM - 1), (1, 0), (0, 1), (3, 1)]
    frame = frame_of([Unit("", "s", "b", 5, value, expected) for value, expected in worth])
    _, document = estimated(frame, "72", 3, 1.0)
    by_value = [(one["low"], one["high"]) for one in document["shares"] if one["by"] == "value"]
    assert set(by_value) == {(1.0, 1.0)}
    assert check_sample(document, rows_of(frame)) == []


def a_document() -> tuple[Frame, dict[str, Any]]:
    random = Random(7)
    frame = frame_of(
        [
            Unit("", "s", ("toys", "shoes")[n % 2], *(random.randrange(most) for most in (50, 10**6, PPM)))
            for n in range(120)
        ]
    )  # fmt: skip
    return frame, estimated(frame, "draw of 3 May", 40, 0.2, 0.9)[1]


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [found for key, part in value.items() for found in paths(part, (*path, key))]
    if isinstance(value, list):
        return [found for place, part in enumerate(value) for found in paths(part, (*path, place))]
    return [path]


def test_the_check_finds_every_changed_value() -> None:
    frame, document = a_document()
    assert check_sample(document, rows_of(frame)) == []
    unfound = []
    for path in paths(document):
        changed = deepcopy(document)
        part = changed
        for key in path[:-1]:
            part = part[key]
        value = part[path[-1]]
        part[path[-1]] = (
            value + 1 if isinstance(value, int) else value * 0.99 + 0.001 if isinstance(value, float) else value + "x"
        )
        if not check_sample(changed, rows_of(frame)):
            unfound.append(path)
    assert unfound == [("plan", "format")]


def test_the_check_finds_another_frame_and_swapped_results() -> None:
    frame, document = a_document()
    rows = rows_of(frame)
    assert check_sample(document, rows[1:]) != []
    assert check_sample(document, [*rows[:-1], (*rows[-1][:4], rows[-1][4] + 1, rows[-1][5])]) != []
    failed, passed = (next(k for k, v in document["results"].items() if v == word) for word in ("failed", "passed"))
    document["results"] |= {failed: "passed", passed: "failed"}
    assert check_sample(document, rows) != []
    [problem] = check_sample(document | {"results": [*document["results"]]}, rows)
    assert problem.startswith("the file lacks a part or has another form")
    assert check_sample({"plan": None}, rows) != []


@pytest.mark.parametrize(
    ("fakes", "tested", "low", "high"), [(19, 51, 0.249, 0.511), (0, 1, 0.0, 0.853), (1, 1, 0.147, 1.0), (6, 7, 0.49, 0.98)]
)  # fmt: skip
def test_few_results_have_wide_intervals(fakes: int, tested: int, low: float, high: float) -> None:
    fake = np.arange(tested) < fakes
    weight, stratum = np.full(tested, 1 / tested), np.zeros(tested, dtype=np.int64)
    share, *ends = find_interval(fake.astype(np.float64), np.zeros(tested), weight, stratum)
    assert share == pytest.approx(fakes / tested)
    assert ends == [pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02)]


def test_fakes_of_small_weight_have_a_near_upper_end() -> None:
    """The added result weighs about as much as fakes do: with a mean weight the end is 3.2 %."""
    weight = np.where(np.arange(100) < 90, 10 / 910, 1 / 910)
    fake = (np.arange(100) >= 94).astype(np.float64)
    share, low, high = find_interval(fake, np.zeros(100), weight, np.zeros(100, dtype=np.int64))
    assert (round(share, 4), round(low, 4), round(high, 4)) == (0.0066, 0.0018, 0.0291)


def test_a_draw_of_everything_leaves_no_interval() -> None:
    frame = frame_of([Unit("", "s", "", 1, 1, 0) for _ in range(20)])
    plan = draw_plan(frame, "x", 20)
    (share, *_) = estimate_shares(plan, {unit.listing: n < 5 for n, unit in enumerate(frame.units)}, ErrorsOfTest())
    assert [share.value, share.low, share.high] == pytest.approx([0.25] * 3)


def test_small_categories_are_one_stratum() -> None:
    counts = {"a": 30, "b": 12, "c": 3, "d": 1, "e": 0}
    frame = frame_of([Unit("", "s", name, 1, 1, 0) for name, count in counts.items() for _ in range(count + 1)])
    plan = draw_plan(frame, "x", len(frame.units))
    left = Counter(counts)
    tested = [one for one in plan.drawn if left[one.unit.category] > 0 and not left.subtract([one.unit.category])]
    strata = join_strata(tested, frame.units)
    assert strata["a"] not in {strata[name] for name in "bcde"}
    assert len({strata[name] for name in "bcde"}) == 1
    assert sum(counts[name] for name in "bcde") >= MIN_STRATUM


@pytest.mark.parametrize(
    ("sensitivity", "specificity"), [(0.5, 0.5), (1.1, 1.0), (0.0, 1.0)]
)  # fmt: skip
def test_a_test_no_better_than_chance_is_refused(sensitivity: float, specificity: float) -> None:
    frame, _ = a_document()
    plan = draw_plan(frame, "x", 3)
    with pytest.raises(InvalidInput, match="more than 1 together"):
        estimate_shares(plan, {plan.drawn[0].unit.listing: True}, ErrorsOfTest(sensitivity, specificity))

"""Exact sums against plain sums in Python's whole numbers."""

from collections import defaultdict
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import Category, Severity
from scoring.features.columns import FactRow
from scoring.features.decay import HALF_LIVES, UNIT, add_up, decay_table
from scoring.features.facts import Facts
from scoring.features.fold import ALL_CATEGORIES, FLOOR_PLACES, Folder
from tests.helpers.worlds import CONSTANTS, facts_of, sellers

FOLDER = Folder(CONSTANTS)
BOUNDS = ((5, 5), (1 << 46, 1 << 16), (1 << 20, 1 << 41))


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 3), st.sampled_from([1, 3, 5_000]), st.sampled_from(BOUNDS))
def test_each_way_of_adding_up_gives_the_plain_sums(
    data: st.DataObject, columns: int, places: int, bounds: tuple[int, int]
) -> None:
    def draw(number: int, *values: int) -> Any:
        return data.draw(st.lists(st.sampled_from(values), min_size=number, max_size=number))

    facts = data.draw(st.integers(0, 9))
    weight = [draw(columns, bounds[0], bounds[0] - 1, 0) for _ in range(2)]
    column, place = draw(facts, *range(columns)), draw(facts, *range(min(places, 3)))
    amounts = draw(facts, bounds[1], bounds[1] - 1, 0)
    given_ = [np.array(one, dtype=np.int64) for one in (weight, column, amounts, place)]
    found = add_up(*given_, places)
    for row, weights in enumerate(weight):
        plain = [0] * places
        for fact in range(facts):
            plain[place[fact]] += weights[column[fact]] * amounts[fact]
        assert found[row].tolist() == [float(one) for one in plain]


def add_up_plainly(facts: Facts, half_life: int) -> dict[int, int]:
    """Return by place of `Sums.series` the sums over incidents of the largest weight, in 2^-40."""
    weights, table = CONSTANTS.severity_weights, decay_table(half_life)
    largest: defaultdict[tuple[int, int], int] = defaultdict(int)
    v = facts.violations
    for day, category, severity, incident in zip(v.day, v.category, v.severity, v.incident, strict=True):
        age = int(facts.observe_day[0] - day)
        decayed = table[age] if age < len(table) else 0
        worths = {int(category) - 1: weights[Severity(severity)], ALL_CATEGORIES: weights[Severity(severity)]}
        worths |= {place: 1 for floor, place in FLOOR_PLACES.items() if severity >= floor}
        for place, worth in worths.items():
            largest[place, int(incident)] = max(largest[place, int(incident)], worth * decayed)
    sums: dict[int, int] = dict.fromkeys((*range(len(Category)), ALL_CATEGORIES, *FLOOR_PLACES.values()), 0)
    for (place, _), mass in largest.items():
        sums[place] += mass
    return sums


@settings(max_examples=200, deadline=None)
@given(sellers())
def test_incidents_of_one_and_of_many_reports_add_up_alike(rows: list[FactRow]) -> None:
    facts = facts_of(rows)
    series = FOLDER.fold(facts).series
    for row, half_life in enumerate(HALF_LIVES):
        for place, mass in add_up_plainly(facts, half_life).items():
            assert series[row, place, 0] == float(mass) / UNIT

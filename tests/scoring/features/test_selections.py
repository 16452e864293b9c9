from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import Severity
from scoring.features.columns import FactRow
from scoring.features.facts import Facts
from scoring.features.fold import Constants, Folder, Sums
from scoring.features.selections import fold_each_incident
from scoring.scores.reasons import group_incidents
from tests.helpers.worlds import TODAY, exposure, facts_of, sellers, violation

FOLDER = Folder(Constants(dict(zip(Severity, (1, 9, 40, 63), strict=True))))


def refolded(facts: Facts, chosen: np.ndarray) -> Sums:
    return FOLDER.fold(replace(facts, violations=facts.violations.take(chosen)))


def assert_equal_bits(found: Sums, case: int, expected: Sums) -> None:
    for field in fields(Sums):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, np.ndarray):
            assert one[..., case].tolist() == other[..., 0].tolist(), field.name


def check_all(facts: Facts, groups: int) -> None:
    violations = facts.violations
    incidents = group_incidents(violations)
    group = np.array([place % groups for place in range(len(incidents))], dtype=np.int64)
    of_violation = np.repeat(group, [len(incident.places) for incident in incidents])
    sums, history = fold_each_incident(facts, FOLDER)
    subsets = sums.of_subsets(group, groups).joined_with(history)
    for subset in range(1 << groups):
        assert_equal_bits(subsets, subset, refolded(facts, (subset >> of_violation & 1) == 1))
    without = sums.without_each().joined_with(history)
    for case, incident in enumerate(incidents):
        assert_equal_bits(without, case, refolded(facts, violations.incident != incident.code))


@settings(max_examples=60, deadline=None)
@given(sellers(), st.integers(1, 4))
def test_sums_of_selections_are_those_of_a_fold_of_each(rows: list[FactRow], groups: int) -> None:
    check_all(facts_of(rows), groups)


@pytest.mark.parametrize("count", [0, 1, 2, 400])
def test_sums_beyond_what_a_float_holds_exactly_are_rounded_once(count: int) -> None:
    guilty = [violation(f"v{n}", TODAY - n % 50, 1 + n % 8, 4, incident=f"i{n}") for n in range(count)]
    check_all(facts_of([exposure("x", TODAY - 5, 10), *guilty]), 2)

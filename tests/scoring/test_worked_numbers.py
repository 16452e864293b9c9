import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scoring.base.enums import Action, Harm, Severity, Source, Status, Tier
from scoring.base.errors import LifecycleForbids
from scoring.base.time import day_of, format_day, format_time, parse_day, parse_time
from scoring.entries.lifecycle import TRANSITIONS, allowed_actions, next_status
from scoring.entries.violation_types import severity_of, violation_types
from scoring.features.columns import columns_of
from scoring.features.decay import HALF_LIVES, add_up, decay_table
from scoring.features.facts import resolve
from scoring.features.fold import Folder
from scoring.features.table import FEATURES
from scoring.model.scale import Scale
from scoring.policy.reading import parse_policy
from scoring.scores.reasons import shapley_shares
from tests.helpers.policies import data
from tests.helpers.worlds import CONSTANTS, NOW, TODAY, exposure, numbered


def test_decay_tables_halve_at_each_half_life_and_end_at_nothing() -> None:
    for half_life in HALF_LIVES:
        table = decay_table(half_life)
        assert table[0] == 2**40
        assert table[half_life] == 2**39
        assert table[10 * half_life] == 2**30
        assert all(a >= b for a, b in itertools.pairwise(table))
        assert len(table) == 41 * half_life
    exact = [2**40 * 2 ** (-age / 7) for age in range(100)]
    assert all(abs(a - b) <= 0.5 + 1e-3 for a, b in zip(decay_table(7), exact, strict=False))


@given(
    st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 2**42), st.integers(0, 3)), max_size=30),
    st.sampled_from([0, 30, 40, 42]),
    st.booleans(),
)
@example([(2**20, 2**42 - 1, 1)] * 9 + [(2**20 - 1, 2**42, 3)], 0, False)
@example([(2**20, 2, 1)] * 9 + [(2**20 - 1, 1, 3)], 0, True)
def test_sums_of_products_are_exact_however_large(
    items: list[tuple[int, int, int]], smaller: int, are_alike: bool
) -> None:
    items = [(items[0][0] if are_alike else weight, amount >> smaller, place) for weight, amount, place in items]
    weight, amount, place = (np.array([item[k] for item in items], dtype=np.int64) for k in range(3))
    column = np.zeros(len(items), dtype=np.int64) if are_alike else np.arange(len(items))
    sums = add_up(weight[None], column, amount, place, 4)
    assert sums.tolist() == [[float(sum(w * a for w, a, p in items if p == k)) for k in range(4)]]
    worked = add_up(np.array([[2, 3, 5]]), np.arange(3), np.array([10, 1, 1]), np.array([0, 0, 2]), 3)
    assert worked.tolist() == [[23, 0, 5]]


def test_the_worked_scale() -> None:
    assert [Scale.base_of(-math.log(odds)) for odds in (20, 40)] == [600, 650]
    scale = Scale(650)
    assert scale.points(np.array([50.0, 0.0, 651.0, -351.0])).tolist() == [600, 650, 0, 1000]
    assert scale.p_bad(np.array([50.0])) == pytest.approx([1 / 21], abs=1e-12)
    assert scale.log_odds(np.array([50.0, 0.0])) == pytest.approx([-math.log(20), -math.log(40)])


def test_the_worked_shapley_shares() -> None:
    assert shapley_shares([700, 650, 680, 600], 2) == [-65, -35]
    assert shapley_shares([700], 0) == []


@pytest.mark.long
@given(st.integers(1, 5), st.randoms(use_true_random=False))
def test_shares_sum_to_the_gap_and_none_is_positive(players: int, chance) -> None:
    losses = [chance.randint(0, 90) for _ in range(players)]
    bonus = chance.randint(0, 40)
    values = [
        900 - sum(loss for p, loss in enumerate(losses) if s >> p & 1) - bonus * (s.bit_count() > 1)
        for s in range(1 << players)
    ]
    shares = shapley_shares(values, players)
    assert sum(shares) == values[-1] - values[0]
    assert all(share <= 0 for share in shares)


def test_the_worked_tiers() -> None:
    tiers = [parse_policy(data()).tier(points) for points in (0, 499, 500, 599, 600, 699, 700, 1000)]
    assert tiers == [Tier.PROBATION] * 2 + [Tier.STANDARD] * 2 + [Tier.TRUSTED] * 2 + [Tier.EXEMPLARY] * 2


def test_the_worked_severities() -> None:
    types = violation_types(0)
    assert severity_of(types["counterfeit_goods"], Source.BRAND, Harm.MEDIUM) is Severity.MAJOR
    assert severity_of(types["misleading_listing"], Source.BUYER, Harm.LOW) is Severity.MINOR
    assert severity_of(types["misleading_listing"], Source.MARKET_REGULATOR, Harm.LOW) is Severity.MODERATE


def test_severity_never_falls_as_harm_rises() -> None:
    for row in violation_types(0).values():
        for source in Source:
            severities = [severity_of(row, source, harm) for harm in Harm]
            assert severities == sorted(severities)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("action", Action)
def test_the_lifecycle_allows_what_its_table_says(status: Status, action: Action) -> None:
    if action in TRANSITIONS[status]:
        assert next_status(status, action) is TRANSITIONS[status][action]
    else:
        with pytest.raises(LifecycleForbids) as refused:
            next_status(status, action)
        assert all(a.name.lower() in refused.value.metadata["allowed"] for a in allowed_actions(status))


def test_times_come_back_from_text() -> None:
    assert parse_time("1970-01-01T00:00:01Z") == 1_000_000
    assert format_time(1_000_000) == "1970-01-01T00:00:01Z"
    assert parse_time("1970-01-02") == 86_400_000_000
    assert day_of(86_400_000_000) == parse_day("1970-01-02") == 1
    assert format_day(1) == "1970-01-02"
    with pytest.raises(ValueError, match="offset"):
        parse_time("2026-03-01T12:00:00")


def test_every_feature_states_its_definition_unit_and_direction() -> None:
    for key, feature in FEATURES.items():
        assert key == f"{feature.name}@{feature.version}"
        assert feature.definition
        assert feature.unit
        assert feature.direction in (-1, +1)


def test_rates_without_decay_tell_newcomers_from_proven_sellers() -> None:
    def rates(orders: int, age: int) -> list[float]:
        rows = numbered([exposure("x", TODAY - age, orders)])
        sums = Folder(CONSTANTS).fold(resolve(columns_of(rows, ["s"]), np.array([NOW])))
        return [float(FEATURES[f"{name}@1"].compute(sums)[0]) for name in ("severe_rate_ever", "severe_rate_365d")]

    assert rates(0, 1) == [0.01, 0.0]
    assert rates(1_950, 1) == rates(1_950, 2_000) == [0.00025, 0.0]

"""From facts to points: certified models of random data never reward bad conduct nor punish good conduct.

Promises by kind of fact, at fixed model and policy, for any other facts and attributes:

    | never raises points | never lowers them |
    |---|---|
    | a violation that counts, a confirmation, more adjudicated units | dismissal, withdrawal, overturn, reduction |
    | a violation split off into an incident of its own (without units) | incidents merged (without units) |
    | failed orders | clean orders, a higher level of identity, goods attributed to another seller |

Waiting worsens no feature by more than the rounding of the decay tables. Nothing is promised of changes of control,
corrections and attributes.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scoring.base.enums import Attribution, Kind, ScoreState, Status
from scoring.base.errors import ArtifactRefused
from scoring.base.time import DAY
from scoring.features.columns import FactRow
from scoring.model.certificate import certify
from tests.helpers.answers import score
from tests.helpers.histories import (
    COUNTING,
    DIRECTIONS,
    FEATURES,
    UNITS,
    assert_no_better,
    merge,
    models,
    name_features,
    seen,
    split,
    with_units,
)
from tests.helpers.worlds import (
    ALL_FEATURES,
    CONSTANTS,
    NOW,
    TODAY,
    decision,
    exposure,
    identity,
    numbered,
    page_of,
    policy,
    population,
    sellers,
    status,
    violation,
)

CONTEXTS = ({}, {"inspector": "harsh", "area": "5"}, {"inspector": "mild", "area": "90"})

violation_days = st.integers(TODAY - 700, TODAY - 1)
contexts = st.sampled_from(CONTEXTS)


@pytest.mark.long
@COUNTING
@given(sellers(), violation_days, st.integers(1, 8), st.integers(1, 4), UNITS, st.integers(-1, 5), contexts)
def test_a_violation_never_raises_points_nor_taken_back_lowers(
    rows: list[FactRow], day: int, category: int, severity: int, units: int, incident: int, context: dict[str, str]
) -> None:
    name = f"incident-{incident}" if incident >= 0 else ""
    guilty = [*rows, violation("new", day, category, severity, Status.CONFIRMED, name)._replace(units=units)]
    assert_no_better(guilty, rows, context)
    for change in (
        status("o", "new", Status.OVERTURNED),
        status("d", "new", Status.DISMISSED),
        status("w", "new", Status.WITHDRAWN),
        decision(Kind.ATTRIBUTION, "theirs", violation="new", status=Attribution.ACCEPTED),
    ):
        assert_no_better(guilty, [*guilty, change], context)
    if severity > 1:
        assert_no_better(guilty, [*guilty, status("r", "new", Status.REDUCED, severity=severity - 1)], context)


@pytest.mark.long
@COUNTING
@given(sellers(), st.lists(UNITS, min_size=1, max_size=4), UNITS, st.sampled_from([10, 1000]), contexts, st.data())
def test_confirming_never_raises_points_and_more_units_never_do(
    rows: list[FactRow], units: list[int], adjudicated: int, more: int, context: dict[str, str], data: st.DataObject
) -> None:
    rows = with_units(rows, units)
    alleged = [row for row in rows if row.kind == Kind.VIOLATION and row.status == Status.ALLEGED]
    assume(alleged)
    confirmation = status("c", data.draw(st.sampled_from(alleged)).entry_id, Status.CONFIRMED)
    confirmed = [*rows, confirmation._replace(units=adjudicated)]
    assert_no_better(confirmed, rows, context)
    assert_no_better([*rows, confirmation._replace(units=adjudicated + more)], confirmed, context)


@COUNTING
@given(sellers(), st.integers(0, 5), st.integers(0, 5), st.integers(0, 11), contexts)
def test_merging_never_lowers_points_and_splitting_never_raises(
    rows: list[FactRow], one: int, into: int, which: int, context: dict[str, str]
) -> None:
    mine = [row.entry_id for row in rows if row.kind == Kind.VIOLATION]
    assume(mine)
    assume(one != into)
    assert_no_better(rows, [*rows, merge("m", f"incident-{one}", f"incident-{into}")], context)
    assert_no_better([*rows, split("s", mine[which % len(mine)], "its own")], rows, context)


@COUNTING
@given(sellers(), violation_days, st.integers(0, 3000), st.integers(0, 50), st.integers(1, 3), contexts)
def test_clean_orders_never_lower_points_nor_failed_raise_them(
    rows: list[FactRow], day: int, orders: int, failures: int, level: int, context: dict[str, str]
) -> None:
    rows = [row for row in rows if row.exposure_day != day]
    clean = [*rows, exposure("more", day, orders)]
    assert_no_better(rows, clean, context)
    assert_no_better([*rows, exposure("more", day, orders, min(failures, orders))], clean, context)
    first, second = (identity("again", TODAY - 3, at) for at in (level, level + 1))
    assert_no_better([*rows, first], [*rows, second], context)


@COUNTING
@given(sellers(), st.lists(UNITS, min_size=1, max_size=4), st.integers(1, 400), st.integers(0, 5), contexts)
def test_waiting_worsens_no_feature_by_more_than_rounding(
    rows: list[FactRow], units: list[int], wait: int, into: int, context: dict[str, str]
) -> None:
    rows = [
        *with_units(rows, units),
        merge("m", "incident-0", f"incident-{into}"),
        decision(Kind.CONTROL, "sold", TODAY - 200, status=1),
    ]
    (now,), _ = seen([rows], context)
    (later,), _ = seen([rows], context, NOW + wait * DAY)
    orders = sum(row.settled_orders or 0 for row in rows)
    most = 2.0**-20 * (1 + orders) / CONSTANTS.rate_damping
    assert name_features((now - later) * DIRECTIONS > most) == []


@pytest.mark.long
@COUNTING
@given(sellers(), violation_days, st.integers(1, 8), st.integers(1, 4))
def test_promises_hold_for_the_tiers_points_and_the_interval(
    rows: list[FactRow], day: int, category: int, severity: int
) -> None:
    guilty = [*rows, violation("new", day, category, severity)]
    for model in models():
        before, after = (score(numbered(r), ["s"], NOW, model, policy())[0] for r in (rows, guilty))
        assert after.state is ScoreState.RATED
        if before is None or before.state is not ScoreState.RATED:
            continue
        for name in ("points", "tier_points", "points_if_upheld", "points_low", "points_high"):
            assert getattr(after, name) <= getattr(before, name), name


def test_attributes_stay_free() -> None:
    x = np.tile(models()[0].baseline, (200, 1))
    x[:, -1] = np.linspace(0, 100, 200)
    x[:, -2] = 1.0
    for model in models():
        steps = np.diff(model.raw_score(x))
        assert steps.min() < 0 < steps.max()
        certify(model.page, {feature.key: feature.direction for feature in FEATURES})


def test_a_model_without_constraints_breaks_these_promises() -> None:
    x, bad = population()
    free = page_of(x, bad, tuple(replace(feature, direction=0) for feature in ALL_FEATURES), 60)
    wrong = 0
    for place, feature in enumerate(ALL_FEATURES):
        moved = np.repeat(x[:50, None], 40, axis=1)
        moved[:, :, place] = np.quantile(x[:, place], np.linspace(0, 1, 40))
        raw = free.raw_score(moved.reshape(-1, x.shape[1])).reshape(50, 40)
        wrong += bool((np.diff(raw, axis=1) * feature.direction > 0).any())
    assert wrong > 5
    with pytest.raises(ArtifactRefused, match="not monotone"):
        certify(free, {feature.key: feature.direction for feature in ALL_FEATURES})

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import RATED_TIERS, Category, CorrectionKind, Kind, Severity, Status, Tier
from scoring.base.errors import PolicyRefused
from scoring.base.time import DAY
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.columns import FactRow, columns_of
from scoring.features.facts import resolve
from scoring.policy.history import establish, trace_standing, value_at
from scoring.policy.reading import parse_policy
from scoring.scores.reasons import CLEAR_DAYS_PENDING, OVERRIDDEN, STANDING
from tests.helpers.answers import score
from tests.helpers.policies import POINTS, data, standing, with_standing
from tests.helpers.worlds import (
    NOW,
    TODAY,
    artifact,
    exposure,
    identity,
    numbered,
    override,
    sellers,
    status,
    violation,
)

COUNTING = settings(max_examples=80, deadline=None)
PLAIN = parse_policy(data())


def standing_of(rows: list[FactRow], moment: int = NOW) -> int:
    table = with_standing().standing
    return int(table.add_up(resolve(columns_of(numbered(rows), ["s"]), np.array([moment])))[0])


def by_hand(rows: list[FactRow], moment: int = NOW) -> int:
    incidents: dict[str, dict[int, int]] = {}
    for row in rows:
        if row.kind != Kind.VIOLATION or row.status != Status.CONFIRMED:
            continue
        if moment // DAY - row.occur_time // DAY >= 365:
            continue
        given = POINTS[Category(row.category or 0).name.lower()][(row.severity or 0) - 1]
        of_incident = incidents.setdefault(str(row.incident), {})
        of_incident[row.category or 0] = max(of_incident.get(row.category or 0, 0), given)
    return sum(min(sum(of_incident.values()), 24) for of_incident in incidents.values())


def test_the_worked_standing() -> None:
    """24 of an incident that would give 25, 12 of a major one 364 days ago, nothing of one a day older: 36."""
    counterfeit, disclosure = Category.COUNTERFEIT, Category.DISCLOSURE
    one = violation("a", TODAY - 10, counterfeit, Severity.CRITICAL, incident="one")
    same = violation("b", TODAY - 9, disclosure, Severity.MODERATE, incident="one")
    young = violation("c", TODAY - 364, counterfeit, Severity.MAJOR)
    old = violation("d", TODAY - 365, counterfeit, Severity.MAJOR)
    assert standing_of([one]) == 24
    assert standing_of([one, same]) == 24
    assert standing_of([one, same, young, old]) == 36
    table = with_standing().standing
    assert [table.best_tier(n) for n in (0, 1, 2, 5, 6, 11, 12)] == [
        *(Tier.EXEMPLARY, Tier.EXEMPLARY, Tier.TRUSTED, Tier.TRUSTED, Tier.STANDARD, Tier.STANDARD, Tier.PROBATION),
    ]
    assert with_standing().tier_with_standing(720, 3) is Tier.TRUSTED


def test_a_named_type_gives_its_own_points() -> None:
    """Order fraud gives 20 where integrity gives 8, fake reviews none; one incident and category still counts once."""
    fraud, reviews = TYPE_NUMBERS["order_fraud"], TYPE_NUMBERS["fake_reviews"]
    stated = standing() | {"types": {
        "order_fraud": {"minor": 5, "moderate": 10, "major": 20, "critical": 24},
        "fake_reviews": {"minor": 0, "moderate": 0, "major": 0, "critical": 0},
    }}  # fmt: skip
    table = parse_policy(data(standing=stated)).standing
    integrity, major = Category.INTEGRITY, Severity.MAJOR

    def breach(name: str, kind: int | None, incident: str = "") -> FactRow:
        return violation(name, TODAY - 9, integrity, major, incident=incident, violation_type=kind)

    def added(*rows: FactRow) -> int:
        columns = columns_of(numbered(list(rows)), ["s"])
        facts = resolve(columns, np.array([NOW]))
        steps = trace_standing(establish(facts, numbered(list(rows)), [numbered(list(rows))], NOW)[0], table)
        sums = {int(table.add_up(facts)[0]), value_at(steps, NOW)}
        assert len(sums) == 1
        return sums.pop()

    assert added(breach("a", fraud)) == 20
    assert added(breach("a", reviews)) == 0
    assert added(breach("a", None)) == 8
    assert added(breach("a", fraud), breach("b", reviews), breach("c", None)) == 28
    assert added(breach("a", fraud, "one"), breach("b", reviews, "one"), breach("c", None, "one")) == 20


def test_points_of_types_that_cannot_be_are_refused_by_name() -> None:
    falling = {"minor": 5, "moderate": 4, "major": 20, "critical": 25}
    with pytest.raises(PolicyRefused) as error:
        parse_policy(data(standing=standing() | {"types": {"order_fraud": falling, "theft": falling}}))
    assert error.value.faults == (
        "standing.types.order_fraud must never fall with the severity",
        "standing.types.theft is no violation type; see docs/reference/violation-types.md",
        "standing.incident_cap is less than the 25 that one violation alone gives",
    )


@COUNTING
@given(sellers())
def test_a_standing_is_the_sum_that_a_person_makes_by_hand(rows: list[FactRow]) -> None:
    assert standing_of(rows) == by_hand(rows)


@COUNTING
@given(sellers(), st.sampled_from([*Category]), st.sampled_from([*Severity]), st.integers(1, 400))
def test_an_allegation_gives_no_standing_and_no_overturn_a_trace(
    rows: list[FactRow], category: Category, severity: Severity, age: int
) -> None:
    alleged = violation("new", TODAY - age, int(category), int(severity), Status.ALLEGED, "incident-0")
    confirmed = status("yes", "new", Status.CONFIRMED)
    before = standing_of(rows)
    assert standing_of([*rows, alleged]) == before
    assert before <= standing_of([*rows, alleged, confirmed]) <= before + 24
    assert standing_of([*rows, alleged, confirmed, status("no", "new", Status.OVERTURNED)]) == before


def test_a_standing_changes_at_midnight_and_expires_by_its_day() -> None:
    breach = violation("a", TODAY - 300)
    for moment in (TODAY * DAY + 1, NOW, TODAY * DAY + DAY - 1):
        assert standing_of([breach], moment) == 12
    last = TODAY - 300 + 364
    assert [standing_of([breach], (last + k) * DAY) for k in (0, 1)] == [12, 0]
    earlier = FactRow(0, "c", "s", Kind.CORRECTION, (TODAY - 366) * DAY, NOW, target="a", status=CorrectionKind.MOVED)
    assert standing_of([breach, earlier]) == 0


@pytest.mark.long
@COUNTING
@given(sellers())
def test_the_tier_is_the_worse_of_points_and_standing(rows: list[FactRow]) -> None:
    [plain] = score(numbered(rows), ["s"], NOW, artifact(), PLAIN)
    [bound] = score(numbered(rows), ["s"], NOW, artifact(), with_standing())
    assert plain.standing is None
    assert bound.standing == by_hand(rows)
    assert (bound.points, bound.tier_points, bound.points_low) == (plain.points, plain.tier_points, plain.points_low)
    table = with_standing().standing
    if plain.tier in RATED_TIERS:
        assert bound.tier is min(plain.tier, table.best_tier(bound.standing))
        assert (STANDING in bound.reason_codes) == (bound.tier is not plain.tier)
        assert bound.badge == with_standing().badges[bound.tier]
        assert bound.points is not None
        rises = bound.tier is not min(PLAIN.tier(bound.points), table.best_tier(bound.standing))
        assert (CLEAR_DAYS_PENDING in bound.reason_codes) == rises
    else:
        assert bound.tier is plain.tier


def test_a_rise_that_the_standing_forbids_is_not_announced() -> None:
    sold = [identity("i", TODAY - 600), exposure("x", TODAY - 200, 60), exposure("y", TODAY - 3, 100_000_000)]
    low = {Tier.STANDARD: 300, Tier.TRUSTED: 600, Tier.EXEMPLARY: 700}
    for breaches, announced in ((1, True), (12, False)):
        minor = [violation(f"v{k}", TODAY - 40, Category.DISCLOSURE, 1) for k in range(breaches)]
        rows = numbered([*sold, *minor])
        [plain] = score(rows, ["s"], NOW, artifact(), replace(PLAIN, cut_offs=low))
        [bound] = score(rows, ["s"], NOW, artifact(), replace(with_standing(), cut_offs=low))
        assert CLEAR_DAYS_PENDING in plain.reason_codes
        assert bound.standing == breaches
        assert (CLEAR_DAYS_PENDING in bound.reason_codes) == announced


def test_without_a_model_the_standing_is_still_stated() -> None:
    [answer] = score(numbered([violation("a", TODAY - 5)]), ["s"], NOW, None, with_standing())
    assert (answer.standing, answer.tier) == (12, None)


def test_a_person_may_set_a_tier_above_what_the_standing_allows() -> None:
    held = override("o", NOW - DAY, Tier.TRUSTED, NOW + 30 * DAY)
    [answer] = score(numbered([violation("a", TODAY - 5), held]), ["s"], NOW, artifact(), with_standing())
    assert (answer.tier, answer.standing, answer.override) == (Tier.TRUSTED, 12, "o")
    assert OVERRIDDEN in answer.reason_codes


@given(st.lists(st.tuples(st.integers(2, 5), st.integers(0, 30)), max_size=20))
def test_many_tiers_are_bound_as_one_is(cases: list[tuple[int, int]]) -> None:
    table = with_standing().standing
    bound = table.bound(
        np.array([t for t, _ in cases], dtype=np.int64), np.array([s for _, s in cases], dtype=np.int64)
    )
    assert bound.tolist() == [int(min(Tier(t), table.best_tier(s))) for t, s in cases]

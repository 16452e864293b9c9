from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import RATED_TIERS, Attribution, Category, CorrectionKind, Kind, Severity, Status, Tier
from scoring.base.errors import PolicyRefused
from scoring.base.time import DAY
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.columns import FactRow, columns_of
from scoring.features.facts import resolve
from scoring.policy.history import (
    EstablishedViolation,
    SumStep,
    find_decision_times,
    holds_between,
    list_established,
    trace_counter,
    trace_facts,
    trace_standing,
    value_at,
)
from scoring.policy.reading import parse_policy
from scoring.policy.rules import Counter, Ladder
from scoring.scores.reasons import CLEAR_DAYS_PENDING, OVERRIDDEN, STANDING
from tests.helpers.answers import score
from tests.helpers.policies import POINTS, data, policy_of, rule, standing, with_standing
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
        steps = trace_standing(list_established(facts, numbered(list(rows)), [numbered(list(rows))], NOW)[0], table)
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


EPOCH = date(1970, 1, 1).toordinal()

violations = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from([*Category]),
        st.sampled_from([*Severity]),
        st.integers(0, 500),
        st.integers(0, 400),
    ),
    max_size=10,
).map(
    lambda items: [
        EstablishedViolation(
            f"v{n}", incident, int(category), int(severity), TODAY - age, (TODAY - age + wait) * DAY + 7
        )
        for n, (incident, category, severity, age, wait) in enumerate(items)
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    violations,
    st.integers(-520, 400),
    st.sampled_from([1, 30, 365]),
    st.sampled_from([*Severity]),
    st.sampled_from([None, "01-01", "02-28", "12-31"]),
    st.sets(st.sampled_from([*Category]), min_size=1),
)
def test_a_sum_is_of_violations_established_and_not_expired(
    mine: list[EstablishedViolation],
    ahead: int,
    days: int,
    severity: Severity,
    reset: str | None,
    categories: set[Category],
) -> None:
    time = (TODAY + ahead) * DAY + 9
    policy = with_standing()
    assert policy.standing is not None
    table = replace(policy.standing, reset=reset)
    today = date.fromordinal(time // DAY + EPOCH)
    resets = (
        [
            d
            for d in (
                today.replace(year=y, month=int(reset[:2]), day=int(reset[3:])) for y in (today.year, today.year - 1)
            )
            if d <= today
        ]
        if reset
        else []
    )
    since = resets[0].toordinal() - EPOCH if resets else 0
    sums: dict[int, dict[int, int]] = {}
    ladder: dict[int, dict[int, int]] = {}
    counted: set[int] = set()
    for one in mine:
        age = time // DAY - one.day
        if one.time > time:
            continue
        if age < 365 and one.day >= since:
            given_points = POINTS[Category(one.category).name.lower()][one.severity - 1]
            of_incident = sums.setdefault(one.incident, {})
            of_incident[one.category] = max(of_incident.get(one.category, 0), given_points)
            if one.category in categories:
                of_ladder = ladder.setdefault(one.incident, {})
                of_ladder[one.category] = max(of_ladder.get(one.category, 0), given_points)
        if age < days and one.severity >= severity:
            counted.add(one.incident)
    assert value_at(trace_standing(mine, table), time) == sum(min(sum(one.values()), 24) for one in sums.values())
    operand = Ladder(frozenset(categories))
    counting = policy_of(
        rule("a", {"kind": "manual_review"}, standing={"from": 1, "categories": [c.name.lower() for c in categories]})
    )
    traced = trace_facts(mine, replace(counting, standing=table))
    assert value_at(traced[operand], time) == sum(min(sum(one.values()), 24) for one in ladder.values())
    counter = Counter(frozenset(Category), severity, days)
    assert value_at(trace_counter(mine, counter), time) == len(counted)


def test_the_worked_span() -> None:
    steps = [SumStep(3, 12), SumStep(9, 24), SumStep(20, 12), SumStep(60, 0)]
    for day in (3, 9, 19, 20, 59):
        assert holds_between(steps, 12, day) == (3, 60)
    assert holds_between(steps, 24, 9) == (9, 20)
    again = [*steps, SumStep(70, 12), SumStep(80, 0)]
    assert holds_between(again, 12, 75) == (70, 80)


def test_a_violation_is_established_by_what_confirmed_it() -> None:
    def times(*changes: FactRow, on_arrival: Status = Status.ALLEGED) -> dict[str, int]:
        return find_decision_times(numbered([violation("v", TODAY - 90, status=on_arrival), *changes]))

    def at(day: int) -> int:
        return day * DAY + 2

    def attribution(outcome: Attribution, day: int) -> FactRow:
        return FactRow(0, f"a{day}", "s", Kind.ATTRIBUTION, at(day), at(day), "v", status=int(outcome))

    confirmed = status("c", "v", Status.CONFIRMED, TODAY - 60)
    assert times() == {}
    assert times(on_arrival=Status.CONFIRMED) == {"v": (TODAY - 90) * DAY + 1}
    assert times(confirmed) == {"v": at(TODAY - 60)}
    appealed = [status("a", "v", Status.APPEALED, TODAY - 50), status("b", "v", Status.CONFIRMED, TODAY - 40)]
    assert times(confirmed, *appealed) == {"v": at(TODAY - 60)}
    overturned = status("o", "v", Status.OVERTURNED, TODAY - 30)
    assert times(confirmed, overturned) == {}
    assert times(confirmed, overturned, status("r", "v", Status.CONFIRMED, TODAY - 20)) == {"v": at(TODAY - 20)}
    given_away = attribution(Attribution.ACCEPTED, TODAY - 30)
    assert times(confirmed, given_away) == {}
    assert times(confirmed, given_away, attribution(Attribution.REJECTED, TODAY - 10)) == {"v": at(TODAY - 10)}

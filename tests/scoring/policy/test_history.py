from dataclasses import replace
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import Attribution, Category, Kind, Severity, Status
from scoring.base.time import DAY
from scoring.features.columns import FactRow
from scoring.policy.history import (
    Established,
    Step,
    find_decision_times,
    holds_between,
    trace_counter,
    trace_facts,
    trace_standing,
    value_at,
)
from scoring.policy.rules import Counter, Ladder
from tests.helpers.policies import POINTS, policy_of, rule, with_standing
from tests.helpers.worlds import TODAY, numbered, status, violation

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
        Established(f"v{n}", incident, int(category), int(severity), TODAY - age, (TODAY - age + wait) * DAY + 7)
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
    mine: list[Established],
    ahead: int,
    days: int,
    severity: Severity,
    reset: str | None,
    categories: set[Category],
) -> None:
    """The standing of a ladder is of its categories; a reset ends what happened before it."""
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
    """12 from day 3, 24 from day 9, 12 again from day 20, nothing from day 60: 12 or more from 3 until 60."""
    steps = [Step(3, 12), Step(9, 24), Step(20, 12), Step(60, 0)]
    for day in (3, 9, 19, 20, 59):
        assert holds_between(steps, 12, day) == (3, 60)
    assert holds_between(steps, 24, 9) == (9, 20)
    again = [*steps, Step(70, 12), Step(80, 0)]
    assert holds_between(again, 12, 75) == (70, 80)


def test_a_violation_is_established_by_what_confirmed_it() -> None:
    """Confirmed, appealed, confirmed again: since the first. Overturned and reinstated, or given back: since then."""

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

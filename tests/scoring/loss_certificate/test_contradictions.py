from scoring.loss_certificate.contradictions import ObservedCases, RunCase, bound_stop_days, find_contradictions
from tests.helpers.toys import assumed


def cases(*days: int | None) -> tuple[RunCase, ...]:
    return tuple(RunCase(10 * n, None if d is None else 10 * n + d - 1) for n, d in enumerate(days))


def contradicted(*days: int | None, confirmed: int = 0, overturned: int = 0) -> list[str]:
    found = find_contradictions(assumed(stop={"days": 4}), ObservedCases(cases(*days), confirmed, overturned, 10**6))
    return [one.assumption for one in found]


def test_a_bound_of_99_percent_takes_299_cases() -> None:
    assert bound_stop_days(cases(*[3] * 298)) is None
    assert bound_stop_days(cases(*[3] * 298, 9)) == 9
    assert bound_stop_days(cases(*[3] * 470, 9, 20)) == 20
    assert bound_stop_days(cases(*[3] * 471, 9, 20)) == 9
    assert bound_stop_days(()) is None


def test_a_case_that_is_not_stopped_is_the_slowest_of_all() -> None:
    assert bound_stop_days(cases(*[3] * 298, None)) is None
    assert bound_stop_days(cases(*[3] * 471, 9, None)) == 9


def test_a_stop_time_is_contradicted_by_too_many_slow_cases() -> None:
    assert contradicted(1, 1, 4, 4, 5) == ["stop"]
    assert contradicted(1, 1, 1, 4, 4, 5) == []
    assert contradicted(1, 1, 1, 4, None) == ["stop"]
    assert contradicted(*[4] * 300, 5, 5, 5) == []
    assert contradicted(*[4] * 300, *[5] * 7) == ["stop"]


def test_an_overturned_share_is_contradicted_beyond_chance() -> None:
    assert contradicted(confirmed=198, overturned=2) == []
    assert contradicted(confirmed=193, overturned=7) == ["overturned"]


def test_more_runs_that_began_on_one_day_than_assumed_contradict() -> None:
    same_day = tuple(RunCase(7, 8) for _ in range(4))
    for number, wanted in ((3, []), (4, ["runners"])):
        found = find_contradictions(assumed(stop={"days": 4}), ObservedCases(same_day[:number], 0, 0, 100))
        assert [one.assumption for one in found] == wanted

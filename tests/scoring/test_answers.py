import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.answers.forecast import HORIZON_DAYS, forecast
from scoring.answers.leads import find_leads
from scoring.base.enums import Kind, MeasureKind, MeasureState
from scoring.base.time import DAY
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.features.columns import FactRow
from scoring.measures.in_force import InForce
from scoring.measures.record import MeasureStatement, RecordStamp, WantedMeasure, list_changes, read_record
from scoring.policy.measures import Waiver
from scoring.scores.score import explain
from tests.bench.answers import answer_whole, run
from tests.helpers.answers import evaluate_measures, score
from tests.helpers.policies import shipped, with_standing
from tests.helpers.worlds import NOW, TODAY, artifact, exposure, identity, numbered, sellers, violation

FEW = settings(max_examples=40, deadline=None)
POLICY = shipped("graded")


def evaluated(rows: list[FactRow], statements: list[MeasureStatement]) -> InForce | None:
    return evaluate_measures(numbered(rows), "s", NOW, artifact(), POLICY, "acme", statements=statements)


@FEW
@given(sellers())
def test_a_leading_incident_costs_what_it_says(rows: list[FactRow]) -> None:
    rows = numbered(rows)
    answer = answer_whole(rows)
    explanation = explain(answer.core)
    assert explanation is not None
    for lead in find_leads(answer, explanation, forecast(answer.core)):
        if lead.category is None:
            continue
        rest = [row for row in rows if row.violation not in lead.entries]
        [without] = score(rest, ["s"], NOW, artifact(), with_standing())
        assert without is not None
        assert lead.caused
        if without.points is not None:
            assert without.points - (answer.score.points or 0) == -lead.points


def test_failed_orders_are_a_reason_beside_incidents() -> None:
    sold = [exposure(f"x{day}", TODAY - day, 50, 30) for day in range(1, 60)]
    answer = answer_whole(numbered([identity("i", TODAY - 900), *sold, violation("v", TODAY - 50, 1, 3)]))
    explanation = explain(answer.core)
    assert explanation is not None
    caused = {lead.reason_code: lead.caused for lead in find_leads(answer, explanation, forecast(answer.core))}
    assert caused["SERVICE_FAILURES"]
    assert caused["COUNTERFEIT_CONFIRMED"]


@pytest.mark.parametrize(("severity", "ago"), [(2, 1), (2, 100), (3, 100), (4, 1)])
def test_a_far_wait_ends_on_the_first_better_day(severity: int, ago: int) -> None:
    policy = shipped("general")
    sold = [exposure(f"x{day}", TODAY - day, 50) for day in range(1, 60)]
    rows = numbered([identity("i", TODAY - 400), *sold, violation("v", TODAY - ago, 1, severity)])
    forecasts = forecast(answer_whole(rows, policy).core)
    assert forecasts is not None
    day = forecasts.find_first_better_day()
    assert day is not None
    assert day > HORIZON_DAYS
    better = [
        one is not None and int(one.tier or 0) > forecasts.tier_number
        for days in range(day - 40, day + 1)
        for one in score(rows, ["s"], (TODAY + days) * DAY, artifact(), policy)
    ]
    assert better == [False] * 40 + [True]


def changes_to(found: InForce | None, stated: list[MeasureStatement]) -> list[MeasureStatement]:
    assert found is not None
    wanted = [
        WantedMeasure(one.measure, one.rule, one.reference, one.current, one.start, one.end, one.violations)
        for one in found.measures
        if one.rule and one.has_effect and not isinstance(one.current, Waiver)
    ]
    changes = list_changes("s", wanted, read_record(stated), RecordStamp(NOW - DAY, 1, POLICY.digest), "EUR")
    return [
        MeasureStatement(entry.entry_id, number, NOW - DAY, entry.fact)
        for number, entry in enumerate(changes, 10_000)
        if isinstance(entry.fact, MeasureChanged)
    ]


@FEW
@given(sellers())
def test_what_the_mechanism_records_is_no_evidence(rows: list[FactRow]) -> None:
    before = evaluated(rows, [])
    assert evaluated(rows, changes_to(before, [])) == before


@FEW
@given(sellers())
def test_an_edge_is_stated_once_however_often_facts_are(rows: list[FactRow]) -> None:
    stated = changes_to(evaluated(rows, []), [])
    sold = [row for row in rows if row.kind == Kind.EXPOSURE]
    again = [row._replace(entry_id=f"{row.entry_id}-again", revision=(row.revision or 0) + 1) for row in sold]
    assert changes_to(evaluated([*rows, *again], stated), stated) == []


@FEW
@given(sellers(), st.integers(1, 180), st.integers(1, 1_000_000), st.sampled_from([*MeasureState]))
def test_a_weaker_or_later_measure_lifts_no_stronger_one(
    rows: list[FactRow], days: int, ppm: int, state: MeasureState
) -> None:
    before = evaluated(rows, [])
    stated = []
    for number, kind in enumerate((MeasureKind.SETTLEMENT_HOLD, MeasureKind.ROLLING_RESERVE), 10_000):
        fact = MeasureChanged(f"by-hand-{number}", kind, state, "ops-1", "seen", days=days, ppm=ppm)
        stated.append(MeasureStatement(f"m{number}", number, NOW - DAY, fact))
    after = evaluated(rows, stated)
    assert before is not None
    assert after is not None
    for name in ("hold_days", "delivery_hold_days", "reserve_ppm", "suspension_days", "manual_review", "deposit_minor"):
        assert getattr(after.terms, name) >= getattr(before.terms, name)


def test_the_benchmark_finds_nothing_untrue() -> None:
    figures = run(lambda _: None, 12, 60, replays=0)
    names = ("faithful.sums_wrong", "faithful.signs_wrong", "faithful.not_caused", "path.failed")
    for name in (*names, "notice.broken", "notice.money_laxer", "path.brute_force_shorter"):
        assert figures[name] == 0
    assert figures["statements.invalid"] == figures["invariants.broken"] == 0 < figures["statements.checked"]
    assert figures["faithful.leads"] > 0

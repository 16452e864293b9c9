from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import InspectionResult, Kind, ScoreState, Status, Tier
from scoring.features.columns import FactRow
from scoring.features.facts import COUNTING_KINDS
from scoring.features.table import Subject
from scoring.model.artifact import Artifact
from scoring.model.page import Page
from scoring.scores.reasons import LIMIT, MAX_LISTED, REASON_CODES
from tests.helpers.answers import explain, score, score_one
from tests.helpers.histories import answer
from tests.helpers.page_by_hand import PageByHand
from tests.helpers.random_pages import artifact_of, monotone_table, page_artifact
from tests.helpers.worlds import (
    ALL_FEATURES,
    NOW,
    TODAY,
    artifact,
    exposure,
    identity,
    inspection,
    numbered,
    policy,
    population,
    sellers,
    status,
    violation,
)

NAMES_FACTS = {f"{category}_CONFIRMED" for category in ("COUNTERFEIT", "IP", "SAFETY", "QUALITY")} | {
    *(f"{category}_CONFIRMED" for category in ("RESTRICTED", "INTEGRITY", "SERVICE", "DISCLOSURE")),
    *(Subject.FAILURES, Subject.INSPECTIONS, Subject.DISPUTES),
}
ROWS = [
    identity("i0", TODAY - 400, 2),
    exposure("x1", TODAY - 300, 40),
    exposure("x2", TODAY - 9, 30, 2),
    exposure("x3", TODAY - 5, 30, 1),
    inspection("n1", TODAY - 20, InspectionResult.FAILED),
    inspection("n2", TODAY - 10, InspectionResult.PASSED),
    violation("v1", TODAY - 50, 1, 3),
    violation("v2", TODAY - 40, 2, 2),
]


@cache
def wide_artifact(seed: int, base: int) -> Artifact:
    rng, (x, _) = np.random.default_rng(seed), population()
    edges = [np.unique(rng.choice(column, 4)) for column in x.T]
    tables = [monotone_table(rng, (n,), (edges[n],), feature.direction) for n, feature in enumerate(ALL_FEATURES)]
    return artifact_of(Page(base, tuple(tables)), ALL_FEATURES, x)


@pytest.mark.long
@given(sellers(), st.integers(0, 3), st.sampled_from([60, 400, 1100, 6000]), st.booleans())
def test_every_point_has_a_name(rows: list[FactRow], seed: int, base: int, is_wide: bool) -> None:
    artifact = (wide_artifact if is_wide else page_artifact)(seed, base)
    found = explain(numbered(rows), "s", NOW, artifact, policy())
    [answer] = score(numbered(rows), ["s"], NOW, artifact, policy())
    assert answer == found.score
    if answer.state is not ScoreState.RATED:
        assert not found.reasons
        return
    assert found.baseline_points == base
    assert base + sum(reason.points for reason in found.reasons) == answer.points
    costly = [reason for reason in found.reasons if reason.points < 0]
    assert costly or answer.points >= base
    assert {reason.reason_code for reason in costly} <= set(answer.reason_codes) <= set(REASON_CODES)
    assert all(reason.points <= 0 for reason in found.reasons if reason.reason_code != LIMIT)
    assert all(reason.points for reason in found.reasons if not reason.incidents)
    for reason in found.reasons:
        behind = {
            Subject.ORDERS: True,
            Subject.IDENTITY: True,
            LIMIT: reason.counted == base + sum(r.points for r in found.reasons if r.reason_code != LIMIT),
        }.get(reason.reason_code, bool(reason.incidents or reason.entries or reason.days))
        assert behind, reason
        if reason.reason_code in NAMES_FACTS:
            assert reason.counted > 0


@pytest.mark.long
@given(sellers(), st.integers(0, 7))
def test_taking_a_fact_away_takes_its_reason_away(rows: list[FactRow], seed: int) -> None:
    artifact = page_artifact(seed)
    full = explain(numbered(rows), "s", NOW, artifact, policy())
    clean = [row._replace(service_failures=0) if row.exposure_day else row for row in rows if row.status is None]
    bare = explain(numbered(clean), "s", NOW, artifact, replace(policy(), thin_file_orders=0))
    if full.score.state is ScoreState.RATED and bare.score.state is ScoreState.RATED:
        others = [
            {r.reason_code: r.points for r in found.reasons if r.reason_code not in {*NAMES_FACTS, LIMIT}}
            for found in (full, bare)
        ]
        assert others[0] == others[1]
        assert not NAMES_FACTS & {reason.reason_code for reason in bare.reasons}


def test_each_reason_shows_what_is_behind_it() -> None:
    found = explain(numbered(ROWS), "s", NOW, page_artifact(), policy())
    by_code = {reason.reason_code: reason for reason in found.reasons}
    failures = by_code[Subject.FAILURES]
    assert [(d.day, d.settled_orders, d.service_failures) for d in failures.days] == [
        (TODAY - 5, 30, 1),
        (TODAY - 9, 30, 2),
    ]
    assert (failures.counted, failures.compared) == (3, 100)
    inspections = by_code[Subject.INSPECTIONS]
    assert (inspections.entries, inspections.counted, inspections.compared) == (("n1",), 1, 2)
    assert by_code[Subject.IDENTITY].entries == ("i0",)
    assert by_code[Subject.IDENTITY].counted == 2
    assert [effect.incident for effect in by_code["COUNTERFEIT_CONFIRMED"].incidents] == ["v1"]


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_if_overturned_is_what_overturning_gives(name: str) -> None:
    artifact, rows = page_artifact(3), numbered(ROWS)
    found = explain(rows, "s", NOW, artifact, policy())
    after = score(numbered([*rows, status("a", name, Status.OVERTURNED)]), ["s"], NOW, artifact, policy())[0]
    assert found.score.points is not None
    assert after.points is not None
    effects = {e.incident: e.points_if_overturned for reason in found.reasons for e in reason.incidents}
    assert effects[name] == after.points - found.score.points >= 0


def test_a_half_event_of_a_short_file_is_a_lack_of_orders() -> None:
    rows = numbered([identity("i0", TODAY - 60, 4), exposure("x1", TODAY - 40, 12)])
    for seed in range(6):
        found = explain(rows, "s", NOW, page_artifact(seed), replace(policy(), thin_file_orders=10))
        assert found.score.tier is not Tier.UNRATED
        assert {r.reason_code for r in found.reasons} <= {Subject.ORDERS, Subject.TENURE, LIMIT}


@pytest.mark.long
@given(sellers(), st.integers(0, 7))
def test_a_script_with_page_and_rows_adds_up_the_points(rows: list[FactRow], seed: int) -> None:
    artifact, numbers = page_artifact(seed, 2_500), numbered(rows)
    [answer] = score(numbers, ["s"], NOW, artifact, policy())
    if answer.points is not None:
        plain = [dict(row._asdict()) for row in numbers]
        assert PageByHand(artifact.parts).points(plain, NOW) == answer.points


HISTORY_OF_ORDERS = [identity("i", TODAY - 600), *(exposure(f"x{d}", TODAY - d, 60) for d in range(1, 200))]
MANY = 3_000
OTHERS = st.lists(
    st.tuples(
        st.sampled_from([*set(Kind) - COUNTING_KINDS]), st.integers(0, 99), st.sampled_from("sv"), st.integers(1, 5)
    ),
    max_size=12,
)


class GoneError(Exception):
    pass


def leave_after(calls: int) -> Callable[[], None]:
    left = iter(range(calls))

    def check() -> None:
        if next(left, None) is None:
            raise GoneError

    return check


def allegations(count: int, to: Status = Status.ALLEGED) -> list[FactRow]:
    return [violation(f"a{n}", TODAY - 1 - n % 300, 1 + n % 8, 1 + n % 4, to, f"incident-{n}") for n in range(count)]


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(sellers(), OTHERS)
def test_entries_of_kinds_that_do_not_count_change_no_answer(rows: list[FactRow], others: list[Any]) -> None:
    stated = list(rows)
    for n, (kind, place, letter, word) in enumerate(others):
        about = f"{letter}{place % 12}"
        row = FactRow(
            0, f"o{n}", "s", kind, NOW - 9, NOW - 9, about, about, word, word % 5, word, target=about, units=word
        )
        stated.insert(place % (len(stated) + 1), row)
    assert answer(stated) == answer(rows)


def test_thousands_of_allegations_and_incidents_are_answered() -> None:
    accused = score_one([*HISTORY_OF_ORDERS, *allegations(MANY)])
    assert accused.open_allegations == MANY
    assert accused.points_if_upheld < accused.points
    confirmed = numbered([*HISTORY_OF_ORDERS, *allegations(MANY, Status.CONFIRMED)])
    found = explain(confirmed, "s", NOW, artifact(), policy())
    assert sum(len(reason.incidents) for reason in found.reasons) == MANY


def test_an_explanation_names_the_incidents_that_cost_most() -> None:
    many = [violation(f"a{n}", TODAY - 1 - n % 300, severity=4) for n in range(MAX_LISTED)]
    least = [violation(f"least{n}", TODAY - 600, severity=1) for n in range(7)]
    found = explain(numbered([*HISTORY_OF_ORDERS, *least, *many]), "s", NOW, artifact(), policy())
    [reason] = [reason for reason in found.reasons if reason.incidents]
    assert {effect.incident for effect in reason.incidents} == {row.entry_id for row in many}
    assert (reason.incidents_omitted, reason.counted) == (7, MAX_LISTED + 7)


def test_work_ends_between_its_parts() -> None:
    asked: list[None] = []
    score(ROWS, ["s"], NOW, artifact(), policy(), lambda: asked.append(None))
    for calls in range(len(asked)):
        with pytest.raises(GoneError):
            score(ROWS, ["s"], NOW, artifact(), policy(), leave_after(calls))


def test_every_subject_of_a_feature_has_its_reason() -> None:
    assert {*Subject} - {Subject.INCIDENTS} <= {*REASON_CODES}

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.base.enums import (
    INSPECTORS,
    CorrectionKind,
    DisputeOutcome,
    InspectionResult,
    Kind,
    Source,
)
from scoring.features.columns import FactRow
from scoring.features.fold import Folder
from scoring.features.table import FEATURES
from tests.helpers.histories import COUNTING, assert_no_better, seen
from tests.helpers.worlds import CONSTANTS, TODAY, days, decision, dispute, exposure, facts_of, inspection, sellers

PASSED, FAILED = InspectionResult.PASSED, InspectionResult.FAILED
HEARD = st.sampled_from(sorted(INSPECTORS))


def share(rows: list[FactRow], name: str = "failed_inspection_share_365d@1") -> float:
    sums = Folder(CONSTANTS).fold(facts_of(rows))
    return float(FEATURES[name].compute(sums)[0])


@pytest.mark.long
@COUNTING
@given(sellers(), days, HEARD)
def test_failing_never_raises_points_and_passing_never_lowers(rows: list[FactRow], day: int, source: Source) -> None:
    assert_no_better([*rows, inspection("new", day, FAILED, source)], rows, {})
    assert_no_better(rows, [*rows, inspection("new", day, PASSED, source)], {})
    assert_no_better([*rows, dispute("new", day, DisputeOutcome.BUYER)], rows, {})


@COUNTING
@given(sellers(), days, st.sampled_from([*InspectionResult]))
def test_what_is_void_or_not_to_be_heard_leaves_no_trace(
    rows: list[FactRow], day: int, result: InspectionResult
) -> None:
    void = [
        decision(Kind.CORRECTION, "c", target="new", status=CorrectionKind.VOID),
        decision(Kind.CORRECTION, "c2", target="lost", status=CorrectionKind.VOID),
    ]
    made = [inspection("new", day, result), dispute("lost", day, DisputeOutcome.BUYER)]
    unheard = [inspection(source.name, day, result, source) for source in set(Source) - INSPECTORS]
    others = [dispute(outcome.name, day, outcome) for outcome in (DisputeOutcome.SELLER, DisputeOutcome.SHARED)]
    inputs, points = seen((rows, [*rows, *made, *void], [*rows, *unheard, *others]), {})
    assert (inputs == inputs[0]).all()
    assert (points == points[:, :1]).all()


@COUNTING
@given(sellers(), st.lists(days, min_size=1, max_size=4))
def test_never_inspected_is_no_worse_than_passed_every_time(rows: list[FactRow], passed: list[int]) -> None:
    rows = [row for row in rows if row.kind != Kind.INSPECTION]
    inputs, points = seen((rows, [*rows, *(inspection(f"p{n}", day, PASSED) for n, day in enumerate(passed))]), {})
    assert (inputs[0] == inputs[1]).all()
    assert (points[:, 0] == points[:, 1]).all()


def test_passes_do_not_survive_a_change_of_control() -> None:
    failed = [inspection("f", TODAY, FAILED)]
    passed = [inspection(f"p{n}", TODAY - 0, PASSED) for n in range(2)]
    assert (share([]), share(failed), share([*failed, *passed])) == (0.0, 0.5, 0.25)
    early = [inspection(f"p{n}", TODAY - 365, PASSED) for n in range(2)]
    assert share([*failed, *early]) == 1 / 3
    assert share([*failed, *early, decision(Kind.CONTROL, "sold", TODAY - 9, status=1)]) == 0.5
    lost = dispute("d", TODAY, DisputeOutcome.BUYER)
    assert share([lost, exposure("x", TODAY - 365, 100)], "lost_dispute_rate_365d@1") == 0.01

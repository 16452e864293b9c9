from dataclasses import replace

import numpy as np
import pytest

from scoring.base.enums import Tier
from tests.helpers.evaluation_cases import POLICY, case_of
from training.evaluation.arrays import groups_of, sigmoid
from training.evaluation.case import Case
from training.evaluation.ranking import auc
from training.evaluation.segments import by_label, by_month, segments
from training.evaluation.tiers import TIERS, grades, migration, swap, tier_codes


def test_rows_are_grouped_by_key() -> None:
    """Worked: 7, 3, 7 gives 3 with row 1 and 7 with rows 0 and 2."""
    assert [(int(key), rows.tolist()) for key, rows in groups_of(np.array([7, 3, 7]))] == [(3, [1]), (7, [0, 2])]


def test_small_labels_are_pooled() -> None:
    """Worked: 150 x DE, 100 x FR, 99 x IT give DE, FR and other; an empty label is unknown; at most twenty are shown."""
    labels = np.array(["DE"] * 150 + ["IT"] * 99 + ["FR"] * 100 + [""] * 120)
    assert {name: len(rows) for name, rows in by_label(labels)} == {"DE": 150, "unknown": 120, "FR": 100, "other": 99}
    assert [name for name, _ in by_label(labels)][-1] == "other"
    many = by_label(np.repeat([f"c{k:02}" for k in range(23)], 100))
    assert [name for name, _ in many] == [f"c{k:02}" for k in range(20)] + ["other"]
    assert len(many[-1][1]) == 300


@pytest.mark.long
def test_every_kind_of_segment_holds_every_row_once() -> None:
    case = case_of()
    for kind, parts in segments(case).items():
        assert sum(part["rows"] for part in parts) == len(case.bad), kind
        assert sum(part["bad"] for part in parts) == case.bad.sum(), kind
        assert len({part["name"] for part in parts}) == len(parts), kind
        assert all(part["low"] <= part["observed"] <= part["high"] for part in parts), kind
    found = segments(case)
    assert [part["name"] for part in found["file"]] == ["thin", "medium", "thick"]
    assert [part["name"] for part in found["sellers"]] == ["seen", "unseen"]
    assert [part["name"] for part in found["inspected"]] == ["randomly inspected", "all others"]
    assert [part["name"] for part in found["tenure"]][:2] == ["under 90 days", "90 to 364 days"]
    assert len(found["volume"]) == 10


def test_a_segment_tells_of_its_own_rows_and_of_the_other_models() -> None:
    case = case_of(at_equal_volume=False)
    unseen, inside = segments(case)["sellers"][1], ~case.seen
    z, bad = {name: score[inside] for name, score in case.log_odds.items()}, case.bad[inside]
    assert unseen["auc"].value == pytest.approx(auc(z["lightgbm"], bad))
    assert unseen["auc_unconstrained"] == pytest.approx(auc(z["unconstrained"], bad))
    assert unseen["auc_difference"].value == pytest.approx(unseen["auc"].value - auc(z["champion"], bad))
    assert unseen["auc_difference"].low < unseen["auc_difference"].value < unseen["auc_difference"].high
    assert unseen["predicted"] == pytest.approx(sigmoid(z["lightgbm"]).mean())
    assert segments(case_of(champion=False))["sellers"][1]["auc_difference"] is None


def test_a_segment_with_few_bad_rows_has_no_auc() -> None:
    case = case_of(rows=400)
    seen = np.ones(400, dtype=bool)
    seen[np.flatnonzero(case.bad == 1)[:9]] = False
    seen[np.flatnonzero(case.bad == 0)[:50]] = False
    unseen = segments(case_of(rows=400, seen=seen))["sellers"][1]
    assert (unseen["rows"], unseen["bad"], unseen["auc"], unseen["auc_difference"]) == (59, 9, None, None)
    seen[np.flatnonzero(case.bad == 1)[9]] = False
    assert segments(case_of(rows=400, seen=seen))["sellers"][1]["auc"] is not None


def test_months_are_those_of_the_observation_day() -> None:
    """Days 15,000 to 15,099 are late January to May 2011."""
    case = case_of(at_equal_volume=False)
    found = by_month(case)
    assert [row["month"] for row in found] == ["2011-01", "2011-02", "2011-03", "2011-04", "2011-05"]
    assert sum(row["rows"] for row in found) == len(case.bad)
    february = (case.day >= 15_006) & (case.day < 15_034)
    assert found[1]["rows"] == february.sum()
    assert found[1]["auc"].value == pytest.approx(auc(case.log_odds["lightgbm"][february], case.bad[february]))


def two_models(points: list[int], champion: list[int], bad: list[int], unrated: list[int]) -> Case:
    rows = len(points)
    mine, theirs = np.array(points), np.array(champion)
    z = {"lightgbm": -mine / 72.0, "champion": -theirs / 72.0}
    outcome = np.array(bad, dtype=float)
    arrays = {"bad": outcome, "loss": outcome, "unrated": np.isin(np.arange(rows), unrated)}
    return case_of(rows=rows, points=mine, champion_points=theirs, log_odds=z, rankings={}, **arrays)


def test_tiers_are_the_policys() -> None:
    points = np.arange(0, 1001)
    codes = tier_codes(points, np.zeros(1001, dtype=bool), POLICY)
    assert [TIERS[code] for code in codes] == [POLICY.tier(p) for p in points.tolist()]
    assert TIERS[tier_codes(np.array([900]), np.array([True]), POLICY)[0]] is Tier.UNRATED


def test_migration_and_swap_are_worked() -> None:
    """Six rated rows, each model rejects two: 0 by both, 1 by the champion alone, 2 by the candidate alone."""
    case = two_models(
        points=[400, 650, 450, 550, 650, 750, 100],
        champion=[300, 450, 720, 550, 650, 750, 900],
        bad=[1, 0, 1, 0, 0, 1, 1],
        unrated=[6],
    )
    moved = migration(case)
    assert moved["tiers"] == ["probation", "standard", "trusted", "exemplary"]
    assert moved["matrix"].tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]]
    assert (moved["same"], moved["within_one"]) == pytest.approx((4 / 6, 4 / 6))
    swapped = swap(case)
    assert swapped["rejected_share"] == pytest.approx(2 / 6)
    assert swapped["in"] == {"rows": 1, "bad": 0, "bad_rate": 0.0}
    assert swapped["out"] == {"rows": 1, "bad": 1, "bad_rate": 1.0}
    assert swapped["kept"] == {"rows": 3, "bad": 1, "bad_rate": pytest.approx(1 / 3)}


def test_of_equal_points_the_higher_log_odds_are_rejected() -> None:
    """Worked: the champion rejects rows 0 and 1; the candidate, with equal points for all rows, 3 and 2."""
    case = two_models(points=[450] * 4, champion=[400, 400, 650, 650], bad=[0, 0, 1, 1], unrated=[])
    served = {**case.served, "lightgbm": np.array([0.0, 1.0, 2.0, 3.0])}
    found = swap(replace(case, served=served))
    assert (found["out"]["bad"], found["in"]["rows"], found["in"]["bad"]) == (2, 2, 0)


def test_a_champion_without_a_lowest_tier_rejects_a_twentieth() -> None:
    found = swap(case_of(champion_points=np.full(3000, 900)))
    assert found["rejected_share"] == pytest.approx(0.05, abs=0.001)
    assert found["in"]["rows"] == found["out"]["rows"] > 0


def test_grades_are_tested_on_both_sides_with_holm_over_all() -> None:
    right = grades(case_of())
    assert [row["tier"] for row in right][:2] == ["unrated", "probation"]
    assert [(row["points_from"], row["points_to"]) for row in right][:3] == [(None, None), (0, 499), (500, 599)]
    assert sum(row["rows"] for row in right) == 3000
    assert all(row["p_under_holm"] >= row["p_under"] for row in right)
    assert min(min(row["p_under_holm"], row["p_over_holm"]) for row in right) > 0.05
    z = case_of().log_odds
    for shift, side in ((-0.5, "p_under_holm"), (0.5, "p_over_holm")):
        found = grades(case_of(log_odds=z | {"lightgbm": z["lightgbm"] + shift}))
        assert min(row[side] for row in found) < 1e-4

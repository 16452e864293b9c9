import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from scoring.base.enums import Tier
from tests.helpers.evaluation_cases import POLICY, case_of
from training.evaluation.arrays import groups_of, sigmoid
from training.evaluation.case import EvaluationCase
from training.evaluation.figures import TIERS, by_label, by_month, grades, migration, segments, tier_codes


def test_rows_are_grouped_by_key() -> None:
    assert [(int(key), rows.tolist()) for key, rows in groups_of(np.array([7, 3, 7]))] == [(3, [1]), (7, [0, 2])]


def test_small_labels_are_pooled() -> None:
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
    assert unseen["auc"].value == pytest.approx(roc_auc_score(bad, z["lightgbm"]))
    assert unseen["auc_unconstrained"] == pytest.approx(roc_auc_score(bad, z["unconstrained"]))
    assert unseen["auc_difference"].value == pytest.approx(unseen["auc"].value - roc_auc_score(bad, z["champion"]))
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
    case = case_of(at_equal_volume=False)
    found = by_month(case)
    assert [row["month"] for row in found] == ["2011-01", "2011-02", "2011-03", "2011-04", "2011-05"]
    assert sum(row["rows"] for row in found) == len(case.bad)
    february = (case.day >= 15_006) & (case.day < 15_034)
    assert found[1]["rows"] == february.sum()
    assert found[1]["auc"].value == pytest.approx(
        roc_auc_score(case.bad[february], case.log_odds["lightgbm"][february])
    )


def two_models(points: list[int], champion: list[int], bad: list[int], unrated: list[int]) -> EvaluationCase:
    rows = len(points)
    mine, theirs = np.array(points), np.array(champion)
    z = {"lightgbm": -mine / 72.0, "champion": -theirs / 72.0}
    outcome = np.array(bad, dtype=float)
    arrays = {"bad": outcome, "unrated": np.isin(np.arange(rows), unrated)}
    return case_of(rows=rows, points=mine, champion_points=theirs, log_odds=z, rankings={}, **arrays)


def test_tiers_are_the_policys() -> None:
    points = np.arange(0, 1001)
    codes = tier_codes(points, np.zeros(1001, dtype=bool), POLICY)
    assert [TIERS[code] for code in codes] == [POLICY.tier(p) for p in points.tolist()]
    assert TIERS[tier_codes(np.array([900]), np.array([True]), POLICY)[0]] is Tier.UNRATED


def test_migration_is_worked() -> None:
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


def test_grades_know_the_true_rate_whatever_a_seller_sells() -> None:
    case = case_of(rows=40_000, champion=False)
    served = dict(case.served)
    own = served["lightgbm"] + np.where(case.points >= 600, np.log(10.0), 0.0)
    bad = (np.random.default_rng(3).random(len(own)) < sigmoid(own)).astype(float)
    case = case_of(rows=40_000, champion=False, bad=bad, log_odds=served | {"lightgbm": own}, served=served)
    codes = tier_codes(case.points, case.unrated, POLICY)
    found = grades(case)
    for code, row in enumerate(found):
        inside, rate = codes == code, row["at_reference"]
        assert rate.low <= sigmoid(served["lightgbm"][inside]).mean() <= rate.high
        assert rate.value == pytest.approx(
            row["observed"] * sigmoid(served["lightgbm"][inside]).mean() / sigmoid(own[inside]).mean()
        )
    assert found[-1]["observed"] > 2 * found[-1]["at_reference"].value

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from scoring.base.arrays import Floats
from scoring.base.enums import Kind
from scoring.base.time import DAY
from tests.helpers.leaks import date_early
from tests.helpers.training_ledgers import restated
from training.checks.leakage import check_early_cliff, check_early_reports, check_effects, take_unrecorded
from training.evaluation.arrays import sigmoid
from training.fitting.crossfit import FOLDS
from training.fitting.folds import assign_folds
from training.observation.export import LedgerTable, read_export
from training.observation.snapshots import Snapshot, join_snapshots, observe_known_outcomes
from training.study.definition import Observation, Study

ROWS = 4000
RNG = np.random.default_rng(11)
LATENT = RNG.normal(size=ROWS)
BAD = (RNG.random(ROWS) < sigmoid(LATENT - 3)).astype(float)
ORDERS = np.floor(np.exp(RNG.normal(4, 1, ROWS))) + 1


def unrecorded(study: Study, leak: Floats | None = None) -> Snapshot:
    x = 0.5 * LATENT[:, None] + RNG.normal(size=(ROWS, len(study.features)))
    if leak is not None:
        x[:, 3] = leak
    whole, one = np.arange(ROWS), np.ones(ROWS)
    known = {"x": x, "bad": BAD, "seller": whole // 2, "day": whole % 2, "window_orders": ORDERS}
    return Snapshot(**{f.name: known.get(f.name, one) for f in fields(Snapshot)})


def test_a_feature_that_knows_the_outcome_fails_turned_round(study: Study) -> None:
    knowing = unrecorded(study, -BAD + RNG.normal(0, 0.2, ROWS))
    found = {check.check: check for check in check_effects(study, knowing)}
    assert (found["single_feature"].ok, found["single_feature"].signed) == (False, False)
    assert f"{study.features[3].key}: look whether it knows the outcome" in found["single_feature"].text
    assert not found["all_features"].ok


def test_honest_features_pass_and_a_doubt_is_signed(study: Study) -> None:
    assert all(check.ok for check in check_effects(study, unrecorded(study)))
    few = unrecorded(study, BAD * 1.25 + RNG.normal(size=ROWS)).take(np.arange(1400))
    [single] = [check for check in check_effects(study, few) if check.check == "single_feature"]
    assert 0.8 < single.number < 0.85
    assert (single.ok, single.signed) == (False, True)


def test_what_volume_knows_is_no_leak(study: Study) -> None:
    sold = ORDERS * np.exp(2.0 * BAD)
    rows = replace(unrecorded(study, sold), window_orders=sold)
    assert check_effects(study, rows)[0].ok
    every = check_effects(restated(study, bad={"volume": "answer"}), rows)[0]
    assert not every.ok


def test_too_few_bad_sellers_without_a_record_are_signed(study: Study) -> None:
    rows = unrecorded(study)
    few = rows.take((rows.bad == 0) | (np.cumsum(rows.bad) <= 39))
    [check] = check_effects(study, few)
    assert (check.ok, check.signed, check.number) == (False, True, 39)
    assert check.text.startswith("not judged: 39 bad training rows have no record before, and 40 ")


def moved(market_export: Path, folder: Path, share: float) -> LedgerTable:
    rows = date_early(pl.read_parquet(market_export), share, "report_time", "occur_time")
    rows.write_parquet(folder / "early.parquet")
    return read_export(folder / "early.parquet")


def test_reports_that_are_all_dated_early_thin_the_end(
    market_export: Path, table: LedgerTable, study: Study, tmp_path: Path
) -> None:
    assert check_early_reports(table, study).ok
    found = check_early_reports(moved(market_export, tmp_path, 1.0), study)
    assert (found.ok, found.signed) == (False, False)
    assert "the last 45 days hold 0% of the reports" in found.text
    assert check_early_reports(moved(market_export, tmp_path, 0.3), study).ok


def test_a_young_file_has_no_end_to_compare(table: LedgerTable, study: Study) -> None:
    young = replace(table, columns=table.columns.take(table.columns.report_time > (table.end_day - 200) * DAY))
    assert check_early_reports(young, study).ok
    assert "too short a time" in check_early_reports(young, study).text


@pytest.mark.parametrize(("cliff_at", "step"), [(7, "from 0 to 7"), (60, "from 30 to 60")])
def test_a_cliff_is_named_and_signed(table: LedgerTable, study: Study, cliff_at: int, step: str) -> None:
    [point] = study.find_points(table.end_day)[0][-1:]
    rows = observe_known_outcomes(table, study, point)
    rng = np.random.default_rng(4)
    rows = replace(rows, bad=(rng.random(len(rows.bad)) < 0.2).astype(float))
    old = rows.tenure_days >= 60

    def build(_: LedgerTable, study: Study, read: Observation) -> Floats:
        x = rows.x[old].copy()
        knows = read.day > point.day - cliff_at
        x[:, 0] = np.where(knows, 2 * rows.bad[old], 0) + np.random.default_rng(5).normal(size=old.sum())
        return x

    leaking = replace(rows, x=rows.x.copy())
    leaking.x[old] = build(table, study, point)
    found = check_early_cliff(table, study, leaking, build)
    assert (found.ok, found.signed) == (False, True)
    assert f"most of it {step} days" in found.text
    assert check_early_cliff(table, study, rows).ok


def test_a_seller_with_any_report_is_recorded(table: LedgerTable, study: Study) -> None:
    rows = join_snapshots(
        [observe_known_outcomes(table, study, point) for point in study.find_points(table.end_day)[0]]
    )
    clean = take_unrecorded(table, study, rows)
    columns = table.columns
    told = {
        (int(case), int(time) // DAY)
        for case, time in zip(
            *(c[columns.kind == Kind.VIOLATION] for c in (columns.case, columns.report_time)), strict=True
        )
    }
    for seller, day in list(zip(clean.seller.tolist(), clean.day.tolist(), strict=True))[:200]:
        assert not any(case == seller and when < day for case, when in told)
    assert 0 < len(clean.bad) < len(rows.bad)
    failed = restated(study, bad={"count": "service_failures", "rules": ()})
    assert len(take_unrecorded(table, failed, rows).bad) < len(clean.bad)


def turn_round(rows: Snapshot, seed: int) -> Floats:
    fold = assign_folds(rows.seller, FOLDS, seed)
    x = np.random.default_rng(6).normal(size=(len(rows.bad), 3))
    for column, (same, opposite) in enumerate([(0, 1), (0, 2), (1, 2)]):
        sign = np.where(fold == same, 1, np.where(fold == opposite, -1, 0))
        x[:, column] += 6 * sign * (rows.bad - 0.5)
    return x


def test_a_model_that_ranks_turned_round_knows_as_much(study: Study) -> None:
    rows = unrecorded(study)
    x = rows.x.copy()
    x[:, :3] = turn_round(rows, study.model.seed)
    single, every = check_effects(study, replace(rows, x=x))
    assert single.ok
    assert every.number > 0.8
    assert (every.ok, every.signed) == (False, False)


def test_a_cliff_to_the_opposite_order_is_a_cliff(table: LedgerTable, study: Study) -> None:
    [point] = study.find_points(table.end_day)[0][-1:]
    rows = observe_known_outcomes(table, study, point)
    rows = replace(rows, bad=(np.random.default_rng(4).random(len(rows.bad)) < 0.2).astype(float))
    old = rows.take(rows.tenure_days >= 60)
    leaking = replace(rows, x=rows.x.copy())
    leaking.x[:, 0] = rows.bad + np.random.default_rng(5).normal(scale=0.3, size=len(rows.bad))

    def build(_: LedgerTable, study: Study, read: Observation) -> Floats:
        return turn_round(old, study.model.seed) if read.day == point.day - 60 else leaking.x[rows.tenure_days >= 60]

    found = check_early_cliff(table, study, leaking, build)
    assert not found.ok
    assert found.number > 0.5
    assert "most of it from 30 to 60 days" in found.text

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from scipy.stats import poisson

from scoring.base.enums import Kind, Status
from scoring.base.errors import ConfigurationWrong
from scoring.base.time import DAY
from scoring.model.artifact import Artifact, load
from tests.helpers.training_ledgers import exported, market_ledger, restated
from tests.helpers.worlds import policy
from training.evaluation.arrays import sigmoid
from training.fitting.fit import exposure_offset
from training.monitoring.monitor import FEW_BAD, find_ratio, mature_days, monitor
from training.monitoring.outcomes import read_lineage, slope_of
from training.monitoring.results import CHECKS, MonitorReport
from training.observation.export import LedgerTable, read_export
from training.observation.snapshots import observe_known_outcomes
from training.pipeline.job import Job
from training.pipeline.run import run
from training.study.context import EventPoints
from training.study.definition import Study


class World(NamedTuple):
    export: Path
    table: LedgerTable
    model: Artifact
    trained_on: int


@pytest.fixture(scope="module")
def study(study: Study) -> Study:
    return restated(study, model={"rounds": 40}, window={"days": 90}, monitor={"points": 2})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, study: Study) -> World:
    folder = tmp_path_factory.mktemp("world")
    with market_ledger(folder, 1500) as ledger:
        table = exported(ledger, "demo", folder)
    export, day = folder / "export.parquet", table.end_day - 230
    trained = run(Job(cut(export, folder, day), study, policy(), verify=False))
    return World(export, table, load(trained.parts), day)


def cut(export: Path, folder: Path, day: int) -> LedgerTable:
    path = folder / f"until-{day}.parquet"
    pl.read_parquet(export).filter(pl.col("report_time") < day * DAY).write_parquet(path)
    return read_export(path)


def look(world: World, study: Study, as_of: int | None = None) -> MonitorReport:
    return monitor(world.table, study, world.model, policy(), as_of)


@pytest.mark.long
def test_a_look_at_a_past_day_uses_nothing_reported_later(world: World, study: Study, tmp_path: Path) -> None:
    day = world.trained_on + 60
    rows = pl.read_parquet(world.export)
    confirmed = rows.filter(pl.col("kind") == Kind.STATUS, pl.col("status") == Status.CONFIRMED)
    overturned = confirmed.with_columns(
        sequence=pl.col("sequence") + rows["sequence"].max(),
        entry_id=pl.col("entry_id") + "-overturned",
        status=pl.lit(Status.OVERTURNED, pl.Int64),
        report_time=pl.lit((day + 1) * DAY),
    )
    pl.concat([rows, overturned]).write_parquet(tmp_path / "overturned.parquet")
    then = cut(world.export, tmp_path, day)
    found = monitor(read_export(tmp_path / "overturned.parquet"), study, world.model, policy(), day)
    assert found.matured.bad > 0
    assert found.as_dict() == monitor(then, study, world.model, policy(), day).as_dict()


@pytest.mark.long
@pytest.mark.parametrize("weigh_by", ["sellers", "orders"])
def test_matured_calibration_is_observed_over_expected(world: World, study: Study, weigh_by: str) -> None:
    study = restated(study, bad={"weigh_by": weigh_by})
    report = look(world, study)
    found, days = report.matured, mature_days(world.table, study, 2)
    assert found.days == tuple(days)
    assert days[0] + 90 + study.window.maturity_days == world.table.end_day
    assert days[0] - days[1] == study.observation.step_days
    rows = [observe_known_outcomes(world.table, study, study.point_at(day)) for day in days]
    scale, lift = world.model.scale, read_lineage(world.model)["calibration_lift"]
    sloped = study.with_exposure_slope(slope_of(world.model))
    expected = sum(
        r.weight @ sigmoid(scale.log_odds(world.model.raw_score(r.x)) - lift + exposure_offset(r, sloped)) for r in rows
    )
    assert found.rows == sum(len(r.bad) for r in rows)
    assert found.bad == sum(r.bad.sum() for r in rows)
    assert found.expected == pytest.approx(expected)
    assert found.ratio.value == pytest.approx(sum(r.weight @ r.bad for r in rows) / expected)
    assert found.ratio.low < found.ratio.value < found.ratio.high
    tiers = report.tiers.values()
    assert sum(tier.bad for tier in tiers) == found.bad
    assert min(tier.ratio.low for tier in tiers if tier.bad) > 0
    assert sum(tier.expected for tier in tiers) == pytest.approx(expected)


@pytest.mark.long
def test_what_everybody_does_otherwise_is_named(world: World, study: Study, tmp_path: Path) -> None:
    rows = pl.read_parquet(world.export)
    more = pl.when(pl.col("exposure_day") >= world.trained_on).then(50).otherwise(1) * pl.col("settled_orders")
    rows.with_columns(settled_orders=more).write_parquet(tmp_path / "more.parquet")
    found = monitor(read_export(tmp_path / "more.parquet"), study, world.model, policy())
    before = {f.name: f.value for f in look(world, study).features}
    exposure = next(f for f in found.features if f.name == "exposure@1")
    assert exposure.value > 2 * before["exposure@1"]
    assert exposure.value > exposure.critical > 0
    assert exposure.alert
    assert found.alerts["feature_csi"]
    assert [f.value for f in found.features] == sorted((f.value for f in found.features), reverse=True)


@pytest.mark.long
def test_ignored_features_alert_nobody_and_are_shown(world: World, study: Study) -> None:
    strict = look(world, restated(study, monitor={"csi": 0}))
    alerting = {f.name for f in strict.features if f.alert}
    assert "tenure_days@1" in alerting
    ignoring = look(world, restated(study, monitor={"csi": 0, "ignore": ("tenure",)}))
    assert {f.name for f in ignoring.features if f.alert} == alerting - {"tenure_days@1"}
    assert [f.value for f in ignoring.features] == [f.value for f in strict.features]
    assert set(strict.alerts) == set(CHECKS)


@pytest.mark.parametrize("expected", [0.1, 0.4, 2.0, 10.0])
def test_an_interval_of_few_bad_ones_holds_the_truth(expected: float) -> None:
    chance, missed = poisson(expected), 0.0
    for bad in range(FEW_BAD):
        observed = (np.arange(FEW_BAD) < bad).astype(float)
        found = find_ratio(observed, np.full(FEW_BAD, expected / FEW_BAD), np.ones(FEW_BAD))
        assert found.low < found.high
        missed += 0 if found.low <= 1 <= found.high else chance.pmf(bad)
    assert missed <= 0.05
    assert find_ratio(np.zeros(4), np.full(4, 0.1), np.ones(4)).high == pytest.approx(9.222, abs=0.001)


def test_five_bad_sellers_do_not_leave_a_ratio_of_zero() -> None:
    alone = find_ratio(np.array([1.0] * 5 + [0] * 95), np.full(100, 0.068), np.ones(100))
    again = find_ratio(np.array([2.0, 2, 1] + [0] * 97), np.full(100, 0.068), np.full(100, 2))
    assert alone.value == again.value == pytest.approx(5 / 6.8)
    assert (alone.low, alone.high) == pytest.approx((0.2387, 1.7159), abs=1e-4)
    assert 0.1 < again.low < alone.low
    assert again.high > alone.high


def test_nobody_bad_of_less_than_one_expected_alerts_nobody(world: World, study: Study, tmp_path: Path) -> None:
    rows = pl.read_parquet(world.export)
    names = rows["entry_id"].filter(rows["kind"] == Kind.VIOLATION)
    none = rows.filter(
        ~pl.col("entry_id").is_in(names.implode()) & ~pl.col("violation").is_in(names.implode()).fill_null(value=False)
    )
    few = none.filter(pl.col("seller").is_in(none["seller"].unique().sort().head(40).implode()))
    few.write_parquet(tmp_path / "few.parquet")
    found = monitor(read_export(tmp_path / "few.parquet"), study, world.model, policy())
    assert found.matured.bad == 0 < found.matured.expected < 2.5
    assert found.matured.ratio.low == 0
    # A seller of both windows may be bad in both, so the interval is twice as long as with one window.
    assert found.matured.ratio.high == pytest.approx(2 * 3.6889 / found.matured.expected, rel=1e-4)
    assert not found.matured.alert


@pytest.mark.long
def test_a_study_at_inspections_tells_drift_alone_and_why(world: World, study: Study) -> None:
    inspected = restated(study, observation={"events": EventPoints(Kind.INSPECTION, 0, 1, 2, 3)})
    found = look(world, inspected)
    assert found.matured.ratio is None
    assert "observes sellers at events" in found.matured.why_not
    assert not found.tiers
    assert found.score.value == look(world, study).score.value


@pytest.mark.long
def test_a_look_at_a_day_before_anything_is_over_says_so(world: World, study: Study) -> None:
    young = restated(study, window={"days": 20_000})
    found = look(world, young)
    assert found.matured.ratio is None
    assert found.matured.why_not == "no window is over"
    with pytest.raises(ConfigurationWrong, match="the ledger knows nobody of the days that model"):
        look(world, study, 10_000)


def test_the_study_must_be_the_models(world: World, study: Study) -> None:
    with pytest.raises(ConfigurationWrong, match="give the study that the model was trained by"):
        look(world, restated(study, exposure={"reference_orders": 10.0}))

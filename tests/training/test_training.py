from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from scoring.base.enums import Kind
from scoring.base.errors import ConfigurationWrong
from scoring.base.time import DAY
from scoring.features.table import FEATURES
from scoring.model.artifact import load
from scoring.model.interval import default_prior
from tests.helpers.training_ledgers import exported, market_ledger, restated, train
from training.fitting.fit import fit_curves
from training.observation.export import SCHEMA, LedgerTable, read_export
from training.observation.snapshots import join_snapshots, observe_known_outcomes
from training.pipeline.job import TrainedModel
from training.study.definition import Study


@pytest.fixture(scope="module")
def study(study: Study) -> Study:
    return restated(study, model={"rounds": 40})


@pytest.fixture(scope="module")
def trained(table: LedgerTable, study: Study) -> TrainedModel:
    return train(table, study)


@pytest.mark.long
def test_the_same_study_and_data_give_the_same_model(table: LedgerTable, study: Study, trained: TrainedModel) -> None:
    again = train(table, study)
    assert again.parts == trained.parts
    assert load(again.parts).digest == load(trained.parts).digest
    other = train(table, restated(study, model={"seed": 2}))
    assert other.parts["model.txt"] != trained.parts["model.txt"]


def test_training_gives_a_certified_model_with_its_lineage(
    table: LedgerTable, study: Study, trained: TrainedModel
) -> None:
    artifact = load(trained.parts)
    assert artifact.features == study.features
    evaluation = trained.evaluation
    assert evaluation["test"]["bad"] == int(trained.test.bad.sum()) >= 10
    assert evaluation["auc"]["lightgbm"]["value"] == pytest.approx(
        roc_auc_score(trained.test.bad, trained.test_scores["lightgbm"])
    )
    assert evaluation["auc"]["lightgbm"]["value"] > 0.7
    low, high = (evaluation["difference"]["lightgbm-logistic"][name] for name in ("low", "high"))
    assert low < high
    assert 0.3 < evaluation["predicted"] / evaluation["base_rate"] < 3
    assert artifact.prior.incidents[1] > 10 * artifact.prior.incidents[0], "an incident is rarer than one in ten orders"
    assert artifact.prior != default_prior(study.constants)
    assert b'"ledger_digest":"' + table.digest.encode() in trained.parts["lineage.json"]


@pytest.mark.long
def test_shuffled_futures_are_ranked_no_better_than_by_a_coin(
    table: LedgerTable, market_export: Path, study: Study, tmp_path: Path
) -> None:
    train_points, (test_point,) = study.find_points(table.end_day)
    curves = fit_curves(join_snapshots([observe_known_outcomes(table, study, point) for point in train_points]), study)

    def ranked(what: LedgerTable) -> float:
        test = observe_known_outcomes(what, study, test_point)
        return float(roc_auc_score(test.bad, curves.raw_scores(test.x)))

    shuffled = [
        ranked(read_export(_with_other_futures(market_export, tmp_path, test_point.day, seed))) for seed in range(6)
    ]
    assert 0.44 < np.mean(shuffled) < 0.56
    assert ranked(table) > max(*shuffled, 0.65)


def _with_other_futures(export: Path, folder: Path, day: int, seed: int) -> Path:
    rows = pl.read_parquet(export)
    sellers = rows["seller"].unique().sort()
    other = dict(zip(sellers, sellers.sample(fraction=1, shuffle=True, seed=seed), strict=True))
    new = rows.filter(pl.col("kind") == Kind.VIOLATION, pl.col("report_time") >= day * DAY)["entry_id"]
    is_future = (pl.col("exposure_day") >= day) | pl.col("violation").is_in(new.implode())
    dealt = rows.with_columns(
        seller=pl.when(is_future.fill_null(value=False)).then(pl.col("seller").replace(other)).otherwise("seller")
    )
    dealt.write_parquet(folder / "dealt.parquet")
    return folder / "dealt.parquet"


@pytest.mark.long
def test_a_model_that_tells_nobody_from_anybody_is_refused(table: LedgerTable, study: Study) -> None:
    known, never = (FEATURES[f"{name}@1"] for name in ("exposure", "lost_dispute_rate_90d"))
    with pytest.raises(ConfigurationWrong, match="fewer than two features of the study have more than one value"):
        train(table, restated(study, features=(known, never)))


@pytest.mark.long
def test_parameters_that_lightgbm_refuses_are_a_wrong_study(table: LedgerTable, study: Study) -> None:
    with pytest.raises(ConfigurationWrong, match=r"model\.parameters of the study cannot be used: .*num_leaves"):
        train(table, restated(study, model={"parameters": {"num_leaves": 1}}))


def test_a_file_that_is_no_export_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(ConfigurationWrong, match="is not an export of a ledger"):
        read_export(path)
    with pytest.raises(ConfigurationWrong, match="is not an export of a ledger"):
        read_export(tmp_path / "absent.parquet")
    pl.DataFrame({"seller": ["s"], "sequence": ["one"]}).write_parquet(path)
    with pytest.raises(ConfigurationWrong, match=r"sequence, entry_id, kind, .* is missing or of another type"):
        read_export(path)


def test_an_export_without_a_content_is_refused(tmp_path: Path) -> None:
    row = dict.fromkeys(SCHEMA) | {"seller": "s", "sequence": 1, "entry_id": "m", "kind": int(Kind.MEASURE)}
    pl.DataFrame([row], schema=SCHEMA).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(ConfigurationWrong, match="no content for 1"):
        read_export(tmp_path / "x.parquet")


def test_an_empty_export_is_too_little_to_learn_from(tmp_path: Path, study: Study) -> None:
    (tmp_path / "empty").mkdir()
    with market_ledger(tmp_path, 1, days=2) as ledger:
        empty = exported(ledger, "elsewhere", tmp_path / "empty")
    assert (empty.sellers, empty.end_day) == ([], 0)
    with pytest.raises(ConfigurationWrong, match="the training points hold 0 rows"):
        train(empty, study)

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from scoring.base.errors import ConfigurationWrong, InvalidInput
from scoring.base.time import format_day
from scoring.model.artifact import load
from tests.helpers.training_ledgers import POLICY, restated, train
from training.monitoring.outcomes import read_lineage
from training.observation.export import LedgerTable
from training.pipeline.job import Job, TrainedModel
from training.pipeline.rows import check_rows_file, design_matrix, scored_rows, write_rows
from training.study.definition import Study


@pytest.fixture(scope="module")
def trained(table: LedgerTable, study: Study) -> TrainedModel:
    return train(table, restated(study, model={"rounds": 20}))


@pytest.mark.parametrize(("ending", "read"), [("csv", pl.read_csv), ("parquet", pl.read_parquet)])
def test_a_row_has_its_seller_its_outcome_and_every_score(
    table: LedgerTable, trained: TrainedModel, tmp_path: Path, ending: str, read: object
) -> None:
    file = tmp_path / f"rows.{ending}"
    assert write_rows(scored_rows(table, trained), file) == len(trained.test.bad)
    rows: pl.DataFrame = read(file)  # type: ignore[operator]
    test, model = trained.test, load(trained.parts)
    assert rows["seller"].to_list() == [table.sellers[code] for code in test.seller]
    assert rows["observe_day"].cast(pl.String).to_list() == [format_day(day) for day in test.day.tolist()]
    assert rows["bad"].to_list() == test.bad.tolist()
    assert rows["points"].to_list() == model.scale.points(model.raw_score(test.x)).tolist()
    assert rows["p_bad"].is_between(0, 1).all()
    np.testing.assert_array_equal(rows["orders_in_window"], test.window_orders)
    bad = rows["bad"].to_numpy().astype(np.float64)
    raw = model.raw_score(test.x)
    log_odds = model.scale.log_odds(raw) - read_lineage(model)["calibration_lift"]
    np.testing.assert_allclose(rows["score_lightgbm"], log_odds, rtol=1e-12)
    assert {"score_logistic", "score_points_rule", "score_raw_count", "score_unconstrained"} <= set(rows.columns)
    for name in ("lightgbm", "logistic", "points_rule"):
        score = rows[f"score_{name}"].to_numpy().astype(np.float64)
        found = roc_auc_score(bad, score, sample_weight=rows["weight"].to_numpy())
        assert found == pytest.approx(trained.evaluation["auc"][name]["value"], abs=1e-9)


def test_the_matrix_is_what_the_model_learns_from(table: LedgerTable, study: Study, trained: TrainedModel) -> None:
    found = design_matrix(Job(table, study, POLICY))
    assert found.columns[:6] == ["split", "seller", "observe_day", "bad", "weight", "orders_in_window"]
    assert found.columns[6:] == [feature.key for feature in study.features]
    test = found.filter(pl.col("split") == "test")
    assert found.filter(pl.col("split") == "train").height == trained.evaluation["train"]["rows"]
    assert test["bad"].to_list() == trained.test.bad.tolist()
    np.testing.assert_array_equal(test[study.features[0].key].to_numpy(), trained.test.x[:, 0])
    assert test["observe_day"].min() > found.filter(pl.col("split") == "train")["observe_day"].max()


def test_a_file_that_rows_cannot_be_written_to_is_named(
    table: LedgerTable, trained: TrainedModel, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"rows.txt must end in .csv or .parquet"):
        check_rows_file(tmp_path / "rows.txt")
    with pytest.raises(InvalidInput, match=r"there is no folder .*none"):
        check_rows_file(tmp_path / "none" / "rows.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigurationWrong, match=r"rows cannot be written to .*folder.csv"):
        write_rows(scored_rows(table, trained), tmp_path / "folder.csv")

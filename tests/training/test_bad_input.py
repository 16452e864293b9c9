"""Data that no model should be trained on: each is refused with what to do, before anything is fitted."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from scoring.base.enums import Harm, Kind
from scoring.base.errors import ConfigurationWrong
from scoring.base.time import DAY
from tests.helpers.training_ledgers import POLICY, restated
from training.observation.export import LedgerTable, read_export, write_export
from training.pipeline.job import Job
from training.pipeline.rows import write_rows
from training.pipeline.run import plan
from training.study.definition import BadRule, Study

KIND, ORDERS, DAY_SOLD = pl.col("kind"), pl.col("settled_orders"), pl.col("exposure_day")


def changed(export: Path, folder: Path, **columns: pl.Expr) -> Path:
    file = folder / "changed.parquet"
    pl.read_parquet(export).with_columns(**columns).write_parquet(file)
    return file


@pytest.mark.parametrize(
    ("column", "kind", "value"),
    [
        ("kind", Kind.IDENTITY, 99),
        ("category", Kind.VIOLATION, 77),
        ("severity", Kind.VIOLATION, 9),
        ("status", Kind.STATUS, 77),
    ],
)
def test_rows_of_a_later_release_are_refused(
    market_export: Path, tmp_path: Path, column: str, kind: Kind, value: int
) -> None:
    later = pl.when(kind == KIND).then(value).otherwise(pl.col(column))
    with pytest.raises(ConfigurationWrong, match=f"holds the {column} {value}, which this release does not know"):
        read_export(changed(market_export, tmp_path, **{column: later}))


def test_a_violation_type_of_a_later_release_is_refused(market_export: Path, tmp_path: Path) -> None:
    later = pl.col("content").str.replace('"counterfeit_goods"', '"ghost_goods"')
    with pytest.raises(ConfigurationWrong, match="holds the violation_type ghost_goods, which this release"):
        read_export(changed(market_export, tmp_path, content=later))
    more = changed(market_export, tmp_path, column_of_a_later_release=pl.lit(1))
    assert read_export(more).digest == read_export(market_export).digest


def test_rows_of_two_marketplaces_are_refused(market_export: Path, tmp_path: Path) -> None:
    rows = pl.read_parquet(market_export)
    pl.concat([rows, rows.head(9).with_columns(seller="x-" + pl.col("seller"))]).write_parquet(
        tmp_path / "both.parquet"
    )
    with pytest.raises(ConfigurationWrong, match=r"mixes rows of several ledgers: sequence \d+ stands twice"):
        read_export(tmp_path / "both.parquet")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            {"bad": {"rules": (BadRule(violation_type="order_fraud", harm=Harm.EXTREME),)}},
            r"left out: [\d,]+ no orders in window\), \d of them bad; .*: widen the window, the bad definition",
        ),
        (
            {"bad": {"rules": (), "count": "service_failures", "least_orders": 100}, "exposure": {}},
            "nearly everybody is bad: shorten the window of the study, or ask for more in its bad definition",
        ),
        (
            {
                "bad": {"rules": (), "count": "service_failures", "at_least": 150, "least_orders": 1_500},
                "exposure": {},
            },
            r"the test points hold 32 rows .*, 24 of them bad; .*: too few are good: shorten the window of the study",
        ),
    ],
)
def test_a_label_of_few_or_of_all_says_what_to_change(
    table: LedgerTable, study: Study, parts: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationWrong, match=said):
        plan(Job(table, restated(study, **parts), POLICY))


def test_a_label_constant_in_training_is_refused(
    market_export: Path, table: LedgerTable, study: Study, tmp_path: Path
) -> None:
    learned = max(point.window_end for point in study.find_points(table.end_day)[0]) + study.window.maturity_days
    unknown = KIND.is_in([Kind.VIOLATION, Kind.STATUS]) & (pl.col("report_time") < learned * DAY)
    pl.read_parquet(market_export).filter(~unknown).write_parquet(tmp_path / "young.parquet")
    table = read_export(tmp_path / "young.parquet")
    with pytest.raises(ConfigurationWrong, match=r"the training points hold .* bad; at least 10 bad and 10 good"):
        plan(Job(table, study, POLICY))


def test_a_test_window_without_exposure_is_refused(
    market_export: Path, table: LedgerTable, study: Study, tmp_path: Path
) -> None:
    count = restated(study, exposure={"reference_orders": None})
    (test,) = count.find_points(table.end_day)[1]
    known = pl.when(test.day > DAY_SOLD).then(ORDERS).otherwise(0)
    ended = read_export(changed(market_export, tmp_path, settled_orders=pl.when(ORDERS.is_not_null()).then(known)))
    with pytest.raises(
        ConfigurationWrong, match=r"no order is settled in the windows of the test points, .* import expo"
    ):
        plan(Job(ended, count, POLICY))
    unsold = read_export(changed(market_export, tmp_path, settled_orders=0 * ORDERS))
    weighed = restated(count, bad={"weigh_by": "orders"})
    with pytest.raises(ConfigurationWrong, match=r"hold 0 rows .*left out: .*[\d,]+ no orders in window"):
        plan(Job(unsold, weighed, POLICY))


def test_a_full_disk_is_named_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    (tmp_path / "x.parquet.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as told:
        write_export([], file)
    assert told.value.filename == str(file)
    file.symlink_to("/dev/full")
    with pytest.raises(ConfigurationWrong, match=r"rows cannot be written to .*: No space left"):
        write_rows(pl.DataFrame({"seller": ["s"]}), file)

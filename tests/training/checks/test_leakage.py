from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from scoring.base.enums import Kind
from scoring.base.time import DAY
from tests.helpers.leaks import TOLD, add_copies, plant
from training.checks.leakage import (
    check_duplicated_histories,
    check_rebuilt_features,
    compute_features_at,
    cut_before,
    run_leakage_checks,
)
from training.observation.export import LedgerTable, read_export
from training.observation.snapshots import Snapshot, join_snapshots, observe_known_outcomes
from training.study.context import LOOK_BACK, ContextSource
from training.study.definition import Observation, Study


@pytest.fixture(scope="module")
def points(table: LedgerTable, study: Study) -> tuple[list[Observation], list[Observation]]:
    return study.find_points(table.end_day)


def observed(table: LedgerTable, study: Study, points: Sequence[Observation]) -> Snapshot:
    return join_snapshots([observe_known_outcomes(table, study, point) for point in points])


@pytest.fixture(scope="module")
def train(table: LedgerTable, study: Study, points: tuple[list[Observation], list[Observation]]) -> Snapshot:
    return observed(table, study, points[0])


@pytest.fixture(scope="module")
def test_rows(table: LedgerTable, study: Study, points: tuple[list[Observation], list[Observation]]) -> Snapshot:
    return observed(table, study, points[1])


def test_an_honest_training_passes_every_check(
    table: LedgerTable, study: Study, train: Snapshot, test_rows: Snapshot
) -> None:
    found = run_leakage_checks(table, study, train, test_rows)
    assert [check.check for check in found if not check.ok] == []
    assert [check.check for check in found] == [
        "future_deleted", "single_feature", "all_features", "early_reports", "cliff", "duplicated_sellers",
    ]  # fmt: skip
    assert run_leakage_checks(table, study, train, test_rows) == found


def test_a_feature_that_looks_ahead_is_found(
    table: LedgerTable, study: Study, train: Snapshot, points: tuple[list[Observation], list[Observation]]
) -> None:
    assert check_rebuilt_features(table, study, train).ok
    column = [feature.key for feature in study.features].index("exposure@1")
    ahead = []
    for point in points[0]:
        later = compute_features_at(table, study, replace(point, day=point.day + 1))
        rows = train.take(train.day == point.day)
        x = rows.x.copy()
        x[:, column] = later[rows.seller, column]
        ahead.append(replace(rows, x=x))
    found = check_rebuilt_features(table, study, join_snapshots(ahead))
    assert not found.ok
    assert found.number > 100
    assert found.text.endswith(": exposure@1")

    x = train.x.copy()
    x[0, column] = np.nextafter(x[0, column], 2)
    assert check_rebuilt_features(table, study, replace(train, x=x)).number == 1


def test_a_cut_table_names_its_own_sellers_and_day(table: LedgerTable) -> None:
    day = table.end_day - 100
    cut = cut_before(table, np.array([3, 5]), day)
    assert cut.sellers == [table.sellers[3], table.sellers[5]]
    assert cut.end_day == day
    mine = table.columns.take((table.columns.case == 5) & (table.columns.report_time < day * DAY))
    assert cut.columns.row[cut.columns.case == 1].tolist() == mine.row.tolist()


@pytest.mark.parametrize("time", ["occur_time", "report_time"])
def test_a_feature_built_of_the_future_is_found(
    table: LedgerTable, study: Study, train: Snapshot, points: tuple[list[Observation], list[Observation]], time: str
) -> None:
    def build(table: LedgerTable, study: Study, point: Observation) -> NDArray[np.float64]:
        columns = table.columns.take(table.columns.kind == Kind.VIOLATION)
        columns = columns.take(getattr(columns, time) < (point.day + 10) * DAY)
        x = compute_features_at(table, study, point)
        x[:, 5] = np.bincount(columns.case, minlength=columns.cases)
        return x

    rows = [train.take(train.day == point.day) for point in points[0]]
    built = [
        replace(part, x=build(table, study, point)[part.seller]) for part, point in zip(rows, points[0], strict=True)
    ]
    found = check_rebuilt_features(table, study, join_snapshots(built), build)
    assert not found.ok
    assert found.text.endswith(f": {study.features[5].key}")
    assert check_rebuilt_features(table, study, train).ok


@pytest.mark.parametrize("leak", TOLD)
def test_a_leak_in_an_attribute_of_the_ledger_fails(
    market_export: Path, study: Study, points: tuple[list[Observation], list[Observation]], tmp_path: Path, leak: str
) -> None:
    table, knowing = plant(leak, market_export, study, tmp_path / "x.parquet")
    train, test = (observed(table, knowing, part) for part in points)
    found = {check.check: check for check in run_leakage_checks(table, knowing, train, test)}
    assert (found["single_feature"].ok, found["single_feature"].signed) == (False, False)
    assert "attribute.leak@1 alone ranks" in found["single_feature"].text
    assert not found["all_features"].ok


def with_copies(market_export: Path, folder: Path, sellers: list[str], **changed: pl.Expr) -> LedgerTable:
    add_copies(pl.read_parquet(market_export), sellers, **changed).write_parquet(folder / "copies.parquet")
    return read_export(folder / "copies.parquet")


@pytest.mark.long
def test_a_seller_under_two_ids_in_training_and_test_is_found(
    market_export: Path,
    table: LedgerTable,
    study: Study,
    points: tuple[list[Observation], list[Observation]],
    tmp_path: Path,
) -> None:
    sold = np.bincount(table.columns.case[table.columns.kind == Kind.EXPOSURE], minlength=len(table.sellers))
    chosen = [table.sellers[code] for code in np.flatnonzero(sold >= 5)[::10]]
    copied = with_copies(market_export, tmp_path, chosen)
    train, test = (observed(copied, study, part) for part in points)
    is_copy = np.char.startswith(np.array(copied.sellers), "copy-")
    originals, copies = train.take(~is_copy[train.seller]), test.take(is_copy[test.seller])
    found = check_duplicated_histories(copied, originals.seller, test.seller)
    assert not found.ok
    trained = {copied.sellers[code] for code in originals.seller}
    twins = [code for code in copies.seller if copied.sellers[code].removeprefix("copy-") in trained]
    assert len(twins) > 20
    assert found.number == pytest.approx(len(twins) / len(test.bad))
    assert "copy-" in found.text
    assert not check_duplicated_histories(copied, train.seller, copies.seller).ok
    assert check_duplicated_histories(table, train.seller[:0], test.seller[:0]).ok

    elsewhere = pl.col("content").str.replace('"country":"[A-Z]+"', '"country":"AQ"')
    moved = with_copies(market_export, tmp_path, chosen, content=elsewhere)
    train, test = (observed(moved, study, part) for part in points)
    assert check_duplicated_histories(moved, train.seller, test.seller).number == 0


def test_a_short_history_is_nobodys_copy(
    market_export: Path,
    table: LedgerTable,
    study: Study,
    points: tuple[list[Observation], list[Observation]],
    tmp_path: Path,
) -> None:
    sold = np.bincount(table.columns.case[table.columns.kind == Kind.EXPOSURE], minlength=len(table.sellers))
    guilty = np.bincount(table.columns.case[table.columns.kind == Kind.VIOLATION], minlength=len(table.sellers))
    short = [table.sellers[code] for code in np.flatnonzero(sold + guilty < 5)]
    assert short
    copied = with_copies(market_export, tmp_path, short)
    everyone = np.arange(len(copied.sellers))
    assert check_duplicated_histories(copied, everyone, everyone).number == 0


def test_context_of_before_that_knows_the_future_is_a_leak(table: LedgerTable, study: Study, train: Snapshot) -> None:
    window, before = (
        ContextSource("inspector", "inspection.attributes.inspector", 0.0),
        ContextSource("watched", "detections_per_month", 0.0),
    )
    rows = replace(train, x=np.column_stack([train.x, np.full(len(train.bad), 5.0)]))
    assert check_rebuilt_features(
        table, replace(study, context=(window,), features=(*study.features, *window.features)), rows
    ).ok
    found = check_rebuilt_features(
        table, replace(study, context=(before,), features=(*study.features, *before.features)), rows
    )
    assert found.text.endswith(": context.watched@1")


def test_honest_context_of_before_survives_the_deletion(
    table: LedgerTable, study: Study, points: tuple[list[Observation], list[Observation]]
) -> None:
    sources = [ContextSource(f"c{n}", name, 0.5) for n, name in enumerate(sorted(LOOK_BACK))]
    features = (*study.features, *(feature for source in sources for feature in source.features))
    with_context = replace(study, context=tuple(sources), features=features)
    rows = observed(table, with_context, points[0])
    assert len(np.unique(rows.x[:, -3])) > 2
    assert check_rebuilt_features(table, with_context, rows).ok

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from scoring.base.enums import Action, Harm, Kind
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from tests.helpers.builders import exposure, identity, status, violation
from tests.helpers.label_cases import OBSERVE, breach, standing
from tests.helpers.training_ledgers import table_of
from training.checks.data import (
    check_bad_left_out,
    check_constant_features,
    check_exposure_gaps,
    check_left_out,
    check_never_decided,
    check_repeated_incidents,
    check_report_before_occur,
    check_violations_without_exposure,
    run_data_checks,
)
from training.observation.export import LedgerTable, read_export
from training.observation.labels import final_facts
from training.observation.snapshots import EligibleRows, Snapshot, observe
from training.study.definition import Study

SELLERS = 40


def sound() -> list[Entry]:
    entries = []
    for number in range(SELLERS):
        seller, joined = f"s{number}", (OBSERVE - 400) * DAY
        entries.append(identity(f"i-{seller}", seller, occur_time=joined))
        entries += [
            exposure(day, seller, settled_orders=10 + number) for day in range(OBSERVE - 399, OBSERVE + 600, 25)
        ]
        for group, first in (("a", OBSERVE - 300), ("b", OBSERVE + 20)):
            if number % 4 == 0:
                entries.append(replace(breach(f"{group}-{seller}", (first + number) * DAY), seller=seller))
        known = (OBSERVE - 200 + number) * DAY
        entries += [
            violation(f"c-{seller}", seller, harm=Harm.LOW, occur_time=known),
            status(f"c-{seller}", Action.DISMISS, occur_time=known + DAY),
        ]
    return entries


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger")


@pytest.fixture(scope="module")
def table(folder: Path) -> LedgerTable:
    return table_of(folder, sound())


@pytest.fixture(scope="module")
def points(table: LedgerTable, study: Study) -> list[EligibleRows]:
    return [observe(table, study, study.point_at(day)) for day in (OBSERVE, OBSERVE + 30)]


@pytest.fixture(scope="module")
def rows(points: Sequence[EligibleRows]) -> list[Snapshot]:
    return [point.rows.with_known_outcome() for point in points]


def changed(folder: Path, to: Path, *columns: pl.Expr) -> LedgerTable:
    pl.read_parquet(folder / "export.parquet").with_columns(*columns).write_parquet(to / "changed.parquet")
    return read_export(to / "changed.parquet")


def test_a_sound_ledger_passes_every_check(
    table: LedgerTable, study: Study, points: Sequence[EligibleRows], rows: Sequence[Snapshot]
) -> None:
    few = replace(study, features=tuple(f for f in study.features if f.key in ("exposure@1", "incidents@1")))
    kept = [index for index, feature in enumerate(study.features) if feature in few.features]
    narrow = [replace(part, x=part.x[:, kept]) for part in rows]
    found = run_data_checks(table, few, narrow, [point.exclusions for point in points])
    assert [check.check for check in found if not check.ok] == []
    assert len(found) == 8
    assert [set(check.as_dict()) for check in found] == [{"check", "ok", "number", "text"}] * 8


@pytest.mark.parametrize("kind", [Kind.VIOLATION, Kind.EXPOSURE])
def test_what_was_reported_before_it_happened_is_counted(
    folder: Path, table: LedgerTable, tmp_path: Path, kind: Kind
) -> None:
    assert check_report_before_occur(table).ok
    early = pl.when(pl.col("kind") == kind).then(pl.col("report_time") - 2 * DAY).otherwise("report_time")
    found = check_report_before_occur(changed(folder, tmp_path, early.alias("report_time")))
    assert not found.ok
    assert found.number == (table.columns.kind == kind).sum()


def test_months_without_exposure_are_named(folder: Path, table: LedgerTable, tmp_path: Path) -> None:
    assert check_exposure_gaps(table).ok
    held = pl.read_parquet(folder / "export.parquet")
    quarter = pl.col("exposure_day").is_between(OBSERVE, OBSERVE + 89).fill_null(value=False)
    held.filter(~quarter).write_parquet(tmp_path / "gap.parquet")
    found = check_exposure_gaps(read_export(tmp_path / "gap.parquet"))
    assert (found.ok, found.number) == (False, 3)
    assert found.text.endswith(": 2025-01, 2025-02, 2025-03")
    held.filter(pl.col("kind") != Kind.EXPOSURE).write_parquet(tmp_path / "none.parquet")
    assert not check_exposure_gaps(read_export(tmp_path / "none.parquet")).ok


def test_sellers_with_violations_and_no_exposure_are_told(table: LedgerTable, tmp_path: Path) -> None:
    assert check_violations_without_exposure(final_facts(table)).number == 0
    for number, ok in ((2, True), (10, False)):
        strangers = [replace(breach(f"x{n}", (OBSERVE - 5) * DAY), seller=f"stranger{n}") for n in range(number)]
        found = check_violations_without_exposure(final_facts(table_of(tmp_path / str(number), [*sound(), *strangers])))
        assert (found.ok, found.number) == (ok, pytest.approx(number / (10 + number)))


def test_incidents_that_were_told_twice_are_told(table: LedgerTable, tmp_path: Path) -> None:
    assert check_repeated_incidents(table, final_facts(table)).number == 0
    for name, incident, expected in (("apart", "", 1.0), ("together", "one", 0.0)):
        entries = [*standing("s"), *(breach(f"v{n}", (OBSERVE + 5) * DAY, incident=incident) for n in range(3))]
        told = table_of(tmp_path / name, entries)
        found = check_repeated_incidents(told, final_facts(told))
        assert (found.number, found.ok) == (expected, True)


def test_old_allegations_that_nobody_decided_are_told(table: LedgerTable, tmp_path: Path) -> None:
    assert check_never_decided(table).number == 0
    end = table.end_day
    old, young = (
        [violation(f"{name}{n}", f"s{n}", occur_time=day * DAY) for n in range(20)]
        for name, day in (("old", end - 366), ("young", end - 364))
    )
    found = check_never_decided(table_of(tmp_path, [*sound(), *old, *young]))
    assert found.ok is False
    decided = sum(k == Kind.VIOLATION for k in table.columns.kind)
    before = (table.columns.kind == Kind.VIOLATION) & (table.columns.report_time < (end - 365) * DAY)
    assert found.number == pytest.approx(20 / (20 + before.sum()))
    assert decided > 20


def test_features_that_never_change_are_counted(study: Study, rows: Sequence[Snapshot]) -> None:
    x = np.random.default_rng(1).random((len(rows[0].bad), len(study.features)))
    varied = replace(rows[0], x=x)
    assert check_constant_features(study, [varied]).number == 0
    half = x.copy()
    half[:, : len(study.features) // 2 + 1] = 3.0
    found = check_constant_features(study, [replace(varied, x=half)])
    assert (found.ok, found.number) == (True, len(study.features) // 2 + 1)
    assert study.features[0].key in found.text
    assert check_constant_features(study, [varied, replace(varied, x=half)]).number == 0


def test_unreported_categories_are_no_constant_features(study: Study, rows: Sequence[Snapshot]) -> None:
    x = np.random.default_rng(1).random((len(rows[0].bad), len(study.features)))
    of_category = [f.name.split("_")[0] in ("ip", "service") and "_mass_" in f.name for f in study.features]
    x[:, of_category] = 0.0
    found = check_constant_features(study, [replace(rows[0], x=x)])
    assert (found.ok, found.number) == (True, 0)
    assert f"not counted: {sum(of_category)} of categories in which nobody is reported" in found.text
    x[:, of_category] = 1.0
    assert check_constant_features(study, [replace(rows[0], x=x)]).number == sum(of_category)


@pytest.mark.parametrize(("left", "ok"), [(2, True), (30, False)])
def test_what_was_left_out_is_on_record(rows: Sequence[Snapshot], left: int, ok: bool) -> None:
    found = check_left_out(rows, [{"left": left, "not_active_before": 5}, {"indeterminate": 1, "not_active_before": 7}])
    assert found.ok is ok
    assert found.number == pytest.approx((left + 1) / (2 * SELLERS + left + 1))
    assert f"1 indeterminate, {left} left, 12 not active before" in found.text
    assert check_left_out(rows, []).text.startswith("80 rows remain; left out: nothing;")


@pytest.mark.parametrize(("lost", "ok"), [(1, True), (30, False)])
def test_bad_sellers_without_orders_are_not_dropped_in_silence(rows: Sequence[Snapshot], lost: int, ok: bool) -> None:
    bad = [replace(part, bad=np.ones(len(part.bad))) for part in rows]
    found = check_bad_left_out(bad, [{"bad_without_orders_in_window": lost}, {"no_orders_in_window": 70}])
    kept = sum(len(part.bad) for part in bad)
    assert (found.ok, found.number) == (ok, pytest.approx(lost / (kept + lost)))
    assert found.text.startswith(f"{lost} of {kept + lost} bad sellers (")
    assert ("the model never learns of them" in found.text) is not ok
    few = check_bad_left_out(bad, [{"bad_with_too_few_orders": 70, "bad_without_orders_in_window": 1}])
    assert few.ok, "who sold less than the study asks for is meant to be no row"
    assert few.text.endswith("; 70 more sold less than the study asks for")


def test_an_empty_ledger_is_checked_too(study: Study, table: LedgerTable, rows: Sequence[Snapshot]) -> None:
    nothing = replace(table, columns=table.columns.take(np.zeros(0, dtype=np.int64)))
    empty = [part.take(np.zeros(0, dtype=np.int64)) for part in rows]
    checks = run_data_checks(nothing, study, empty, [])
    assert {check.check for check in checks if not check.ok} == {"exposure_gaps"}

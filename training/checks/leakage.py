"""Check for leaks into the rows from the future or from the outcome, each on at most SAMPLE rows."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from scoring.base.arrays import Floats, Ints
from scoring.base.enums import Kind
from scoring.base.time import DAY
from training.checks.check import Check
from training.checks.duplicates import duplicated_histories, identical_rows
from training.checks.early_reports import early_reports
from training.checks.effects import check_effects, rank_by_all, take_unrecorded
from training.evaluation.equal_volume import EqualVolume, between
from training.observation.export import LedgerTable
from training.observation.snapshots import Snapshot, features_of, join, known_at
from training.study.definition import Observation, Study

SAMPLE = 20_000
MAX_DAYS = 100
LAGS = (7, 30, 60)
"""Days by which features are read earlier."""
MAX_FALL, PROVEN_FALL = 0.05, 0.02
"""AUC that may be lost by the longest lag, and its lower bound."""


def leakage_checks(table: LedgerTable, study: Study, train: Snapshot, test: Snapshot) -> list[Check]:
    return [
        rebuilt(table, study, join([train, test])),
        *check_effects(study, take_unrecorded(table, study, train)),
        early_reports(table, study),
        cliff(table, study, train),
        duplicated_histories(table, train.seller, test.seller),
        identical_rows(join([train, test]), study),
    ]


Build = Callable[[LedgerTable, Study, Observation], Floats]


def features_at(table: LedgerTable, study: Study, point: Observation) -> Floats:
    everyone = np.arange(table.columns.cases, dtype=np.int64)
    return features_of(known_at(table, study, point), table, study, point, everyone)


def rebuilt(table: LedgerTable, study: Study, rows: Snapshot, build: Build = features_at) -> Check:
    """Check that sampled rows keep their features, bit by bit, if `build` computes them without the entries from the
    point on.

    Context of the window is left out. The number counts rows that differ.
    """
    of_window = {feature for source in study.context if not source.looks_back for feature in source.features}
    compared = [place for place, feature in enumerate(study.features) if feature not in of_window]
    rng = np.random.default_rng(study.model.seed)
    days = np.unique(rows.day)
    days = np.sort(rng.choice(days, min(MAX_DAYS, len(days)), replace=False))
    differing, checked, where = 0, 0, []
    for day in days.tolist():
        of_day = np.flatnonzero(rows.day == day)
        part = rows.take(np.sort(rng.choice(of_day, min(SAMPLE // len(days), len(of_day)), replace=False)))
        x = build(cut_before(table, part.seller, day), study, study.point_at(day))
        theirs, ours = (np.ascontiguousarray(values[:, compared]).view(np.int64) for values in (part.x, x))
        differs = (theirs != ours).any(axis=0)
        differing += int((theirs != ours).any(axis=1).sum())
        checked += len(part.bad)
        where += [study.features[compared[place]].key for place in np.flatnonzero(differs)]
    names = ", ".join(sorted(set(where))[:3])
    sentence = (
        f"{differing} of {checked} sampled rows have other features when everything after the observation is deleted"
    )
    return Check("future_deleted", differing == 0, differing, sentence + (f": {names}" if names else ""), 0)


def cliff(table: LedgerTable, study: Study, rows: Snapshot, build: Build = features_at) -> Check:
    """Check that features read up to 60 days earlier rank nearly as well, by models of their own.

    If facts are dated early, reading earlier loses them. It looks at the last training day, at sellers that are older
    than the longest lag. Studies at inspections are not looked at.
    """
    name, day = "cliff", int(rows.day.max())
    part = rows.take((rows.day == day) & (rows.tenure_days >= max(LAGS)))
    if study.observation.events is not None:
        return Check(name, True, 0.0, "features read earlier are not compared in a study at inspections")
    part = part.take(_draw_sample(len(part.bad), SAMPLE, study.model.seed))
    found: list[EqualVolume] = []
    for lag in (0, *LAGS):
        x = part.x
        if lag:
            x = build(cut_before(table, part.seller, day - lag), study, study.point_at(day - lag))
        ranked = rank_by_all(study, replace(part, x=x))
        if ranked is None:
            return Check(name, True, 0.0, "too few bad rows to compare features read earlier")
        found.append(ranked)
    fall = between(found[0].value - found[-1].value, found[0].influence - found[-1].influence)
    steps = [one.value - other.value for one, other in pairwise(found)]
    most = int(np.argmax(steps))
    read = ", ".join(f"{each.value:.3f} {lag} days earlier" for each, lag in zip(found[1:], LAGS, strict=True))
    text = f"all features together rank with AUC {found[0].value:.3f} as read, {read}"
    ok = not (fall.value > MAX_FALL and fall.low > PROVEN_FALL)
    if not ok:
        text += (
            f": a cliff of {fall.value:.3f}, most of it from {(0, *LAGS)[most]} to {LAGS[most]} days; look whether facts are"
            " dated before somebody knew them"
        )
    return Check(name, ok, round(fall.value, 6), text, MAX_FALL, signed=True)


def cut_before(table: LedgerTable, sellers: Ints, day: int) -> LedgerTable:
    """Return the table with only `sellers` (ascending codes, then numbered from 0) and entries that happened and were
    reported before a day.
    """
    columns = table.columns
    place = np.full(columns.cases, -1)
    place[sellers] = np.arange(len(sellers))
    happened = np.where(columns.kind == Kind.EXPOSURE, columns.day * DAY, columns.occur_time)
    kept = (place[columns.case] >= 0) & (happened < day * DAY) & (columns.report_time < day * DAY)
    columns = columns.take(kept)
    return replace(table, columns=columns.of_cases(place[columns.case], len(sellers)))


def _draw_sample(n: int, most: int, seed: int) -> Ints:
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))

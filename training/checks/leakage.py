"""Check for leaks into the rows from the future or from the outcome, each on at most SAMPLE rows."""

from collections.abc import Callable
from dataclasses import replace

import lightgbm
import numpy as np

from scoring.base.arrays import Floats, Ints
from scoring.base.enums import Kind
from scoring.base.time import DAY
from training.checks.check import Check
from training.checks.duplicates import duplicated_histories, identical_rows
from training.evaluation.ranking import auc
from training.fitting.folds import folds
from training.observation.export import LedgerTable
from training.observation.snapshots import Snapshot, features_of, join, known_at
from training.study.definition import Observation, Study

SAMPLE = 20_000
MAX_DAYS = 100
MAX_SINGLE_AUC = 0.9
DEVIATIONS = 4.0
"""Tolerated standard errors of shuffled labels from 0.5: one honest training in 16,000 exceeds them."""

_MODEL = {
    "objective": "binary",
    "learning_rate": 0.2,
    "num_leaves": 31,
    "min_data_in_leaf": 2,
    "max_bin": 63,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
_ROUNDS = 40


def leakage_checks(table: LedgerTable, study: Study, train: Snapshot, test: Snapshot) -> list[Check]:
    return [
        rebuilt(table, study, join([train, test])),
        shuffled_labels(train, folds(train.seller, 2, study.model.seed), study.model.seed),
        single_features(train, study),
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
        x = build(_cut_before(table, part.seller, day), study, study.point_at(day))
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


def _cut_before(table: LedgerTable, sellers: Ints, day: int) -> LedgerTable:
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


def shuffled_labels(rows: Snapshot, fold: Ints, seed: int) -> Check:
    """Check that a model of randomly reassigned labels does not rank other sellers by their labels.

    `fold`, 0 or 1 by row: the model learns one fold and ranks the other, and the reverse. It finds more than chance if
    rows of one seller are in both folds, or if a feature identifies a seller.
    """
    rows, fold, dealt = _deal_labels(rows, fold, seed)
    found, errors = [], []
    for held_out in (0, 1):
        inside = fold == held_out
        if not 0 < dealt[inside].sum() < inside.sum() or not 0 < dealt[~inside].sum() < (~inside).sum():
            return Check("shuffled_labels", True, 0.5, "too few bad or good sellers to shuffle", 0.5)
        score = _fit_booster(rows.x[~inside], dealt[~inside], seed).predict(rows.x[inside], raw_score=True)
        _, first, place = np.unique(rows.seller[inside], return_index=True, return_inverse=True)
        mean = np.bincount(place, weights=np.asarray(score)) / np.bincount(place)
        bad = dealt[inside][first]
        found.append(auc(mean, bad))
        errors.append((len(bad) + 1) / (12 * bad.sum() * (1 - bad).sum()))
    number, bound = float(np.mean(found)), DEVIATIONS * float(np.sqrt(np.sum(errors))) / 2
    return Check(
        "shuffled_labels",
        abs(number - 0.5) <= bound,
        number,
        f"with labels shuffled among sellers, held-out sellers are ranked with AUC {number:.3f}; chance is 0.5 give or take"
        f" {bound:.3f}",
        0.5 + bound,
    )


def _deal_labels(rows: Snapshot, fold: Ints, seed: int) -> tuple[Snapshot, Ints, Floats]:
    """Return rows, their folds, and one shuffled label for all rows of each seller; half of the sellers were ever bad."""
    rng = np.random.default_rng(seed)
    sellers, place = np.unique(rows.seller, return_inverse=True)
    was_bad = np.zeros(len(sellers), dtype=bool)
    was_bad[place[rows.bad > 0]] = True
    per_seller = max(len(rows.bad) / max(len(sellers), 1), 1)
    each = int(min(was_bad.sum(), (~was_bad).sum(), SAMPLE / per_seller / 2))
    chosen = np.concatenate([rng.choice(np.flatnonzero(group), each, replace=False) for group in (was_bad, ~was_bad)])
    label = np.full(len(sellers), -1.0)
    label[chosen] = rng.permutation(was_bad[chosen])
    dealt = label[place]
    return rows.take(dealt >= 0), fold[dealt >= 0], dealt[dealt >= 0]


def single_features(rows: Snapshot, study: Study) -> Check:
    """Check that no feature alone ranks bad from good with an AUC above MAX_SINGLE_AUC: it would restate the outcome."""
    rows = rows.take(_draw_sample(len(rows.bad), SAMPLE, study.model.seed))
    found = [auc(column, rows.bad) for column in rows.x.T]
    strength = np.nan_to_num([max(value, 1 - value) for value in found], nan=0.5)
    best = int(np.argmax(strength))
    number = float(strength[best])
    over = [study.features[place].key for place in np.flatnonzero(strength > MAX_SINGLE_AUC)]
    text = f"{study.features[best].key} alone ranks with AUC {number:.3f}, more than any other feature"
    if over:
        text += f"; {', '.join(over)}: look whether it knows the outcome, for example by a report_time too early"
    return Check("single_feature", not over, number, text, MAX_SINGLE_AUC)


def _fit_booster(x: Floats, y: Floats, seed: int) -> lightgbm.Booster:
    return lightgbm.train({**_MODEL, "seed": seed}, lightgbm.Dataset(x, y), _ROUNDS)


def _draw_sample(n: int, most: int, seed: int) -> Ints:
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))

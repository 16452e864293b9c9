"""Checks for leaks from the future or the outcome, each on at most SAMPLE rows."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import lightgbm
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr

from scoring.base.arrays import NEVER, Floats, Ints
from scoring.base.enums import Kind
from scoring.base.time import DAY
from scoring.features.facts import Facts
from training.checks.check import Check
from training.evaluation.equal_volume import MIN_BAD, MIN_PAIRS, EqualVolume, auc_at_equal_volume, estimate_by_jackknife
from training.evaluation.jeffreys import holm
from training.fitting.crossfit import cross_fit
from training.fitting.fit import Raw
from training.fitting.folds import mix_bits
from training.observation.badness import match_rules
from training.observation.chunks import take_sellers
from training.observation.export import LedgerTable
from training.observation.labels import final_facts
from training.observation.snapshots import Snapshot, features_of, join_snapshots, known_at
from training.study.definition import Observation, Study

SAMPLE = 20_000
MAX_AUC = 0.8
ALPHA = 0.025
"""Chance, after Holm, that an honest feature at MAX_AUC fails."""

_MODEL = {
    "objective": "binary",
    "learning_rate": 0.1,
    "num_leaves": 7,
    "min_data_in_leaf": 20,
    "lambda_l2": 5.0,
    "max_bin": 63,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
_ROUNDS = 40


def take_unrecorded(table: LedgerTable, study: Study, rows: Snapshot) -> Snapshot:
    """Return the rows of sellers about whom nothing bad was reported before the observation.

    A violation counts whatever became of it; a failed order if bad counts failed orders.
    """
    columns = table.columns
    told = columns.kind == Kind.VIOLATION
    if study.bad.count == "service_failures":
        told = told | ((columns.kind == Kind.EXPOSURE) & (columns.failures > 0))
    first = np.full(columns.cases, NEVER)
    np.minimum.at(first, columns.case[told], columns.report_time[told])
    return rows.take(first[rows.seller] >= rows.day * DAY)


def check_effects(study: Study, rows: Snapshot) -> list[Check]:
    """Check that features, alone and in a small model, rank unrecorded sellers with an AUC of at most 0.8.

    A proven excess fails, after Holm over the features; an unproven one asks for a signature, and so do too few rows.
    `rows`: from `take_unrecorded`. AUC is over the pairs that the study is judged by, in the better direction.
    """
    rows = rows.sample(SAMPLE, study.model.seed)
    bad = int(rows.bad.sum())
    ranked = [_turn_to_better(_rank(study, rows, column)) for column in rows.x.T]
    if bad < MIN_BAD or max(comparison.pairs for comparison in ranked) < MIN_PAIRS:
        text = f"not judged: {bad} bad training rows have no record before, and {MIN_BAD} in {MIN_PAIRS:,} pairs are needed"
        return [Check(name, False, bad, text, MIN_BAD, signed=True) for name in ("single_feature",)]
    strength = np.nan_to_num([comparison.value for comparison in ranked], nan=0.5)
    proven = holm(np.array([_p_value(comparison) for comparison in ranked])) < ALPHA
    best = int(np.argmax(strength))
    over = [study.features[place].key for place in np.flatnonzero(strength > MAX_AUC)]
    text = f"{study.features[best].key} alone ranks {bad} bad sellers without a record with AUC {strength[best]:.3f}"
    if over:
        text += f"; {', '.join(over)}: look whether it knows the outcome, for example by a report_time too early"
    checks = [Check("single_feature", not over, float(strength[best]), text, MAX_AUC, signed=not proven.any())]
    if (every := rank_by_all(study, rows)) is not None:
        every = _turn_to_better(every)
        text = f"all features together rank sellers without a record with AUC {every.value:.3f}"
        is_proven = _p_value(every) < ALPHA
        checks.append(Check("all_features", every.value <= MAX_AUC, every.value, text, MAX_AUC, signed=not is_proven))
    return checks


def rank_by_all(study: Study, rows: Snapshot) -> EqualVolume | None:
    """Return the AUC of a small model of all features, each seller scored by a model not fitted on it.

    None with too few bad rows.
    """
    if rows.bad.sum() < MIN_BAD:
        return None

    def fit(_: int, part: Snapshot) -> Raw:
        data = lightgbm.Dataset(part.x, part.bad)
        booster = lightgbm.train({**_MODEL, "seed": study.model.seed}, data, _ROUNDS)
        return lambda x: np.asarray(booster.predict(x, raw_score=True))

    raw = cross_fit(rows, rows, rows.x, study.model.seed, fit)
    return None if raw is None else _rank(study, rows, raw)


def _rank(study: Study, rows: Snapshot, score: Floats) -> EqualVolume:
    volume = rows.window_orders if study.at_equal_volume else np.ones(len(rows.bad))
    day = None if study.observation.events is not None else rows.day
    return auc_at_equal_volume(score, rows.bad, volume, rows.seller, rows.weight, day)


def _turn_to_better(ranked: EqualVolume) -> EqualVolume:
    return replace(ranked, value=1 - ranked.value, influence=-ranked.influence) if ranked.value < 0.5 else ranked


def _p_value(comparison: EqualVolume) -> float:
    error = float(np.sqrt((comparison.influence**2).sum()))
    return float(ndtr((MAX_AUC - comparison.value) / max(error, 1e-12)))


MIN_ENTRIES = 5
MAX_SHARE = 0.01


def check_duplicated_histories(table: LedgerTable, train: Ints, test: Ints) -> Check:
    """Check that at most 1 % of the tested sellers have the history of a training seller with another id.

    `train`, `test`: codes of sellers, in any order and number.
    """
    tested, trained = np.unique(test), np.unique(train)
    sellers = np.union1d(tested, trained)
    prints = fingerprints(replace(table, columns=take_sellers(table.columns, sellers)))
    number = Counter(prints[np.searchsorted(sellers, trained)].tolist())
    of_tested = prints[np.searchsorted(sellers, tested)]
    twins = np.array([number[each] for each in of_tested.tolist()], dtype=np.int64) - np.isin(tested, trained)
    has_twin = (of_tested != 0) & (twins > 0)
    share = float(has_twin.mean()) if len(tested) else 0.0
    examples = [table.sellers[code] for code in tested[has_twin][:3].tolist()]
    text = f"{int(has_twin.sum())} of {len(tested)} tested sellers have the history of a seller in training under another id"
    return Check(
        "duplicated_sellers",
        share <= MAX_SHARE,
        share,
        text + (f", such as {', '.join(examples)}" if examples else ""),
        MAX_SHARE,
    )


def fingerprints(table: LedgerTable) -> NDArray[np.uint64]:
    """Return a hash of each seller's whole history and identity, uint64 of shape (sellers,), in the table's order.

    0 for fewer than 5 exposures and violations.
    """
    columns = table.columns
    entries = columns.take(np.isin(columns.kind, (Kind.EXPOSURE, Kind.VIOLATION)))
    times = np.where(entries.kind == Kind.EXPOSURE, entries.day * DAY, entries.occur_time)
    code = np.zeros(len(entries.case), dtype=np.uint64)
    for part in (entries.kind, times, entries.category, entries.severity, entries.product, entries.orders):
        code = mix_bits(code ^ part.astype(np.uint64))
    hashes = np.zeros(columns.cases, dtype=np.uint64)
    np.add.at(hashes, entries.case, code)
    number = np.bincount(entries.case, minlength=columns.cases)
    hashes = mix_bits(mix_bits(hashes) ^ _hash_identities(table))
    return np.where(number >= MIN_ENTRIES, hashes, np.uint64(0))


def _hash_identities(table: LedgerTable) -> NDArray[np.uint64]:
    columns = table.columns
    rows = columns.take(columns.kind == Kind.IDENTITY)
    texts: dict[tuple[object, ...], int] = {}
    keys = [(table.country[row], *sorted(table.attributes.get(row, {}).items())) for row in rows.row.tolist()]
    code = np.array([texts.setdefault(key, len(texts)) for key in keys], dtype=np.uint64)
    hashes = np.zeros(columns.cases, dtype=np.uint64)
    np.add.at(hashes, rows.case, mix_bits(code))
    return hashes


SPAN_DAYS = 45
PLACEBOS = 6
LEAST_PLACEBOS = 3
LEAST_REPORTS = 40
"""Reports in the span before the last."""
MAX_THIN, MAX_EMPTY = 2 / 3, 1 / 4
"""Reports of the last span over what earlier spans let expect: below the first to sign, below the second a failure."""
DRAWS = 200


def check_early_reports(table: LedgerTable, study: Study, final: Facts | None = None) -> Check:
    """Check that reports, by kind and source, and bad ones keep their rate in the last 45 days of sales.

    The ratio of the last 45 days to the 45 before is compared with up to six earlier cuts. A loss that is proven, after
    Holm, asks for a signature below 2/3 of the expected reports, and fails below 1/4.
    """
    name, columns = "early_reports", table.columns
    sold = columns.day[(columns.kind == Kind.EXPOSURE) & (columns.orders > 0)]
    end = int(sold.max()) + 1 if len(sold) else table.end_day
    reports = np.isin(columns.kind, (Kind.VIOLATION, Kind.STATUS, Kind.INSPECTION)) & (columns.report_time < end * DAY)
    rows = np.flatnonzero(reports)
    first = int(columns.report_time[rows].min() // DAY) if len(rows) else end
    spans = min((end - first) // SPAN_DAYS, PLACEBOS + 2)
    if spans < LEAST_PLACEBOS + 2:
        return Check(name, True, 1.0, "too short a time of reports to compare its end with what came before")
    span = (end - 1 - columns.report_time[rows] // DAY) // SPAN_DAYS
    names = _name_groups(table, rows)
    groups = {name: names == name for name in np.unique(names).tolist()}
    groups["violations that make bad"] = np.isin(rows, _find_what_makes_bad(table, study, final or final_facts(table)))
    ratios: list[tuple[str, float, float]] = []
    for group, members in groups.items():
        inside = members & (span < spans)
        _, seller = np.unique(columns.case[rows[inside]], return_inverse=True)
        counts = np.zeros((seller.max(initial=-1) + 1, spans))
        np.add.at(counts, (seller, span[inside]), 1.0)
        if counts[:, 1].sum() >= LEAST_REPORTS:
            ratios.append((group, *_compare_end(counts)))
    if not ratios:
        return Check(name, True, 1.0, f"fewer than {LEAST_REPORTS} reports of any kind and source in {SPAN_DAYS} days")
    proven = holm(np.array([p for _, _, p in ratios])) < ALPHA
    thin = [(ratio, group) for (group, ratio, _), is_proven in zip(ratios, proven, strict=True) if is_proven]
    least, group = min(thin, default=(1.0, ""))
    if least >= MAX_THIN:
        return Check(name, True, round(least, 4), f"the last {SPAN_DAYS} days hold as many reports as before", MAX_THIN)
    text = (
        f"{group}: the last {SPAN_DAYS} days hold {least:.0%} of the reports that earlier days let expect; look whether"
        " reports are dated before somebody made them, or whether a file ends early"
    )
    return Check(name, False, round(least, 4), text, MAX_THIN, signed=least >= MAX_EMPTY)


def _find_what_makes_bad(table: LedgerTable, study: Study, final: Facts) -> Ints:
    violations = final.violations
    return violations.row[match_rules(violations, study.bad.rules, table)]


def _name_groups(table: LedgerTable, rows: Ints) -> NDArray[np.str_]:
    kinds = table.columns.kind[rows]
    names = np.array([Kind(kind).name.lower() for kind in kinds.tolist()], dtype=object)
    is_report = kinds != Kind.STATUS
    sources: pl.Series = table.read_stated(rows[is_report], "$.source").fill_null("")
    names[is_report] = [
        f"{name} {source}".strip() for name, source in zip(names[is_report], sources.to_list(), strict=True)
    ]
    return names.astype(str)


def _compare_end(counts: Floats) -> tuple[float, float]:
    """Return the last span's reports over the expected number, and the one-sided p-value of no loss.

    `counts`: of shape (sellers, spans), the last span first.
    """

    def lost(by_span: Floats) -> Floats:
        ratios = np.log(by_span[:, :-1] + 0.5) - np.log(by_span[:, 1:] + 0.5)
        return np.asarray(ratios[:, 0] - ratios[:, 1:].mean(axis=1))

    total = counts.sum(axis=0, keepdims=True)
    earlier = (np.log(total[:, :-1] + 0.5) - np.log(total[:, 1:] + 0.5))[0, 1:]
    copies = np.random.default_rng(1).poisson(1.0, (DRAWS, len(counts))).astype(np.float64)
    by_sellers = max(float(lost(copies @ counts).std()), 1e-9)
    by_cuts = max(float(earlier.std(ddof=1)) * np.sqrt(1 + 1 / len(earlier)), 1e-9)
    log_ratio = float(lost(total)[0])
    return float(np.exp(log_ratio)), max(
        float(ndtr(log_ratio / by_sellers)), float(stdtr(len(earlier) - 1, log_ratio / by_cuts))
    )


MAX_DAYS = 100
LAGS = (7, 30, 60)
"""Days before the point, where features are read again."""
MAX_FALL, PROVEN_FALL = 0.05, 0.02
"""AUC that may be lost by the longest lag, and its lower bound."""


def run_leakage_checks(
    table: LedgerTable, study: Study, train: Snapshot, test: Snapshot, final: Facts | None = None
) -> list[Check]:
    """Run all checks for leaks on rows with a known outcome, in the order of the report."""
    return [
        check_rebuilt_features(table, study, join_snapshots([train, test])),
        *check_effects(study, take_unrecorded(table, study, train)),
        check_early_reports(table, study, final),
        check_early_cliff(table, study, train),
        check_duplicated_histories(table, train.seller, test.seller),
    ]


Build = Callable[[LedgerTable, Study, Observation], Floats]


def compute_features_at(table: LedgerTable, study: Study, point: Observation) -> Floats:
    """Return every seller's model input at a point, shape (sellers, features).

    A context of the window reads what happened after the point.
    """
    everyone = np.arange(table.columns.cases, dtype=np.int64)
    return features_of(known_at(table, study, point), table, study, point, everyone)


def check_rebuilt_features(
    table: LedgerTable, study: Study, rows: Snapshot, build: Build = compute_features_at
) -> Check:
    """Check that sampled rows keep their features, bit by bit, if `build` reads no entries from the point on.

    `build` returns the features of all sellers of a table. Context of the window is left out. The number counts rows
    that differ.
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


def check_early_cliff(table: LedgerTable, study: Study, rows: Snapshot, build: Build = compute_features_at) -> Check:
    """Check that features read 60 days earlier lose at most 0.05 of AUC, by models of their own.

    A proven fall asks for a signature: facts may be dated early. It looks at the last day of `rows`, at sellers older
    than 60 days, and not at studies at inspections.
    """
    name, day = "cliff", int(rows.day.max())
    part = rows.take((rows.day == day) & (rows.tenure_days >= max(LAGS)))
    if study.observation.events is not None:
        return Check(name, True, 0.0, "features read earlier are not compared in a study at inspections")
    part = part.sample(SAMPLE, study.model.seed)
    aucs: list[EqualVolume] = []
    for lag in (0, *LAGS):
        x = part.x
        if lag:
            x = build(cut_before(table, part.seller, day - lag), study, study.point_at(day - lag))
        ranked = rank_by_all(study, replace(part, x=x))
        if ranked is None:
            return Check(name, True, 0.0, "too few bad rows to compare features read earlier")
        aucs.append(ranked)
    fall = estimate_by_jackknife(aucs[0].value - aucs[-1].value, aucs[0].influence - aucs[-1].influence)
    steps = [one.value - other.value for one, other in pairwise(aucs)]
    worst = int(np.argmax(steps))
    texts = ", ".join(f"{each.value:.3f} {lag} days earlier" for each, lag in zip(aucs[1:], LAGS, strict=True))
    text = f"all features together rank with AUC {aucs[0].value:.3f} as read, {texts}"
    ok = not (fall.value > MAX_FALL and fall.low > PROVEN_FALL)
    if not ok:
        text += (
            f": a cliff of {fall.value:.3f}, most of it from {(0, *LAGS)[worst]} to {LAGS[worst]} days; look whether facts"
            " are dated before somebody knew them"
        )
    return Check(name, ok, round(fall.value, 6), text, MAX_FALL, signed=True)


def cut_before(table: LedgerTable, sellers: Ints, day: int) -> LedgerTable:
    """Return the table of `sellers` (ascending codes, then numbered from 0) as it was when `day` began.

    It keeps entries that happened and were reported before. `digest` still names the whole ledger.
    """
    columns = take_sellers(table.columns, sellers)
    happened = np.where(columns.kind == Kind.EXPOSURE, columns.day * DAY, columns.occur_time)
    return replace(
        table,
        columns=columns.take((happened < day * DAY) & (columns.report_time < day * DAY)),
        sellers=[table.sellers[code] for code in sellers.tolist()],
        end_day=min(day, table.end_day),
    )

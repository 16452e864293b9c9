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
from training.fitting.fit import RawScorer
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

_SMALL_MODEL = {
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
_SMALL_MODEL_ROUNDS = 40


def take_unrecorded(table: LedgerTable, study: Study, rows: Snapshot) -> Snapshot:
    """Return the rows of sellers about whom nothing bad was reported before the observation.

    A violation counts whatever became of it; a failed order only if bad counts these.
    """
    columns = table.columns
    is_record = columns.kind == Kind.VIOLATION
    if study.bad.count == "service_failures":
        is_record = is_record | ((columns.kind == Kind.EXPOSURE) & (columns.failures > 0))
    first_record = np.full(columns.cases, NEVER)
    np.minimum.at(first_record, columns.case[is_record], columns.report_time[is_record])
    return rows.take(first_record[rows.seller] >= rows.day * DAY)


def check_effects(study: Study, rows: Snapshot) -> list[Check]:
    """Check that features, alone and together, rank unrecorded sellers with an AUC of at most 0.8.

    A proven excess fails, after Holm over the features; an unproven one, or too few rows, asks for a signature. AUC is
    over the pairs that the study is judged by, in the better direction.
    """
    rows = rows.sample(SAMPLE, study.model.seed)
    bad = int(rows.bad.sum())
    auc_by_feature = [_turn_to_better_direction(_measure_auc(study, rows, column)) for column in rows.x.T]
    if bad < MIN_BAD or max(comparison.pairs for comparison in auc_by_feature) < MIN_PAIRS:
        text = f"not judged: {bad} bad training rows have no record before, and {MIN_BAD} in {MIN_PAIRS:,} pairs are needed"
        return [Check("single_feature", False, bad, text, MIN_BAD, signed=True)]
    strength = np.nan_to_num([comparison.value for comparison in auc_by_feature], nan=0.5)
    proven = holm(np.array([_compute_p_value_over_max_auc(comparison) for comparison in auc_by_feature])) < ALPHA
    strongest = int(np.argmax(strength))
    too_strong = [study.features[place].key for place in np.flatnonzero(strength > MAX_AUC)]
    name, auc = study.features[strongest].key, strength[strongest]
    text = f"{name} alone ranks {bad} bad sellers without a record with AUC {auc:.3f}"
    if too_strong:
        text += f"; {', '.join(too_strong)}: look whether it knows the outcome, for example by a report_time too early"
    checks = [
        Check("single_feature", not too_strong, float(strength[strongest]), text, MAX_AUC, signed=not proven.any())
    ]
    if (together := rank_by_all(study, rows)) is not None:
        together = _turn_to_better_direction(together)
        text = f"all features together rank sellers without a record with AUC {together.value:.3f}"
        is_proven = _compute_p_value_over_max_auc(together) < ALPHA
        checks.append(
            Check("all_features", together.value <= MAX_AUC, together.value, text, MAX_AUC, signed=not is_proven)
        )
    return checks


def rank_by_all(study: Study, rows: Snapshot) -> EqualVolume | None:
    """Return the AUC of a small model of all features, cross-fitted by seller; None with too few bad rows."""
    if rows.bad.sum() < MIN_BAD:
        return None

    def fit(_: int, part: Snapshot) -> RawScorer:
        data = lightgbm.Dataset(part.x, part.bad)
        booster = lightgbm.train({**_SMALL_MODEL, "seed": study.model.seed}, data, _SMALL_MODEL_ROUNDS)
        return lambda x: np.asarray(booster.predict(x, raw_score=True))

    raw = cross_fit(rows, rows, rows.x, study.model.seed, fit)
    return None if raw is None else _measure_auc(study, rows, raw)


def _measure_auc(study: Study, rows: Snapshot, score: Floats) -> EqualVolume:
    volume = rows.window_orders if study.at_equal_volume else np.ones(len(rows.bad))
    day = None if study.observation.events is not None else rows.day
    return auc_at_equal_volume(score, rows.bad, volume, rows.seller, rows.weight, day)


def _turn_to_better_direction(comparison: EqualVolume) -> EqualVolume:
    return (
        replace(comparison, value=1 - comparison.value, influence=-comparison.influence)
        if comparison.value < 0.5
        else comparison
    )


def _compute_p_value_over_max_auc(comparison: EqualVolume) -> float:
    """Return the chance of such an AUC if the true one is MAX_AUC."""
    error = float(np.sqrt((comparison.influence**2).sum()))
    return float(ndtr((MAX_AUC - comparison.value) / max(error, 1e-12)))


MIN_ENTRIES = 5
MAX_SHARE = 0.01


def check_duplicated_histories(table: LedgerTable, train: Ints, test: Ints) -> Check:
    """Check that at most 1 % of the tested sellers have the history of a training seller with another id."""
    tested, trained = np.unique(test), np.unique(train)
    sellers = np.union1d(tested, trained)
    history_of_seller = hash_histories(replace(table, columns=take_sellers(table.columns, sellers)))
    trained_with_history = Counter(history_of_seller[np.searchsorted(sellers, trained)].tolist())
    history_of_tested = history_of_seller[np.searchsorted(sellers, tested)]
    twins = np.array(
        [trained_with_history[history] for history in history_of_tested.tolist()], dtype=np.int64
    ) - np.isin(tested, trained)
    has_twin = (history_of_tested != 0) & (twins > 0)
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


def hash_histories(table: LedgerTable) -> NDArray[np.uint64]:
    """Return a hash of each seller's whole history and identity, uint64 of shape (sellers,), in the table's order.

    0 for fewer than 5 exposures and violations.
    """
    columns = table.columns
    entries = columns.take(np.isin(columns.kind, (Kind.EXPOSURE, Kind.VIOLATION)))
    times = np.where(entries.kind == Kind.EXPOSURE, entries.day * DAY, entries.occur_time)
    entry_hash = np.zeros(len(entries.case), dtype=np.uint64)
    for field in (entries.kind, times, entries.category, entries.severity, entries.product, entries.orders):
        entry_hash = mix_bits(entry_hash ^ field.astype(np.uint64))
    history_hash = np.zeros(columns.cases, dtype=np.uint64)
    np.add.at(history_hash, entries.case, entry_hash)
    entries_of_seller = np.bincount(entries.case, minlength=columns.cases)
    history_hash = mix_bits(mix_bits(history_hash) ^ _hash_identities(table))
    return np.where(entries_of_seller >= MIN_ENTRIES, history_hash, np.uint64(0))


def _hash_identities(table: LedgerTable) -> NDArray[np.uint64]:
    """Return a hash of the country and attributes of each seller."""
    columns = table.columns
    rows = columns.take(columns.kind == Kind.IDENTITY)
    code_by_identity: dict[tuple[object, ...], int] = {}
    identities = [(table.country[row], *sorted(table.attributes.get(row, {}).items())) for row in rows.row.tolist()]
    identity_codes = np.array(
        [code_by_identity.setdefault(identity, len(code_by_identity)) for identity in identities], dtype=np.uint64
    )
    hashes = np.zeros(columns.cases, dtype=np.uint64)
    np.add.at(hashes, rows.case, mix_bits(identity_codes))
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

    The ratio to the 45 days before is compared with up to six earlier ones. A proven loss, after Holm, asks for a
    signature below 2/3 of the expected reports, and fails below 1/4.
    """
    name, columns = "early_reports", table.columns
    sold = columns.day[(columns.kind == Kind.EXPOSURE) & (columns.orders > 0)]
    end = int(sold.max()) + 1 if len(sold) else table.end_day
    reports = np.isin(columns.kind, (Kind.VIOLATION, Kind.STATUS, Kind.INSPECTION)) & (columns.report_time < end * DAY)
    rows = np.flatnonzero(reports)
    first = int(columns.report_time[rows].min() // DAY) if len(rows) else end
    span_count = min((end - first) // SPAN_DAYS, PLACEBOS + 2)
    if span_count < LEAST_PLACEBOS + 2:
        return Check(name, True, 1.0, "too short a time of reports to compare its end with what came before")
    span_of_row = (end - 1 - columns.report_time[rows] // DAY) // SPAN_DAYS
    names = _name_kinds_and_sources(table, rows)
    groups = {name: names == name for name in np.unique(names).tolist()}
    violations = (final or final_facts(table)).violations
    bad_rows = violations.row[match_rules(violations, study.bad.rules, table)]
    groups["violations that make bad"] = np.isin(rows, bad_rows)
    ratios: list[tuple[str, float, float]] = []
    for group, members in groups.items():
        is_counted = members & (span_of_row < span_count)
        _, seller = np.unique(columns.case[rows[is_counted]], return_inverse=True)
        counts = np.zeros((seller.max(initial=-1) + 1, span_count))
        np.add.at(counts, (seller, span_of_row[is_counted]), 1.0)
        if counts[:, 1].sum() >= LEAST_REPORTS:
            ratios.append((group, *_compare_last_span(counts)))
    if not ratios:
        return Check(name, True, 1.0, f"fewer than {LEAST_REPORTS} reports of any kind and source in {SPAN_DAYS} days")
    proven = holm(np.array([p for _, _, p in ratios])) < ALPHA
    losses = [(ratio, group) for (group, ratio, _), is_proven in zip(ratios, proven, strict=True) if is_proven]
    lowest_ratio, group = min(losses, default=(1.0, ""))
    if lowest_ratio >= MAX_THIN:
        return Check(
            name, True, round(lowest_ratio, 4), f"the last {SPAN_DAYS} days hold as many reports as before", MAX_THIN
        )
    text = (
        f"{group}: the last {SPAN_DAYS} days hold {lowest_ratio:.0%} of the reports that earlier days let expect; look"
        " whether reports are dated before somebody made them, or whether a file ends early"
    )
    return Check(name, False, round(lowest_ratio, 4), text, MAX_THIN, signed=lowest_ratio >= MAX_EMPTY)


def _name_kinds_and_sources(table: LedgerTable, rows: Ints) -> NDArray[np.str_]:
    """Return a text of each row: the kind, and unless a status change the source."""
    kinds = table.columns.kind[rows]
    names = np.array([Kind(kind).word for kind in kinds.tolist()], dtype=object)
    is_report = kinds != Kind.STATUS
    sources: pl.Series = table.read_stated(rows[is_report], "$.source").fill_null("")
    names[is_report] = [
        f"{name} {source}".strip() for name, source in zip(names[is_report], sources.to_list(), strict=True)
    ]
    return names.astype(str)


def _compare_last_span(counts: Floats) -> tuple[float, float]:
    """Return the last span's reports over the expected number, and the one-sided p-value of no loss.

    `counts`: of shape (sellers, spans), the last span first.
    """

    def log_ratio_to_earlier(by_span: Floats) -> Floats:
        log_ratios = np.log(by_span[:, :-1] + 0.5) - np.log(by_span[:, 1:] + 0.5)
        return np.asarray(log_ratios[:, 0] - log_ratios[:, 1:].mean(axis=1))

    total_by_span = counts.sum(axis=0, keepdims=True)
    earlier_log_ratios = (np.log(total_by_span[:, :-1] + 0.5) - np.log(total_by_span[:, 1:] + 0.5))[0, 1:]
    resampled_sellers = np.random.default_rng(1).poisson(1.0, (DRAWS, len(counts))).astype(np.float64)
    error_by_sellers = max(float(log_ratio_to_earlier(resampled_sellers @ counts).std()), 1e-9)
    error_by_spans = max(float(earlier_log_ratios.std(ddof=1)) * np.sqrt(1 + 1 / len(earlier_log_ratios)), 1e-9)
    log_ratio = float(log_ratio_to_earlier(total_by_span)[0])
    p_by_sellers = float(ndtr(log_ratio / error_by_sellers))
    p_by_spans = float(stdtr(len(earlier_log_ratios) - 1, log_ratio / error_by_spans))
    return float(np.exp(log_ratio)), max(p_by_sellers, p_by_spans)


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
    """Return every seller's model input at a point, shape (sellers, features)."""
    everyone = np.arange(table.columns.cases, dtype=np.int64)
    return features_of(known_at(table, study, point), table, study, point, everyone)


def check_rebuilt_features(
    table: LedgerTable, study: Study, rows: Snapshot, build: Build = compute_features_at
) -> Check:
    """Check that sampled rows keep their features, bit by bit, if `build` reads no entries from the point on.

    Context of the window is left out. The number counts rows that differ.
    """
    window_features = {feature for source in study.context if not source.looks_back for feature in source.features}
    compared = [place for place, feature in enumerate(study.features) if feature not in window_features]
    rng = np.random.default_rng(study.model.seed)
    days = np.unique(rows.day)
    days = np.sort(rng.choice(days, min(MAX_DAYS, len(days)), replace=False))
    differing, checked, differing_features = 0, 0, []
    for day in days.tolist():
        of_day = np.flatnonzero(rows.day == day)
        sampled = rows.take(np.sort(rng.choice(of_day, min(SAMPLE // len(days), len(of_day)), replace=False)))
        x = build(cut_before(table, sampled.seller, day), study, study.point_at(day))
        observed, rebuilt = (np.ascontiguousarray(values[:, compared]).view(np.int64) for values in (sampled.x, x))
        differs = (observed != rebuilt).any(axis=0)
        differing += int((observed != rebuilt).any(axis=1).sum())
        checked += len(sampled.bad)
        differing_features += [study.features[compared[place]].key for place in np.flatnonzero(differs)]
    names = ", ".join(sorted(set(differing_features))[:3])
    sentence = (
        f"{differing} of {checked} sampled rows have other features when everything after the observation is deleted"
    )
    return Check("future_deleted", differing == 0, differing, sentence + (f": {names}" if names else ""), 0)


def check_early_cliff(table: LedgerTable, study: Study, rows: Snapshot, build: Build = compute_features_at) -> Check:
    """Check that features read 60 days earlier lose at most 0.05 of AUC, by models of their own.

    A proven fall asks for a signature: facts may be dated early. It reads the last day of `rows`, sellers older than 60
    days, and no study at inspections.
    """
    name, day = "cliff", int(rows.day.max())
    tested = rows.take((rows.day == day) & (rows.tenure_days >= max(LAGS)))
    if study.observation.events is not None:
        return Check(name, True, 0.0, "features read earlier are not compared in a study at inspections")
    tested = tested.sample(SAMPLE, study.model.seed)
    aucs: list[EqualVolume] = []
    for lag in (0, *LAGS):
        x = tested.x
        if lag:
            x = build(cut_before(table, tested.seller, day - lag), study, study.point_at(day - lag))
        auc = rank_by_all(study, replace(tested, x=x))
        if auc is None:
            return Check(name, True, 0.0, "too few bad rows to compare features read earlier")
        aucs.append(auc)
    fall = estimate_by_jackknife(aucs[0].value - aucs[-1].value, aucs[0].influence - aucs[-1].influence)
    falls = [nearer.value - farther.value for nearer, farther in pairwise(aucs)]
    steepest = int(np.argmax(falls))
    aucs_by_lag = ", ".join(
        f"{later_auc.value:.3f} {lag} days earlier" for later_auc, lag in zip(aucs[1:], LAGS, strict=True)
    )
    text = f"all features together rank with AUC {aucs[0].value:.3f} as read, {aucs_by_lag}"
    ok = not (fall.value > MAX_FALL and fall.low > PROVEN_FALL)
    if not ok:
        text += (
            f": a cliff of {fall.value:.3f}, most of it from {(0, *LAGS)[steepest]} to {LAGS[steepest]} days; look whether"
            " facts are dated before somebody knew them"
        )
    return Check(name, ok, round(fall.value, 6), text, MAX_FALL, signed=True)


def cut_before(table: LedgerTable, sellers: Ints, day: int) -> LedgerTable:
    """Return the table of `sellers` (ascending codes, then numbered from 0) as it was when `day` began.

    `digest` still names the whole ledger.
    """
    columns = take_sellers(table.columns, sellers)
    happened = np.where(columns.kind == Kind.EXPOSURE, columns.day * DAY, columns.occur_time)
    return replace(
        table,
        columns=columns.take((happened < day * DAY) & (columns.report_time < day * DAY)),
        sellers=[table.sellers[code] for code in sellers.tolist()],
        end_day=min(day, table.end_day),
    )

from collections.abc import Sequence

import numpy as np

from scoring.base.arrays import Floats, first_of_runs, last_of_runs
from scoring.base.enums import Category, Kind
from scoring.base.time import DAY
from scoring.entries.lifecycle import OPEN_STATUSES
from scoring.features.facts import Facts
from training.checks.check import Check
from training.evaluation.equal_volume import auc_at_equal_volume
from training.evaluation.jeffreys import jeffreys_interval
from training.fitting.folds import mix_bits
from training.observation.export import LedgerTable
from training.observation.labels import final_facts
from training.observation.snapshots import Exclusions, Snapshot
from training.study.definition import Study

RANKS_MUCH, RANKS_SOME = 0.75, 0.55
"""Lower bounds of an AUC."""


def check_volume(study: Study, rows: Snapshot) -> Check:
    """Note the AUC of orders in the window within a day, over training rows: 0.5 without a pair; it always holds."""
    ones = np.ones(len(rows.bad))
    auc = auc_at_equal_volume(rows.window_orders, rows.bad, ones, rows.seller, rows.weight, rows.day).interval()
    value = round(float(np.nan_to_num(auc.value, nan=0.5)), 6)
    text = f"orders in the window alone rank with an AUC of {auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f})"
    is_count = not study.is_rate and study.exposure.reference_orders is None and study.bad.volume == "chance"
    if study.at_equal_volume and auc.low > RANKS_MUCH:
        text += ': models are judged at equal volume; if orders follow from badness, state bad.volume = "answer"'
    elif is_count and auc.low > RANKS_SOME:
        text += (
            ": bad is a count that rises with them; state bad.share, or [exposure], so that selling more is not worse"
        )
    return Check("volume", True, value, text, RANKS_MUCH)


MAX_MISDATED = 0.001
MAX_UNSOLD = 0.2
MAX_UNDECIDED = 0.1
UNDECIDED_DAYS = 365
LEAST_SOLD = 10
"""Statements of exposure in each month beside a gap."""
MAX_EXCLUDED = 0.2
MAX_UNSEEN = 0.1


def run_data_checks(
    table: LedgerTable,
    study: Study,
    observed: Sequence[Snapshot],
    exclusions: Sequence[Exclusions],
    final: Facts | None = None,
) -> list[Check]:
    """Run all checks of a ledger and its rows, in the order of the report. Notes always hold.

    `observed`, `exclusions`: of each observation point, the rows with a known outcome and the numbers left out.
    """
    final = final or final_facts(table)
    return [
        check_report_before_occur(table),
        check_exposure_gaps(table),
        check_violations_without_exposure(final),
        check_repeated_incidents(table, final),
        check_never_decided(table),
        check_constant_features(study, observed),
        check_left_out(observed, exclusions),
        check_bad_left_out(observed, exclusions),
    ]


def _proves_share_above(part: float, total: float, limit: float) -> bool:
    """Tell whether the 95 % interval of a share lies above the limit."""
    return total > 0 and jeffreys_interval(part, total)[0] > limit


def check_report_before_occur(table: LedgerTable) -> Check:
    """Check that at most 1 in 1,000 entries was reported before it happened (an exposure: before its day)."""
    columns = table.columns
    happened = np.where(columns.kind == Kind.EXPOSURE, columns.day * DAY, columns.occur_time)
    misdated = int((columns.report_time < happened).sum())
    ok = misdated <= MAX_MISDATED * len(happened)
    return Check("report_before_occur", ok, misdated, f"{misdated} entries were reported before they happened")


def check_exposure_gaps(table: LedgerTable) -> Check:
    """Check that every month between busy ones (10 statements) has exposure: a gap suggests a missing file."""
    sales_rows = table.columns.take((table.columns.kind == Kind.EXPOSURE) & (table.columns.orders > 0))
    if not len(sales_rows.day):
        return Check("exposure_gaps", False, 0, "the ledger has no exposure: rates per order cannot be told")
    months = sales_rows.day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    statements = np.bincount(months - months.min())
    is_busy_or_empty = (statements == 0) | (statements >= LEAST_SOLD)
    missing = months.min() + 1 + np.flatnonzero((statements[1:-1] == 0) & is_busy_or_empty[:-2] & is_busy_or_empty[2:])
    names = ", ".join(str(month) for month in missing[:3].astype("datetime64[M]"))
    sentence = f"{len(missing)} of {len(statements)} months have no exposure" + (f": {names}" if names else "")
    return Check("exposure_gaps", not len(missing), len(missing), sentence)


def check_violations_without_exposure(final: Facts) -> Check:
    """Fail if more than 20 %, beyond chance, of the sellers with counted violations never settled an order.

    Then two files may name the same sellers differently.
    """
    guilty = np.unique(final.violations.case)
    sold = np.unique(final.exposure_case[final.exposure_orders > 0])
    unsold = int((~np.isin(guilty, sold)).sum())
    share = unsold / max(len(guilty), 1)
    return Check(
        "violations_without_exposure",
        not _proves_share_above(unsold, len(guilty), MAX_UNSOLD),
        share,
        f"{share:.1%} of the {len(guilty)} sellers with a violation that counts never settled an order",
    )


def check_repeated_incidents(table: LedgerTable, final: Facts) -> Check:
    """Note the share of incidents with counted violations that share seller, time, category and harm with another."""
    violations = final.violations
    times = np.zeros(len(table.harm), dtype=np.int64)
    times[table.columns.row] = table.columns.occur_time
    event_hash = np.zeros(len(violations.case), dtype=np.uint64)
    for field in (violations.case, times[violations.row], violations.category, table.harm[violations.row]):
        event_hash = mix_bits(event_hash ^ field.astype(np.uint64))
    _, first_of_incident = np.unique(mix_bits(event_hash ^ violations.incident.astype(np.uint64)), return_index=True)
    _, event_of_incident, incidents_of_event = np.unique(
        event_hash[first_of_incident], return_inverse=True, return_counts=True
    )
    share = float((incidents_of_event[event_of_incident] > 1).mean()) if len(event_of_incident) else 0.0
    return Check(
        "repeated_incidents",
        True,
        share,
        f"{share:.1%} of the {len(event_of_incident)} incidents share seller, time, category and harm with another:"
        " reports of one event should give one incident, unless each is meant to count",
    )


def check_never_decided(table: LedgerTable) -> Check:
    """Check that at most 10 % of the violations reported over 365 days ago are still open."""
    columns = table.columns.take(
        np.isin(table.columns.kind, (Kind.VIOLATION, Kind.STATUS)) & (table.columns.status > 0)
    )
    columns = columns.take(np.lexsort((columns.sequence, columns.violation)))
    status = columns.status[last_of_runs(columns.violation)]
    is_overdue = columns.report_time[first_of_runs(columns.violation)] < (table.end_day - UNDECIDED_DAYS) * DAY
    undecided, overdue = int(np.isin(status[is_overdue], list(OPEN_STATUSES)).sum()), int(is_overdue.sum())
    share = undecided / max(overdue, 1)
    return Check(
        "never_decided",
        not _proves_share_above(undecided, overdue, MAX_UNDECIDED),
        share,
        f"{share:.1%} of the {overdue} violations reported more than {UNDECIDED_DAYS} days ago are still open",
    )


_MASSES_OF_CATEGORIES = tuple(f"{category.word}_mass_" for category in Category)
"""Beginnings of the features' keys."""


def check_constant_features(study: Study, observed: Sequence[Snapshot]) -> Check:
    """Note the features that have one value in all rows, without masses of unreported categories."""
    low, high = _find_feature_ranges(study, observed)
    is_unused = np.array([f.key.startswith(_MASSES_OF_CATEGORIES) for f in study.features]) & (high == 0)
    constant = np.flatnonzero((low == high) & ~is_unused)
    used = int((~is_unused).sum())
    names = ", ".join(study.features[place].key for place in constant[:3])
    sentence = f"{len(constant)} of {used} features are the same for every row" + (
        f", such as {names}" if names else ""
    )
    if used < len(study.features):
        sentence += f" (not counted: {len(study.features) - used} of categories in which nobody is reported)"
    return Check("constant_features", True, len(constant), sentence)


def _find_feature_ranges(study: Study, observed: Sequence[Snapshot]) -> tuple[Floats, Floats]:
    """Return the lowest and the highest value of each feature over all rows."""
    inputs = [snapshot.x for snapshot in observed if len(snapshot.x)] or [np.zeros((1, len(study.features)))]
    low, high = np.min([x.min(axis=0) for x in inputs], axis=0), np.max([x.max(axis=0) for x in inputs], axis=0)
    return low, high


def check_bad_left_out(observed: Sequence[Snapshot], exclusions: Sequence[Exclusions]) -> Check:
    """Check that at most 10 % of the bad sellers are left out for lack of settled orders in the window."""
    lost = sum(part.get("bad_without_orders_in_window", 0) for part in exclusions)
    few = sum(part.get("bad_with_too_few_orders", 0) for part in exclusions)
    bad = lost + few + sum(int(part.bad.sum()) for part in observed)
    share = lost / max(bad, 1)
    text = f"{lost} of {bad} bad sellers ({share:.1%}) are left out since they sold nothing in the window"
    if few:
        text += f"; {few} more sold less than the study asks for"
    is_much = _proves_share_above(lost, bad, MAX_UNSEEN)
    if is_much:
        text += (
            ": the model never learns of them, and is judged without them; a shorter window, or a count without [exposure]"
            " and share, keeps them"
        )
    return Check("bad_left_out", not is_much, share, text)


def check_left_out(observed: Sequence[Snapshot], exclusions: Sequence[Exclusions]) -> Check:
    """Fail if more than 20 %, beyond chance, of the eligible rows are indeterminate or left."""
    number_by_reason = {
        why: sum(part.get(why, 0) for part in exclusions) for why in sorted({why for p in exclusions for why in p})
    }
    unknown = number_by_reason.get("indeterminate", 0) + number_by_reason.get("left", 0)
    known_rows = sum(len(part.bad) for part in observed)
    share = unknown / max(known_rows + unknown, 1)
    reasons = ", ".join(f"{number} {why.replace('_', ' ')}" for why, number in number_by_reason.items()) or "nothing"
    return Check(
        "left_out",
        not _proves_share_above(unknown, known_rows + unknown, MAX_EXCLUDED),
        share,
        f"{known_rows} rows remain; left out: {reasons}; {share:.1%} of the eligible ones have no known outcome",
    )

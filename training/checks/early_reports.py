"""Find facts that were reported early: the end of the file is then thinner in reports than what came before.

If every report were dated 60 days early, none would be dated in the last 60 days. If only a third were, the loss can
hide in chance.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr

from scoring.base.arrays import Floats, Ints
from scoring.base.enums import Kind
from scoring.base.time import DAY
from training.checks.check import Check
from training.evaluation.jeffreys import holm
from training.observation.badness import matches
from training.observation.export import LedgerTable
from training.observation.labels import final_facts
from training.study.definition import Study

SPAN_DAYS = 45
PLACEBOS = 6
LEAST_PLACEBOS = 3
LEAST_REPORTS = 40
"""Reports in the span before the last."""
MAX_THIN, MAX_EMPTY = 2 / 3, 1 / 4
"""Reports of the last span over what earlier spans let expect: below the first to sign, below the second a failure."""
ALPHA = 0.025
DRAWS = 200


def early_reports(table: LedgerTable, study: Study) -> Check:
    """Check that no kind and source of reports, and not what makes bad, thins out in the last 45 days of sales.

    The ratio of the last 45 days to the 45 before is compared with up to six earlier cuts, by sellers resampled and by
    the spread of the cuts; Holm over them all.
    """
    name, columns = "early_reports", table.columns
    sold = columns.day[(columns.kind == Kind.EXPOSURE) & (columns.orders > 0)]
    end = int(sold.max()) + 1 if len(sold) else table.as_of
    reports = np.isin(columns.kind, (Kind.VIOLATION, Kind.STATUS, Kind.INSPECTION)) & (columns.report_time < end * DAY)
    rows = np.flatnonzero(reports)
    first = int(columns.report_time[rows].min() // DAY) if len(rows) else end
    spans = min((end - first) // SPAN_DAYS, PLACEBOS + 2)
    if spans < LEAST_PLACEBOS + 2:
        return Check(name, True, 1.0, "too short a time of reports to compare its end with what came before")
    back = (end - 1 - columns.report_time[rows] // DAY) // SPAN_DAYS
    names = _name_groups(table, rows)
    groups = {name: names == name for name in np.unique(names).tolist()}
    groups["violations that make bad"] = np.isin(rows, _find_what_makes_bad(table, study))
    found: list[tuple[str, float, float]] = []
    for group, members in groups.items():
        inside = members & (back < spans)
        _, seller = np.unique(columns.case[rows[inside]], return_inverse=True)
        counts = np.zeros((seller.max(initial=-1) + 1, spans))
        np.add.at(counts, (seller, back[inside]), 1.0)
        if counts[:, 1].sum() >= LEAST_REPORTS:
            found.append((group, *_compare_end(counts)))
    if not found:
        return Check(name, True, 1.0, f"fewer than {LEAST_REPORTS} reports of any kind and source in {SPAN_DAYS} days")
    proven = holm(np.array([p for _, _, p in found])) < ALPHA
    thin = [(ratio, group) for (group, ratio, _), is_proven in zip(found, proven, strict=True) if is_proven]
    least, group = min(thin, default=(1.0, ""))
    if least >= MAX_THIN:
        return Check(name, True, round(least, 4), f"the last {SPAN_DAYS} days hold as many reports as before", MAX_THIN)
    text = (
        f"{group}: the last {SPAN_DAYS} days hold {least:.0%} of the reports that earlier days let expect; look whether"
        " reports are dated before somebody made them, or whether a file ends early"
    )
    return Check(name, False, round(least, 4), text, MAX_THIN, signed=least >= MAX_EMPTY)


def _find_what_makes_bad(table: LedgerTable, study: Study) -> Ints:
    violations = final_facts(table).violations
    return violations.row[matches(violations, study.bad.rules, table)]


def _name_groups(table: LedgerTable, rows: Ints) -> NDArray[np.str_]:
    kinds = table.columns.kind[rows]
    names = np.array([Kind(kind).name.lower() for kind in kinds.tolist()], dtype=object)
    stated = kinds != Kind.STATUS
    sources: pl.Series = table.read_stated(rows[stated], "$.source").fill_null("")
    names[stated] = [f"{name} {source}".strip() for name, source in zip(names[stated], sources.to_list(), strict=True)]
    return names.astype(str)


def _compare_end(counts: Floats) -> tuple[float, float]:
    """Return the last span's reports over those expected, and the one-sided p-value of no loss.

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
    found = float(lost(total)[0])
    return float(np.exp(found)), max(float(ndtr(found / by_sellers)), float(stdtr(len(earlier) - 1, found / by_cuts)))

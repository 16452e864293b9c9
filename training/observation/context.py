"""Context: how outcomes were detected and which measures were in force, for training only.

Serving scores with every context at its reference (`at_reference`).
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from scoring.base.arrays import Floats, Ints, last_of_runs
from scoring.base.enums import NOTICE_STATES, Kind, MeasureState, Source
from scoring.base.time import DAY
from scoring.entries.kinds.decisions import RULE_MEASURE_PREFIX
from scoring.features.columns import EntryColumns
from scoring.features.corrections import apply_corrections
from training.observation.export import LedgerTable
from training.study.context import DETECTIONS, MEASURES, ContextSource
from training.study.definition import Observation, Study

MONTH_DAYS = 30


def fill_context(x: Floats, table: LedgerTable, study: Study, point: Observation, cases: Ints) -> None:
    """Write each context feature into the model's input `x`, shape (n, features); the reference if unknown.

    Features that look back ignore later corrections; features of the window use all knowledge.
    """
    if not study.context:
        return
    column_by_key = {feature.key: column for column, feature in enumerate(study.features)}
    columns = table.columns
    entries_by_all_knowledge = apply_corrections(columns)
    entries_as_reported = apply_corrections(columns, columns.report_time < point.day * DAY)
    for source in study.context:
        entries = entries_as_reported if source.looks_back else entries_by_all_knowledge
        if source.one_of is None:
            (feature,) = source.features
            values = _read_numbers(table, entries, source, point)[cases]
            x[:, column_by_key[feature.key]] = np.where(np.isfinite(values), values, feature.reference)
            continue
        texts = _read_inspections(table, entries, source.source, point)[cases]
        is_known = np.array([text is not None for text in texts])
        for feature in source.features:
            x[:, column_by_key[feature.key]] = np.where(is_known, texts == feature.equals, feature.reference)


def _read_numbers(table: LedgerTable, entries: EntryColumns, source: ContextSource, point: Observation) -> Floats:
    """Return the value of a numeric source by case; NaN if unknown."""
    if source.source == DETECTIONS:
        return _count_detections(table, entries, source, point) / (source.days / MONTH_DAYS)
    if source.source == MEASURES:
        return _count_measures(table, entries, source, point)
    texts = pl.Series(_read_inspections(table, entries, source.source, point).tolist(), dtype=pl.String)
    return texts.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy(allow_copy=True).astype(np.float64)


def _count_detections(table: LedgerTable, entries: EntryColumns, source: ContextSource, point: Observation) -> Floats:
    kinds = np.isin(entries.kind, (Kind.INSPECTION, Kind.VIOLATION))
    is_recent = (entries.occur_time >= (point.day - source.days) * DAY) & (entries.occur_time < point.day * DAY)
    recent = entries.take(kinds & is_recent & (entries.report_time < point.day * DAY))
    is_detection = (recent.kind == Kind.INSPECTION) | (
        _read_texts(table, recent.row, "$.source") == Source.PLATFORM_DETECTION.word
    )
    return _count_cases(recent.take(is_detection))


def _count_measures(table: LedgerTable, entries: EntryColumns, source: ContextSource, point: Observation) -> Floats:
    """Count the measures in force at the point, by case.

    Their last statement known then imposes them; measures of a policy's rules never count.
    """
    moment = point.day * DAY
    is_known = (entries.kind == Kind.MEASURE) & ~np.isin(entries.status, [*NOTICE_STATES])
    is_known &= (entries.report_time < moment) & (entries.occur_time < moment)
    measures = entries.take(is_known)
    order = np.lexsort((measures.sequence, measures.target, measures.case))
    measures = measures.take(order)
    is_last = last_of_runs(measures.case, measures.target)
    in_force = is_last & (measures.status != MeasureState.LIFTED) & ((measures.until == 0) | (measures.until > moment))
    names = _read_texts(table, measures.row, "$.measure")
    in_force &= np.array([not str(name).startswith(RULE_MEASURE_PREFIX) for name in names], dtype=bool)
    if source.measure_kind is not None:
        in_force &= _read_texts(table, measures.row, "$.measure_kind") == source.measure_kind.word
    return _count_cases(measures.take(in_force))


def _read_inspections(
    table: LedgerTable, entries: EntryColumns, source: str, point: Observation
) -> NDArray[np.object_]:
    """Return a stated text of each case's first inspection in the window; None without."""
    is_in_window = (entries.occur_time >= point.day * DAY) & (entries.occur_time < point.window_end * DAY)
    inspections = entries.take((entries.kind == Kind.INSPECTION) & is_in_window)
    order = np.lexsort((inspections.sequence, inspections.occur_time, inspections.case))[::-1]
    texts = np.full(entries.cases, None, dtype=object)
    texts[inspections.case[order]] = _read_texts(table, inspections.row, "$" + source.removeprefix("inspection"))[order]
    return texts


def _read_texts(table: LedgerTable, rows: Ints, path: str) -> NDArray[np.object_]:
    return table.read_stated(rows, path).to_numpy(allow_copy=True).astype(object)


def _count_cases(entries: EntryColumns) -> Floats:
    return np.bincount(entries.case, minlength=entries.cases).astype(np.float64)

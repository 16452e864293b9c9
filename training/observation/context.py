"""Context: how outcomes were detected and which measures were in force, for training only.

Serving scores with every context at its reference (`at_reference`).
"""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from scoring.base.arrays import Floats, Ints, last_of_runs
from scoring.base.enums import Kind, MeasureState, Source
from scoring.base.time import DAY
from scoring.entries.kinds.decisions import RULE_MEASURE_PREFIX
from scoring.features.columns import EntryColumns
from scoring.features.corrections import apply_corrections
from scoring.features.facts import resolve
from training.observation.export import LedgerTable
from training.study.context import ContextSource
from training.study.definition import Observation, Study

MONTH_DAYS = 30
PER_MILLION = 1e6


def fill_context(x: Floats, table: LedgerTable, study: Study, point: Observation, cases: Ints) -> None:
    """Write each context feature into the model's input `x`, shape (n, features), in place; the reference if unknown.

    Features that look back ignore later corrections; features of the window use all knowledge.
    """
    if not study.context:
        return
    place = {feature.key: column for column, feature in enumerate(study.features)}
    columns = table.columns
    today, _ = apply_corrections(columns, np.ones(len(columns.case), dtype=bool))
    then, _ = apply_corrections(columns, columns.report_time < point.day * DAY)
    for source in study.context:
        entries = then if source.looks_back else today
        if source.one_of is None:
            (feature,) = source.features
            values = _number(table, entries, source, point)[cases]
            x[:, place[feature.key]] = np.where(np.isfinite(values), values, feature.reference)
            continue
        texts = _of_inspection(table, entries, source.source, point)[cases]
        known = np.array([text is not None for text in texts])
        for feature in source.features:
            x[:, place[feature.key]] = np.where(known, texts == feature.equals, feature.reference)


def _number(table: LedgerTable, entries: EntryColumns, source: ContextSource, point: Observation) -> Floats:
    if source.source in _NUMBERS:
        return _NUMBERS[source.source](table, entries, source, point)
    texts = _of_inspection(table, entries, source.source, point)
    return _numbers(texts, np.nan)


def _per_month(table: LedgerTable, entries: EntryColumns, source: ContextSource, point: Observation) -> Floats:
    return _detections(table, entries, source, point) / (source.days / MONTH_DAYS)


def _per_order(table: LedgerTable, entries: EntryColumns, source: ContextSource, point: Observation) -> Floats:
    facts = resolve(table.columns, np.full(entries.cases, point.day * DAY), as_reported=True)
    lately = facts.exposure_day >= point.day - source.days
    orders = np.bincount(
        facts.exposure_case[lately], weights=facts.exposure_orders[lately], minlength=entries.cases
    ).astype(np.float64)
    return _ratio(_detections(table, entries, source, point), orders)


def _detections(table: LedgerTable, entries: EntryColumns, source: ContextSource, point: Observation) -> Floats:
    kinds = np.isin(entries.kind, (Kind.INSPECTION, Kind.VIOLATION))
    lately = (entries.occur_time >= (point.day - source.days) * DAY) & (entries.occur_time < point.day * DAY)
    found = entries.take(kinds & lately & (entries.report_time < point.day * DAY))
    looked = (found.kind == Kind.INSPECTION) | (
        _stated(table, found.row, "$.source") == Source.PLATFORM_DETECTION.name.lower()
    )
    return _counts(found.take(looked))


def _selection(table: LedgerTable, entries: EntryColumns, _source: ContextSource, point: Observation) -> Floats:
    inspections = _in_window(entries, point)
    chance = _numbers(_stated(table, inspections.row, "$.selection_probability_ppm"), 0.0) / PER_MILLION
    known = chance > 0
    total, count = _counts(inspections.take(known), chance[known]), _counts(inspections.take(known))
    return _ratio(total, count)


def _measures(table: LedgerTable, entries: EntryColumns, source: ContextSource, point: Observation) -> Floats:
    """Count the measures in force at the point, by case.

    A measure is in force if its last statement known then imposes it and it has not ended; measures of a policy's rules
    never count.
    """
    moment = point.day * DAY
    known = (entries.kind == Kind.MEASURE) & (entries.report_time < moment) & (entries.occur_time < moment)
    measures = entries.take(known)
    order = np.lexsort((measures.sequence, measures.target, measures.case))
    measures = measures.take(order)
    last = last_of_runs(measures.case, measures.target)
    in_force = last & (measures.status != MeasureState.LIFTED) & ((measures.until == 0) | (measures.until > moment))
    names = _stated(table, measures.row, "$.measure")
    in_force &= np.array([not str(name).startswith(RULE_MEASURE_PREFIX) for name in names], dtype=bool)
    if source.measure_kind is not None:
        in_force &= _stated(table, measures.row, "$.measure_kind") == source.measure_kind.name.lower()
    return _counts(measures.take(in_force))


_NUMBERS: Mapping[str, Callable[[LedgerTable, EntryColumns, ContextSource, Observation], Floats]] = {
    "detections_per_month": _per_month,
    "detections_per_order": _per_order,
    "selection_probability": _selection,
    "measures_in_force": _measures,
}


def _of_inspection(table: LedgerTable, entries: EntryColumns, source: str, point: Observation) -> NDArray[np.object_]:
    inspections = _in_window(entries, point)
    order = np.lexsort((inspections.sequence, inspections.occur_time, inspections.case))[::-1]
    texts = np.full(entries.cases, None, dtype=object)
    path = "$" + source.removeprefix("inspection")
    texts[inspections.case[order]] = _stated(table, inspections.row, path)[order]
    return texts


def _in_window(entries: EntryColumns, point: Observation) -> EntryColumns:
    inside = (entries.occur_time >= point.day * DAY) & (entries.occur_time < point.window_end * DAY)
    return entries.take((entries.kind == Kind.INSPECTION) & inside)


def _stated(table: LedgerTable, rows: Ints, path: str) -> NDArray[np.object_]:
    place = np.searchsorted(table.statement_rows, rows)
    texts: NDArray[np.object_] = table.statements.gather(place).str.json_path_match(path).to_numpy(allow_copy=True)
    return texts.astype(object)


def _numbers(texts: NDArray[np.object_], missing: float) -> Floats:
    numbers = pl.Series(texts.tolist(), dtype=pl.String).cast(pl.Float64, strict=False).fill_null(missing)
    return numbers.to_numpy(allow_copy=True).astype(np.float64)


def _ratio(over: Floats, under: Floats) -> Floats:
    ratio: Floats = np.divide(over, under, out=np.full(len(under), np.nan), where=under > 0)
    return ratio


def _counts(entries: EntryColumns, weights: Floats | Ints | None = None) -> Floats:
    return np.bincount(entries.case, weights=weights, minlength=entries.cases).astype(np.float64)

"""Observation at events: each inspection of a seller is an observation point, at the beginning of its day.

Each case, a (seller, day), is moved in time so that one snapshot observes all.
"""

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np

from scoring.base.arrays import Ints, split_sizes
from scoring.base.errors import ConfigurationWrong
from scoring.base.frozen import frozen
from scoring.base.time import DAY, format_day
from scoring.features.columns import EntryColumns
from scoring.features.corrections import apply_corrections
from training.observation.export import LedgerTable
from training.observation.joining import list_ranges
from training.study.definition import Observation, Study

PART_ENTRIES = 1_000_000


@frozen
class EventCases:
    table: LedgerTable
    point: Observation
    seller: Ints
    day: Ints


def move_cases(table: LedgerTable, study: Study, span: Observation) -> Iterator[EventCases]:
    """Yield a span's events in parts of bounded memory, by (day, seller), moved to one observation point.

    `seller` and `day` are the original. ConfigurationWrong without an event.
    """
    seller, day = find_event_cases(table, study, span)
    if not len(day):
        last = span.day if span.last_day is None else span.last_day
        raise ConfigurationWrong(
            f"the ledger has no inspection from {format_day(span.day)} to {format_day(last)}: import inspections, or"
            " choose other days in observation of the study"
        )
    count = np.bincount(table.columns.case, minlength=table.columns.cases).astype(np.int64)
    first = np.cumsum(count) - count
    for chosen in split_sizes(count[seller], PART_ENTRIES):
        ids, days = seller[chosen], day[chosen]
        latest = int(days.max())
        columns = _copy_later(table.columns, first[ids], count[ids], latest - days)
        names = [table.sellers[i] for i in ids.tolist()]
        yield EventCases(replace(table, columns=columns, sellers=names), study.point_at(latest), ids, days)


def find_event_cases(table: LedgerTable, study: Study, span: Observation) -> tuple[Ints, Ints]:
    """Return (sellers, days) by day and seller: each seller's days with an event of the study, once."""
    entries = apply_corrections(table.columns)
    days = entries.occur_time // DAY
    last = span.day if span.last_day is None else span.last_day
    events = study.observation.events
    chosen = (entries.kind == events.kind if events else False) & (days >= span.day) & (days <= last)
    pairs = np.unique(np.stack([days[chosen], entries.case[chosen]]), axis=1)
    return pairs[1].astype(np.int64), pairs[0].astype(np.int64)


def _copy_later(columns: EntryColumns, first: Ints, count: Ints, days: Ints) -> EntryColumns:
    """Copy each case (a range of entries) with all times so many days later."""
    case, index = list_ranges(first, count)
    shift, entries = days[case], columns.take(index)
    values = {f.name: getattr(entries, f.name) for f in fields(entries) if f.name not in ("cases", "case")}
    for name in ("occur_time", "report_time"):
        values[name] = values[name] + shift * DAY
    values["until"] = np.where(values["until"] > 0, values["until"] + shift * DAY, 0)
    values["day"] = values["day"] + shift
    return EntryColumns(cases=len(count), case=case, **values)

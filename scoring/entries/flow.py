"""Recorded flow by day, for caution and the terms of trade. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from scoring.entries.kinds.settlement import FlowStated


class FlowDay(NamedTuple):
    """The statement that counts for one day and product category: that with the highest revision."""

    entry_id: str
    sequence: int
    fact: FlowStated
    """The statement; its `day` is in days since 1970-01-01."""
    known_time: int
    """When the day and product category was first stated, with any revision, in microseconds."""
    first_entry_id: str
    """Id of the entry that stated the day first; later statements do not change it."""
    before: tuple["Superseded", ...] = ()
    """The statements that counted earlier, in order; empty if the day was stated once."""


class Superseded(NamedTuple):
    """A statement of flow that a later statement of the same day and product category replaced."""

    until_time: int
    """The first time, in microseconds, at which the next statement counted."""
    fact: FlowStated


def keep_latest_statements(flow: Sequence[FlowDay], limit: int) -> Sequence[FlowDay]:
    """Return the flow with at most its `limit` newest superseded statements."""
    times = sorted(old.until_time for one in flow for old in one.before)
    if len(times) <= limit:
        return flow
    last_dropped = times[-limit - 1]
    return [
        one._replace(before=tuple(old for old in one.before if old.until_time > last_dropped)) if one.before else one
        for one in flow
    ]


def list_flow_as_of(flow: Sequence[FlowDay], time: int) -> list[FlowDay]:
    """Return the flow with the statements that counted at a time; for days first stated later, the first statement."""
    return [
        one._replace(fact=next((old.fact for old in one.before if time < old.until_time), one.fact))
        if one.before
        else one
        for one in flow
    ]

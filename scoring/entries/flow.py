from collections.abc import Sequence
from typing import NamedTuple

from scoring.entries.kinds.settlement import FlowStated


class FlowDay(NamedTuple):
    """The highest revision of one day and product category."""

    entry_id: str
    sequence: int
    fact: FlowStated
    """Its `day` is in days since 1970-01-01."""
    known_time: int
    """When it was first stated, with any revision, in microseconds."""
    first_entry_id: str
    before: tuple["SupersededFlow", ...] = ()
    """Earlier statements that counted, in order."""


class SupersededFlow(NamedTuple):
    until_time: int
    """When the next statement began to count, in microseconds."""
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
    """Return the flow that counted at a time; of days first stated later, the first statement."""
    return [
        one._replace(fact=next((old.fact for old in one.before if time < old.until_time), one.fact))
        if one.before
        else one
        for one in flow
    ]

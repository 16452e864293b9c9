"""Flow by day, as it is on record: what caution and the terms of trade rest on. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from scoring.entries.kinds.settlement import FlowStated


class FlowDay(NamedTuple):
    """The statement that counts of one day and product category: that with the highest revision."""

    entry_id: str
    """Id of the entry that states it."""
    sequence: int
    """Where it stands."""
    fact: FlowStated
    """What it states; its `day` in days since 1970-01-01."""
    known_time: int
    """When the day and product category was first stated, with whatever revision, in microseconds."""
    first_entry_id: str
    """Id of the entry that stated it first, which stays the same however often it is stated again."""
    before: tuple["Superseded", ...] = ()
    """The statements that counted before it, in their order; empty if it was stated once."""


class Superseded(NamedTuple):
    """A statement of flow that counted until another one of the same day and product category did."""

    until_time: int
    """The first time, in microseconds, at which the next one counted in its place."""
    fact: FlowStated


def keep_latest_statements(flow: Sequence[FlowDay], limit: int) -> Sequence[FlowDay]:
    """Return the flow without its oldest superseded statements, of which at most `limit` stay."""
    times = sorted(old.until_time for one in flow for old in one.before)
    if len(times) <= limit:
        return flow
    last_dropped = times[-limit - 1]
    return [
        one._replace(before=tuple(old for old in one.before if old.until_time > last_dropped)) if one.before else one
        for one in flow
    ]


def list_flow_as_of(flow: Sequence[FlowDay], time: int) -> list[FlowDay]:
    """Return the flow with the statements that counted at a time; of days first stated later, the first statement."""
    return [
        one._replace(fact=next((old.fact for old in one.before if time < old.until_time), one.fact))
        if one.before
        else one
        for one in flow
    ]

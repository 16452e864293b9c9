"""Flow by day, as it is on record: what caution and the terms of trade rest on. Pure."""

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

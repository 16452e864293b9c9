"""Sources of many entries.

A source has partitions of messages with growing positions. The ledger keeps the position, committed with the entries.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Message(NamedTuple):
    partition: int
    next_position: int
    payload: bytes


class MessageSource(Protocol):
    """A source of messages for one reader. `name` is its name in the ledger, without secrets.

    Every method may raise SourceUnavailable (call it again) and ConfigurationWrong.
    """

    @property
    def name(self) -> str: ...

    def partitions(self) -> Sequence[int]:
        """Return the numbers of the present partitions."""

    def seek(self, partition: int, position: int | None) -> None:
        """Set a partition's position; None: the first message."""

    def poll(self, limit: int, seconds: float) -> Sequence[Message]:
        """Return at most `limit` messages, each partition's in order; empty if none came within `seconds`."""

    def caught_up(self) -> bool:
        """Return whether every partition is read up to its end at the last check."""

    def close(self) -> None:
        """Close the connection."""

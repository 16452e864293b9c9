"""Sources: where entries come from in numbers, and what every one of them can do.

A source has partitions, each a row of messages with growing positions. Where reading goes on is kept in the ledger, in
the transaction of the entries that were read; what a broker itself remembers of its readers is never asked.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

__all__ = ["Message", "Source"]


class Message(NamedTuple):
    """One message of a source."""

    partition: int
    """The partition of the source."""
    next_position: int
    """Where reading goes on after it."""
    payload: bytes
    """Its bytes."""


class Source(Protocol):
    """A source of messages for one reader. `name` is what the ledger calls it; it holds no secret.

    Every method may raise SourceUnavailable, after which it may be called again, and ConfigurationWrong.
    """

    @property
    def name(self) -> str: ...

    def partitions(self) -> Sequence[int]:
        """Return the numbers of the partitions that exist by now."""

    def seek(self, partition: int, position: int | None) -> None:
        """Set the position from which a partition is read; None: from the first message there is."""

    def poll(self, limit: int, seconds: float) -> Sequence[Message]:
        """Return the next messages, at most `limit`, those of a partition in order.

        Empty if none came within `seconds`.
        """

    def caught_up(self) -> bool:
        """Return whether every partition is read up to the end that it had when last asked."""

    def close(self) -> None:
        """Close the connection to the source."""

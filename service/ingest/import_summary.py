"""What an import is made of: how many entries of each kind, from when to when; and whether that can be."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from scoring.entries.entry import Entry
from scoring.entries.kinds.settlement import FlowStated
from scoring.entries.kinds.table import KIND_OF, KINDS
from scoring.entries.kinds.trade import ExposureStated
from scoring.enums import Kind
from scoring.time import DAY, format_time

EARLY = 631_152_000_000_000
"""1990-01-01T00:00:00Z: before it hardly anything was sold online. Seconds read as milliseconds lie in January 1970."""

MAX_EARLY = 0.01


@dataclass(slots=True)
class _Span:
    number: int = 0
    """How many entries."""
    first: int | None = None
    """The first time at which one happened, in microseconds; None without one."""
    last: int | None = None
    """The last one."""


@dataclass(slots=True)
class Spans:
    """Entries by kind, with the first and the last time at which they happened.

    Also how many happened before 1990.
    """

    by_kind: dict[Kind, _Span] = field(default_factory=dict)
    """The entries of each kind."""
    timed: int = 0
    """Entries with a time at which they happened."""
    early: int = 0
    """Those of them before 1990."""
    seen: set[int] | None = None
    """Hashes of the ids so far, if entries that rows state again are to be left out; None: all are counted."""

    def add(self, entries: Iterable[Entry]) -> None:
        """Count entries by kind; those seen before are passed over if `seen` is kept."""
        for entry in entries:
            if self.seen is not None:
                if (code := hash(entry.entry_id)) in self.seen:
                    continue
                self.seen.add(code)
            span = self.by_kind.setdefault(KIND_OF[type(entry.fact)], _Span())
            span.number += 1
            fact = entry.fact
            happened = fact.day * DAY if isinstance(fact, ExposureStated | FlowStated) else entry.occur_time
            if happened is None:
                continue
            self.timed += 1
            self.early += happened < EARLY
            if span.first is None or happened < span.first:
                span.first = happened
            if span.last is None or happened > span.last:
                span.last = happened

    def rows(self) -> list[dict[str, object]]:
        """Return a table row for each kind: entries, first and last occur time (RFC 3339)."""
        return [
            {
                "kind": KINDS[kind].key,
                "entries": span.number,
                "first_occur_time": None if span.first is None else format_time(span.first),
                "last_occur_time": None if span.last is None else format_time(span.last),
            }
            for kind, span in sorted(self.by_kind.items())
        ]

    @property
    def doubt(self) -> str:
        """Return a sentence on why the times cannot be right; "" if they may be.

        They cannot if many entries happened before 1990: the unit or form of times is wrong.
        """
        if self.early <= MAX_EARLY * self.timed:
            return ""
        return (
            f"{self.early:,} of {self.timed:,} entries happened before 1990: look at the unit of epoch times, seconds or"
            " milliseconds, and at the form of dates"
        )

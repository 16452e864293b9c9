"""The content of an import: entries per kind, their time spans, and whether these are plausible."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from scoring.base.enums import Kind
from scoring.base.time import DAY, format_time
from scoring.entries.entry import Entry
from scoring.entries.kinds.settlement import FlowStated
from scoring.entries.kinds.table import KIND_OF, KINDS
from scoring.entries.kinds.trade import ExposureStated

EARLY = 631_152_000_000_000
"""1990-01-01T00:00:00Z. Seconds read as milliseconds lie in January 1970."""

MAX_EARLY = 0.01


@dataclass(slots=True)
class _Span:
    number: int = 0
    first: int | None = None
    """In microseconds; None before the first entry."""
    last: int | None = None


@dataclass(slots=True)
class Spans:
    by_kind: dict[Kind, _Span] = field(default_factory=dict)
    timed: int = 0
    early: int = 0
    seen: set[int] | None = None
    """Hashes of the ids so far, to count repeated entries once; None: count all."""

    def add(self, entries: Iterable[Entry]) -> None:
        """Count entries by kind, with their first and last time."""
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
        """Return a table row per kind: entries, first and last occur time (RFC 3339)."""
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
        """Return why the times are implausible, with many entries before 1990; "" if they are not."""
        if self.early <= MAX_EARLY * self.timed:
            return ""
        return (
            f"{self.early:,} of {self.timed:,} entries happened before 1990: look at the unit of epoch times, seconds or"
            " milliseconds, and at the form of dates"
        )

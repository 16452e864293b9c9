"""Reads a source into the ledger, each message's fact once.

A message that cannot be appended goes to the reject file first.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import TypeVar

from scoring.base.enums import MeasureState
from scoring.base.errors import InvalidInput, LedgerUnavailable, SourceUnavailable, invalid
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from service.ingest.partial_append import AppendCounts, AppendResult, PartialAppend
from service.ingest.sources.payload import entry_from_payload
from service.ingest.sources.rejects import RejectFile
from service.ingest.sources.source import Message, MessageSource
from service.ledger.records import Position
from service.ledger.store import Ledger

T = TypeVar("T")
BATCH = 5_000
POLL_SECONDS = 0.5
PARTITIONS_SECONDS = 60.0

POSITIONS_SECONDS = 2.0
"""Between two looks, without messages, for lost positions: a promoted standby may lag."""

RETRY_SECONDS = (0.1, 5.0)
"""The first and the longest wait for a silent ledger or source."""


@dataclass(slots=True)
class FeedReport(AppendCounts):
    rejected: int = 0
    positions: dict[int, int] = field(default_factory=dict)


class Feed:
    """One reader of one source into one marketplace.

    `patience_seconds` limits the retries of a silent ledger or source; None: until stopped.
    """

    def __init__(
        self,
        ledger: Ledger,
        marketplace: str,
        source: MessageSource,
        rejects: RejectFile,
        patience_seconds: float | None = None,
    ) -> None:
        self.report = FeedReport()
        self._ledger = ledger
        self._marketplace = marketplace
        self._source = source
        self._rejects = rejects
        self._patience_seconds = patience_seconds
        self._found: set[int] = set()
        self._stop = Event()

    def stop(self) -> None:
        """Let `run` return after the present batch; from any thread or signal handler."""
        self._stop.set()

    def run(self, *, once: bool = False, on_progress: Callable[[FeedReport], None] = lambda _: None) -> FeedReport:
        """Append messages until stopped, or with `once` until the source is read.

        Returns the totals; `on_progress` gets them after each batch. Raises LedgerUnavailable or SourceUnavailable
        after the patience; the next run continues.
        """
        try:
            self._read(once, on_progress)
        except (LedgerUnavailable, SourceUnavailable):
            if not self._stop.is_set():
                raise
        return self.report

    def _read(self, once: bool, on_progress: Callable[[FeedReport], None]) -> None:
        looked = self._find_partitions()
        heard = compared = time.monotonic()
        while not self._stop.is_set():
            messages = self._retry(lambda: self._source.poll(BATCH, POLL_SECONDS))
            for group in _by_partition(messages):
                self._take(group)
                on_progress(self.report)
            if messages:
                heard = time.monotonic()
            elif once and self._retry(self._source.caught_up):
                return
            elif once and self._is_over(heard):
                raise SourceUnavailable("the source has more messages and sends none; is its server well?")
            elif time.monotonic() - compared > POSITIONS_SECONDS:
                for partition in self._found:
                    self._retry(partial(self._is_kept, partition))
                compared = time.monotonic()
            if time.monotonic() - looked > PARTITIONS_SECONDS:
                looked = self._find_partitions()

    def _find_partitions(self) -> float:
        for partition in self._retry(self._source.partitions):
            if partition not in self._found:
                self._retry(partial(self._seek, partition))
                self._found.add(partition)
        return time.monotonic()

    def _seek(self, partition: int) -> None:
        position = self._ledger.positions.find(self._source.name, partition)
        self._source.seek(partition, position)
        self.report.positions.pop(partition, None)
        if position is not None:
            self.report.positions[partition] = position

    def _is_kept(self, partition: int) -> bool:
        """Return whether the ledger has what was read of a partition; else go back."""
        position = self._ledger.positions.find(self._source.name, partition)
        if (position or 0) >= self.report.positions.get(partition, 0):
            return True
        self._seek(partition)
        return False

    def _take(self, messages: Sequence[Message]) -> None:
        name, last = self._source.name, messages[-1]
        entries: list[Entry] = []
        places: list[int] = []
        rejected: dict[int, str] = {}

        def keep(reasons: Mapping[int, str]) -> None:
            fresh = {place: reason for place, reason in reasons.items() if place not in rejected}
            self._rejects.write(name, messages, fresh)
            rejected.update(fresh)

        unread: dict[int, str] = {}
        for place, message in enumerate(messages):
            try:
                entry = entry_from_payload(message.payload, self._marketplace)
                if isinstance(entry.fact, MeasureChanged) and entry.fact.state is MeasureState.NOTICE_BARRED:
                    raise invalid("measure.state", "a bar on a letter needs two persons; append it over a server")
                entries.append(entry)
                places.append(place)
            except InvalidInput as error:
                unread[place] = error.message
        keep(unread)
        position = Position(name, last.partition, last.next_position)

        def append() -> AppendResult | None:
            if not self._is_kept(last.partition):
                return None
            return PartialAppend(self._ledger, self._marketplace).append(
                entries, position, lambda refused: keep({places[index]: reason for index, reason in refused.items()})
            )

        done = self._retry(append)
        if done is None:
            return
        self.report.add(done)
        self.report.rejected += len(rejected)
        self.report.positions[last.partition] = last.next_position

    def _retry(self, call: Callable[[], T]) -> T:
        began = time.monotonic()
        wait, longest = RETRY_SECONDS
        while True:
            try:
                return call()
            except (LedgerUnavailable, SourceUnavailable):
                if self._is_over(began) or self._stop.wait(wait):
                    raise
                wait = min(wait * 2, longest)

    def _is_over(self, began: float) -> bool:
        return self._patience_seconds is not None and time.monotonic() - began > self._patience_seconds


def _by_partition(messages: Sequence[Message]) -> list[list[Message]]:
    groups: dict[int, list[Message]] = {}
    for message in messages:
        groups.setdefault(message.partition, []).append(message)
    return list(groups.values())

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
        self._known_partitions: set[int] = set()
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
            self._read_messages(once, on_progress)
        except (LedgerUnavailable, SourceUnavailable):
            if not self._stop.is_set():
                raise
        return self.report

    def _read_messages(self, once: bool, on_progress: Callable[[FeedReport], None]) -> None:
        partitions_read = self._seek_new_partitions()
        last_message = positions_read = time.monotonic()
        while not self._stop.is_set():
            messages = self._retry(lambda: self._source.poll(BATCH, POLL_SECONDS))
            for group in _group_by_partition(messages):
                self._append_messages(group)
                on_progress(self.report)
            if messages:
                last_message = time.monotonic()
            elif once and self._retry(self._source.caught_up):
                return
            elif once and self._is_patience_over(last_message):
                raise SourceUnavailable("the source has more messages and sends none; is its server well?")
            elif time.monotonic() - positions_read > POSITIONS_SECONDS:
                for partition in self._known_partitions:
                    self._retry(partial(self._is_position_kept, partition))
                positions_read = time.monotonic()
            if time.monotonic() - partitions_read > PARTITIONS_SECONDS:
                partitions_read = self._seek_new_partitions()

    def _seek_new_partitions(self) -> float:
        """Seek in partitions that are new; return the present time."""
        for partition in self._retry(self._source.partitions):
            if partition not in self._known_partitions:
                self._retry(partial(self._seek, partition))
                self._known_partitions.add(partition)
        return time.monotonic()

    def _seek(self, partition: int) -> None:
        position = self._ledger.positions.find(self._source.name, partition)
        self._source.seek(partition, position)
        self.report.positions.pop(partition, None)
        if position is not None:
            self.report.positions[partition] = position

    def _is_position_kept(self, partition: int) -> bool:
        """Return whether the ledger has what was read of a partition; else seek back."""
        position = self._ledger.positions.find(self._source.name, partition)
        if (position or 0) >= self.report.positions.get(partition, 0):
            return True
        self._seek(partition)
        return False

    def _append_messages(self, messages: Sequence[Message]) -> None:
        """Append messages of one partition, with its position; rejects are written first."""
        name, last = self._source.name, messages[-1]
        entries: list[Entry] = []
        message_of_entry: list[int] = []
        rejected: dict[int, str] = {}

        def write_rejects(reasons: Mapping[int, str]) -> None:
            new_reasons = {place: reason for place, reason in reasons.items() if place not in rejected}
            self._rejects.write(name, messages, new_reasons)
            rejected.update(new_reasons)

        unreadable: dict[int, str] = {}
        for place, message in enumerate(messages):
            try:
                entry = entry_from_payload(message.payload, self._marketplace)
                if isinstance(entry.fact, MeasureChanged) and entry.fact.state is MeasureState.NOTICE_BARRED:
                    raise invalid("measure.state", "a bar on a letter needs two persons; append it over a server")
                entries.append(entry)
                message_of_entry.append(place)
            except InvalidInput as error:
                unreadable[place] = error.message
        write_rejects(unreadable)
        position = Position(name, last.partition, last.next_position)

        def append() -> AppendResult | None:
            if not self._is_position_kept(last.partition):
                return None
            return PartialAppend(self._ledger, self._marketplace).append(
                entries,
                position,
                lambda refused: write_rejects({message_of_entry[index]: reason for index, reason in refused.items()}),
            )

        result = self._retry(append)
        if result is None:
            return
        self.report.add(result)
        self.report.rejected += len(rejected)
        self.report.positions[last.partition] = last.next_position

    def _retry(self, call: Callable[[], T]) -> T:
        first_call = time.monotonic()
        wait, longest = RETRY_SECONDS
        while True:
            try:
                return call()
            except (LedgerUnavailable, SourceUnavailable):
                if self._is_patience_over(first_call) or self._stop.wait(wait):
                    raise
                wait = min(wait * 2, longest)

    def _is_patience_over(self, since: float) -> bool:
        return self._patience_seconds is not None and time.monotonic() - since > self._patience_seconds


def _group_by_partition(messages: Sequence[Message]) -> list[list[Message]]:
    groups: dict[int, list[Message]] = {}
    for message in messages:
        groups.setdefault(message.partition, []).append(message)
    return list(groups.values())

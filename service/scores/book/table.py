"""The table of the score book: answers by seller, and each seller's newest known entry.

docs/explanation/book.md explains why an answer is exact. A seller without an answer has `last` in a second table.
Removing a row from it raises the floor: entries of absent sellers are unknown up to there.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

from scoring.scores.answer import MadeBy

UNKNOWN = 2**63 - 1


class RememberedAnswer:
    """Only `last` and `is_used` change."""

    __slots__ = ("as_of", "at", "body", "is_used", "known_time", "last", "made_by", "since", "until")

    def __init__(self, body: bytes, made_by: MadeBy, at: int, known_time: int, since: int, until: int) -> None:
        self.body = body
        """The TrustScore on the wire, without its stamp."""
        self.made_by = made_by
        self.at = at
        """The sequence of its computation."""
        self.known_time = known_time
        """Just after that sequence's record time, in microseconds."""
        self.since = since
        """Its observe time, in microseconds; it is valid from then on."""
        self.until = until
        """The observe time from which it may change, in microseconds."""
        self.as_of = since
        """It has everything recorded before this time, in microseconds; before `since` if a commit was running."""
        self.last = 0
        self.is_used = False


class AnswerTable:
    """At most `capacity` answers by resource name. Reads are lock-free; changes are not."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._answers: OrderedDict[str, RememberedAnswer] = OrderedDict()
        self._absent: OrderedDict[str, int] = OrderedDict()
        self._floor = UNKNOWN
        self._lock = threading.Lock()
        self.epoch = 0
        """The newest entry about every seller: no earlier answer is exact."""
        self.clear_count = 0
        """Times that the table was emptied for another ledger; a computation reads it first."""
        self.dropped = self.evicted = self.late = self.adopted = 0
        """Answers that an entry ended; evicted; stored although they lack a known entry; taken from a generation."""

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, name: str) -> RememberedAnswer | None:
        return self._answers.get(name)

    def is_exact(self, answer: RememberedAnswer) -> bool:
        """Return whether no known entry is later than an answer."""
        return answer.last <= answer.at >= self.epoch

    def mark(self, entries: Iterable[tuple[str, int]]) -> None:
        """Note (seller's resource name, entry's sequence): the seller's earlier answer is no longer exact."""
        with self._lock:
            for name, sequence in entries:
                answer = self._answers.get(name)
                if answer is None:
                    self._keep_absent(name, sequence)
                elif sequence > answer.last:
                    self.dropped += answer.last <= answer.at < sequence
                    answer.last = sequence

    def start_epoch(self, sequence: int) -> None:
        """Note an entry about all sellers: no earlier answer is exact."""
        with self._lock:
            self.epoch = max(self.epoch, sequence)

    def store(self, name: str, answer: RememberedAnswer, clear_count: int) -> None:
        """Remember an answer, unless the table was cleared since its computation began (`clear_count` of then).

        A newer answer of the same day, model and policy stays.
        """
        with self._lock:
            if clear_count != self.clear_count or self._capacity == 0:
                return
            earlier = self._answers.get(name)
            if earlier is None:
                answer.last = self._absent.pop(name, self._floor)
            elif earlier.at > answer.at and (earlier.made_by, earlier.until) == (answer.made_by, answer.until):
                return
            else:
                answer.last = earlier.last
            self.late += answer.last > answer.at
            self._answers[name] = answer
            if len(self._answers) > self._capacity:
                self._evict()

    def adopt(
        self, name: str, answer: RememberedAnswer, is_unmarked: Callable[[], bool], clear_count: int
    ) -> RememberedAnswer | None:
        """Replace a remembered answer by a generation's, and return it; None if a mark, an epoch or
        a clearing since `clear_count` ended it.

        `is_unmarked` is evaluated while nothing can be marked here.
        """
        with self._lock:
            if clear_count != self.clear_count or answer.at < self.epoch or not is_unmarked():
                return None
            earlier = self._answers.get(name)
            # `last` may be the floor alone; no entry is later than `at`, whatever it says.
            answer.last = min(answer.at, self._absent.pop(name, self._floor) if earlier is None else earlier.last)
            self._answers[name] = answer
            self.adopted += 1
            if len(self._answers) > self._capacity:
                self._evict()
        return answer

    def clear(self, floor: int) -> None:
        """Forget all answers and entries; entries up to `floor` are unknown.

        Running computations are not stored.
        """
        with self._lock:
            self.clear_count += 1
            self.dropped += len(self._answers)
            self._answers.clear()
            self._absent.clear()
            self._floor, self.epoch = floor, 0

    def _evict(self) -> None:
        """Drop the oldest answer that nobody read since it was last spared."""
        while True:
            name, answer = self._answers.popitem(last=False)
            if not answer.is_used:
                break
            answer.is_used = False
            self._answers[name] = answer
        self.evicted += 1
        self._keep_absent(name, answer.last)

    def _keep_absent(self, name: str, sequence: int) -> None:
        """Remember the newest entry of a seller without an answer; beyond the limit the oldest raises the floor."""
        if sequence <= self._floor < UNKNOWN:
            return
        self._absent[name] = max(sequence, self._absent.pop(name, 0))
        if len(self._absent) > self._capacity:
            _, oldest = self._absent.popitem(last=False)
            self._floor = max(self._floor, oldest)

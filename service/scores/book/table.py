"""The table of the score book: finished answers by seller, and what is known of each seller's newest entry.

An answer computed at the sequence `at` is exact as long as `last`, the newest known entry of its seller, is not beyond it.
`last` stands with the answer, and of a seller without one in a second table, so that an answer that was being computed while
its seller's entry came in is never taken for exact, however late it is stored. Both tables are bounded; what is let go of
the second raises the floor: nobody knows of absent sellers what came up to there.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

from scoring.answer import MadeBy

UNKNOWN = 2**63 - 1
"""The floor before the follower has seen the ledger: no answer is exact."""


class Answer:
    """A finished answer of one seller, and for when and as of what it holds. Nothing but `last` and `is_used` changes."""

    __slots__ = ("as_of", "at", "body", "is_used", "known_time", "last", "made_by", "since", "until")

    def __init__(self, body: bytes, made_by: MadeBy, at: int, known_time: int, since: int, until: int) -> None:
        self.body = body
        """The TrustScore on the wire, without its stamp."""
        self.made_by = made_by
        """The model and the policy."""
        self.at = at
        """The sequence that it was computed at."""
        self.known_time = known_time
        """Just after the record time of that sequence, in microseconds."""
        self.since = since
        """The observe time that it was computed for, in microseconds; it holds from then on."""
        self.until = until
        """The observe time from which on it may be another; in microseconds."""
        self.as_of = since
        """What was recorded before then is in it, in microseconds; before `since` if a commit was under way."""
        self.last = 0
        """The newest known entry of the seller."""
        self.is_used = False
        """Whether it was asked for since somebody last looked for one to let go."""


class Table:
    """At most `capacity` answers by the seller's resource name. Reads take no lock; whatever changes anything does."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._absent: OrderedDict[str, int] = OrderedDict()
        self._floor = UNKNOWN
        self._lock = threading.Lock()
        self.epoch = 0
        """The newest entry that concerns every seller: no answer computed before it is exact."""
        self.life = 0
        """How often the table was emptied, since the ledger was another one. Whoever computes notes it beforehand."""
        self.dropped = self.evicted = self.late = self.adopted = 0
        """Answers that an entry ended; that gave way to others; that were stored with an entry known that they lack; that
        came out of a generation.
        """

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, name: str) -> Answer | None:
        """Return the remembered answer of a seller, still exact or not; None if there is none."""
        return self._answers.get(name)

    def is_exact(self, answer: Answer) -> bool:
        """Return whether no entry is known that an answer lacks."""
        return answer.last <= answer.at >= self.epoch

    def mark(self, entries: Iterable[tuple[str, int]]) -> None:
        """Note that entries concern sellers; answers without them stop being exact.

        `entries`: (the seller's resource name, sequence).
        """
        with self._lock:
            for name, sequence in entries:
                answer = self._answers.get(name)
                if answer is None:
                    self._keep_absent(name, sequence)
                elif sequence > answer.last:
                    self.dropped += answer.last <= answer.at < sequence
                    answer.last = sequence

    def start_epoch(self, sequence: int) -> None:
        """Note that an entry concerns every seller: all answers without it end being exact."""
        with self._lock:
            self.epoch = max(self.epoch, sequence)

    def store(self, name: str, answer: Answer, life: int) -> None:
        """Remember an answer, unless the table was cleared since its computation began.

        `life`: the value of `Table.life` when the computation began. A newer stored answer of the same day, model and
        policy stays. Where the table is full, another answer is forgotten; with a capacity of 0, none is stored.
        """
        with self._lock:
            if life != self.life or self._capacity == 0:
                return
            known = self._answers.get(name)
            if known is None:
                answer.last = self._absent.pop(name, self._floor)
            elif known.at > answer.at and (known.made_by, known.until) == (answer.made_by, answer.until):
                return
            else:
                answer.last = known.last
            self.late += answer.last > answer.at
            self._answers[name] = answer
            if len(self._answers) > self._capacity:
                self._evict()

    def adopt(self, name: str, answer: Answer, holds: Callable[[], bool], life: int) -> Answer | None:
        """Remember an answer of a generation in place of what is remembered, and return it.

        `holds`: whether it lacks no entry that was marked, asked while nothing can be marked here; None if it does. `life`:
        as for `store`.
        """
        with self._lock:
            if life != self.life or answer.at < self.epoch or not holds():
                return None
            known = self._answers.get(name)
            # What stands here may be the floor alone; no entry lies beyond `at`, whatever that says.
            answer.last = min(answer.at, self._absent.pop(name, self._floor) if known is None else known.last)
            self._answers[name] = answer
            self.adopted += 1
            if len(self._answers) > self._capacity:
                self._evict()
        return answer

    def clear(self, floor: int) -> None:
        """Forget all answers, and when sellers last changed; changes up to `floor` are unknown.

        A new `life` begins: answers whose computation has begun are not stored any more.
        """
        with self._lock:
            self.life += 1
            self.dropped += len(self._answers)
            self._answers.clear()
            self._absent.clear()
            self._floor, self.epoch = floor, 0

    def _evict(self) -> None:
        """Let one answer go that was not asked for since it was last looked at: the clock algorithm."""
        while True:
            name, answer = self._answers.popitem(last=False)
            if not answer.is_used:
                break
            answer.is_used = False
            self._answers[name] = answer
        self.evicted += 1
        self._keep_absent(name, answer.last)

    def _keep_absent(self, name: str, sequence: int) -> None:
        """Keep what is known of a seller without an answer; the oldest of too many raises the floor."""
        if sequence <= self._floor < UNKNOWN:
            return
        self._absent[name] = max(sequence, self._absent.pop(name, 0))
        if len(self._absent) > self._capacity:
            _, oldest = self._absent.popitem(last=False)
            self._floor = max(self._floor, oldest)

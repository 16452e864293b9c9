"""The generations that a book answers from, and which answers an entry has ended.

A generation joins once its chain matches the ledger's. Its answers are stale until the follower has marked the entries
between its sequence and the watermark.
"""

import threading
from collections.abc import Iterator, Sequence

from scoring.base.time import DAY
from scoring.scores.answer import MadeBy
from service.scores.book.generation_file import GenerationDamaged, GenerationFile, StoredAnswer
from service.scores.book.table import UNKNOWN, AnswerTable, RememberedAnswer


class Generation:
    """An open generation and its ended answers. Thread-safe: a bit is only ever set."""

    def __init__(self, file: GenerationFile) -> None:
        self.file = file
        self.head = file.head
        self.made_by = file.head.made_by
        self.key = (file.head.day, self.made_by)
        self.is_joined = False
        self.is_complete = False
        self.is_foreign = False
        self.problem = ""
        self._ended = bytearray(file.sellers)

    def end_answer_if_any(self, name: str, sequence: int) -> None:
        """Note an entry: the seller's answer is no longer exact, if the entry is later."""
        if sequence <= self.head.sequence or self.problem:
            return
        try:
            for place in self.file.find_places(name):
                self._ended[place] = 1
        except (GenerationDamaged, OSError) as error:
            self.problem = str(error)

    def is_exact(self, answer: StoredAnswer) -> bool:
        """Return whether no entry ended an answer; False until all marks are there."""
        return self.is_complete and not self._ended[answer.place] and not self.problem

    def find(self, name: str) -> StoredAnswer | None:
        """Return a seller's answer, also an ended one, unless a read ever failed."""
        if self.problem:
            return None
        try:
            return self.file.find(name)
        except (GenerationDamaged, OSError) as error:
            self.problem = str(error)
            return None

    def make_answer(self, stored: StoredAnswer) -> RememberedAnswer:
        """Return the file's answer as the table keeps answers."""
        head = self.head
        answer = RememberedAnswer(
            stored.body, self.made_by, head.sequence, head.known_time, head.observe_time, stored.until
        )
        answer.as_of = min(head.made_time, head.observe_time)
        return answer


class Generations:
    """Thread-safe: a change replaces one reference."""

    def __init__(self, table: AnswerTable) -> None:
        self._table = table
        self._all: tuple[Generation, ...] = ()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Generation]:
        return iter(self._all)

    def add(self, generation: Generation) -> None:
        """Put the latest sequence of one day, model and policy first."""
        generation.is_joined = True
        with self._lock:
            generations = (*self._all, generation)
            self._all = tuple(sorted(generations, key=lambda item: (item.head.day, item.head.sequence), reverse=True))

    def drop(self, generation: Generation) -> None:
        with self._lock:
            self._all = tuple(other for other in self._all if other is not generation)

    def clear(self) -> None:
        with self._lock:
            self._all = ()

    def end_answers(self, entries: Sequence[tuple[str, int]]) -> None:
        """End sellers' answers in every generation; `entries`: (resource name, sequence)."""
        for generation in self._all:
            for name, sequence in entries:
                generation.end_answer_if_any(name, sequence)

    def adopt(self, name: str, made_by: MadeBy, observe_time: int) -> RememberedAnswer | None:
        """Return a seller's exact answer for a time (microseconds), model and policy, after keeping it in the table,
        or None.
        """
        clear_count, key = self._table.clear_count, (observe_time // DAY, made_by)
        generation = next((other for other in self._all if other.is_complete and other.key == key), None)
        answer = None if generation is None else generation.find(name)
        if generation is None or answer is None:
            return None
        return self._table.adopt(name, generation.make_answer(answer), lambda: generation.is_exact(answer), clear_count)

    def latest(self, name: str, made_by: MadeBy, now: int, day: int | None = None) -> RememberedAnswer | None:
        """Return a seller's latest answer by a model and policy, at most as late as `now` (microseconds), exact or
        not.

        `day` is in days since 1970; None: any. Another model may still wait for its promotion.
        """
        for generation in self._all:
            is_wanted = generation.made_by == made_by and generation.head.observe_time <= now
            is_wanted = is_wanted and day in {None, generation.head.day}
            stored = generation.find(name) if is_wanted else None
            if stored is not None:
                answer = generation.make_answer(stored)
                answer.last = 0 if generation.is_exact(stored) else UNKNOWN
                return answer
        return None

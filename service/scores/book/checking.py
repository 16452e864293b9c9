import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple

from scoring.scores.answer import MadeBy
from service.ledger.records import Cut
from service.tally import Tally

SHARE = 0.01

MAX_REST_SECONDS = 10.0


class AnswerToCheck(NamedTuple):
    name: str
    body: bytes
    made_by: MadeBy
    cut: Cut


class Checker:
    """Recomputes one remembered answer at a time, in one thread.

    `tally` counts `same`, `differed` and `not_checked`; `report` gets a line for each difference.
    """

    def __init__(
        self,
        recompute: Callable[[str, Cut], tuple[bytes, MadeBy] | None],
        tally: Tally[str],
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._recompute = recompute
        self._tally = tally
        self._report = report
        self._samples: SimpleQueue[AnswerToCheck | None] = SimpleQueue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="book-checker", daemon=True)
        self.is_free = True

    def start(self) -> None:
        self._thread.start()

    def close(self, seconds: float | None = None) -> None:
        self._ended.set()
        self._samples.put(None)
        if self._thread.is_alive():
            self._thread.join(seconds)

    def offer(self, remembered: AnswerToCheck) -> None:
        """Give the thread an answer to recompute, while `is_free`; lock-free."""
        self.is_free = False
        self._samples.put(remembered)

    def check(self, remembered: AnswerToCheck) -> bool:
        """Recompute an answer; return False if it differs. Another model or policy by now passes."""
        recomputed = self._recompute(remembered.name, remembered.cut)
        if recomputed is not None and recomputed[1] != remembered.made_by:
            return True
        is_same = recomputed is not None and recomputed[0] == remembered.body
        self._tally.add("same" if is_same else "differed")
        if not is_same:
            self._report(f"an answer of the book differs from its recomputation at {remembered.cut}")
        return is_same

    def _run(self) -> None:
        while (remembered := self._samples.get()) is not None and not self._ended.is_set():
            began = time.thread_time()
            try:
                self.check(remembered)
            except Exception:  # noqa: BLE001 (the ledger may be away; the next sample is as good)
                self._tally.add("not_checked")
            self._ended.wait(min((time.thread_time() - began) * (1 / SHARE - 1), MAX_REST_SECONDS))
            self.is_free = True

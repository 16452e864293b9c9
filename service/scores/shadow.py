"""The shadow: a model that scores live requests beside the champion; no caller gets its answers.

`offer` queues an answered request, or counts it as dropped, and returns at once. One thread scores it with at most
SHARE of a core, and appends the comparison to a file of JSON lines. Its failures change no answer.
"""

import fcntl
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from scoring.model.artifact import Artifact
from scoring.scores.answer import Stamp, TrustScore
from scoring.scores.score import CoreAnswer, compute_answer
from service.registry.moves import SHADOW
from service.registry.registry import Registry
from service.repeated_work import describe_problem

MAX_WAITING = 256
MAX_ROWS = 200_000
"""Behind the queued requests: about 100 MB."""
SHARE = 0.25
MAX_BYTES = 128 << 20
"""A file of this size is set aside and replaces the earlier one: at most 256 MB per model."""
RETRY_SECONDS = 30.0


class Answered(NamedTuple):
    marketplace: str
    core: CoreAnswer
    stamp: Stamp

    @property
    def rows(self) -> int:
        return len(self.core.known.table)


class Shadow:
    def __init__(self, folder: Path, registry: Registry, report: Callable[[str], None]) -> None:
        self._folder = folder
        self._registry = registry
        self._report = report
        self._artifact: Artifact | None = None
        self._waiting: queue.Queue[Answered] = queue.Queue(MAX_WAITING)
        self._rows = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._problem = ""
        self._due = 0.0
        self.counts = {"compared": 0, "dropped": 0, "failed": 0}
        """Compared sellers; requests dropped from a full queue; failed requests."""
        self._reported = dict(self.counts)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._attempt(self._tell_counts)

    def offer(self, answered: Answered) -> None:
        """Queue an answered request; never waits. A full queue drops and counts it."""
        if self._artifact is None:
            return
        with self._lock:
            if self._rows + answered.rows <= MAX_ROWS and not self._waiting.full():
                self._rows += answered.rows
                self._waiting.put_nowait(answered)
            else:
                self.counts["dropped"] += 1

    def _run(self) -> None:
        while not self._stop.is_set():
            self._attempt(self._look)
            try:
                answered = self._waiting.get(timeout=0.1)
            except queue.Empty:
                self._attempt(self._tell_counts)
                continue
            with self._lock:
                self._rows -= answered.rows
            began = time.thread_time()
            if not self._attempt(partial(self._compare, answered)):
                self.counts["failed"] += 1
            self._stop.wait(min((time.thread_time() - began) * (1 / SHARE - 1), 1.0))

    def _attempt(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (whatever it is, no answer may suffer)
            problem = describe_problem(error)
            if problem != self._problem:
                self._problem = problem
                self._report(problem)
            return False
        return True

    def _look(self) -> None:
        """Use the alias's model. A rejected model is tried again later; meanwhile there is no shadow."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._registry.look_seconds
        wanted = self._registry.aliases().get(SHADOW)
        if wanted == (self._artifact.digest if self._artifact else None):
            return
        self._artifact = None
        self._due = time.monotonic() + RETRY_SECONDS
        if wanted is not None:
            self._artifact = self._registry.load(wanted)
            self._problem = ""
        self._due = time.monotonic() + self._registry.look_seconds

    def _compare(self, answered: Answered) -> None:
        artifact, stamp = self._artifact, answered.stamp
        if artifact is None or artifact.digest == stamp.model_digest:
            return
        known = answered.core.known
        shadows = compute_answer(known, artifact, answered.core.policy).scores
        lines = [
            {
                "marketplace": answered.marketplace,
                "seller": seller,
                "observe_time": stamp.observe_time,
                "sequence": stamp.ledger_sequence,
                "champion": stamp.model_digest,
                "policy": stamp.policy_digest,
                "points": [champion.points, shadow.points],
                "tier": [_name(champion), _name(shadow)],
            }
            for seller, champion, shadow in zip(known.sellers, answered.core.scores, shadows, strict=True)
            if champion is not None and shadow is not None and champion.points is not None
        ]
        self._append(artifact.digest, lines)
        self.counts["compared"] += len(lines)

    def _tell_counts(self) -> None:
        artifact, now = self._artifact, dict(self.counts)
        news = {name: now[name] - self._reported[name] for name in ("dropped", "failed")}
        if artifact is not None and any(news.values()):
            self._append(artifact.digest, [news])
            self._reported = now

    def _append(self, digest: str, lines: Sequence[dict[str, Any]]) -> None:
        if not lines:
            return
        path = file_of(self._folder, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
        append_whole(path, data)


def append_whole(path: Path, data: bytes) -> None:
    """Append data to a file in one piece, setting the file aside first if it would become too large.

    Safe for many processes. Raises OSError if the data cannot be written whole.
    """
    while not _try_append(path, data):
        pass


def _try_append(path: Path, data: bytes) -> bool:
    """Return False, with nothing written, if the file was or is now set aside: open the path again."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        opened = os.fstat(file)
        if not path.exists() or not os.path.samestat(opened, path.stat()):
            return False
        if opened.st_size and opened.st_size + len(data) > MAX_BYTES:
            path.replace(path.with_suffix(".1.jsonl"))
            return False
        if os.write(file, data) < len(data):
            raise OSError(f"{path} could not be written whole; is the disk full?")
        return True
    finally:
        os.close(file)


def file_of(folder: Path, digest: str) -> Path:
    """Return the path of a shadow model's comparisons. A full file is renamed to `.1.jsonl`."""
    return folder / f"{digest[:16]}.jsonl"


def _name(answer: TrustScore) -> str:
    return answer.own_tier.name.lower() if answer.own_tier else ""

"""The record of measures under kills: workers that end by SIGKILL between two appends, and two workers at once.

The record is compared with an undisturbed worker's.
"""

import os
import random
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from scoring.entries.kinds.decisions import MeasureChanged
from service.ledger.store import Ledger
from tests.helpers.builders import Clock
from tests.helpers.recordings import Told, facts_of, history, recorded, undisturbed

KILLS = 100
SHARED = 10
DECISIONS = 30

Record = dict[str, Sequence[MeasureChanged]]


def measure() -> dict[str, float]:
    found: Counter[str] = Counter()
    seed = 0
    while found["tries"] < KILLS:
        seed += 1
        with tempfile.TemporaryDirectory() as folder:
            found += Counter(_killed(Path(folder), seed))
    for number in range(SHARED):
        with tempfile.TemporaryDirectory() as folder:
            found += Counter(_shared(Path(folder), 1_000 + number))
    names = ("tries", "statements", "lost", "duplicated", "out_of_order")
    return {f"worker.{name}": found[name] for name in names}


def _killed(folder: Path, seed: int) -> dict[str, int]:
    url, clock = f"sqlite:///{folder}/ledger.db", Clock()
    with Ledger.open(url, create=True, clock=clock) as ledger:
        told = Told(ledger, clock)
        told.worker.look()
        history(told, DECISIONS, seed)
    chance, kills = random.Random(seed), 0
    while _work_in_a_process(url, clock.now, chance.randint(1, 3)):
        kills += 1
    with Ledger.open(url, clock=clock) as ledger:
        found = facts_of(recorded(Told(ledger, clock)))
    return {"tries": kills, **_compare(found, undisturbed(folder, seed))}


def _work_in_a_process(url: str, now: int, appends: int) -> bool:
    child = os.fork()
    if child == 0:
        with ExitStack() as stack:
            stack.callback(os._exit, 1)
            clock = Clock(now)
            ledger = stack.enter_context(Ledger.open(url, clock=clock))
            append, left = ledger.append, [appends]

            def counted(*arguments: object, **named: object) -> object:
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                return append(*arguments, **named)  # type: ignore[arg-type]

            ledger.append = counted  # type: ignore[assignment, method-assign]
            Told(ledger, clock).worker.look()
            ledger.close()
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) == signal.SIGKILL
    if os.WEXITSTATUS(status):
        raise RuntimeError("a worker's process ended by an error")
    return False


def _shared(folder: Path, seed: int) -> dict[str, int]:
    url, clock = f"sqlite:///{folder}/ledger.db", Clock()
    with Ledger.open(url, create=True, clock=clock) as one, Ledger.open(url, clock=clock) as other:
        told = Told(one, clock)
        told.worker.look()
        history(told, DECISIONS, seed)
        threads = [threading.Thread(target=told.another(ledger).look) for ledger in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = facts_of(recorded(told))
    return _compare(found, undisturbed(folder, seed))


def _compare(found: Record, wanted: Record) -> dict[str, int]:
    figures: Counter[str] = Counter()
    for seller, facts in wanted.items():
        have, want = Counter(map(repr, found[seller])), Counter(map(repr, facts))
        lost, surplus = (want - have).total(), (have - want).total()
        moved = sum(a != b for a, b in zip(found[seller], facts, strict=False)) if not lost and not surplus else 0
        figures += Counter({"statements": len(facts), "lost": lost, "duplicated": surplus, "out_of_order": moved})
    return dict(figures)

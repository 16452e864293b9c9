"""The ledger under kill -9, retries, a clock that jumps and an owner who tampers: nothing lost, doubled, half or unseen."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

from sqlalchemy import Engine, create_engine, text

from scoring.entries import Entry
from scoring.errors import EntryContentDiffers
from scoring.kinds import ExposureStated
from service.ledger import Ledger
from service.ledger.store import wall_clock
from tests.bench._fault_writer import BATCH, MARKETPLACE, batch
from tests.bench._real_data import Say
from tests.databases import BACKENDS, database

LONG = {"kill": 200, "retry": 1_000_000, "tamper": 10_000, "clock": 2_000}
SHORT = {"kill": 4, "retry": 3_000, "tamper": 60, "clock": 200}
CLIENTS = 64
HOUR = 3600 * 1_000_000


def run(say: Say, tries: dict[str, int] | None = None, seed: int | None = None) -> dict[str, float]:
    """Figures by fault and database: tries, and lost, duplicated, partial, undetected, which must all be 0."""
    tries = tries or LONG
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    say(f"seed {seed}")
    figures: dict[str, float] = {"seed": seed}
    faults = {"kill": _kill, "retry": _retry, "clock": _clock, "tamper": _tamper}
    for name, fault in faults.items():
        for backend in BACKENDS:
            if name == "tamper" and backend != "sqlite":
                continue  # the seals are the same code; tests/service/ledger/test_seals.py tampers with both
            with tempfile.TemporaryDirectory() as folder, database(backend, Path(folder)) as url:
                started = time.perf_counter()
                found = fault(url, tries[name], random.Random(seed))
                key = f"{name}.{'postgres' if backend == 'postgresql' else backend}"
                figures |= {f"{key}.{part}": value for part, value in found.items()}
                say(f"  {key:16} {found}  {time.perf_counter() - started:.0f} s")
    return figures


def _kill(url: str, tries: int, chance: random.Random) -> dict[str, int]:
    """A writer killed at random moments and started again from what it had acknowledged."""
    acknowledged = 0
    for _ in range(tries):
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.bench._fault_writer", url, str(acknowledged + 1)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert writer.stdout is not None
        lines = iter(writer.stdout.readline, "")
        first = next(lines, "")
        acknowledged = max(acknowledged, int(first or 0))
        killer = threading.Timer(chance.uniform(0, 0.3), os.kill, (writer.pid, signal.SIGKILL))
        killer.start()
        for line in lines:
            if line.endswith("\n"):
                acknowledged = int(line)
        killer.join()
        writer.wait()
        writer.stdout.close()
    with Ledger.open(url) as ledger:
        counts = _counts(ledger)
        mismatch = ledger.verify([], lambda done, total: None).mismatch
    return {
        "tries": tries,
        "acknowledged": acknowledged * BATCH,
        "lost": sum(BATCH - counts.get(k, 0) for k in range(1, acknowledged + 1)),
        "duplicated": sum(max(count - BATCH, 0) for count in counts.values()),
        "partial": sum(0 < count < BATCH for count in counts.values()),
        "undetected": int(mismatch is not None),
    }


def _counts(ledger: Ledger) -> dict[int, int]:
    """Entries in the ledger by batch."""
    counts: dict[int, int] = {}
    for rows in ledger.export_rows(MARKETPLACE, ledger.cut()):
        for row in rows:
            number = int(row[2].split("-")[1])
            counts[number] = counts.get(number, 0) + 1
    return counts


def _retry(url: str, tries: int, chance: random.Random) -> dict[str, int]:
    """64 clients that append the same few hundred batches again and again, and sometimes other content."""
    keys = 200
    wrongly_taken: list[str] = []
    seeds = [chance.random() for _ in range(CLIENTS)]
    with Ledger.open(url) as ledger:

        def client(seed: float) -> None:
            mine = random.Random(seed)
            for _ in range(max(tries // CLIENTS // BATCH, 1)):
                number = mine.randrange(1, keys + 1)
                ledger.append(MARKETPLACE, batch(number))
                other = Entry(f"f-{number}-0", "s-0", ExposureStated(10_000, 999, revision=number))
                if mine.random() < 0.05:
                    try:
                        ledger.append(MARKETPLACE, [other])
                        wrongly_taken.append(other.entry_id)
                    except EntryContentDiffers:
                        pass

        threads = [threading.Thread(target=client, args=(seed,)) for seed in seeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts = _counts(ledger)
    return {
        "tries": tries,
        "lost": 0 if counts else 1,
        "duplicated": sum(max(count - BATCH, 0) for count in counts.values()) + len(wrongly_taken),
        "partial": sum(0 < count < BATCH for count in counts.values()),
    }


def _clock(url: str, tries: int, chance: random.Random) -> dict[str, int]:
    """A clock that jumps an hour ahead and back between appends: order and knowledge follow the sequence."""
    shift = 0
    known: list[tuple[int, int]] = []
    with Ledger.open(url, clock=lambda: wall_clock() + shift) as ledger:
        for number in range(1, tries + 1):
            shift = chance.choice((-HOUR, 0, HOUR))
            done = ledger.append(MARKETPLACE, [Entry(f"f-{number}-0", "s", ExposureStated(10_000, 1, revision=number))])
            known.append((done[0].sequence, done[0].record_time))
        hidden = int(ledger.cut().sequence != tries)
    disordered = sum(later[1] < earlier[1] for earlier, later in pairwise(known))
    gaps = sum(sequence != place for place, (sequence, _) in enumerate(known, 1))
    return {"tries": tries, "lost": gaps + hidden, "disordered": disordered}


def _tamper(url: str, tries: int, chance: random.Random) -> dict[str, int]:
    """Single-row edits, deletions and swaps by the owner of the database, each undone before the next."""
    with Ledger.open(url) as ledger:
        for number in range(1, 21):
            ledger.append(MARKETPLACE, batch(number))
        checkpoint, last = ledger.checkpoint(), ledger.last()[0]
    undetected = 0
    with ExitStack() as stack:
        engine = stack.enter_context(_owner(url))
        columns = ("seller", "entry_id", "content", "report_time", "settled_orders", "digest")
        for _ in range(tries):
            a, b = chance.sample(range(1, last + 1), 2)
            with engine.begin() as connection:
                before = connection.execute(
                    text("SELECT * FROM entry WHERE sequence IN (:a, :b)"), {"a": a, "b": b}
                ).all()
                kind = chance.choice(("edit", "delete", "swap"))
                if kind == "edit":
                    column = chance.choice(columns)
                    value = {"report_time": "report_time - 1", "settled_orders": "settled_orders + 1"}.get(
                        column, f"{column} || 'x'" if column != "digest" else "(SELECT root FROM seal LIMIT 1)"
                    )
                    connection.execute(text(f"UPDATE entry SET {column} = {value} WHERE sequence = {a}"))
                else:
                    connection.execute(text(f"DELETE FROM entry WHERE sequence IN ({a}, {b})"))
                    if kind == "swap":
                        _insert(
                            connection,
                            [(b, *before[0][1:]), (a, *before[1][1:])]
                            if before[0][0] == a
                            else [(a, *before[0][1:]), (b, *before[1][1:])],
                        )
            with Ledger.open(url) as ledger:
                undetected += ledger.verify([checkpoint], lambda done, total: None).mismatch is None
            with engine.begin() as connection:
                connection.execute(text(f"DELETE FROM entry WHERE sequence IN ({a}, {b})"))
                _insert(connection, [tuple(row) for row in before])
    return {"tries": tries, "undetected": undetected}


def _insert(connection, rows) -> None:  # type: ignore[no-untyped-def]
    marks = ", ".join("?" * len(rows[0]))
    connection.exec_driver_sql(f"INSERT INTO entry VALUES ({marks})", list(rows))


@contextmanager
def _owner(url: str) -> Iterator[Engine]:
    """The owner of a SQLite ledger, who has dropped its triggers."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for name in ("entry_no_update", "entry_no_delete"):
            connection.execute(text(f"DROP TRIGGER {name}"))
    yield engine
    engine.dispose()

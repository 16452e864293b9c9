"""The ledger under kill -9, crashes of PostgreSQL and full disks; a million entries verified and restored; a recall.

By fault and database: `tries`, `acknowledged` entries, and figures that must be 0. `million`: seconds to verify,
back up and restore. `recall`: milliseconds of a listing (median of 20) of a product that 8,000 sellers list, seconds of
a recall at 100,000 sellers and of its confirmation. `--only NAME`: one part. `BENCH_SEED` repeats a run.
"""

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from scoring.base.enums import Harm, Source
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductListed, ProductViolationReported
from service.ledger.database.database import Database
from service.ledger.seals.backup import write_backup
from service.ledger.seals.restore import restore_backup
from service.ledger.store import Ledger
from tests.bench._faults import Unable, disk_full, kill, restart
from tests.bench._real_data import Say
from tests.helpers.builders import MARKET, ago, status
from tests.helpers.databases import BACKENDS, database
from tests.helpers.ledgers import verify
from tests.helpers.rows import insert_entries, seal_entries

ENTRIES, SELLERS, LISTINGS, BATCH = 1_000_000, 100_000, 8_000, 10_000


def run(say: Say, only: str = "") -> dict[str, float]:
    seed = int(os.environ.get("BENCH_SEED", random.SystemRandom().randrange(1 << 31)))
    random.seed(seed)
    figures: dict[str, float] = {"seed": seed}
    for name, measure in PARTS.items():
        for backend in BACKENDS if only in {"", name} else ():
            with tempfile.TemporaryDirectory() as folder:
                try:
                    found = measure(backend, Path(folder))
                except Unable as reason:
                    say(f"  {name}.{backend}: not run: {reason}")
                    continue
            say(f"  {name}.{backend}: {found}")
            figures |= {f"{name}.{backend}.{key}": value for key, value in found.items()}
    return figures


def million(backend: str, folder: Path, entries: int = ENTRIES) -> dict[str, float]:
    figures: dict[str, float] = {}
    file = folder / "ledger.backup"
    with database(backend, folder) as url, database(backend, folder, empty=True) as target:
        with closing(Database(url)) as place, place.write() as connection:
            insert_entries(connection, entries)
            seal_entries(connection)
        with Ledger.open(url) as ledger, _timed(figures, "verify_s"):
            found = verify(ledger, ledger.seals.last())
        with closing(Database(url)) as place, _timed(figures, "backup_s"):
            write_backup(place, file, lambda step, done, total: None, now=1)
        with closing(Database(target)) as place, _timed(figures, "restore_s"):
            restored = restore_backup(place, file, lambda step, done, total: None)
    return figures | {
        "verified": 0 if found.mismatch else found.entries,
        "restored": restored.tables["entry"].rows,
        "backup_mb": round(file.stat().st_size / 1e6, 1),
    }


def recall(backend: str, folder: Path, sellers: int = SELLERS, listings: int = LISTINGS) -> dict[str, float]:
    figures: dict[str, float] = {}
    with database(backend, folder) as url, Ledger.open(url) as ledger:
        _list(ledger, "popular", listings)
        ledger.append(MARKET, [_report("popular", "first"), _report("popular", "second")])
        took = []
        for number in range(20):
            entry = Entry(f"one-more-{number}", f"late-{number}", ProductListed("popular"), ago(1))
            started = time.perf_counter()
            ledger.append(MARKET, [entry])
            took.append(time.perf_counter() - started)
        figures["one_more_listing_ms"] = round(statistics.median(took) * 1000, 2)
        _list(ledger, "recalled", sellers)
        for name, entry in (("recall_s", _report("recalled", "recall")), ("confirm_s", status("recall"))):
            with _timed(figures, name):
                ledger.append(MARKET, [entry])
    return figures


def _list(ledger: Ledger, product: str, count: int) -> None:
    for first in range(0, count, BATCH):
        part = range(first, min(first + BATCH, count))
        ledger.append(MARKET, [Entry(f"l-{product}-{n}", f"s-{n}", ProductListed(product), ago(30)) for n in part])


def _report(product: str, entry_id: str) -> Entry:
    return Entry(
        entry_id, "", ProductViolationReported("unsafe_product", Harm.HIGH, Source.RANDOM_AUDIT, product), ago(20)
    )


@contextmanager
def _timed(figures: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    figures[name] = round(time.perf_counter() - started, 2)


PARTS: dict[str, Callable[[str, Path], dict[str, float]]] = {
    "kill": kill,
    "restart": restart,
    "disk_full": disk_full,
    "million": million,
    "recall": recall,
}

"""Products that very many sellers list: one more listing, and a recall of one at 100,000 sellers, on both databases.

RECALLS_SELLERS=100000 sets the sellers of the recall, RECALLS_LISTINGS=8000 those of the listed product.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductListed, ProductViolationReported
from scoring.enums import Action, Harm, Source
from service.api.garbage_collection import freeze_loaded_objects
from service.ledger.store import Ledger
from tests.bench._durable import BACKENDS, new_databases
from tests.bench._real_data import Say
from tests.builders import MARKET, ago, status

BATCH = 10_000


def run(say: Say) -> dict[str, float]:
    """Milliseconds of a listing (median of 20), seconds of a recall and of confirming it, the longest time under the lock."""
    sellers, listings = (int(os.environ.get(f"RECALLS_{n}", d)) for n, d in (("SELLERS", 100_000), ("LISTINGS", 8_000)))
    figures: dict[str, float] = {}
    freeze_loaded_objects()
    for backend in BACKENDS:
        with tempfile.TemporaryDirectory() as folder, new_databases(backend, Path(folder)) as new_database:
            with Ledger.open(new_database()) as ledger:
                found = {**_listing(ledger, listings), **_recall(ledger, sellers)}
            for name, value in found.items():
                figures[f"{backend}.{name}"] = value
                say(f"  {backend}.{name:32} {value:,}")
    return figures


def _listing(ledger: Ledger, count: int) -> dict[str, float]:
    """One more listing of a product that `count` sellers list, of which two violations are on record."""
    _list(ledger, "popular", count)
    ledger.append(MARKET, [_report("popular", "first"), _report("popular", "second")])
    took = []
    for number in range(20):
        entry = Entry(f"one-more-{number}", f"late-{number}", ProductListed("popular"), ago(1))
        started = time.perf_counter()
        ledger.append(MARKET, [entry])
        took.append(time.perf_counter() - started)
    return {"one_more_listing_ms": round(statistics.median(took) * 1000, 2)}


def _recall(ledger: Ledger, count: int) -> dict[str, float]:
    _list(ledger, "recalled", count)
    figures: dict[str, float] = {"recall_sellers": count}
    for name, entry in (("recall", _report("recalled", "recall")), ("confirm", status("recall", Action.CONFIRM))):
        with _watching(ledger) as locks:
            started = time.perf_counter()
            ledger.append(MARKET, [entry])
            figures[f"{name}_seconds"] = round(time.perf_counter() - started, 2)
        figures[f"{name}_longest_lock_seconds"] = round(max(locks), 3)
    started = time.perf_counter()
    faults = ledger.verify([], lambda done, total: None).faults
    return figures | {"verify_seconds": round(time.perf_counter() - started, 2), "verify_faults": len(faults)}


def _list(ledger: Ledger, product: str, count: int) -> None:
    for first in range(0, count, BATCH):
        part = range(first, min(first + BATCH, count))
        ledger.append(MARKET, [Entry(f"l-{product}-{n}", f"s-{n}", ProductListed(product), ago(30)) for n in part])


def _report(product: str, entry_id: str) -> Entry:
    fact = ProductViolationReported("unsafe_product", Harm.HIGH, Source.RANDOM_AUDIT, product)
    return Entry(entry_id, "", fact, ago(20))


@contextmanager
def _watching(ledger: Ledger) -> Iterator[list[float]]:
    """Seconds that each write held the lock, its commit included."""
    database, write, seconds = ledger._database, ledger._database.write, list[float]()

    @contextmanager
    def timed() -> Iterator[Any]:
        held = 0.0
        try:
            with write() as connection:
                held = time.perf_counter()
                yield connection
        finally:
            seconds.append(time.perf_counter() - held)

    database.write = timed  # type: ignore[method-assign]
    try:
        yield seconds
    finally:
        del database.write  # type: ignore[method-assign]

"""The preview of a policy over a ledger of many sellers, on SQLite: read, placed by both policies, and compared."""

import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import perf_counter

from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.policy.policy import Policy
from service.cli.policy_preview import SAMPLE
from service.ledger.store import Ledger
from service.policy.preview import Question, preview
from tests.bench._processes import read_peak_mb
from tests.helpers.builders import MARKET, NOW, TODAY, Clock, confirmed, exposure, identity
from tests.helpers.worlds import artifact

BATCH = 10_000


def measure(sellers: int, before: Policy, after: Policy, progress: Callable[[str, int, int], None]) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger.open(f"sqlite:///{Path(folder) / 'ledger.db'}", create=True, clock=Clock()) as ledger,
    ):
        entries, done = _entries(sellers), 0
        while batch := [*islice(entries, BATCH)]:
            ledger.append(MARKET, batch, imported=True)
            done += len(batch)
            progress("filling", min(done, 3 * sellers), 3 * sellers)
        asked = Question(before, after, artifact(), ledger.cut(), TODAY - 90, 1_000)
        begin = perf_counter()
        preview(ledger, [MARKET], replace(asked, max_violations=0), progress, SAMPLE)
        sampled = perf_counter() - begin
        begin = perf_counter()
        found = preview(ledger, [MARKET], asked, progress)
        took = perf_counter() - begin
    everybody = found.segments["all", "all"]
    moved = everybody["stricter"] + everybody["laxer"] + everybody["mixed"]
    return {
        f"preview_s.{sellers}": round(took, 1),
        f"preview.sample_s.{sellers}": round(sampled, 1),
        f"preview.rss_mb.{sellers}": round(read_peak_mb()),
        f"preview.moved.{sellers}": moved,
    }


def _entries(sellers: int) -> Iterator[Entry]:
    chance = random.Random(2016)
    for number in range(sellers):
        seller, known = f"s-{number}", NOW - chance.randrange(95, 600) * DAY
        yield identity(f"i-{number}", seller, occur_time=known, report_time=known)
        for day in (TODAY - 1, TODAY - 92):
            orders, time = int(10 ** (chance.random() * 4)), (day + 1) * DAY - 1
            value = {"value_minor": orders * 3_000, "currency": "EUR"}
            category = chance.choice(["toys", "food", "tools"])
            yield exposure(
                day, seller, settled_orders=orders, product_category=category, report_time=min(time, NOW), **value
            )
        if number % 20 == 0:
            yield confirmed(f"v-{number}", seller, occur_time=NOW - chance.randrange(1, 85) * DAY)

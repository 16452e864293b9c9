"""Remembered scores, batches, computed scores, processes, and peers; on SQLite and PostgreSQL."""

import time
from collections.abc import Callable, Mapping
from functools import partial

from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.settings import load
from tests.bench import _book, peers
from tests.bench._miss import miss_figures
from tests.bench._processes import measure_processes
from tests.bench._real_data import Say
from tests.bench._trained_market import MARKETPLACE, SELLERS, trained_market


def run(say: Say) -> dict[str, float]:
    figures: dict[str, float] = {}

    def add(prefix: str, measure: Callable[[], Mapping[str, float]]) -> None:
        began = time.monotonic()
        found = {f"{prefix}{key}": value for key, value in measure().items()}
        for key, value in found.items():
            say(f"  {key:34} {value}")
        say(f"  in {time.monotonic() - began:.0f} s")
        figures.update(found)

    policy = load_policy(load({}))
    with trained_market(say) as (place, url, artifact):
        for prefix, at in (("", f"sqlite:///{place}/ledger.db"), ("postgres.", url)):
            add(prefix, partial(_book.measure, place, at))
            with Ledger.open(at) as ledger:
                add(prefix, partial(miss_figures, ledger, artifact, policy))
        add("", partial(peers.measure, place, url, artifact))
        add("", partial(measure_processes, place, url, MARKETPLACE, SELLERS))
    return figures

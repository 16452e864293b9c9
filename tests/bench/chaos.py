"""Faults to survive: overload, floods, restarts, no database, races, clocks, midnight, swaps, cancelled calls, cold badges.

`--only NAME`: one.
"""

import os
import random

from tests.bench import (
    _cancelled,
    _clocks,
    _cold_badges,
    _database_away,
    _freshness,
    _marketplace_flood,
    _midnight,
    _mixed_swaps,
    _overload,
    _races,
    _restarts,
)
from tests.bench._real_data import Say

PARTS = {
    "overload": _overload.run,
    "marketplaces": _marketplace_flood.run,
    "cancelled": _cancelled.run,
    "restarts": _restarts.run,
    "database_away": _database_away.run,
    "races": _races.run,
    "clocks": _clocks.run,
    "midnight": _midnight.run,
    "swaps": _mixed_swaps.run,
    "cold_badges": _cold_badges.run,
    "freshness": _freshness.run,
}


def run(say: Say, only: str = "") -> dict[str, float]:
    """Return the figures of one fault, or all. `CHAOS_SEED` repeats a printed seed."""
    seed = int(os.environ.get("CHAOS_SEED", random.SystemRandom().randrange(2**32)))
    random.seed(seed)
    say(f"CHAOS_SEED={seed}")
    figures: dict[str, float] = {"seed": seed}

    def show(name: str, value: float) -> None:
        figures[name] = value
        say(f"  {name:34} {value}")

    for name, measure in PARTS.items():
        if only in {"", name}:
            measure(show)
    return figures

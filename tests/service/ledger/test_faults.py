"""A short run of `./dev bench ledger-faults`: what must never happen, in figures that must be 0."""

import random

import pytest

from tests.bench.ledger_faults import MUST_BE_0, NAMES, SHORT, Unable, run_one
from tests.databases import BACKENDS

LONG = ("kill", "replay", "restart")
"""Of kills, replays and restarts the tests of appends, stamps and servers promise the same in less."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in NAMES])
def test_a_fault_loses_doubles_and_hides_nothing(name: str, backend: str) -> None:
    """Kill -9, retries, a jumping clock, tampering, replays, restarts, a full disk; the seed is printed."""
    seed = random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}")
    try:
        figures = run_one(print, name, backend, SHORT, seed)
    except Unable as reason:
        pytest.skip(str(reason))
    found = {key: value for key, value in figures.items() if key.rsplit(".", 1)[-1] in MUST_BE_0}
    assert found
    assert not any(found.values()), figures

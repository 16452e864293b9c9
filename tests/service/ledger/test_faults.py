"""A short run of `./dev bench ledger`: its fault counts must be 0."""

import tempfile
from functools import partial
from pathlib import Path

import pytest

from tests.bench._faults import Unable, disk_full, kill, restart
from tests.helpers.databases import BACKENDS

FAULTS = {
    "kill": partial(kill, kills=4, entries=2_000),
    "restart": partial(restart, restarts=3),
    "disk_full": partial(disk_full, rounds=2),
}
MUST_BE_0 = {"lost", "duplicated", "partial", "undetected", "untyped", "unreadable"}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [pytest.param("kill", marks=pytest.mark.long), "restart", "disk_full"])
def test_no_fault_loses_or_doubles_what_was_acknowledged(name: str, backend: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # PostgreSQL's own user may not enter pytest's
        try:
            found = FAULTS[name](backend, Path(folder))
        except Unable as reason:
            pytest.skip(str(reason))
    assert found["acknowledged"] > 0
    assert [key for key in MUST_BE_0 & found.keys() if found[key]] == []

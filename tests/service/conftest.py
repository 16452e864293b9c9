"""Tests that take `url` or `ledger` run on SQLite and PostgreSQL, on a copy of an empty ledger."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.ledger.store import Ledger
from tests.helpers.builders import Clock
from tests.helpers.databases import BACKENDS, database


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(backend: str, tmp_path: Path) -> Iterator[str]:
    with database(backend, tmp_path) as url:
        yield url


@pytest.fixture
def empty_url(backend: str, tmp_path: Path) -> Iterator[str]:
    with database(backend, tmp_path, empty=True) as url:
        yield url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(url: str, clock: Clock) -> Iterator[Ledger]:
    with Ledger.open(url, clock=clock) as ledger:
        yield ledger

"""Tests here run on SQLite; those of the ledger cover PostgreSQL."""

import pytest


@pytest.fixture(params=["sqlite"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)

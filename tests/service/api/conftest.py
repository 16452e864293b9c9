"""Tests of the servicers run on SQLite. What is written or locked otherwise on PostgreSQL is asked of the ledger."""

import pytest


@pytest.fixture(params=["sqlite"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)

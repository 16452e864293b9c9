"""A fixture for pytest: `from sellertrust.testing import trust_client` in `conftest.py`."""

from collections.abc import Iterator

import pytest

from sellertrust import local
from sellertrust.client import Client


@pytest.fixture
def trust_client() -> Iterator[Client]:
    """Return a client of a real server with an empty ledger, which ends with the test."""
    with local() as client:
        yield client

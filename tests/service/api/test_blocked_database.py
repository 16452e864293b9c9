"""Locked PostgreSQL tables."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psycopg
import pytest

from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from service.ledger.database import database
from tests.helpers.databases import database as new_database
from tests.helpers.servers import MARKET, identity, running_server

CALLS: dict[str, Callable[[Client], object]] = {
    "append": lambda client: client.append_entries(MARKET, [identity("i2", "s1")], deadline_seconds=20),
    "list": lambda client: list(client.list_entries(MARKET)),
    "score": lambda client: client.get_trust_score(MARKET, "s1", deadline_seconds=20),
}


@contextmanager
def locked(url: str, statement: str) -> Iterator[None]:
    with psycopg.connect(url) as other:
        other.execute(statement.encode())
        yield
        other.rollback()


@pytest.mark.long
@pytest.mark.parametrize("call", CALLS)
def test_a_blocked_statement_is_unavailable_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The error has a reason and advice to retry; the statement is cancelled."""
    monkeypatch.setattr(database, "STATEMENT_SECONDS", 0.3)
    with (
        new_database("postgresql", tmp_path) as url,
        running_server(tmp_path, database_url=url, book_sellers=0) as running,
        running.client(service_config={}) as client,
    ):
        client.append_entries(MARKET, [identity("i1", "s1")])
        with locked(url, "LOCK TABLE entry IN ACCESS EXCLUSIVE MODE"):
            started = time.monotonic()
            with pytest.raises(SellertrustCallError) as caught:
                CALLS[call](client)
            assert time.monotonic() - started < 10
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
        assert caught.value.reason == "LEDGER_UNAVAILABLE"
        assert "timeout" not in str(caught.value)
        CALLS[call](client)

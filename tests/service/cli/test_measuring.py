"""The server that a training measures computes what is timed: nothing is remembered between two calls."""

from pathlib import Path
from typing import Any

import pytest

from service import bootstrap
from service.cli import measuring
from service.ledger.store import Ledger
from tests.scoring.worlds import artifact, policy
from tests.servers import settings_of


def test_the_measured_server_has_no_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(data_dir=tmp_path)
    servers: list[Any] = []

    def noted(*arguments: Any, **named: Any) -> Any:
        servers.append(bootstrap.build_server(*arguments, **named))
        return servers[-1]

    monkeypatch.setattr(measuring, "build_server", noted)
    Ledger.open(settings.database_url, create=True).close()
    measured = measuring.Measuring(settings, "acme", policy())
    with measured._server(artifact()) as client:
        assert client.get_trust_score("acme", "nobody", on_error="unknown").badge == "unknown"
    assert [server._book for server in servers] == [None]

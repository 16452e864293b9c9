from pathlib import Path
from typing import Any

import grpc

from sellertrust.client import Client, SellertrustCallError
from sellertrust.v1 import entry_pb2
from service.api.server import Server
from service.bootstrap import build_scorer
from service.contract.fields import timestamp
from service.ingest.file_import import import_entries
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, NOW, Clock
from tests.helpers.refusals import refusal
from tests.helpers.servers import identity, settings_of
from tests.helpers.worlds import policy

SECOND = 1_000_000


def ahead(entry_id: str, seconds: float) -> entry_pb2.Entry:
    entry = identity(entry_id, "s")
    entry.occur_time.CopyFrom(timestamp(NOW + round(seconds * SECOND)))
    return entry


def refusal_of(client: Client, *entries: entry_pb2.Entry) -> SellertrustCallError:
    return refusal(client.append_entries, MARKET, entries)


def test_five_seconds_ahead_may_be_retried(tmp_path: Path, clock: Clock) -> None:
    settings = settings_of(data_dir=tmp_path)
    with (
        Ledger.open(settings.database_url, create=True, clock=clock) as ledger,
        Server(settings, ledger, build_scorer(ledger, policy())) as server,
        Client(server.address, service_config={}) as client,
    ):
        error = refusal_of(client, ahead("fine", -1), ahead("soon", 2.5))
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OCCUR_TIME_AHEAD")
        assert (error.metadata, error.retry_delay) == ({"entry_id": "soon"}, 2.5)
        assert error.message.startswith(
            "entries[1].occur_time: lies 2.500 s ahead of the ledger's clock, which says 2026"
        )
        assert refusal_of(client, ahead("edge", 5)).retry_delay == 5
        for wrong in (ahead("late", 5.000001), ahead("no id", 0)):
            found = refusal_of(client, ahead("soon", 2.5), wrong)
            assert found.code is grpc.StatusCode.INVALID_ARGUMENT
            assert [field.split(".")[0] for field, _ in found.fields] == ["entries[1]"]
        assert ledger.last() == (0, 0)
        clock.now += round(2.5 * SECOND)
        assert [done.sequence for done in client.append_entries(MARKET, [ahead("fine", -1), ahead("soon", 2.5)])] == [
            1,
            2,
        ]


class Ticking(Clock):
    def __call__(self) -> int:
        self.now += SECOND
        return self.now


def test_an_import_waits_for_rows_that_lie_seconds_ahead(url: str, tmp_path: Path) -> None:
    rows: list[Any] = [
        f'{{"entry_id": "i{n}", "seller": "s", "occur_time": "2026-03-01T12:00:0{n}.2Z", "identity": {{"level": "basic"}}}}'
        for n in range(2)
    ]
    (tmp_path / "now.jsonl").write_text("\n".join(rows))
    with Ledger.open(url, clock=Ticking()) as ledger:
        report = import_entries(ledger, MARKET, tmp_path / "now.jsonl", lambda *_: None)
        assert (report.appended, report.rejects) == (2, [])
        dry = import_entries(ledger, MARKET, tmp_path / "now.jsonl", lambda *_: None, dry_now=NOW)
        assert dry.rejects == []

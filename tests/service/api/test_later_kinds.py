from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from sqlalchemy import text

from scoring.base.enums import Kind
from sellertrust.client import Client
from sellertrust.v1 import entry_pb2
from service.ledger.database.database import insert_entries
from service.ledger.database.rows import PLACE
from service.ledger.seals.chain import leaf_of, seal
from service.ledger.store import Ledger
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, exposure, identity, running_server
from tests.helpers.worlds import artifact

LATER = max(Kind) + 1


def append_later(ledger: Ledger, seller: str) -> None:
    """Append a copy of the last entry as another kind under its own seal, as a later release would."""
    with ledger.database.write() as connection:
        row = list(connection.execute(text("SELECT * FROM entry ORDER BY sequence DESC LIMIT 1")).one())
        sequence = row[0] + 1
        row[:5] = (sequence, MARKET, seller, f"later-{seller}", int(LATER))
        row[PLACE["content"]] = '{"kind":"later","seller":"s-1"}'
        insert_entries(connection, [row])
        seal(connection, sequence, [leaf_of(row)])


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with running_server(tmp_path, artifact=artifact()) as running, running.client() as client:
        for seller in ("s-1", "s-2"):
            client.append_entries(MARKET, [identity(f"i-{seller}", seller), exposure(f"e-{seller}", seller)])
        append_later(running.ledger, "s-1")
        yield client


def test_a_seller_with_an_entry_of_a_later_kind_is_refused(client: Client) -> None:
    asked = {
        "score": lambda seller: client.get_trust_score(MARKET, seller),
        "explanation": lambda seller: client.explain_trust_score(MARKET, seller),
        "measures": lambda seller: client.evaluate_measures(MARKET, seller),
        "entries": lambda seller: [*client.list_entries(MARKET, seller=seller)],
    }
    for name, ask in asked.items():
        error = refusal(ask, "s-1")
        assert (error.code, error.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "ENTRY_KIND_UNKNOWN",
        ), name
        assert "install the release that appended it" in str(error)
        assert ask("s-2"), name
    first, second = client.batch_get_trust_scores(MARKET, ["s-1", "s-2"])
    assert (first.error.reason, second.HasField("trust_score")) == ("ENTRY_KIND_UNKNOWN", True)


def test_an_entry_of_a_later_kind_is_not_corrected(client: Client) -> None:
    correction = entry_pb2.Entry(entry_id="c-1")
    correction.correction.entry, correction.correction.correction = "later-s-1", entry_pb2.CORRECTION_KIND_VOID
    correction.correction.actor, correction.correction.reason = "a-1", "so"
    assert refusal(client.append_entries, MARKET, [correction]).reason == "ENTRY_KIND_UNKNOWN"

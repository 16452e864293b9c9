from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sellertrust.client import Client
from sellertrust.v1 import entry_pb2
from tests.helpers.databases import BACKENDS, database
from tests.helpers.policies import GRADED
from tests.helpers.servers import MARKET, exposure, identity, running_server, violation
from tests.helpers.worlds import artifact

pytestmark = pytest.mark.long

WHY: dict[str, Any] = {"actor": "staff-7", "reason": "one ring, one text"}


@contextmanager
def marketplace(backend: str, folder: Path, entries: list[entry_pb2.Entry]) -> Iterator[Client]:
    folder.mkdir()
    with ExitStack() as stack:
        url = stack.enter_context(database(backend, folder))
        running = stack.enter_context(running_server(folder, artifact=artifact(), database_url=url, policy=GRADED))
        client = stack.enter_context(running.client(deadline_seconds=60))
        client.append_entries(MARKET, entries)
        yield client


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_answer_depends_on_who_reported(backend: str, tmp_path: Path) -> None:
    found = []
    for notifier, action in (("good", "confirm"), ("bad", "dismiss"), ("", "")):
        own = [
            identity("i", "offender"),
            exposure("x", "offender", 400, 40),
            violation("v1", "offender", notifier=notifier, incident="c1"),
            violation("v2", "offender", notifier=notifier, incident="c2", violation_type="order_fraud"),
        ]
        others = [violation(f"o{n}", "another", notifier=notifier) for n in range(30)] if notifier else []
        with marketplace(backend, tmp_path / f"by-{notifier or 'nobody'}", [*own, *others]) as client:
            client.confirm_violation(MARKET, "v1", **WHY)
            for other in others:
                getattr(client, f"{action}_violation")(MARKET, other.entry_id, **WHY)
            if notifier:
                record = client.get_notifier(MARKET, notifier)
                assert (record.reliability > 0.9) == (action == "confirm") == (record.reliability > 0.3)
            explained = client.explain_trust_score(MARKET, "offender")
            explained.trust_score.ClearField("stamp")
            explained.trust_score.ClearField("freshness")
            for reason in explained.reasons:
                for incident in reason.incidents:
                    incident.ClearField("occur_time")  # thirty days before each server's own now
                    del incident.entries[1:]  # the decision's id, made by the client
            found.append(explained)
    assert found[0].trust_score.counted_incidents == 1
    assert found[0].trust_score.open_allegations == 1
    assert found[0] == found[1] == found[2]

"""A ring of notifiers attacks clean sellers. Every answer that matters stays, and the attack can be undone completely."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sellertrust.client import Client
from sellertrust.v1 import entry_pb2
from sellertrust.v1.trust_score_service_pb2 import SCORE_STATE_RATED, TrustScore
from tests.helpers.databases import BACKENDS, database
from tests.helpers.policies import GRADED
from tests.helpers.servers import MARKET, days_ago, exposure, identity, running_server, violation
from tests.helpers.worlds import artifact

pytestmark = pytest.mark.long

GENERAL = GRADED
SELLERS = [f"clean-{n}" for n in range(100)]
RING = [f"ring-{n:02}" for n in range(50)]
COMPLAINTS = 20
ONLY_IF_UPHELD = ("points_if_upheld", "open_allegations")
WHY: dict[str, Any] = {"actor": "staff-7", "reason": "one ring, one text"}


def history() -> list[entry_pb2.Entry]:
    entries = [identity(f"i-{seller}", seller) for seller in (*SELLERS, "offender")]
    for n, seller in enumerate((*SELLERS, "offender")):
        entries += [exposure(f"x-{seller}-{days}", seller, 20 + 25 * n, days) for days in (200, 60, 15, 3)]
    return [*entries, violation("real", "offender", notifier="brand-1", violation_type="order_fraud")]


def attack() -> list[entry_pb2.Entry]:
    """Each ring member complains twenty times on one day: five times about one listing of each of four sellers."""
    moment = days_ago(30)
    entries = [
        violation(
            f"{notifier}-{n}",
            SELLERS[(2 * place + n % 4) % len(SELLERS)],
            notifier=notifier,
            source=entry_pb2.SOURCE_BUYER,
            harm=entry_pb2.HARM_EXTREME,
            listing=f"listing-{n % 4}",
            right="tm-1",
        )
        for place, notifier in enumerate(RING)
        for n in range(COMPLAINTS)
    ]
    for entry in entries:
        entry.occur_time.FromDatetime(moment)
    return entries


@contextmanager
def marketplace(backend: str, folder: Path, entries: list[entry_pb2.Entry]) -> Iterator[Client]:
    folder.mkdir()
    with ExitStack() as stack:
        url = stack.enter_context(database(backend, folder))
        running = stack.enter_context(running_server(folder, artifact=artifact(), database_url=url, policy=GENERAL))
        client = stack.enter_context(running.client(deadline_seconds=60))
        client.append_entries(MARKET, entries)
        yield client


def answers(client: Client, moment: datetime, *without: str) -> dict[str, TrustScore]:
    results = client.batch_get_trust_scores(MARKET, [*SELLERS, "offender"], observe_time=moment)
    for result in results:
        for field in ("stamp", "freshness", *without):
            result.trust_score.ClearField(field)
    return {result.seller: result.trust_score for result in results}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_ring_of_notifiers_moves_nothing_and_leaves_no_trace(backend: str, tmp_path: Path) -> None:
    past = history()
    with ExitStack() as stack:
        quiet = stack.enter_context(marketplace(backend, tmp_path / "quiet", past))
        client = stack.enter_context(marketplace(backend, tmp_path / "attacked", past))
        for one in (quiet, client):
            one.confirm_violation(MARKET, "real", **WHY)
        client.append_entries(MARKET, attack())
        now = datetime.now(UTC)

        # Only the answer if all allegations were true has moved.
        attacked, peaceful = answers(client, now), answers(quiet, now)
        assert answers(client, now, *ONLY_IF_UPHELD) == answers(quiet, now, *ONLY_IF_UPHELD)
        assert len({score.tier for score in peaceful.values()}) > 1
        clean = [score for name, score in attacked.items() if not name.endswith("offender")]
        assert all(score.state == SCORE_STATE_RATED for score in clean)
        assert {score.open_allegations for score in clean} == {10}
        assert not any(score.cautions for score in clean)
        assert all(score.points_if_upheld < score.points for score in clean)

        # Five complaints of one notifier about one listing, right and week are one incident.
        reports = [one for one in client.list_violations(MARKET) if one.notifier in RING]
        assert set(Counter(one.incident for one in reports).values()) == {5}
        assert len({one.incident for one in reports}) == len(RING) * 4

        # One bulk decision dismisses them, except a sample.
        bulk: dict[str, Any] = WHY | {"violation_types": ["counterfeit_goods"], "decision_id": "ring"}
        shown = client.decide_violations(MARKET, entry_pb2.ACTION_DISMISS, **bulk)
        assert shown.count == len(RING) * COMPLAINTS
        done = client.decide_violations(
            MARKET, entry_pb2.ACTION_DISMISS, **bulk, execute=True, expected_count=shown.count, etag=shown.etag
        )
        assert 20 < len(done.held_back) < 100
        assert (done.decided, done.remaining) == (shown.count - len(done.held_back), 0)
        waiting = {item.violation.name for item in client.list_review_queue(MARKET) if item.held_back}
        assert waiting == {*done.held_back}
        now = datetime.now(UTC)
        assert answers(client, now, *ONLY_IF_UPHELD) == answers(quiet, now, *ONLY_IF_UPHELD)

        # A person dismisses the sample: every answer is as without the attack.
        for name in done.held_back:
            client.dismiss_violation(MARKET, name.rsplit("/", 1)[-1], **WHY)
        now = datetime.now(UTC)
        assert answers(client, now) == answers(quiet, now)

        # The ring has a record now; the honest brand has its own.
        found = {one.name.rsplit("/", 1)[-1]: one for one in client.list_notifiers(MARKET)}
        assert set(found) == {*RING, "brand-1"}
        for notifier in RING:
            one = found[notifier]
            assert (one.reports, one.dismissed) == (COMPLAINTS, COMPLAINTS)
            assert 0 < one.reliability_low < one.reliability < one.reliability_high < one.prior_reliability
        assert found["brand-1"].reliability > found["brand-1"].prior_reliability


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

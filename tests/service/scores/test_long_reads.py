import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from scoring.features.columns import FactTable, OmittedAllegations
from sellertrust.client import Client, seller_name
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.call_context import current_call
from service.ledger.queries import facts
from service.ledger.queries.facts import FactQueries
from service.ledger.records import Cut
from tests.helpers.limits import Limit
from tests.helpers.policies import TIERS
from tests.helpers.servers import MARKET, Running, exposure, identity, running_server, score_stub, violation
from tests.helpers.worlds import artifact

SELLERS = [f"s{number}" for number in range(6)]
NAMES = [seller_name(MARKET, seller) for seller in SELLERS]
READS: dict[str, Callable[[Client, float], Any]] = {
    "GetTrustScore": lambda client, s: score_stub(client).GetTrustScore.future(
        pb.GetTrustScoreRequest(seller=NAMES[0]), timeout=s
    ),
    "BatchGetTrustScores": lambda client, s: score_stub(client).BatchGetTrustScores.future(
        pb.BatchGetTrustScoresRequest(parent=f"marketplaces/{MARKET}", sellers=NAMES), timeout=s
    ),
    "ExplainTrustScore": lambda client, s: score_stub(client).ExplainTrustScore.future(
        pb.ExplainTrustScoreRequest(seller=NAMES[0]), timeout=s
    ),
}


@contextmanager
def filled_server(folder: Path) -> Iterator[tuple[Running, Client]]:
    with (
        running_server(folder, artifact=artifact(), book_sellers=0) as running,
        running.client(deadline_seconds=30) as client,
    ):
        for number, seller in enumerate(SELLERS):
            history = [exposure(f"x-{seller}-{day}", seller, days=60 + day) for day in range(4 * number)]
            guilt = [violation(f"v-{seller}-{n}", seller, incident=f"n{n}") for n in range(number)]
            client.append_entries(MARKET, [identity(f"i-{seller}", seller), *history, *guilt])
            for one in guilt:
                client.confirm_violation(MARKET, one.entry_id, actor="staff", reason="seen")
        yield running, client


def answers(client: Client) -> list[bytes]:
    found = client.batch_get_trust_scores(MARKET, [*SELLERS, "nobody"])
    for result in found:
        if result.HasField("error"):
            continue
        result.trust_score.stamp.ClearField("observe_time")
        result.trust_score.ClearField("freshness")
    return [result.SerializeToString(deterministic=True) for result in found]


def noting(monkeypatch: pytest.MonkeyPatch, then: Callable[[], None] = lambda: None) -> list[Any]:
    """Record the reads of facts as (sellers, sequence); call `then` after each."""
    read: list[Any] = []
    table = FactQueries.table

    def reading(
        own: FactQueries, marketplace: str, sellers: Sequence[str], cut: Cut, *rest: Any
    ) -> tuple[FactTable, dict[str, OmittedAllegations]]:
        found = table(own, marketplace, sellers, cut, *rest)
        read.append((list(sellers), cut.sequence))
        then()
        return found

    monkeypatch.setattr(FactQueries, "table", reading)
    return read


def test_a_batch_is_read_in_parts_of_one_cut_with_equal_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: Limit
) -> None:
    with filled_server(tmp_path) as (running, client):
        whole = answers(client)
        appended = iter(range(100))

        def append() -> None:
            name = f"late-{next(appended)}"
            client.append_entries(MARKET, [violation(name, SELLERS[-1])])
            client.confirm_violation(MARKET, name, actor="staff", reason="seen")

        read = noting(monkeypatch, append)
        limit(facts, MAX_BATCH_ROWS=10)
        assert answers(client) == whole
        assert len(read) > 2
        assert [seller for part, _ in read for seller in part] == [*SELLERS, "nobody"]
        assert len({sequence for _, sequence in read}) == 1
        for part, _ in read:
            rows = running.ledger.facts.count(MARKET, part)
            assert len(part) == 1 or sum(number for number, _ in rows.values()) <= 10


def test_a_batch_is_of_one_model_and_one_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    with filled_server(tmp_path) as (running, client):
        whole = answers(client)

        def swap() -> None:
            if running.scorer.champion.artifact is not None:
                running.scorer.champion.artifact = None
                other = TIERS.read_text().replace('"none"', '"other"').replace('"unknown"', '"other"')
                served = running.scorer.policy.now.digest
                client.commit_policy(other, expected=served, actor="staff", reason="a swap")

        read = noting(monkeypatch, swap)
        limit(facts, MAX_BATCH_ROWS=10)
        assert answers(client) == whole
        assert len(read) > 2
        [after] = client.batch_get_trust_scores(MARKET, SELLERS[:1])
        assert (after.trust_score.stamp.model_digest, after.trust_score.badge) == ("", "other")


@pytest.mark.long
@pytest.mark.parametrize("leaving", ["CANCELLED", "DEADLINE_EXCEEDED"])
@pytest.mark.parametrize("call", READS)
def test_work_of_a_gone_caller_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: Limit, call: str, leaving: str
) -> None:
    limit(facts, MAX_BATCH_ROWS=1)
    with filled_server(tmp_path) as (running, client):
        begun = threading.Event()

        def wait_until_gone() -> None:
            begun.set()
            while current_call().is_active():
                time.sleep(0.01)

        read = noting(monkeypatch, wait_until_gone)
        future = READS[call](client, 30 if leaving == "CANCELLED" else 1.0)
        assert begun.wait(30)
        if leaving == "CANCELLED":
            future.cancel()
        else:
            with pytest.raises(grpc.RpcError):
                future.result()
        method = f"TrustScoreService/{call}"
        while not (lines := [line for line in running.lines() if line["method"] == method]):
            time.sleep(0.01)
        assert [line["code"] for line in lines] == [leaving]
        assert len(read) == 1
        monkeypatch.undo()
        assert client.get_trust_score(MARKET, SELLERS[0]).seller == NAMES[0]


def test_a_seller_of_many_allegations_is_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accused = SELLERS[1]
    with filled_server(tmp_path) as (running, client):
        client.append_entries(MARKET, [violation(f"a{n}", accused, incident=f"a{n}") for n in range(9)])
        [whole] = [r.trust_score for r in client.batch_get_trust_scores(MARKET, [accused])]
        running.ledger.facts = FactQueries(running.ledger.clock, 3)
        read = noting(monkeypatch)
        together = client.batch_get_trust_scores(MARKET, SELLERS)[1].trust_score
        assert {tuple(part) for part, _ in read if accused in part} == {(accused,)}
        alone = client.get_trust_score(MARKET, accused)
        explained = client.explain_trust_score(MARKET, accused).trust_score
    for found in (together, alone, explained):
        assert (found.open_allegations, found.points, found.tier) == (9, whole.points, whole.tier)
        assert whole.points_if_upheld <= found.points_if_upheld <= found.points


def test_an_explanation_says_how_many_incidents_it_does_not_name(tmp_path: Path, limit: Limit) -> None:
    limit("scoring.scores.reasons", MAX_LISTED=2)
    with filled_server(tmp_path) as (_, client):
        [reason] = [r for r in client.explain_trust_score(MARKET, SELLERS[-1]).reasons if r.incidents]
        assert (len(reason.incidents), reason.incidents_omitted) == (2, len(SELLERS) - 1 - 2)

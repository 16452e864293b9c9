import asyncio
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

import sellertrust
from sellertrust import channel as channels
from sellertrust.aio import METHODS, AsyncClient
from sellertrust.client import Client, SellertrustCallError
from sellertrust.v1 import trust_score_service_pb2 as pb
from sellertrust.v1.entry_pb2 import Entry
from service.access.rights import METHODS as RIGHTS_OF_METHODS
from tests import aio_stub
from tests.helpers.limits import Limit
from tests.helpers.models import artifact
from tests.helpers.servers import MARKET, exposure, identity, running_server, violation


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with sellertrust.local() as client:
        client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1"), violation("v", "s1")])
        yield client.target


def test_without_its_extra_a_call_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        async with AsyncClient("127.0.0.1:1") as client:
            await client.get_trust_score(MARKET, "s1")

    monkeypatch.setitem(sys.modules, "greenlet", None)
    with pytest.raises(ImportError, match=r"pip install 'sellertrust-client\[async\]'"):
        asyncio.run(ask())


def test_its_signatures_are_the_clients() -> None:
    assert (aio_stub.FOLDER / "aio.pyi").read_text() == aio_stub.formatted(aio_stub.stub()), "python -m tests.aio_stub"
    public = {name for name in dir(Client) if not name.startswith("_")}
    assert public - METHODS.keys() == {"close"}
    stated = {name.partition("/")[2] for name in RIGHTS_OF_METHODS}
    snake = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in stated}
    assert snake <= METHODS.keys(), "the client lacks a method of the contract"


def test_calls_run_side_by_side_on_one_loop(target: str) -> None:
    async def main() -> None:
        async with AsyncClient(target, deadline_seconds=30) as client:
            scores = await asyncio.gather(*[client.get_trust_score(MARKET, "s1") for _ in range(20)])
            assert {score.points for score in scores} == {scores[0].points}
            assert [entry.entry_id async for entry in client.list_entries(MARKET, page_size=1)] == ["i", "x", "v"]
            assert await client.wait_for_model((await client.get_model()).serving_digest)
            decided = await client.confirm_violation(MARKET, "v", actor="staff-1", reason="seen")
            seen = await client.get_trust_score(MARKET, "s1", at_least_sequence=decided.sequence)
            assert seen.counted_incidents == 1
            with pytest.raises(SellertrustCallError, match="No seller 's9'") as error:
                await client.explain_trust_score(MARKET, "s9")
            assert error.value.reason == "SELLER_NOT_FOUND"

    asyncio.run(main())


def test_streams_run_on_a_loop(tmp_path: Path) -> None:
    async def batches() -> AsyncIterator[list[Entry]]:
        for number in range(20):
            await asyncio.sleep(0.01)
            yield [exposure(f"x{number}", "s1", 1, number + 2)]

    async def main() -> None:
        with running_server(tmp_path, artifact=artifact()) as running:
            address = running.address
            async with AsyncClient(address, deadline_seconds=30) as client:
                assert await client.append_entries(MARKET, [identity("i", "s1")])
                assert [one async for one in client.list_review_queue(MARKET)] == []
                assert (await client.get_policy()).policy.name
                seen: list[str] = []

                async def watch() -> None:
                    async for response in client.watch_entries(MARKET):
                        seen.extend(entry.entry_id for entry in response.entries)
                        if len(seen) == 21:
                            return

                watching = asyncio.create_task(watch())
                acknowledged = [one async for one in client.stream_entries(MARKET, batches())]
                assert [one.index for one in acknowledged] == list(range(20))
                again = client.stream_entries(MARKET, [[exposure("x0", "s1", 1, 2)], [Entry()]])
                assert [one.error is None for one in [one async for one in again]] == [True, False]
                await asyncio.wait_for(watching, 60)
                assert seen == ["i", *[f"x{number}" for number in range(20)]]
                left = asyncio.create_task(watch())
                await asyncio.sleep(0.1)
                left.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await left

    asyncio.run(main())


def test_one_word_says_what_a_list_of_scores_is_for(target: str) -> None:
    with Client(target, deadline_seconds=30) as client:
        known, unknown = client.batch_get_trust_scores(MARKET, ["s1", "s9"], use="badge")
        assert known.trust_score.points
        assert unknown.trust_score.badge == "unknown"
        assert client.batch_get_trust_scores(MARKET, ["s9"], use="payout")[0].error
    with Client("127.0.0.1:9", deadline_seconds=1) as nobody:
        assert nobody.batch_get_trust_scores(MARKET, ["s1"], use="badge")[0].trust_score.badge == "unknown"
        with pytest.raises(SellertrustCallError):
            nobody.batch_get_trust_scores(MARKET, ["s1"], use="payout")


def test_a_cancelled_call_cancels_no_other(target: str) -> None:
    async def main() -> None:
        async with AsyncClient(target, deadline_seconds=30, badge_seconds=60) as client:
            first = asyncio.create_task(client.get_trust_score(MARKET, "s1", use="badge"))
            second = asyncio.create_task(client.get_trust_score(MARKET, "s1", use="badge"))
            await asyncio.sleep(0)
            first.cancel()
            assert (await second).badge == "unknown"
            assert (await client.get_trust_score(MARKET, "s1", use="badge")).points

    asyncio.run(main())


def test_one_call_answers_all_badges_of_a_seller(tmp_path: Path) -> None:
    with running_server(tmp_path, artifact=artifact()) as running:
        client = running.client(badge_seconds=0.5)
        client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1")])
        found: list[object] = []
        threads = [
            threading.Thread(target=lambda: found.append(client.get_trust_score(MARKET, "s1", use="badge")))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len(running.lines()) < 9
        client.append_entries(MARKET, [violation("v", "s1")])
        time.sleep(0.6)
        known = client.get_trust_score(MARKET, "s1", use="badge")
        assert known.open_allegations == 1
    time.sleep(0.6)
    stale = client.get_trust_score(MARKET, "s1", use="badge", deadline_seconds=1)
    assert (stale.points, stale.freshness.state) == (known.points, pb.FRESHNESS_STATE_STALE)
    assert stale.freshness.age.ToTimedelta().total_seconds() >= 0.6
    with pytest.raises(SellertrustCallError):
        client.get_trust_score(MARKET, "s1", use="payout", deadline_seconds=1)
    assert client.get_trust_score(MARKET, "s2", use="badge", deadline_seconds=1).badge == "unknown"
    client.close()


def test_a_first_token_that_hangs_is_an_error(limit: Limit) -> None:
    limit(channels, FIRST_TOKEN_SECONDS=0.2)
    never = threading.Event()
    for kind in (Client, AsyncClient):
        with pytest.raises(TimeoutError, match="token gave no token within"):
            kind("127.0.0.1:1", token=lambda: str(never.wait()))
    never.set()


@pytest.mark.parametrize("given", [None, "", "two\nlines"])
def test_an_answer_that_is_no_token_is_an_error(given: str | None) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(OSError, match="the answer of token holds no token"):
            kind("127.0.0.1:1", token=lambda: given)


def test_a_token_function_that_hangs_stops_no_call(limit: Limit) -> None:
    limit(channels, TOKEN_SECONDS=0.1, LOOK_SECONDS=0.05)
    tokens, hang, shown = iter(["one", "two"]), threading.Event(), []

    def token() -> str:
        given = next(tokens, "")
        if not given:
            hang.wait()
        return given

    def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
        shown.append(dict(context.invocation_metadata())["authorization"])
        return b""

    handler = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_registered_method_handlers("sellertrust.v1.TrustScoreService", {"GetTrustScore": handler})
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    with Client(target, token=token, deadline_seconds=30, service_config="{}") as client:
        for _ in range(12):
            client.get_trust_score(MARKET, "s1")
            time.sleep(0.1)
    hang.set()
    server.stop(None)
    assert (shown[0], shown[-1], len(shown)) == ("Bearer one", "Bearer two", 12)

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import inf
from pathlib import Path
from typing import Any

import grpc
import pytest

from sellertrust.client import Client, SellertrustCallError
from sellertrust.names import marketplace_name, seller_name
from sellertrust.v1 import entry_pb2
from sellertrust.v1 import ledger_service_pb2 as ledger_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from service.api import calls
from service.api.gate import CallGate
from service.call_context import Call, begin_answering, end_answering
from service.engine.fairness import LockByTurns, Seats, read_marketplace
from service.engine.waiting_line import Cause, LineRules, WaitingCall, WaitingLine
from tests.bench import _marketplace_flood
from tests.helpers.limits import Limit
from tests.helpers.refusals import refusal, refused
from tests.helpers.servers import MARKET, Running, identity, running_server
from tests.helpers.waiting import wait_until

OTHER = "other"
GET = "/sellertrust.v1.TrustScoreService/GetTrustScore"
BATCH = "/sellertrust.v1.TrustScoreService/BatchGetTrustScores"


def entry(marketplace: str, entry_id: str) -> entry_pb2.Entry:
    found = identity(entry_id, "s")
    found.seller = seller_name(marketplace, "s")
    return found


@contextmanager
def two_marketplaces(folder: Path, **settings: Any) -> Iterator[tuple[Running, Client]]:
    with running_server(folder, **settings) as running, running.client() as client:
        for marketplace in (MARKET, OTHER):
            client.append_entries(marketplace, [entry(marketplace, "i")])
        yield running, client


@contextmanager
def stuck_scores(running: Running) -> Iterator[threading.Event]:
    release, scores = threading.Event(), running.scorer.scores

    def slow_scores(marketplace: str, *arguments: Any) -> Any:
        if marketplace == MARKET:
            release.wait(30)
        return scores(marketplace, *arguments)

    running.scorer.scores = slow_scores  # type: ignore[method-assign]
    try:
        yield release
    finally:
        release.set()


def batch_of(marketplace: str, running: Running) -> bytes:
    request = score_pb.BatchGetTrustScoresRequest(parent=marketplace_name(marketplace))
    request.sellers.append(seller_name(marketplace, "s"))
    request.known_time.FromMicroseconds(running.ledger.last().record_time + 1)
    return request.SerializeToString()


def score_of(marketplace: str, running: Running) -> bytes:
    request = score_pb.GetTrustScoreRequest(seller=seller_name(marketplace, "s"))
    request.known_time.FromMicroseconds(running.ledger.last().record_time + 1)
    return request.SerializeToString()


@pytest.mark.parametrize(("path", "request_of"), [(GET, score_of), (BATCH, batch_of)])
def test_computed_scores_leave_a_seat(tmp_path: Path, path: str, request_of: Any) -> None:
    with two_marketplaces(tmp_path) as (running, _), grpc.insecure_channel(running.address) as channel:
        method: Any = channel.unary_unary(path)
        assert method(request_of(OTHER, running), timeout=20)
        with stuck_scores(running) as release:
            flood = [method.future(request_of(MARKET, running), timeout=30) for _ in range(8)]
            wait_until(lambda: sum(call.done() for call in flood) == 5)
            for _ in range(20):
                assert method(request_of(OTHER, running), timeout=5)
            release.set()
            assert sum(call.code() is grpc.StatusCode.OK for call in flood) == 3
            refusals = [call.details() for call in flood if call.code() is not grpc.StatusCode.OK]
            assert all("3 calls compute already, all that may or this marketplace's" in text for text in refusals)


def count_seats(running: Running) -> int:
    with grpc.insecure_channel(running.address) as channel, stuck_scores(running) as release:
        method: Any = channel.unary_unary(GET)
        flood = [method.future(score_of(MARKET, running), timeout=30) for _ in range(8)]
        wait_until(lambda: sum(call.done() for call in flood) in (4, 5))
        release.set()
        return sum(call.code() is grpc.StatusCode.OK for call in flood)


def test_one_marketplace_alone_has_every_seat(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        client.append_entries(MARKET, [entry(MARKET, "i")])
        refused("INVALID_ARGUMENT", "", client.get_trust_score, "not an id!", "s")
        assert count_seats(running) == 4


def test_a_marketplace_that_left_leaves_every_seat(tmp_path: Path, limit: Limit) -> None:
    limit(calls, RIVAL_SECONDS=0.0)
    with two_marketplaces(tmp_path) as (running, _):
        assert count_seats(running) == 4


def test_no_caller_chooses_its_turn(tmp_path: Path) -> None:
    with two_marketplaces(tmp_path) as (running, _), grpc.insecure_channel(running.address) as channel:
        ask: Any = channel.unary_unary(GET)
        real = score_of(MARKET, running)
        other = score_pb.GetTrustScoreRequest(seller=seller_name(OTHER, "s")).SerializeToString()
        none = score_pb.GetTrustScoreRequest(seller="models/none").SerializeToString()
        late = score_pb.GetTrustScoreRequest(at_least_sequence=1).SerializeToString() * 5_000
        for before in (other, none, late):
            assert read_marketplace(before + real) == MARKET
            assert score_pb.GetTrustScoreResponse.FromString(ask(before + real)).trust_score.seller == seller_name(
                MARKET, "s"
            )
        for hostile in (b"\x0a\x00" * 20_000, b"\x12\x00" * 20_000, b"\x0b\x0c" * 20_000):
            assert read_marketplace(real + hostile) == ""
            refused("INVALID_ARGUMENT", "", ask, real + hostile)


def test_an_actor_is_no_marketplace(tmp_path: Path) -> None:
    with two_marketplaces(tmp_path) as (_, client):
        error = refusal(client.rollback_model, actor="marketplaces/me", reason="tried", champion="a" * 64)
    assert "marketplaces" not in error.message


def waiting_call(marketplace: str, arrived: float = 0.0) -> WaitingCall:
    call = WaitingCall("S/M", arrived, inf)
    call.marketplace = marketplace
    return call


def test_a_full_line_keeps_the_call_whose_turn_is_next() -> None:
    line = WaitingLine(LineRules(3, inf))
    first, *_, new = [waiting_call(name) for name in "abcd"]
    for call in (first, *[waiting_call(name) for name in "bc"]):
        assert line.add(call) == []
    assert line.add(new) == [(new, Cause.FULL)]
    assert line.take()[0] is first


def test_single_calls_of_many_marketplaces_are_thinned() -> None:
    now = 0.0
    line = WaitingLine(LineRules(64, 0.005), clock=lambda: now)
    causes: list[Cause] = []
    for second in range(200):
        now = float(second)
        for name in "abcdefgh":
            if name not in [call.marketplace for call in line._calls]:
                line.add(waiting_call(name, now))
        causes += [cause for _, cause in line.take()[1]]
    assert set(causes) == {Cause.DELAY}


def test_the_single_call_beside_a_flood_is_kept() -> None:
    now = 0.0
    line = WaitingLine(LineRules(64, 0.005), clock=lambda: now)
    gone: list[str] = []
    for second in range(200):
        now = float(second)
        for name in (OTHER, *[MARKET] * 4):
            if name == MARKET or name not in [call.marketplace for call in line._calls]:
                gone += [call.marketplace for call, _ in line.add(waiting_call(name, now))]
        gone += [call.marketplace for call, _ in line.take()[1]]
    assert set(gone) == {MARKET}


def test_the_last_seat_goes_to_the_modest() -> None:
    for is_last_kept, has_second in ((False, True), (True, False)):
        seats = Seats(4, is_last_kept=is_last_kept)
        with ExitStack() as stack:

            def take(marketplace: str, seats: Seats = seats, stack: ExitStack = stack) -> bool:
                call = Call()
                call.marketplace, call.has_rivals = marketplace, True
                token = begin_answering(call)
                taken = stack.enter_context(seats.take_seat())
                end_answering(token)
                return not taken

            assert [take(name) for name in (MARKET, MARKET, OTHER, MARKET)] == [True, True, True, False]
            assert take(OTHER) is has_second
            assert not take(OTHER)


def test_a_line_that_one_marketplace_filled_has_room(tmp_path: Path) -> None:
    with (
        two_marketplaces(tmp_path, worker_threads=2, book_sellers=0) as (running, _),
        grpc.insecure_channel(running.address, [("grpc.use_local_subchannel_pool", 1)]) as other,
        ExitStack() as stack,
        stuck_scores(running) as release,
    ):
        asked = []
        for _ in range(5):
            option = [("grpc.use_local_subchannel_pool", 1)]
            method: Any = stack.enter_context(grpc.insecure_channel(running.address, option)).unary_unary(GET)
            asked += [method.future(score_of(MARKET, running), timeout=30) for _ in range(60)]
        wait_until(lambda: running.value("calls", pool="read", state="waiting") == 256)
        ask: Any = other.unary_unary(GET)
        one = ask.future(score_of(OTHER, running), timeout=30)
        wait_until(lambda: running.value("turned_away_total", pool="read", cause="full") == 43)
        order: list[str] = []
        one.add_done_callback(lambda _: order.append(OTHER))
        for call in asked:
            call.add_done_callback(lambda call: order.append(call.code().name))
        release.set()
        assert one.result()
        wait_until(lambda: len(order) == 301)
        assert order.index(OTHER) - order.count("RESOURCE_EXHAUSTED") < 60


@pytest.mark.parametrize("way", ["watch", "append"])
def test_streams_of_one_marketplace_leave_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    charged: list[str] = []
    monkeypatch.setattr(CallGate, "admit_entries", lambda _gate, _caller, method, *_: charged.append(method))

    def request(marketplace: str) -> Any:
        parent = marketplace_name(marketplace)
        return (
            ledger_pb.WatchEntriesRequest(parent=parent)
            if way == "watch"
            else ledger_pb.StreamEntriesRequest(parent=parent, entries=[entry(marketplace, "i")])
        )

    ending = threading.Event()

    def requests(marketplace: str) -> Iterator[Any]:
        yield request(marketplace)
        ending.wait(30)

    def opened(stub: LedgerServiceStub, marketplace: str) -> Any:
        call: Any = (
            stub.WatchEntries(request(marketplace)) if way == "watch" else stub.StreamEntries(requests(marketplace))
        )
        next(call)
        return call

    with (
        two_marketplaces(tmp_path, stream_threads=8, client_streams=8) as (running, _),
        grpc.insecure_channel(running.address) as channel,
    ):
        stub = LedgerServiceStub(channel)
        first = opened(stub, OTHER)
        held = [opened(stub, MARKET) for _ in range(5)]
        error = refused("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS", opened, stub, MARKET)
        assert ("5 streams of this marketplace" in error.message, error.metadata) == (True, {"limit": "5"})
        assert charged.count("LedgerService/StreamEntries") == (6 if way == "append" else 0)
        assert opened(stub, OTHER)
        ending.set()
        for call in (first, *held):
            call.cancel()


def test_waits_for_a_sequence_leave_a_place(tmp_path: Path) -> None:
    with two_marketplaces(tmp_path) as (running, client):
        client.get_trust_score(OTHER, "s", at_least_sequence=2)
        far = running.ledger.last().sequence + 1_000
        results: list[str] = []
        limits: list[str | None] = []

        def wait_for_more() -> None:
            try:
                client.get_trust_score(MARKET, "s", at_least_sequence=far, deadline_seconds=3)
            except SellertrustCallError as error:
                results.append(error.reason)
                limits.append(error.metadata.get("limit"))

        threads = [threading.Thread(target=wait_for_more) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: results.count("TOO_MANY_CALLS") == 3)
        assert limits == ["1"] * 3
        with pytest.raises(SellertrustCallError) as refusal:
            client.get_trust_score(OTHER, "s", at_least_sequence=far, deadline_seconds=1)
        assert refusal.value.reason == "SEQUENCE_NOT_REACHED"
        for thread in threads:
            thread.join()


@pytest.mark.long
def test_a_flood_leaves_nine_tenths_of_other_calls(tmp_path: Path) -> None:
    found: dict[str, float] = {}
    for _ in range(3):  # other programs may need the machine
        _marketplace_flood.run(found.__setitem__, turns=1, seconds=8, patience=5)
        if found["marketplace_flood_kept"] >= 0.9:
            break
    assert found["marketplace_flood_kept"] >= 0.9, found


def test_batches_of_streams_take_turns() -> None:
    lock, order = LockByTurns(), list[str]()

    def work(marketplace: str) -> None:
        with lock.hold(marketplace):
            order.append(marketplace)

    with lock.hold(MARKET):
        threads = []
        for marketplace in [MARKET] * 5 + [OTHER]:
            threads.append(threading.Thread(target=work, args=(marketplace,)))
            threads[-1].start()
            wait_until(lambda: len(lock._waiting) == len(threads))
    for thread in threads:
        thread.join()
    assert order == [MARKET, OTHER, *[MARKET] * 4]


def test_the_marketplace_is_read_from_field_1() -> None:
    for request, name in (
        (ledger_pb.AppendEntriesRequest(parent="marketplaces/a-1", entries=[entry(MARKET, "i")]), "a-1"),
        (score_pb.GetTrustScoreRequest(seller=seller_name("m" * 128, "s" * 128), at_least_sequence=6), "m" * 128),
        (score_pb.BatchGetTrustScoresRequest(sellers=["x"]), ""),
        (ledger_pb.ListEntriesRequest(parent="models/champion"), ""),
        (ledger_pb.ListEntriesRequest(), ""),
    ):
        assert read_marketplace(request.SerializeToString()) == name
    name = score_pb.GetTrustScoreRequest(seller=seller_name("late", "s")).SerializeToString()
    later = score_pb.GetTrustScoreRequest(at_least_sequence=6)
    later.known_time.GetCurrentTime()
    for kind in (b"\x51" + b"x" * 8, b"\x55" + b"x" * 4, b"\x50\x01"):
        assert read_marketplace(later.SerializeToString() + kind + name) == "late"  # as JSON through Envoy
    assert read_marketplace(b"\n\x90") == read_marketplace(b"\n\xff\xff\xff") == ""

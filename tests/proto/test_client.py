import asyncio
import json
import logging
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from scoring.base.enums import Action
from sellertrust.client import (
    LOG_SECONDS,
    SERVICE_CONFIG,
    Client,
    SellertrustCallError,
    Tier,
    seller_name,
    unknown_score,
)
from sellertrust.v1 import trust_score_service_pb2
from sellertrust.v1.trust_score_service_pb2_grpc import TrustScoreServiceStub
from tests.helpers.moments import before_call
from tests.helpers.servers import MARKET, Running, identity, ledger_stub, running_server, violation
from tests.helpers.worlds import artifact

NOWHERE = "127.0.0.1:9"  # the discard port: no process listens there
UNKNOWN = trust_score_service_pb2.SCORE_STATE_UNKNOWN


def test_the_service_config_balances_and_sets_no_timeout() -> None:
    config = json.loads(SERVICE_CONFIG)
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    assert config["healthCheckConfig"] == {"serviceName": ""}
    assert config["retryThrottling"] == {"maxTokens": 500, "tokenRatio": 0.5}
    every, writes = config["methodConfig"]
    names = (
        *(
            "AuditService",
            "LedgerService",
            "MeasureService",
            "ModelService",
            "PolicyService",
            "ProposalService",
            "ReviewService",
            "TrustScoreService",
        ),
    )
    services = {f"sellertrust.v1.{name}" for name in names}
    assert {name["service"] for name in every["name"]} == services
    assert {name["method"] for name in writes["name"]} == {
        *(*(f"{action.name.capitalize()}Violation" for action in Action), "AppendEntries", "EraseSeller", "MendClock"),
        *("DecideViolations", "PromoteModel", "RollbackModel", "CommitPolicy", "RollbackPolicy"),
        *("CreateProposal", "ApproveProposal", "WithdrawProposal"),
    }
    for method in (every, writes):
        assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert "timeout" not in SERVICE_CONFIG


@pytest.mark.long
def test_a_checkout_gets_unknown_where_there_is_no_server(caplog) -> None:
    with Client(NOWHERE) as client, caplog.at_level(logging.WARNING, "sellertrust.client"):
        score = client.get_trust_score(MARKET, "seller-17", on_error="unknown")
        results = client.batch_get_trust_scores(MARKET, ["a", "b", "a"], on_error="unknown")
    assert score == unknown_score(seller_name(MARKET, "seller-17"))
    assert (score.state, score.badge, score.HasField("points")) == (UNKNOWN, "unknown", False)
    assert [result.trust_score.seller for result in results] == [seller_name(MARKET, seller) for seller in "aba"]
    assert {result.trust_score.state for result in results} == {UNKNOWN}
    assert [record.getMessage() for record in caplog.records] == [
        "trust score unknown: no connection to a server (UNAVAILABLE)"
    ]


@pytest.mark.long
def test_each_cause_of_unknown_scores_is_logged_once(running: Running, client: Client, caplog, monkeypatch) -> None:
    def ask(client: Client, **asked: Any) -> None:
        for _ in range(4):
            assert client.get_trust_score(MARKET, "s-17", on_error="unknown", **asked).badge == "unknown"

    now = [1_000.0]
    monkeypatch.setattr("sellertrust.client.monotonic", lambda: now[0])
    caplog.set_level(logging.WARNING, "sellertrust.client")
    ask(client)
    ask(client, deadline_seconds=1e-6)
    running.server.stop(grace_seconds=0)
    ask(client)
    now[0] += LOG_SECONDS
    ask(client)
    lines = [record.getMessage().removeprefix("trust score unknown: ") for record in caplog.records]
    assert lines == [
        "the server refused the call (NOT_FOUND SELLER_NOT_FOUND)",
        "no answer within the deadline (DEADLINE_EXCEEDED)",
        "no connection to a server (UNAVAILABLE)",
        "no connection to a server (UNAVAILABLE) (3 more since the last line)",
    ]


def test_a_checkout_gets_unknown_for_whatever_else_fails(running: Running, client: Client) -> None:
    def fail() -> None:
        raise RuntimeError("unforeseen")

    for seller in ("nobody", "", "no/id", "x" * 200, "half a pair \ud800", None):
        score = client.get_trust_score(MARKET, seller, on_error="unknown")
        assert (score.state, score.badge) == (UNKNOWN, "unknown"), seller
        [result] = client.batch_get_trust_scores(MARKET, [seller], on_error="unknown")
        assert result.trust_score.state == UNKNOWN
    client.append_entries(MARKET, [identity("i", "s")])
    known, unknown = client.batch_get_trust_scores(MARKET, ["s", "nobody"], on_error="unknown")
    assert known.trust_score.stamp.ledger_sequence == 1
    assert not unknown.trust_score.HasField("stamp")
    before_call(running.scorer, "scores", fail)
    assert client.get_trust_score(MARKET, "s", on_error="unknown").state == UNKNOWN
    client.close()
    assert client.get_trust_score(MARKET, "s", on_error="unknown").state == UNKNOWN


def test_faults_of_the_program_are_raised_all_the_same() -> None:
    with Client(NOWHERE) as client, pytest.raises(ValueError, match="observe_time has no time zone"):
        client.get_trust_score(MARKET, "s", observe_time=datetime(2026, 1, 1), on_error="unknown")  # noqa: DTZ001


@pytest.mark.long
def test_a_closed_client_makes_no_call() -> None:
    """In gRPC a first call of a method ends the whole process there."""
    with Client("127.0.0.1:1") as client:
        pass
    with pytest.raises(ValueError, match="closed"):
        client.get_trust_score(MARKET, "s")


def test_every_call_has_a_deadline_which_can_be_set(tmp_path: Path) -> None:
    with running_server(tmp_path, worker_threads=8) as running, Client(running.address) as client:
        before_call(running.scorer, "scores", lambda: time.sleep(3))
        with Client(running.address, deadline_seconds=0.3) as hasty:
            took = {}
            for call, options, seconds in (
                (client.get_trust_score, {}, 1.0),
                (client.get_trust_score, {"deadline_seconds": 0.2}, 0.2),
                (hasty.get_trust_score, {}, 0.3),
            ):
                began = time.monotonic()
                with pytest.raises(SellertrustCallError) as caught:
                    call(MARKET, "s", **options)
                assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
                assert caught.value.message == f"The server gave no answer within {seconds:g} s."
                took[seconds] = time.monotonic() - began
                assert took[seconds] > seconds * 0.9
            assert max(took[0.2], took[0.3]) < took[1.0]
            assert hasty.get_trust_score(MARKET, "s", on_error="unknown").state == UNKNOWN


@pytest.mark.long
def test_errors_are_decoded(running: Running, client: Client) -> None:
    with pytest.raises(SellertrustCallError) as missing:
        client.get_trust_score(MARKET, "nobody")
    with pytest.raises(SellertrustCallError) as wrong:
        client.append_entries(MARKET, [violation("a b", "s", harm=0)])
    running.ledger.close()
    with pytest.raises(SellertrustCallError) as unavailable:
        client.get_violation(MARKET, "v")
    assert (missing.value.code, missing.value.reason) == (grpc.StatusCode.NOT_FOUND, "SELLER_NOT_FOUND")
    assert missing.value.metadata == {"seller": seller_name(MARKET, "nobody")}
    assert [field for field, _ in wrong.value.fields] == ["entries[0].entry_id", "entries[0].violation.harm"]
    assert "entries[0].violation.harm: must be one of low, medium, high, extreme" in str(wrong.value)
    assert unavailable.value.retry_delay == 1.0
    for error in (missing.value, wrong.value, unavailable.value):
        copy = pickle.loads(pickle.dumps(error))
        assert (copy.code, copy.fields, str(copy)) == (error.code, error.fields, str(error))


def test_points_of_an_unrated_seller_are_none(tmp_path: Path) -> None:
    """In protobuf they read 0, so `points < 500` would hold every newcomer."""
    with running_server(tmp_path, artifact=artifact()) as running, running.client() as client:
        client.append_entries(MARKET, [identity("i", "newcomer")])
        score = client.get_trust_score(MARKET, "newcomer")
        result, missing = client.batch_get_trust_scores(MARKET, ["newcomer", "nobody"])
    for one in (score, result.trust_score, unknown_score("s"), pickle.loads(pickle.dumps(score))):
        assert (one.points, one.points_low, one.points_high, one.p_bad) == (None,) * 4
        assert not one.HasField("points")
        assert one.message.points == 0
    assert (score.tier, score.counted_incidents) == (Tier.TIER_UNRATED, 0)
    assert result.trust_score.tier == score.tier
    assert (missing.trust_score, missing.error.reason) == (None, "SELLER_NOT_FOUND")


def test_errors_of_asyncio_are_decoded(running: Running) -> None:
    async def ask(address: str) -> SellertrustCallError:
        async with grpc.aio.insecure_channel(address) as channel:
            request = trust_score_service_pb2.GetTrustScoreRequest(seller=seller_name(MARKET, "nobody"))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await TrustScoreServiceStub(channel).GetTrustScore(request)  # type: ignore[misc]
            return SellertrustCallError.of(caught.value)

    error = asyncio.run(ask(running.address))
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "SELLER_NOT_FOUND")
    assert error.message.startswith(f"No seller 'nobody' in marketplace '{MARKET}' has orders, an identity")
    assert error.metadata == {"seller": seller_name(MARKET, "nobody")}


@pytest.mark.long
@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("127.0.0.1:1", "No server answers at 127.0.0.1:1. Start one with `sellertrust serve`."),
        ("dns:///localhost:1", "No server answers at "),
        ("[::1]:1", "No server answers at [::1]:1. Start one with `sellertrust serve`."),
        ("unix:/nowhere/sock", "No server answers at unix:/nowhere/sock. Start one with `sellertrust serve`."),
        ("nowhere.invalid:50051", "The host of nowhere.invalid:50051 has no address. Check its name."),
    ],
)
def test_a_server_that_cannot_be_reached_is_named(target: str, said: str) -> None:
    with Client(target, deadline_seconds=5) as client, pytest.raises(SellertrustCallError) as caught:
        client.get_trust_score(MARKET, "s")
    assert caught.value.message.startswith(said)


@pytest.mark.parametrize("target", ["localhost", "127.0.0.1", "[::1]", "[::1]:50051", "dns:///localhost"])
def test_a_target_of_this_machine_needs_no_port(tmp_path: Path, target: str) -> None:
    token = tmp_path / "token"
    token.write_text("a-token")
    Client(target, token=token).close()


@pytest.mark.parametrize("target", ["localhost.example", "[::1].example", "dns://resolver.example/localhost:1"])
def test_another_machine_gets_no_token_in_plain_text(tmp_path: Path, target: str) -> None:
    token = tmp_path / "token"
    token.write_text("a-token")
    with pytest.raises(ValueError, match="over TLS only"):
        Client(target, token=token)


@pytest.mark.long
def test_calls_outlive_a_server_that_is_restarted(tmp_path: Path) -> None:
    with running_server(tmp_path) as first:
        address = first.address
        client = first.client()
        client.append_entries(MARKET, [violation("v", "s")])
    with client, ThreadPoolExecutor(2) as pool:
        append = pool.submit(client.append_entries, MARKET, [identity("i", "s")])
        confirm = pool.submit(client.confirm_violation, MARKET, "v", actor="a", reason="r")
        time.sleep(0.3)
        with running_server(tmp_path, address=address):
            assert append.result()[0].already_present is False
            assert len(confirm.result().violation.entries) == 2
            assert client.get_trust_score(MARKET, "s").seller  # a read is retried for less than a second


def test_a_decision_that_is_retried_once_done_is_answered(client: Client) -> None:
    """The client makes one entry id a call, so a message that gRPC sends twice is one decision."""
    client.append_entries(MARKET, [violation("v", "s")])
    sent: list[Any] = []
    stub = ledger_stub(client).ConfirmViolation

    def twice(request: Any, timeout: float) -> Any:
        sent.append(stub(request, timeout=timeout))
        return stub(request, timeout=timeout)

    client._ledger.ConfirmViolation = twice  # as gRPC, which sends a message again
    assert client.confirm_violation(MARKET, "v", actor="a", reason="r") == sent[0]


def test_times_may_be_datetimes_of_any_zone_or_timestamps(client: Client) -> None:
    moment = datetime.now(UTC) - timedelta(days=1)
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    client.append_entries(MARKET, [identity("i", "s")])
    for time_ in (moment, moment.astimezone(timezone(timedelta(hours=8))), stamp):
        score = client.get_trust_score(MARKET, "s", observe_time=time_, on_error="unknown")
        if score.HasField("stamp"):
            assert score.stamp.observe_time == stamp
        assert list(client.list_entries(MARKET, known_time=time_)) == []


@pytest.mark.long
def test_health_is_looked_at_without_the_health_package(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['grpc_health'] = None\n"
        "from sellertrust.client import Client\n"
        "with Client(sys.argv[1], deadline_seconds=60) as client:\n"
        "    for _ in sys.stdin:\n"
        "        print(client.batch_get_trust_scores('acme', ['s'])[0].error.reason, flush=True)\n"
    )
    with running_server(tmp_path, drain_seconds=4) as going, running_server(tmp_path) as staying:
        command = [sys.executable, "-c", script, f"ipv4:{going.address},{staying.address}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

            def ask(times: int) -> set[str]:
                answers = set()
                for _ in range(times):
                    process.stdin.write("\n")
                    process.stdin.flush()
                    answers.add(process.stdout.readline().strip())
                return answers

            assert ask(20) == {"SELLER_NOT_FOUND"}
            assert going.lines()
            assert staying.lines()
            draining = threading.Thread(target=going.server.drain)
            draining.start()
            before = -1
            while len(going.lines()) != before:  # until the client has heard of it
                before = len(going.lines())
                assert ask(20) == {"SELLER_NOT_FOUND"}
            assert draining.is_alive()
            draining.join()
            process.stdin.close()
            assert process.wait(60) == 0


def test_a_program_that_reads_messages_does_not_load_grpc() -> None:
    script = "import sys, sellertrust.v1.entry_pb2; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("wrong", [5, 0, 0.5, None, True])
def test_a_max_staleness_that_is_no_span_is_refused(wrong: Any) -> None:
    message = rf"max_staleness must be 'any', 'fresh' or a timedelta, as timedelta\(seconds=5\), not {wrong}"
    with Client(NOWHERE) as client:
        for call in (client.get_trust_score, client.batch_get_trust_scores):
            with pytest.raises(TypeError, match=message):
                call("m", "s", max_staleness=wrong, on_error="unknown")


@pytest.mark.parametrize("wrong", [{"use": "payouts"}, {"on_error": "unkown"}])
def test_a_misspelt_use_is_refused(wrong: Any) -> None:
    """Otherwise `use="payouts"` would take a score of any age for a payout."""
    with Client(NOWHERE) as client:
        for call in (client.get_trust_score, client.batch_get_trust_scores):
            with pytest.raises(ValueError, match=f"must be .*, not '{next(iter(wrong.values()))}'"):
                call("m", "s", **wrong)

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from prometheus_client import CollectorRegistry

from scoring.base.errors import FieldViolation, InvalidInput, LedgerUnavailable
from sellertrust.client import Client
from sellertrust.v1 import ledger_service_pb2, review_service_pb2, trust_score_service_pb2
from service.api.approvals import Approvals
from service.api.calls import Calls
from service.api.gate import Gate
from service.api.server import FILES
from service.api.stream_threads import Streams
from service.api.telemetry.logs import Pseudonyms, make_log
from service.contract.statuses import internal_status, status_of
from service.engine.pools import Pool
from tests.helpers.moments import before_call
from tests.helpers.refusals import refusal, refused, refused_fields
from tests.helpers.servers import MARKET, Running, call_bytes, exposure, identity, running_server, violation

SERVICES: list[ServiceDescriptor] = [
    service
    for file in (ledger_service_pb2.DESCRIPTOR, review_service_pb2.DESCRIPTOR, trust_score_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
]
METHODS = [f"{service.name}/{method.name}" for service in SERVICES for method in service.methods]
BROKEN = {
    "garbage": bytes(range(255, 200, -1)),
    "cut short": b"\x0a\x40marketplaces/acme",
    "text that is not UTF-8": b"\x0a\x02\xff\xfe",
    "groups without an end, 5,000 deep": b"\x9b\x06" * 5_000,
}


def test_bytes_that_are_no_request_are_invalid(running: Running) -> None:
    for method in METHODS:
        for what, data in BROKEN.items():
            assert refused_fields(call_bytes, running.address, method, data) == ["request"], (method, what)


def test_every_call_is_counted_and_leaves_one_line(running: Running) -> None:
    methods = [f"{s.name}/{m.name}" for file in FILES for s in file.services_by_name.values() for m in s.methods]
    for method in methods:
        refusal(call_bytes, running.address, method, BROKEN["garbage"])
    lines = running.lines()
    assert [line["method"] for line in lines] == methods
    assert all(line["code"] == "INVALID_ARGUMENT" and line["fields"] == ["request"] for line in lines)
    assert all(running.value("requests_total", method=name, code="INVALID_ARGUMENT") == 1 for name in methods)


def test_fields_of_a_newer_contract_are_ignored(running: Running) -> None:
    data = ledger_service_pb2.ListEntriesRequest(parent=f"marketplaces/{MARKET}").SerializeToString()
    call_bytes(running.address, "LedgerService/ListEntries", data + b"\xf8\x07\x01")


def test_an_empty_request_names_the_name_that_is_missing(running: Running) -> None:
    for method in METHODS:
        assert refused_fields(call_bytes, running.address, method, b"")[0] in {"parent", "name", "seller"}


def test_a_method_that_does_not_exist_is_unimplemented(running: Running) -> None:
    error = refusal(call_bytes, running.address, "LedgerService/DeleteEverything", b"")
    assert error.code is grpc.StatusCode.UNIMPLEMENTED


def test_an_unforeseen_error_tells_only_an_id(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError("postgresql://trust:hunter2@db refused seller-17: SELECT * FROM entry")

    with running_server(tmp_path) as running, running.client() as client:
        before_call(running.scorer, "scores", fail)
        error = refused("INTERNAL", "INTERNAL", client.get_trust_score, MARKET, "seller-17")
        [line] = running.lines()
    assert list(error.metadata) == ["error_id"]
    for secret in ("hunter2", "SELECT", "RuntimeError", "Traceback", "seller-17"):
        assert secret not in str(error) + repr(error.metadata)
    assert line["error_id"] == error.metadata["error_id"]
    assert line["level"] == "error"
    assert "RuntimeError" in line["exception"]
    assert "seller-17" not in running.log.getvalue()


def test_a_request_is_one_line_with_a_pseudonym(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        client.append_entries(
            MARKET, [make(name, "seller-17") for name, make in (("i", identity), ("e", exposure), ("v", violation))]
        )
        client.get_trust_score(MARKET, "seller-17")
        client.batch_get_trust_scores(MARKET, ["seller-17", "seller-18"])
        client.confirm_violation(MARKET, "v", actor="staff", reason="seen")
        list(client.list_entries(MARKET, "seller-17"))
        refusal(client.get_trust_score, MARKET, "seller-17 ")
        append, get, batch, confirm, listing, wrong = running.lines()
    assert get["method"] == "TrustScoreService/GetTrustScore"
    assert get["code"] == "OK"
    assert 0 < get["latency_ms"] < 60_000
    assert get["model"] == ""
    assert {line["seller"] for line in (append, get, confirm, listing)} == {get["seller"]}
    assert len(get["seller"]) == 16
    assert append["items"] == 3
    assert batch["items"] == 2
    assert "seller" not in batch
    assert wrong["fields"] == ["seller"]
    assert "seller-17" not in running.log.getvalue()


def test_what_goes_wrong_with_the_log_does_not_reach_the_caller(running: Running, client: Client) -> None:
    running.log.close()
    client.append_entries(MARKET, [identity("i", "s")])
    running.server.log = make_log("json", "error")


def test_a_method_without_an_implementation_stops_the_start() -> None:
    class Partial:
        def GetTrustScore(self, request: object) -> object:  # noqa: N802 (the contract's name)
            return request

    calls = Calls(make_log(), Pseudonyms(b"key"), CollectorRegistry(), lambda: "", Gate(), Approvals(None, None, print))
    pools = {Pool.READ: ThreadPoolExecutor(1)}
    service = trust_score_service_pb2.DESCRIPTOR.services_by_name["TrustScoreService"]
    with pytest.raises(TypeError, match="BatchGetTrustScores"):
        calls.handlers(service, Partial(), pools, Streams(1, 1, ThreadPoolExecutor(2)))


def test_statuses_are_small_enough_for_any_client() -> None:
    many = [FieldViolation(("entries", n, "violation", "harm"), "must be one of " + "x" * 500) for n in range(10_000)]
    status = status_of(InvalidInput(many))
    details = BadRequest()
    assert status.details[0].Unpack(details)
    assert len(details.field_violations) >= 5
    assert status.ByteSize() < 6_000
    assert "9999 more" in status.message or "9,999 more" in status.message


def test_an_error_about_an_error_is_still_a_status(tmp_path: Path) -> None:
    def fail() -> None:
        raise LedgerUnavailable("no answer", {"metadata": 17})  # type: ignore[dict-item]

    with running_server(tmp_path, book_sellers=0) as running, running.client() as client:
        before_call(running.scorer, "scores", fail)
        error = refusal(client.get_trust_score, MARKET, "s")
    assert error.code is grpc.StatusCode.INTERNAL
    assert "TypeError" not in str(error)


def test_details_name_the_reason_the_domain_and_the_delay() -> None:
    info, retry = ErrorInfo(), RetryInfo()
    status = status_of(LedgerUnavailable("no answer"))
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, info.domain) == ("LEDGER_UNAVAILABLE", "sellertrust")
    assert retry.retry_delay.seconds == 1
    assert "abc" in internal_status("abc").message

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from prometheus_client import CollectorRegistry

from scoring.base.errors import FieldViolation, InvalidInput, LedgerUnavailable
from sellertrust.client import Client, SellertrustCallError, seller_name
from sellertrust.v1 import entry_pb2, ledger_service_pb2, trust_score_service_pb2
from service.access import rights
from service.api.approvals import Approvals
from service.api.calls import Calls
from service.api.gate import CallGate
from service.api.stream_threads import Streams
from service.api.telemetry.call_records import CallRecords
from service.api.telemetry.logs import Pseudonyms, make_log
from service.contract.statuses import internal_status, status_of
from service.engine.pools import Pool
from tests.helpers.contract_services import SERVICES
from tests.helpers.moments import before_call
from tests.helpers.refusals import refusal, refused, refused_fields
from tests.helpers.servers import (
    MARKET,
    Running,
    call_bytes,
    exposure,
    identity,
    ledger_stub,
    running_server,
    score_stub,
    violation,
)
from tests.helpers.worlds import artifact

METHODS = [f"{service.name}/{method.name}" for service in SERVICES for method in service.methods]
OF_SELLERS = [name for name in METHODS if name.startswith(("LedgerService", "ReviewService", "TrustScoreService"))]
BROKEN = {
    "garbage": bytes(range(255, 200, -1)),
    "cut short": b"\x0a\x40marketplaces/acme",
    "text that is not UTF-8": b"\x0a\x02\xff\xfe",
    "groups without an end, 5,000 deep": b"\x9b\x06" * 5_000,
}


def test_bytes_that_are_no_request_are_invalid(running: Running) -> None:
    for method in OF_SELLERS:
        for what, data in BROKEN.items():
            assert refused_fields(call_bytes, running.address, method, data) == ["request"], (method, what)


def test_every_call_is_counted_and_leaves_one_line(running: Running) -> None:
    methods = list(rights.METHODS)
    assert set(methods) == set(METHODS)
    for method in methods:
        refusal(call_bytes, running.address, method, BROKEN["garbage"])
    lines = running.lines()
    assert [line["method"] for line in lines] == methods
    assert all(line["code"] == "INVALID_ARGUMENT" and line["fields"] == ["request"] for line in lines)
    assert all(running.value("requests_total", method=name, code="INVALID_ARGUMENT") == 1 for name in methods)


@pytest.mark.parametrize("unknown", [b"\xf8\x07\x01", b"\x2a\x03\xf8\x07\x01"])
def test_fields_of_a_newer_contract_are_refused(running: Running, unknown: bytes) -> None:
    request = trust_score_service_pb2.GetTrustScoreRequest(seller=f"marketplaces/{MARKET}/sellers/s")
    data = request.SerializeToString() + unknown
    error = refused("INVALID_ARGUMENT", "", call_bytes, running.address, "TrustScoreService/GetTrustScore", data)
    assert "use a client of its version" in error.message


def test_an_empty_request_names_the_name_that_is_missing(running: Running) -> None:
    for method in OF_SELLERS:
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

    records = CallRecords(make_log(), Pseudonyms(b"key"), CollectorRegistry(), lambda: "")
    calls = Calls(records, CallGate(), Approvals(None, None, print))
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


LIST = ledger_service_pb2.ListEntriesRequest


def test_wrong_fields_are_named_over_the_whole_batch(client: Client) -> None:
    no_harm = violation("a", "s", harm=entry_pb2.HARM_UNSPECIFIED)
    new_source = violation("b", "s", source=99, violation_type="nonsense")
    no_seller = identity("c", "s")
    no_seller.seller = ""
    no_day = exposure("d", "s")
    no_day.exposure.day = "2026-02-30"
    no_fact = entry_pb2.Entry(entry_id="e", seller=seller_name(MARKET, "s"))
    elsewhere = identity("f", "s")
    elsewhere.seller = "marketplaces/other/sellers/s"
    good = identity("g", "s")
    assert refused_fields(client.append_entries, MARKET, [good, no_harm, new_source]) == [
        "entries[1].violation.harm",
        "entries[2].violation.source",
        "entries[2].violation.violation_type",
    ]
    assert refused_fields(client.append_entries, MARKET, [no_seller, good, no_day, no_fact, elsewhere]) == [
        "entries[0].seller",
        "entries[2].exposure.day",
        "entries[3].fact",
        "entries[4].seller",
    ]
    assert list(client.list_entries(MARKET)) == []


def test_times_out_of_range_are_refused_and_finer_ones_cut_off(client: Client) -> None:
    for seconds, nanos in ((-1, 0), (253_402_300_800, 0), (1, -1), (1, 1_000_000_000)):
        entry = identity("i", "s")
        entry.occur_time.CopyFrom(Timestamp(seconds=seconds, nanos=nanos))
        assert refused_fields(client.append_entries, MARKET, [entry]) == ["entries[0].occur_time"]
    entry.occur_time.CopyFrom(Timestamp(seconds=1, nanos=1_999))
    client.append_entries(MARKET, [entry])
    [listed] = client.list_entries(MARKET)
    assert listed.occur_time == Timestamp(seconds=1, nanos=1_000)
    early, late = Timestamp(seconds=-1), datetime.now(UTC) + timedelta(hours=1)
    ask = client.get_trust_score
    assert refused_fields(ask, MARKET, "s", observe_time=early, known_time=early) == ["observe_time", "known_time"]
    assert refused_fields(ask, MARKET, "s", observe_time=late) == ["observe_time"]
    assert refused_fields(client.get_violation, MARKET, "v", known_time=late) == ["known_time"]


@pytest.mark.long
def test_ten_thousand_entries_fit_in_one_message(client: Client) -> None:
    reason = "x" * 250
    entries = [violation(f"v{n}", "s") for n in range(5_000)]
    for n in range(5_000):
        change = entry_pb2.Entry(entry_id=f"c{n}", seller=seller_name(MARKET, "s"))
        change.status.CopyFrom(
            entry_pb2.StatusChanged(violation=f"v{n}", action=entry_pb2.ACTION_REVIEW, actor="a", reason=reason)
        )
        entries.append(change)
    results = client.append_entries(MARKET, entries, deadline_seconds=60)
    assert [result.sequence for result in results] == list(range(1, 10_001))


def test_an_unknown_violation_is_not_found(client: Client) -> None:
    errors = [refusal(decide, MARKET, "v", actor="a", reason="r") for decide in decisions(client).values()]
    errors.append(refusal(client.get_violation, MARKET, "v"))
    for error in errors:
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "VIOLATION_NOT_FOUND")
        assert error.metadata == {"violation": "v"}
        assert "entries[0]" not in error.message


def decisions(client: Client) -> dict[str, Any]:
    return {
        "CONFIRMED": client.confirm_violation,
        "DISMISSED": client.dismiss_violation,
        "WITHDRAWN": client.withdraw_violation,
        "OVERTURNED": client.overturn_violation,
    }


def test_a_decision_changes_the_status(client: Client) -> None:
    for name, decide in decisions(client).items():
        client.append_entries(MARKET, [violation(name, "s")])
        if name == "OVERTURNED":
            client.confirm_violation(MARKET, name, actor="a", reason="r")
        response = decide(MARKET, name, actor="a", reason="r")
        assert response.violation.status == entry_pb2.ViolationStatus.Value(f"VIOLATION_STATUS_{name}")
        assert client.get_violation(MARKET, name) == response.violation
        fields = refused_fields(decide, MARKET, name, actor="not an id", reason="", entry_id="nor this")
        assert sorted(fields) == ["actor", "entry_id", "reason"]
        assert refused_fields(decide, MARKET, "no/id", actor="a", reason="r") == ["name"]


def test_without_an_entry_id_the_server_makes_one(client: Client) -> None:
    client.append_entries(MARKET, [violation("v", "s")])
    stub = ledger_stub(client)
    name = f"marketplaces/{MARKET}/violations/v"
    response = stub.ConfirmViolation(
        ledger_service_pb2.ConfirmViolationRequest(name=name, actor="a", reason="r"), timeout=60
    )
    assert len(response.violation.entries) == 2


def test_a_batch_answers_in_order_and_fails_by_item(client: Client) -> None:
    client.append_entries(MARKET, [identity("i1", "s1"), identity("i2", "s2")])
    first, missing, second = client.batch_get_trust_scores(MARKET, ["s2", "nobody", "s1"])
    assert (first.trust_score.seller, second.trust_score.seller) == (first.seller, second.seller)
    assert first.seller == seller_name(MARKET, "s2")
    assert first.trust_score.stamp == second.trust_score.stamp
    assert missing.seller == seller_name(MARKET, "nobody")
    assert (missing.error.code, missing.error.reason) == (5, "SELLER_NOT_FOUND")
    assert missing.error.message


def test_a_batch_names_every_wrong_seller(client: Client) -> None:
    good, elsewhere = seller_name(MARKET, "s"), "marketplaces/other/sellers/s"
    request = trust_score_service_pb2.BatchGetTrustScoresRequest(
        parent=f"marketplaces/{MARKET}", sellers=[good, elsewhere, "s", good]
    )
    with pytest.raises(grpc.RpcError) as caught:
        score_stub(client).BatchGetTrustScores(request, timeout=60)
    found = SellertrustCallError.of(caught.value)
    assert [field for field, _ in found.fields] == ["sellers[1]", "sellers[2]", "sellers[3]"]
    assert refused_fields(client.batch_get_trust_scores, MARKET, []) == ["sellers"]
    assert refused_fields(client.batch_get_trust_scores, MARKET, [f"s{n}" for n in range(1_001)]) == ["sellers"]


def test_without_a_model_the_answer_is_unknown_and_no_number(client: Client) -> None:
    client.append_entries(MARKET, [identity("i", "s")])
    score = client.get_trust_score(MARKET, "s")
    assert score.state == trust_score_service_pb2.SCORE_STATE_UNKNOWN
    assert score.badge == "unknown"
    assert not score.HasField("points")
    assert score.tier == entry_pb2.TIER_UNSPECIFIED
    assert score.stamp.model_digest == ""


def test_a_rated_sellers_explanation_sums_up(tmp_path: Path) -> None:
    with running_server(tmp_path, artifact=artifact()) as running, running.client() as client:
        client.append_entries(MARKET, [identity("i", "s"), exposure("e", "s"), violation("v", "s")])
        before = client.get_trust_score(MARKET, "s")
        client.confirm_violation(MARKET, "v", actor="a", reason="r")
        explanation = client.explain_trust_score(MARKET, "s")
        then = client.get_trust_score(
            MARKET, "s", observe_time=before.stamp.observe_time, known_time=before.stamp.known_time
        )
    after = explanation.trust_score
    assert before.state == trust_score_service_pb2.SCORE_STATE_RATED
    assert after.points < before.points
    assert sum(reason.points for reason in explanation.reasons) == after.points - explanation.baseline_points
    assert explanation.reasons[0].incidents[0].entries[0] == "v"
    assert after.stamp.model_digest == artifact().digest
    then.freshness.CopyFrom(before.freshness)
    assert then == before


def test_the_last_page_has_no_token_even_if_it_is_full(client: Client) -> None:
    client.append_entries(MARKET, [violation(f"v{n}", "s") for n in range(4)])
    request = LIST(parent=f"marketplaces/{MARKET}", page_size=2)
    first = ledger_stub(client).ListEntries(request, timeout=60)
    request.page_token = first.next_page_token
    last = ledger_stub(client).ListEntries(request, timeout=60)
    assert (len(first.entries), len(last.entries)) == (2, 2)
    assert first.next_page_token
    assert not last.next_page_token


def test_what_a_list_is_asked_for_must_make_sense(client: Client) -> None:
    one = next
    assert refused_fields(one, client.list_entries(MARKET, page_size=-1)) == ["page_size"]
    assert refused_fields(one, client.list_entries("no market")) == ["parent"]
    assert refused_fields(one, client.list_violations(MARKET, "no seller")) == ["parent"]
    assert refused_fields(one, client.list_violations(MARKET, statuses=[1, 0, 3, 99])) == [
        "statuses[1]",
        "statuses[3]",
    ]

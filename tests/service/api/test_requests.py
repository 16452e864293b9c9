"""The RPCs over a socket, on a real ledger: what is answered, and what a refusal says."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sellertrust.client import Client, SellertrustCallError, seller_name
from sellertrust.v1 import entry_pb2, ledger_service_pb2, trust_score_service_pb2
from tests.scoring.worlds import artifact
from tests.servers import MARKET, exposure, identity, running_server, violation

LIST = ledger_service_pb2.ListEntriesRequest


def refused(call: Any, *arguments: Any, **options: Any) -> SellertrustCallError:
    with pytest.raises(SellertrustCallError) as caught:
        call(*arguments, **options)
    return caught.value


def fields_of(call: Any, *arguments: Any, **options: Any) -> list[str]:
    error = refused(call, *arguments, **options)
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    return [field for field, _ in error.fields]


def test_wrong_fields_are_named_by_their_paths_over_the_whole_batch(tmp_path: Path) -> None:
    no_harm = violation("a", "s", harm=entry_pb2.HARM_UNSPECIFIED)
    new_source = violation("b", "s", source=99, violation_type="nonsense")
    no_seller = identity("c", "s")
    no_seller.seller = ""
    no_day = exposure("d", "s")
    no_day.exposure.day = "2026-02-30"
    no_fact = entry_pb2.Entry(entry_id="e", seller=seller_name(MARKET, "s"))
    elsewhere = identity("f", "s")
    elsewhere.seller = "marketplaces/other/sellers/s"
    with running_server(tmp_path) as running, running.client() as client:
        good = identity("g", "s")
        assert fields_of(client.append_entries, MARKET, [good, no_harm, new_source]) == [
            "entries[1].violation.harm",
            "entries[2].violation.source",
            "entries[2].violation.violation_type",
        ]
        assert fields_of(client.append_entries, MARKET, [no_seller, good, no_day, no_fact, elsewhere]) == [
            "entries[0].seller",
            "entries[2].exposure.day",
            "entries[3].fact",
            "entries[4].seller",
        ]
        assert list(client.list_entries(MARKET)) == []


def test_times_out_of_range_are_refused_and_finer_ones_cut_off(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        for seconds, nanos in ((-1, 0), (253_402_300_800, 0), (1, -1), (1, 1_000_000_000)):
            entry = identity("i", "s")
            entry.occur_time.CopyFrom(Timestamp(seconds=seconds, nanos=nanos))
            assert fields_of(client.append_entries, MARKET, [entry]) == ["entries[0].occur_time"]
        entry.occur_time.CopyFrom(Timestamp(seconds=1, nanos=1_999))
        client.append_entries(MARKET, [entry])
        [listed] = client.list_entries(MARKET)
        assert listed.occur_time == Timestamp(seconds=1, nanos=1_000)
        early, late = Timestamp(seconds=-1), datetime.now(UTC) + timedelta(hours=1)
        ask = client.get_trust_score
        assert fields_of(ask, MARKET, "s", observe_time=early, known_time=early) == ["observe_time", "known_time"]
        assert fields_of(ask, MARKET, "s", observe_time=late) == ["observe_time"]
        assert fields_of(client.get_violation, MARKET, "v", known_time=late) == ["known_time"]


def test_only_imports_may_say_when_the_source_learned_of_it(tmp_path: Path) -> None:
    entry = identity("i", "s")
    entry.report_time.CopyFrom(entry.occur_time)
    with running_server(tmp_path) as running, running.client() as client:
        assert fields_of(client.append_entries, MARKET, [entry]) == ["entries[0].report_time"]


def test_a_batch_is_neither_empty_nor_larger_than_ten_thousand(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        assert fields_of(client.append_entries, MARKET, []) == ["entries"]
        assert fields_of(client.append_entries, MARKET, [entry_pb2.Entry()] * 10_001) == ["entries"]


@pytest.mark.long
def test_ten_thousand_entries_fit_in_one_message(tmp_path: Path) -> None:
    reason = "x" * 250
    entries = [violation(f"v{n}", "s") for n in range(5_000)]
    for n in range(5_000):
        change = entry_pb2.Entry(entry_id=f"c{n}", seller=seller_name(MARKET, "s"))
        change.status.CopyFrom(
            entry_pb2.StatusChanged(violation=f"v{n}", action=entry_pb2.ACTION_REVIEW, actor="a", reason=reason)
        )
        entries.append(change)
    with running_server(tmp_path) as running, running.client() as client:
        results = client.append_entries(MARKET, entries, deadline_seconds=60)
    assert [result.sequence for result in results] == list(range(1, 10_001))


def test_appending_again_answers_as_the_first_time(tmp_path: Path) -> None:
    entries = [identity("i", "s"), violation("v", "s")]
    with running_server(tmp_path) as running, running.client() as client:
        first = client.append_entries(MARKET, entries)
        again = client.append_entries(MARKET, entries)
        other = refused(client.append_entries, MARKET, [identity("v", "s")])
    assert [(r.sequence, r.record_time) for r in again] == [(r.sequence, r.record_time) for r in first]
    assert [r.already_present for r in first + again] == [False, False, True, True]
    assert (other.code, other.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ENTRY_CONTENT_DIFFERS")
    assert other.metadata == {"entry_id": "v"}


def test_a_day_stated_twice_under_one_revision_is_refused(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        client.append_entries(MARKET, [exposure("e1", "s", orders=5)])
        error = refused(client.append_entries, MARKET, [exposure("e2", "s", orders=6)])
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, "EXPOSURE_REVISION_TAKEN")
    assert error.metadata == {"entry_id": "e1"}


def test_listed_entries_are_what_was_appended(tmp_path: Path) -> None:
    sent = [
        identity("i", "s"),
        exposure("e", "s", orders=7),
        violation("v", "s", notifier="brand-1", incident="case-1", listing="l", product_category="toys", final=True),
    ]
    sent[0].identity.country = "CN"
    sent[0].identity.attributes["kind"] = "factory"
    sent[1].exposure.value_minor, sent[1].exposure.currency = 700, "CNY"
    change = entry_pb2.Entry(entry_id="c", seller=seller_name(MARKET, "s"), occur_time=sent[2].occur_time)
    decision = {"violation": "v", "action": entry_pb2.ACTION_CONFIRM, "actor": "a", "reason": "seen"}
    change.status.CopyFrom(entry_pb2.StatusChanged(**decision))
    with running_server(tmp_path) as running, running.client() as client:
        client.append_entries(MARKET, [*sent, change])
        listed = list(client.list_entries(MARKET))
        assert [entry.sequence for entry in listed] == [1, 2, 3, 4]
        assert all(entry.HasField("record_time") and entry.HasField("report_time") for entry in listed)
        for entry in listed:
            entry.ClearField("report_time")
        results = client.append_entries(MARKET, listed)
        assert all(result.already_present for result in results)
        for entry in listed:
            for output_only in ("record_time", "sequence", "principal"):
                entry.ClearField(output_only)
        assert listed == [*sent, change]


def test_an_unknown_seller_is_not_found_in_so_many_words(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        for call in (client.get_trust_score, client.explain_trust_score):
            error = refused(call, MARKET, "nobody")
            assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "SELLER_NOT_FOUND")
            assert error.metadata == {"seller": seller_name(MARKET, "nobody")}


def test_an_unknown_violation_is_not_found_whatever_is_asked_of_it(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        errors = [refused(decide, MARKET, "v", actor="a", reason="r") for decide in decisions(client).values()]
        errors.append(refused(client.get_violation, MARKET, "v"))
    for error in errors:
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "VIOLATION_NOT_FOUND")
        assert error.metadata == {"violation": "v"}
        assert "entries[0]" not in error.message


def decisions(client: Client) -> dict[str, Any]:
    """What a client can do to a violation, by the status it leads to."""
    return {
        "CONFIRMED": client.confirm_violation,
        "DISMISSED": client.dismiss_violation,
        "WITHDRAWN": client.withdraw_violation,
        "OVERTURNED": client.overturn_violation,
    }


def test_a_decision_changes_the_status_and_names_what_is_wrong_with_it(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        for name, decide in decisions(client).items():
            client.append_entries(MARKET, [violation(name, "s")])
            if name == "OVERTURNED":
                client.confirm_violation(MARKET, name, actor="a", reason="r")
            response = decide(MARKET, name, actor="a", reason="r")
            assert response.violation.status == entry_pb2.ViolationStatus.Value(f"VIOLATION_STATUS_{name}")
            assert client.get_violation(MARKET, name) == response.violation
            fields = fields_of(decide, MARKET, name, actor="not an id", reason="", entry_id="nor this")
            assert sorted(fields) == ["actor", "entry_id", "reason"]
            assert fields_of(decide, MARKET, "no/id", actor="a", reason="r") == ["name"]


def test_a_decision_repeated_under_its_entry_id_is_answered_as_the_first_time(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        client.append_entries(MARKET, [violation("v", "s")])
        decision = {"actor": "a", "reason": "r", "entry_id": "decision-1"}
        first = client.confirm_violation(MARKET, "v", **decision)
        client.overturn_violation(MARKET, "v", actor="a", reason="wrong")
        assert client.confirm_violation(MARKET, "v", **decision) == first
        error = refused(client.confirm_violation, MARKET, "v", actor="a", reason="r")
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LIFECYCLE_FORBIDS")
    assert error.metadata["status"] == "OVERTURNED"


def test_without_an_entry_id_the_server_makes_one(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        client.append_entries(MARKET, [violation("v", "s")])
        stub = client._ledger
        name = f"marketplaces/{MARKET}/violations/v"
        response = stub.ConfirmViolation(
            ledger_service_pb2.ConfirmViolationRequest(name=name, actor="a", reason="r"), timeout=60
        )
    assert len(response.violation.entries) == 2


def test_a_batch_answers_each_seller_in_order_and_fails_an_item_at_a_time(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        client.append_entries(MARKET, [identity("i1", "s1"), identity("i2", "s2")])
        first, missing, second = client.batch_get_trust_scores(MARKET, ["s2", "nobody", "s1"])
    assert (first.trust_score.seller, second.trust_score.seller) == (first.seller, second.seller)
    assert first.seller == seller_name(MARKET, "s2")
    assert first.trust_score.stamp == second.trust_score.stamp
    assert missing.seller == seller_name(MARKET, "nobody")
    assert (missing.error.code, missing.error.reason) == (5, "SELLER_NOT_FOUND")
    assert missing.error.message


def test_a_batch_names_every_wrong_seller(tmp_path: Path) -> None:
    good, elsewhere = seller_name(MARKET, "s"), "marketplaces/other/sellers/s"
    request = trust_score_service_pb2.BatchGetTrustScoresRequest(
        parent=f"marketplaces/{MARKET}", sellers=[good, elsewhere, "s", good]
    )
    with running_server(tmp_path) as running, running.client() as client:
        with pytest.raises(grpc.RpcError) as caught:
            client._scores.BatchGetTrustScores(request, timeout=60)
        found = SellertrustCallError.of(caught.value)
        assert [field for field, _ in found.fields] == ["sellers[1]", "sellers[2]", "sellers[3]"]
        assert fields_of(client.batch_get_trust_scores, MARKET, []) == ["sellers"]
        assert fields_of(client.batch_get_trust_scores, MARKET, [f"s{n}" for n in range(1_001)]) == ["sellers"]


def test_without_a_model_the_answer_is_unknown_and_no_number(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        client.append_entries(MARKET, [identity("i", "s")])
        score = client.get_trust_score(MARKET, "s")
    assert score.state == trust_score_service_pb2.SCORE_STATE_UNKNOWN
    assert score.badge == "unknown"
    assert not score.HasField("points")
    assert score.tier == entry_pb2.TIER_UNSPECIFIED
    assert score.stamp.model_digest == ""


def test_a_rated_seller_gets_points_and_an_explanation_that_sums_up(tmp_path: Path) -> None:
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
    then.freshness.CopyFrom(before.freshness)  # which is about the present
    assert then == before


def test_a_rated_seller_gets_an_interval_that_narrows_with_its_orders_and_is_replayed(tmp_path: Path) -> None:
    with running_server(tmp_path, artifact=artifact()) as running, running.client() as client:
        client.append_entries(MARKET, [identity("i", "s"), exposure("e", "s", orders=40)])
        thin = client.get_trust_score(MARKET, "s")
        client.append_entries(MARKET, [exposure(f"e{n}", "s", orders=40_000, days=n) for n in range(1, 20)])
        thick = client.get_trust_score(MARKET, "s")
        stamp = thin.stamp
        then = client.get_trust_score(MARKET, "s", observe_time=stamp.observe_time, known_time=stamp.known_time)
    assert thin.points_low < thin.points <= thin.points_high
    assert thin.points - thin.points_low > thick.points - thick.points_low
    then.freshness.CopyFrom(thin.freshness)  # which is about the present
    assert then == thin


def test_a_newcomer_is_unrated_and_told_what_is_missing(tmp_path: Path) -> None:
    with running_server(tmp_path, artifact=artifact()) as running, running.client() as client:
        client.append_entries(MARKET, [exposure("e", "s", orders=3, days=5)])
        explanation = client.explain_trust_score(MARKET, "s")
    assert explanation.trust_score.state == trust_score_service_pb2.SCORE_STATE_UNRATED
    assert explanation.trust_score.tier == entry_pb2.TIER_UNRATED
    assert explanation.thin_file.settled_orders == 3
    assert not explanation.trust_score.HasField("points_low")
    assert not explanation.trust_score.HasField("points_high")


def test_pages_are_of_one_cut_whatever_is_appended_meanwhile(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        client.append_entries(MARKET, [violation(f"v{n}", "s") for n in range(5)])
        entries = client.list_entries(MARKET, page_size=2)
        violations = client.list_violations(MARKET, page_size=2)
        seen, found = [next(entries)], [next(violations)]
        client.append_entries(MARKET, [violation("late", "s")])
        client.confirm_violation(MARKET, "v4", actor="a", reason="r")
        seen += entries
        found += violations
        assert [entry.entry_id for entry in seen] == [f"v{n}" for n in range(5)]
        assert [one.name.rsplit("/", 1)[-1] for one in found] == [f"v{n}" for n in range(5)]
        assert {one.status for one in found} == {entry_pb2.VIOLATION_STATUS_ALLEGED}
        confirmed = client.list_violations(MARKET, "s", statuses=[entry_pb2.VIOLATION_STATUS_CONFIRMED], page_size=1)
        assert [one.name.rsplit("/", 1)[-1] for one in confirmed] == ["v4"]


def test_the_last_page_has_no_token_even_if_it_is_full(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        client.append_entries(MARKET, [violation(f"v{n}", "s") for n in range(4)])
        request = LIST(parent=f"marketplaces/{MARKET}", page_size=2)
        first = client._ledger.ListEntries(request, timeout=60)
        request.page_token = first.next_page_token
        last = client._ledger.ListEntries(request, timeout=60)
    assert (len(first.entries), len(last.entries)) == (2, 2)
    assert first.next_page_token
    assert not last.next_page_token


def test_a_page_token_belongs_to_its_request(tmp_path: Path) -> None:
    parent = f"marketplaces/{MARKET}"
    with running_server(tmp_path) as running, running.client() as client:
        client.append_entries(MARKET, [violation(f"v{n}", "s") for n in range(4)])
        stub = client._ledger
        token = stub.ListEntries(LIST(parent=parent, page_size=1), timeout=60).next_page_token
        assert len(stub.ListEntries(LIST(parent=parent, page_size=3, page_token=token), timeout=60).entries) == 3
        wrong = [
            LIST(parent=f"{parent}/sellers/s", page_token=token),
            LIST(parent=parent, page_token=token, observe_time=Timestamp(seconds=1)),
            LIST(parent=parent, page_token=token[:-4]),
            LIST(parent=parent, page_token=token[:-4] + ("AAA=" if token[-4:] != "AAA=" else "BBB=")),
            LIST(parent=parent, page_token="\u00e9 no token"),
            ledger_service_pb2.ListViolationsRequest(parent=parent, page_token=token),
        ]
        for request in wrong:
            call = stub.ListEntries if isinstance(request, LIST) else stub.ListViolations
            with pytest.raises(grpc.RpcError) as caught:
                call(request, timeout=60)
            assert [field for field, _ in SellertrustCallError.of(caught.value).fields] == ["page_token"]


def test_what_a_list_is_asked_for_must_make_sense(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        one = next
        assert fields_of(one, client.list_entries(MARKET, page_size=-1)) == ["page_size"]
        assert fields_of(one, client.list_entries("no market")) == ["parent"]
        assert fields_of(one, client.list_violations(MARKET, "no seller")) == ["parent"]
        assert fields_of(one, client.list_violations(MARKET, statuses=[1, 0, 3, 99])) == ["statuses[1]", "statuses[3]"]


def test_a_list_as_of_a_time_holds_what_was_so_then(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client:
        client.append_entries(MARKET, [violation("v", "s")])
        client.confirm_violation(MARKET, "v", actor="a", reason="r")
        before = client.get_violation(MARKET, "v").record_time
        before.nanos += 1_000
        [then] = client.list_violations(MARKET, known_time=before)
        assert then.status == entry_pb2.VIOLATION_STATUS_ALLEGED
        assert client.get_violation(MARKET, "v", known_time=before) == then
        assert [entry.entry_id for entry in client.list_entries(MARKET, known_time=before)] == ["v"]
        past = datetime.now(UTC) - timedelta(days=1)
        assert list(client.list_entries(MARKET, observe_time=past)) == []

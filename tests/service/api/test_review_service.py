from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from sellertrust.client import Client
from sellertrust.names import notifier_name
from sellertrust.v1 import entry_pb2
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, days_ago, violation

DISMISS = entry_pb2.ACTION_DISMISS
WHY: dict[str, Any] = {"actor": "staff-7", "reason": "made up"}


def test_a_notifier_is_shown_with_its_record_and_its_interval(client: Client) -> None:
    client.append_entries(MARKET, [violation(f"v{n}", "s", notifier="brand-1") for n in range(3)])
    [*_, last] = client.list_entries(MARKET)
    client.append_entries(MARKET, [violation("c", "s", notifier="customs-1", source=entry_pb2.SOURCE_CUSTOMS)])
    client.dismiss_violation(MARKET, "v0", **WHY)
    client.withdraw_violation(MARKET, "v1", **WHY)
    found = client.get_notifier(MARKET, "brand-1")
    assert found.name == notifier_name(MARKET, "brand-1")
    assert (found.reports, found.dismissed, found.withdrawn, found.open) == (3, 1, 1, 1)
    assert (found.source, found.prior_reliability) == (entry_pb2.SOURCE_BRAND, 0.7)
    assert found.reliability_low < found.reliability == 7 / 11.5 < found.reliability_high
    then = Timestamp(seconds=last.record_time.seconds, nanos=last.record_time.nanos + 1_000)
    assert client.get_notifier(MARKET, "brand-1", known_time=then).open == 3
    authority = client.get_notifier(MARKET, "customs-1")
    assert (authority.reports, authority.authority_reports, authority.HasField("reliability")) == (0, 1, False)
    missing = refusal(client.get_notifier, MARKET, "nobody")
    assert (missing.code, missing.reason) == (grpc.StatusCode.NOT_FOUND, "NOTIFIER_NOT_FOUND")
    assert missing.metadata == {"notifier": notifier_name(MARKET, "nobody")}
    assert refusal(client.get_notifier, MARKET, "a b").fields[0][0] == "name"


@pytest.mark.parametrize("page_size", [1, 9])
def test_a_notifier_gets_back_what_became_of_its_reports(client: Client, page_size: int) -> None:
    reports = [violation(f"v{n}", f"s{n}", notifier=f"brand-{n % 2}") for n in range(6)]
    client.append_entries(MARKET, reports)
    client.dismiss_violation(MARKET, "v0", **WHY)
    client.confirm_violation(MARKET, "v1", **WHY)
    client.confirm_violation(MARKET, "v2", **WHY)
    found = [*client.list_violations(MARKET, notifier="brand-0", page_size=page_size)]
    states = [entry_pb2.VIOLATION_STATUS_DISMISSED, entry_pb2.VIOLATION_STATUS_CONFIRMED]
    assert [one.status for one in found] == [*states, entry_pb2.VIOLATION_STATUS_ALLEGED]
    assert {one.notifier for one in found} == {"brand-0"}
    confirmed = [*client.list_violations(MARKET, notifier="brand-0", statuses=states[1:], page_size=page_size)]
    assert confirmed == found[1:2]
    assert [*client.list_violations(MARKET, "s1", notifier="brand-0")] == []
    assert refusal(next, client.list_violations(MARKET, notifier="a b")).fields[0][0] == "notifier"


def test_wrong_requests_are_named_by_their_fields(client: Client) -> None:
    for given in ({"actor": "staff-7"}, {"reason": "so"}):
        with pytest.raises(TypeError, match="missing 1 required keyword-only argument"):
            client.decide_violations(MARKET, DISMISS, **given)  # type: ignore[call-arg,arg-type]

    def fields(**options: Any) -> list[str]:
        options = WHY | {"notifier": "n"} | options
        return [field for field, _ in refusal(client.decide_violations, MARKET, DISMISS, **options).fields]

    assert fields(execute=True, decision_id="d") == ["expected_count", "etag"]
    assert fields(expected_count=3, etag="x") == ["expected_count", "etag"]
    assert fields(seller="a b", statuses=[99]) == ["seller", "statuses[0]"]
    assert fields(sample_fraction=-0.1, listing="a b", actor="") == ["actor", "listing", "sample_fraction"]
    assert fields(notifier="") == ["violation_types"]
    for action in (entry_pb2.ACTION_UNSPECIFIED, 99, entry_pb2.ACTION_APPEAL):
        error = refusal(client.decide_violations, MARKET, action, notifier="n", **WHY)
        assert [field for field, _ in error.fields] == ["action"]
    with pytest.raises(ValueError, match="decision_id is required"):
        client.decide_violations(MARKET, DISMISS, execute=True, expected_count=1, **WHY)
    with pytest.raises(ValueError, match="reported_from has no time zone"):
        client.decide_violations(MARKET, DISMISS, reported_from=datetime(2026, 1, 1), **WHY)  # noqa: DTZ001
    late = datetime.now(UTC) + timedelta(days=1)
    assert refusal(client.get_notifier, MARKET, "n", known_time=late).fields[0][0] == "known_time"
    assert fields(reported_before=days_ago(1), reported_from=Timestamp(seconds=-1)) == ["reported_from"]

from pathlib import Path

import pytest

from scoring.base.enums import CautionSignal
from scoring.caution.cautions import Caution
from scoring.caution.flow_signals import FlowMeasurement
from sellertrust.client import Client
from sellertrust.v1 import entry_pb2
from sellertrust.v1.trust_score_service_pb2 import CAUTION_SIGNAL_REPORTS, TrustScore
from service.cli.scores import describe_reason
from service.contract.scores import caution_messages
from tests.helpers.policies import GRADED
from tests.helpers.servers import MARKET, Running, exposure, identity, running_server, violation
from tests.helpers.shells import shell_of
from tests.helpers.worlds import artifact


@pytest.fixture
def running(tmp_path: Path):
    with (
        running_server(tmp_path, artifact=artifact(), policy=GRADED) as server,
        server.client() as client,
    ):
        client.append_entries(MARKET, [*sold("s1"), *sold("s2")])
        yield server


def sold(seller: str) -> list[entry_pb2.Entry]:
    return [identity(f"i-{seller}", seller), exposure(f"x-{seller}", seller, 5_000)]


def report(name: str, seller: str) -> entry_pb2.Entry:
    return violation(name, seller, source=entry_pb2.SOURCE_CUSTOMS)


def plain(score: TrustScore) -> TrustScore:
    found = TrustScore.FromString(score.SerializeToString())
    for name in ("stamp", "freshness", "points_if_upheld", "open_allegations"):
        found.ClearField(name)
    return found


def test_a_report_sets_a_caution_and_its_dismissal_ends_it(client: Client) -> None:
    before = client.get_trust_score(MARKET, "s1")
    client.append_entries(MARKET, [report("r", "s1")])
    sequence = client.append_entries(MARKET, [exposure("other", "s2", 5, days=50)])[0].sequence
    found = client.get_trust_score(MARKET, "s1", at_least_sequence=sequence)
    [caution] = found.cautions
    assert (caution.rule, caution.reference) == ("grave-reports", "Seller terms 10.1: precautions")
    assert (caution.signal, caution.case) == (CAUTION_SIGNAL_REPORTS, "grave-reports~r")
    assert caution.end_time.seconds - caution.start_time.seconds == 3 * 86_400
    assert caution.decide_by_time == caution.end_time
    assert (caution.counted, caution.compared, [*caution.entries], caution.entries_omitted) == (100, 0, ["r"], 0)
    assert client.get_trust_score(MARKET, "s1").cautions[0] == caution
    mine, other = client.batch_get_trust_scores(MARKET, ["s1", "s2"])
    assert [*mine.trust_score.cautions] == [caution]
    assert not other.trust_score.cautions
    measures = client.evaluate_measures(MARKET, "s1")
    assert [*measures.cautions] == [caution]
    asked = [m for m in measures.measures if m.caution]
    assert {(m.rule, m.kind, *m.entries) for m in asked} == {
        ("grave-reports", entry_pb2.MEASURE_KIND_INTAKE_CAP, "r"),
        ("grave-reports", entry_pb2.MEASURE_KIND_MANUAL_REVIEW, "r"),
    }
    assert measures.terms.intake_caps[0].limit == 0
    titles = [one.title for one in client.list_statements_of_reasons(MARKET, "s1").statements]
    assert any("You may add no new listings" in title for title in titles)
    bare = plain(found)
    bare.ClearField("cautions")
    assert bare == plain(before)
    client.dismiss_violation(MARKET, "r", actor="staff", reason="their own goods")
    after = client.get_trust_score(MARKET, "s1")
    assert plain(after) == plain(before)
    assert not client.evaluate_measures(MARKET, "s1").cautions
    times = {"observe_time": found.stamp.observe_time, "known_time": found.stamp.known_time}
    again = client.get_trust_score(MARKET, "s1", **times)
    again.ClearField("freshness")
    found.ClearField("freshness")
    assert again.SerializeToString(deterministic=True) == found.SerializeToString(deterministic=True)


def test_the_queue_states_when_a_case_is_due(running: Running, client: Client, tmp_path: Path) -> None:
    client.append_entries(
        MARKET,
        [
            report("r", "s1"),
            violation("other", "s1", violation_type="misleading_listing"),
            violation("third", "s2"),
        ],
    )
    [caution] = client.get_trust_score(MARKET, "s1").cautions
    items = {item.violation.name.rsplit("/", 1)[-1]: item for item in client.list_review_queue(MARKET)}
    assert (items["r"].decide_by_time, items["r"].case) == (caution.decide_by_time, caution.case)
    assert [items[name].HasField("decide_by_time") or items[name].case for name in ("other", "third")] == ["", ""]
    rows = {row["violation"]: row for row in shell_of(tmp_path, target=running.address).json("violation", "queue")}
    assert rows["r"]["decide_by"] == caution.decide_by_time.ToJsonString()
    assert rows["other"]["decide_by"] is None
    client.dismiss_violation(MARKET, "r", actor="staff", reason="their own goods")
    assert not any(item.case for item in client.list_review_queue(MARKET))


def test_a_caution_names_its_last_hundred_entries() -> None:
    many = tuple(f"f{n}" for n in range(130))
    [shown] = caution_messages(
        [Caution("r", "", CautionSignal.VALUE_JUMP, 1, 2, 2, (), many, FlowMeasurement(900, 100))]
    )
    assert ([*shown.entries], shown.entries_omitted) == ([*many[30:]], 30)
    assert describe_reason(shown) == "900 minor units were captured, 100 on average before"


def test_the_command_line_shows_a_caution(running: Running, client: Client, tmp_path: Path) -> None:
    client.append_entries(MARKET, [report("r", "s1")])
    shell = shell_of(tmp_path, target=running.address)
    for arguments in (("score", "s1", "s2"), ("score", "s1", "--explain")):
        shown, _ = shell(*arguments)
        assert "caution grave-reports (Seller terms 10.1: precautions) until " in shown
        assert "for s1, case grave-reports~r: reports that weigh 100 together;" in shown
        assert "for s2" not in shown
    shown, _ = shell("measures", "s1")
    assert "caution grave-reports~r: reports that weigh 100 together; to be decided by " in shown
    assert "0 a day (caution)" in shown
    first, second = shell.json("score", "s1", "s2")
    assert [(one["case"], one["signal"]) for one in first["cautions"]] == [("grave-reports~r", "reports")]
    assert "cautions" not in second

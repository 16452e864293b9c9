from pathlib import Path

import pytest

from scoring.base.time import parse_time
from sellertrust.client import Client, seller_name
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1.measure_service_pb2 import EvaluateMeasuresResponse
from tests.helpers.policies import GRADED
from tests.helpers.refusals import refused, refused_fields
from tests.helpers.servers import MARKET, Running, exposure, identity, running_server, violation
from tests.helpers.shells import in_terminal, shell_of
from tests.helpers.worlds import artifact

GENERAL = GRADED


@pytest.fixture
def running(tmp_path: Path):
    with running_server(tmp_path, artifact=artifact(), policy=GENERAL) as server:
        yield server


def sold(seller: str, value_minor: int = 0) -> list[entry_pb.Entry]:
    entry = exposure(f"x-{seller}", seller, 5_000)
    if value_minor:
        entry.exposure.value_minor, entry.exposure.currency = value_minor, "EUR"
    return [identity(f"i-{seller}", seller), entry]


def rules(found: EvaluateMeasuresResponse) -> set[str]:
    return {measure.rule for measure in found.measures}


def confirm(client: Client, name: str) -> None:
    client.confirm_violation(MARKET, name, actor="staff", reason="seen")


def test_a_confirmed_violation_has_its_measures(client: Client) -> None:
    client.append_entries(MARKET, [*sold("s1"), *sold("s2")])
    client.append_entries(
        MARKET,
        [violation("v1", "s1", harm=entry_pb.HARM_EXTREME), violation("v2", "s2", harm=entry_pb.HARM_EXTREME)],
    )
    before = client.evaluate_measures(MARKET, "s1")
    assert not rules(before) & {"suspended-a-week", "new-listings-reviewed"}
    confirm(client, "v1")
    found = client.evaluate_measures(MARKET, "s1")
    [held] = [m for m in found.measures if m.kind == entry_pb.MEASURE_KIND_SUSPENSION]
    assert (held.rule, held.reference) == ("suspended-a-week", "Seller terms 9.2: suspension")
    assert held.current.suspension.days == 7
    assert held.end_time.seconds - held.start_time.seconds == 7 * 86_400
    assert held.entries[0] == "v1"
    assert len(held.entries) == 2
    assert (found.standing, found.terms.suspended) == (24, True)
    assert [(part.points, list(part.entries)) for part in found.standing_parts] == [(24, list(held.entries))]
    assert not rules(client.evaluate_measures(MARKET, "s2")) & {"suspended-a-week"}
    client.overturn_violation(MARKET, "v1", actor="staff", reason="mistaken")
    after = client.evaluate_measures(MARKET, "s1")
    for one in (before, after):
        one.ClearField("stamp")
    assert after == before


def test_restrictions_are_terms_by_default_and_by_a_person(tmp_path: Path) -> None:
    with running_server(tmp_path, artifact=artifact()) as running, running.client() as client:
        client.append_entries(MARKET, [*sold("s1"), *sold("s2"), violation("v1", "s1", harm=entry_pb.HARM_EXTREME)])
        confirm(client, "v1")
        demoted = entry_pb.Entry(entry_id="m", seller=seller_name(MARKET, "s2"))
        demoted.occur_time.GetCurrentTime()
        demoted.measure.MergeFrom(
            entry_pb.MeasureChanged(
                measure="by-hand",
                measure_kind=entry_pb.MEASURE_KIND_SEARCH_DEMOTION,
                state=entry_pb.MEASURE_STATE_IMPOSED,
                actor="staff",
                reason="seen",
            )
        )
        client.append_entries(MARKET, [demoted])
        by_rule, by_person = (client.evaluate_measures(MARKET, seller).terms for seller in ("s1", "s2"))
    assert (by_rule.manual_review, by_rule.search_demotion, by_rule.campaign_exclusion) == (True, True, True)
    assert (by_person.manual_review, by_person.search_demotion, by_person.campaign_exclusion) == (False, True, False)


def test_an_answer_replays_from_its_stamp(running: Running, client: Client) -> None:
    client.append_entries(MARKET, [*sold("s1", 700_000), violation("v1", "s1", harm=entry_pb.HARM_EXTREME)])
    confirm(client, "v1")
    given = client.evaluate_measures(MARKET, "s1")
    client.append_entries(MARKET, [violation("v2", "s1"), exposure("later", "s1", 9, days=50)])
    client.overturn_violation(MARKET, "v1", actor="staff", reason="mistaken")
    again = client.evaluate_measures(
        MARKET, "s1", observe_time=given.stamp.observe_time, known_time=given.stamp.known_time
    )
    assert again.SerializeToString(deterministic=True) == given.SerializeToString(deterministic=True)
    assert given.stamp.policy_digest == running.scorer.made_by.policy


def test_an_unknown_seller_and_a_wrong_name_are_named(client: Client) -> None:
    refused("NOT_FOUND", "SELLER_NOT_FOUND", client.evaluate_measures, MARKET, "nobody")
    assert refused_fields(client.evaluate_measures, "a/b", "s1") == ["seller"]


@pytest.mark.long
def test_the_command_shows_measures_as_table_and_json(running: Running, client: Client, tmp_path: Path) -> None:
    shell = shell_of(tmp_path, target=running.address)
    client.append_entries(MARKET, [*sold("s1"), violation("v1", "s1", harm=entry_pb.HARM_EXTREME)])
    confirm(client, "v1")
    shown, _ = shell("measures", "s1", "-m", MARKET)
    assert "standing 24" in shown
    assert "suspended-a-week: Seller terms 9.2: suspension" in shown
    assert "10 % for 90 days" in shown
    assert "by tier it can lie before the decision" in shown
    few, _ = shell("measures", "s1", "-m", MARKET, "--limit", 2)
    assert "suspended-a-week" not in few
    assert f"and {len(shell.json('measures', 's1')['measures']) - 2} more measures: --limit" in few
    [held] = [m for m in shell.json("measures", "s1")["measures"] if m["kind"] == "MEASURE_KIND_SUSPENSION"]
    assert held["measure"] in shown
    narrow, _ = in_terminal(shell, 80, "measures", "s1", "-m", MARKET)
    assert f" {held['measure']}\n" in narrow
    assert "suspended-a-week: Seller terms 9.2: " in narrow
    assert max(map(len, narrow.splitlines())) <= 80
    assert parse_time(held["end_time"]) - parse_time(held["start_time"]) == 7 * 86_400_000_000
    assert "No seller 'nobody' in marketplace" in shell.error(3, "measures", "nobody")
    terms = in_terminal(shell, 80, "score", "s1", "-m", MARKET)[0].split("terms of s1, 6 of ")[1].splitlines()
    assert [line.split("  ")[1] for line in terms[1:3]] == ["suspension", "settlement_hold (binding)"]
    assert len(terms) == 7
    assert max(map(len, terms)) <= 80
    [stated] = shell.json("score", "s1")
    assert [row["measure"] for row in stated["terms"]][:2] == ["suspension", "settlement_hold (binding)"]
    assert len(stated["terms"]) == int(terms[0].removesuffix(":"))

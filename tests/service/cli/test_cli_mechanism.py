"""The record of measures on the command line and at the start of a server."""

import json
import re
import time
import urllib.request
from pathlib import Path

import pytest

from tests.helpers.shells import bare_shell, lines_of, serving

EVERYBODY = """

[[rules]]
id = "everybody"
reference = "Terms 1"
measures = [{ kind = "manual_review" }]
"""


def with_rule(folder: Path) -> Path:
    path = folder / "policy.toml"
    path.write_text((Path("service/policy/default.toml")).read_text() + EVERYBODY)
    return path


@pytest.mark.long
def test_a_server_records_what_rules_ask_for(tmp_path: Path) -> None:
    """Once; the doctor shows the record's progress."""
    shell = bare_shell(tmp_path)
    shell.environment |= {
        "SELLERTRUST_POLICY": str(with_rule(tmp_path)),
        "SELLERTRUST_METRICS_ADDRESS": "127.0.0.1:0",
    }
    with serving(shell, tmp_path) as address:
        shell("ledger", "append", "-", stdin=lines_of("s-1"), target=address)
        listed = wait_for_measures(shell, address, 1)
        wait_for_metric(tmp_path / "server.log", "sellertrust_mechanism_recorded_total", 1)
    [measure] = [entry["measure"] for entry in listed]
    assert (measure["rule"], measure["state"]) == ("everybody", "MEASURE_STATE_IMPOSED")
    found = {row["check"]: row["found"] for row in shell.json("doctor", code=6)}["measures"]
    assert re.fullmatch(r"recorded to entry \d+ of \d+, every seller as of 20\S+; 0 cases open, 0 overdue", found)


def wait_for_measures(shell: object, address: str, count: int) -> list[dict[str, dict[str, str]]]:
    """Wait for this number of measure entries; wait a second if it is 0."""
    deadline = time.monotonic() + (60 if count else 2.5)
    while True:
        lines = shell("ledger", "list", "-o", "json", target=address)[0]  # type: ignore[operator]
        found = [entry for entry in map(json.loads, lines.splitlines()) if "measure" in entry]
        if len(found) >= max(count, 1) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def wait_for_metric(log: Path, name: str, wanted: float | None) -> None:
    """Wait until a metric of the server that wrote the log has a value; None means absent."""
    [address] = re.findall(r'"metrics": "([^"]+)"|metrics=(\S+)', log.read_text())[-1:]
    deadline = time.monotonic() + 30
    while True:
        with urllib.request.urlopen(f"http://{''.join(address)}/metrics") as answer:
            found = re.findall(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
        if [float(one) for one in found] == ([] if wanted is None else [wanted]):
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.2)

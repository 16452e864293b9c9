import re
import urllib.request
from pathlib import Path

import pytest

from tests.helpers.shells import bare_shell, lines_of, serving
from tests.helpers.waiting import wait_until

EVERYBODY = """

[[rules]]
id = "everybody"
reference = "Terms 1"
measures = [{ kind = "manual_review" }]
"""


@pytest.mark.long
def test_a_server_records_what_rules_ask_for(tmp_path: Path) -> None:
    shell, policy = bare_shell(tmp_path), tmp_path / "policy.toml"
    policy.write_text(Path("service/policy/tiers.toml").read_text() + EVERYBODY)
    shell.environment |= {"SELLERTRUST_POLICY": str(policy), "SELLERTRUST_METRICS_ADDRESS": "127.0.0.1:0"}
    with serving(shell, tmp_path) as address:
        shell("ledger", "append", "-", stdin=lines_of("s-1"), target=address)
        found = re.search(r'metrics(?:": "|=)([^"\s]+)', (tmp_path / "server.log").read_text())
        assert found

        def recorded() -> list[str]:
            with urllib.request.urlopen(f"http://{found[1]}/metrics") as answer:
                return re.findall(r"^sellertrust_mechanism_recorded_total (\S+)$", answer.read().decode(), re.MULTILINE)

        wait_until(lambda: recorded() == ["1.0"])
        listed = shell("ledger", "list", "-o", "json", target=address)[0]
    assert listed.count("MEASURE_STATE_IMPOSED") == listed.count('"everybody"') == 1
    told = {row["check"]: row["found"] for row in shell.json("doctor", code=6)}["measures"]
    assert re.fullmatch(
        r"recorded at least to entry \d+ of \d+ \(saved every 1,000\), every seller as of 20\S+; 0 cases open, 0 overdue",
        told,
    )

"""The metrics of a loss certificate while serving: what the ledger contradicts, and whether the policy is its own."""

import time
from pathlib import Path

import pytest

from scoring.certificate.certificate import certify
from scoring.errors import CertificateRefused
from service.policy.certificate_file import SHIPPED_ASSUMPTIONS, read_assumptions, write_certificate
from service.policy.policy_file import SHIPPED_POLICY, read_policy
from tests.servers import running_server
from tests.service.api.test_silent_database import wait_for
from tests.service.runs import run_of

GENERAL, LADDER = (SHIPPED_POLICY.with_name(f"{name}.toml") for name in ("general", "ladder"))


def certificate_of(policy: Path, folder: Path) -> Path:
    found, path = certify(read_policy(policy), read_assumptions(SHIPPED_ASSUMPTIONS)), folder / "loss.json"
    write_certificate(found, path)
    return path


@pytest.mark.long
def test_an_assumption_that_the_ledger_contradicts_is_a_metric_while_serving(tmp_path: Path) -> None:
    """Found by a look that a scrape begins; a run of eleven days where nine are assumed, and nothing else."""
    today = int(time.time()) // 86_400
    with running_server(tmp_path, policy=GENERAL, loss_certificate=certificate_of(GENERAL, tmp_path)) as running:
        run_of(running.ledger, "runner", today - 20, today - 10)
        value = running.server._registry.get_sample_value
        contradicted = "sellertrust_loss_assumption_contradicted"
        wait_for(lambda: value(contradicted, {"assumption": "stop"}) is not None)
        assert [value(contradicted, {"assumption": name}) for name in ("stop", "runners", "overturned")] == [1, 0, 0]
        assert value("sellertrust_loss_cases") == 1
        assert value("sellertrust_loss_look_failures_total") == 0
        assert value("sellertrust_loss_certificate_served") == 1


def test_a_certificate_of_another_policy_than_the_served_one_is_a_metric(tmp_path: Path) -> None:
    with running_server(tmp_path, policy=GENERAL, loss_certificate=certificate_of(LADDER, tmp_path)) as running:
        assert running.server._registry.get_sample_value("sellertrust_loss_certificate_served") == 0


def test_a_server_does_not_start_with_a_certificate_that_is_none(tmp_path: Path) -> None:
    """By the name of the file."""
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    refused = pytest.raises(CertificateRefused, match="holds no JSON object with assumptions")
    with refused, running_server(tmp_path, loss_certificate=wrong):
        pass

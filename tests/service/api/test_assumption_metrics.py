import time
from pathlib import Path

import pytest

from service.policy.certificate_file import SHIPPED_ASSUMPTIONS
from service.policy.policy_file import SHIPPED_POLICY
from tests.helpers.runs import run_of
from tests.helpers.servers import running_server
from tests.helpers.waiting import wait_until

LADDER = SHIPPED_POLICY.with_name("ladder.toml").read_text()
ALL_LOSSES = [("against_faked_history", 10**12), ("unconditional", 10**12)]


@pytest.mark.long
def test_an_assumption_that_the_ledger_contradicts_is_a_metric(tmp_path: Path) -> None:
    today = int(time.time()) // 86_400
    with running_server(tmp_path) as running:
        served = running.scorer.policy
        served.history.commit(
            LADDER,
            expected=served.now.digest,
            actor="head",
            reason="so",
            served=served.now,
            assumptions=SHIPPED_ASSUMPTIONS.read_text(),
            accepted_losses=ALL_LOSSES,
        )
        run_of(running.ledger, "runner", today - 20, today - 10)
        value = running.registry.get_sample_value
        contradicted = "sellertrust_loss_assumption_contradicted"
        wait_until(lambda: value(contradicted, {"assumption": "stop"}) is not None)
        assert [value(contradicted, {"assumption": name}) for name in ("stop", "runners", "overturned")] == [1, 0, 0]
        assert value("sellertrust_loss_cases") == 1
        assert value("sellertrust_loss_look_failures_total") == 0


def test_without_committed_assumptions_nothing_is_looked_at(tmp_path: Path) -> None:
    with running_server(tmp_path) as running:
        value = running.registry.get_sample_value
        assert value("sellertrust_loss_look_failures_total") == 0
        assert value("sellertrust_loss_assumption_contradicted", {"assumption": "stop"}) is None

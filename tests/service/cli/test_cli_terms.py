from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scoring.base.enums import MeasureKind, MeasureState
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from tests.helpers.builders import confirmed
from tests.helpers.servers import MARKET, Running, running_server
from tests.helpers.shells import Shell, bare_shell, lines_of
from tests.helpers.worlds import artifact
from tests.service.api.test_payouts import POLICY

SAID = ("--actor", "ops-1", "--reason", "a known maker")


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[tuple[Shell, Running]]:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    with running_server(tmp_path, artifact=artifact(), policy=path) as running:
        shell = bare_shell(tmp_path)
        shell.environment |= {"SELLERTRUST_TARGET": running.address}
        shell("ledger", "append", "-", stdin=lines_of("s-1"))
        yield shell, running


@pytest.mark.long
def test_an_override_is_set_shown_and_ended_by_whom_and_why(asked: tuple[Shell, Running]) -> None:
    shell, _ = asked
    [before] = shell.json("score", "s-1")
    until = (datetime.now(UTC) + timedelta(days=30)).isoformat(timespec="seconds")
    said = ("actor=ops-1", "reason=a known maker")
    shell("ledger", "append", "override", "seller=s-1", "tier=probation", f"until={until}", *said, "entry_id=o1")
    [score] = shell.json("score", "s-1")
    assert score["tier"].lower() == "probation" != before["tier"].lower()
    assert f"tier probation was set by ops-1 until {until[:10]}" in shell("score", "s-1", "--explain")[0]
    [explained] = shell.json("score", "s-1", "--explain")
    row = explained["override"]
    assert (row["tier"], row["actor"], row["reason"]) == ("probation", "ops-1", "a known maker")
    assert row["until"].startswith(until[:19])
    shell("ledger", "append", "correction", "entry=o1", "correction=void", "actor=ops-2", "reason=checked")
    [after] = shell.json("score", "s-1")
    assert after["tier"] == before["tier"]
    assert "override" not in shell.json("score", "s-1", "--explain")[0]
    stated = ("ledger", "append", "override", "seller=s-1")
    assert "'good' is unknown. Use unrated" in shell.error(2, *stated, "tier=good", f"until={until}", *said)
    assert "366 days" in shell.error(2, *stated, "tier=trusted", "until=2999-01-01", *said)


@pytest.mark.long
def test_restitution_is_shown_after_an_overturn(asked: tuple[Shell, Running]) -> None:
    shell, running = asked
    now = running.ledger.cut().observe_time
    fact = MeasureChanged("m1", MeasureKind.MANUAL_REVIEW, MeasureState.IMPOSED, "staff", "so", violations=("v1",))
    running.ledger.append(
        MARKET, [confirmed("v1", "s-1", occur_time=now - 9 * DAY), Entry("m1", "s-1", fact, now - 5 * DAY)]
    )
    assert "'v1' is confirmed" in shell.error(4, "violation", "show", "v1", "--restitution")
    shell("violation", "decide", "v1", "overturn", *SAID)
    shown = shell("violation", "show", "v1", "--restitution")[0]
    assert shown.startswith("v1: overturned; 2 measures stood on it"), "the person's, and the policy's that was due"
    assert "manual_review" in shown
    assert [
        item["days"]
        for item in shell.json("violation", "show", "v1", "--restitution")["items"]
        if item["measure"] == "m1"
    ] == [6]

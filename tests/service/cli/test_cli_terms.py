"""Overrides, payouts and restitution on the command line, against a server."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scoring.base.enums import MeasureKind, MeasureState
from scoring.base.errors import InvalidInput
from scoring.base.time import DAY, format_day
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from service.cli.amounts import format_amount, parse_amount
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
    shell("override", "s-1", "probation", "--until", until, *SAID, "--entry-id", "o1")
    shell("override", "s-1", "probation", "--until", until, *SAID, "--entry-id", "o1")
    [score] = shell.json("score", "s-1")
    assert score["tier"].lower() == "probation" != before["tier"].lower()
    [explained] = shell.json("score", "s-1", "--explain")
    row = explained["override"]
    assert (row["tier"], row["actor"], row["reason"]) == ("probation", "ops-1", "a known maker")
    assert row["until"].startswith(until[:19])
    shell("override", "s-1", "none", "--actor", "ops-2", "--reason", "checked")
    [after] = shell.json("score", "s-1")
    assert after["tier"] == before["tier"]
    assert "override" not in shell.json("score", "s-1", "--explain")[0]
    entries = map(json.loads, shell("ledger", "list", "-o", "json")[0].splitlines())
    assert [entry["override"]["actor"] for entry in entries if "override" in entry] == ["ops-1", "ops-2"]
    assert "no override is in force for 's-1'" in shell.error(2, "override", "s-1", "none", *SAID)
    assert "SELLER_NOT_FOUND" in shell.error(3, "override", "nobody", "trusted", "--until", until, *SAID)
    assert "'good' is unknown. Use unrated" in shell.error(2, "override", "s-1", "good", "--until", until, *SAID)
    assert "366 days" in shell.error(2, "override", "s-1", "trusted", "--until", "2999-01-01", *SAID)


def test_a_payout_is_shown_with_its_terms(asked: tuple[Shell, Running]) -> None:
    shell, running = asked
    today = running.ledger.cut().observe_time // DAY
    order = ("payout", "s-1", "100.00", "EUR", format_day(today), "--refunded", "9.99")
    shown = shell(*order, "--delivered", "--day", format_day(today + 7))[0]
    assert "released            81.01 EUR" in shown
    assert "by a hold of 7 days, 10 % for 90 days after the capture" in shown
    assert f"more is released on {format_day(today + 90)}" in shown
    assert shell.json(*order)["held_minor"] == "9001"
    assert "refunded_minor: is more than was captured" in shell.error(2, *order, "--refunded", "100.01")


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("100.00", "EUR", 10_000),
        ("100", "EUR", 10_000),
        ("50,400.00", "EUR", 5_040_000),
        ("50,400", "JPY", 50_400),
        ("1.005", "KWD", 1_005),
        *(
            (text, "EUR", None)
            for text in ("100,00", "1.5", "100.000", "1.000,00", "-1", "", "1e3", "5,04,00", "1 000")
        ),
        ("100.00", "JPY", None),
    ],
)
def test_an_amount_is_read_in_one_way_or_refused(text: str, currency: str, minor: int | None) -> None:
    """In units of its currency: 100 EUR are 10,000 cents."""
    if minor is None:
        with pytest.raises(InvalidInput, match="is not an amount in"):
            parse_amount("CAPTURED", text, currency)
    else:
        assert parse_amount("CAPTURED", text, currency) == minor
        assert parse_amount("CAPTURED", format_amount(minor, currency).split()[0], currency) == minor


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


def test_amounts_and_limits_beyond_what_can_be_are_named_with_their_range(tmp_path: Path) -> None:
    shell = bare_shell(tmp_path)
    huge = "9" * 20
    most = "is too much. Write at most 10,000,000,000,000.00 EUR."
    assert f"CAPTURED: '{huge}' {most}" in shell.error(2, "payout", "s-1", huge, "EUR", "2026-01-01")
    assert "--claims" in shell.error(2, "payout", "s-1", 1, "EUR", "2026-01-01", "--claims", huge)
    assert "less than or equal to 1000000" in shell.error(2, "ledger", "list", "--limit", huge)

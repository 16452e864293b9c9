from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from scoring.base.enums import MeasureKind, MeasureState
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from tests.helpers.builders import confirmed
from tests.helpers.recordings import POLICY
from tests.helpers.servers import MARKET, Running, running_server
from tests.helpers.shells import Shell, bare_shell, lines_of
from tests.helpers.worlds import artifact

pytestmark = pytest.mark.long

RULES = """
[[rules]]
id = "lax"
reference = "Terms 1"
measures = [{ kind = "settlement_hold", days = 2 }, { kind = "value_cap", value_minor = 900 }]

[[rules]]
id = "strict"
reference = "Terms 2"
measures = [
  { kind = "settlement_hold", days = 3 },
  { kind = "value_cap", value_minor = 500, product_category = "toys" },
]
"""
YOUNG, OLD = (str(datetime.now(UTC).date() - timedelta(days=days)) for days in (9, 90))


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[tuple[Shell, Running]]:
    path = tmp_path / "policy.toml"
    shipped = Path("service/policy/general.toml").read_text()
    path.write_text(
        shipped.replace("# Terms by confirmed facts, whatever", RULES + "\n# Terms by confirmed facts, whatever")
    )
    with running_server(tmp_path, policy=path) as running:
        shell = bare_shell(tmp_path)
        shell.environment |= {"SELLERTRUST_TARGET": running.address}
        shell("ledger", "append", "-", stdin=lines_of("s-1"))
        yield shell, running


def written(folder: Path, *lines: str) -> Path:
    file = folder / "orders.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_file_of_orders_is_paid_within_the_limit(asked: tuple[Shell, Running], tmp_path: Path) -> None:
    shell, _ = asked
    delivered = f"true,{YOUNG}T12:00:00Z,carrier"
    file = written(
        tmp_path,
        "order,seller,capture_day,captured_minor,currency,delivered,confirmed_time,delivery_source",
        f"o-1,s-1,{OLD},100.00 EUR,EUR,true,{OLD}T12:00:00Z,buyer",
        f'o-2,s-1,{YOUNG},"1,500,000.00 EUR",EUR,{delivered}',
        f"o-3,s-1,{YOUNG},100,EUR,{delivered}",
        f"o-4,s-1,{YOUNG},5000,EUR,,,",
    )
    rows = {row["order"]: row for row in shell.json("payouts", file)}
    assert (rows["o-1"]["paid_out"], rows["o-1"]["why"]) == (10_000, "all is paid out")
    most = rows["o-2"]["paid_out"]
    assert 0 < most < 150_000_000
    assert rows["o-3"]["paid_out"] == 0, "the order above it used up the limit"
    assert rows["o-2"]["next"] == rows["o-3"]["next"] == str(date.fromisoformat(YOUNG) + timedelta(days=17))
    assert rows["o-4"]["why"].startswith("no delivery is stated; held 3 days after the capture; held ")
    table, _ = shell("payouts", file)
    assert "orders younger than 17 days get at most" in table
    assert " 100.00 EUR " in table
    lines = file.read_text().splitlines()
    stated = written(tmp_path, *(f"{line},0" for line in lines[2:4]))
    stated.write_text(
        "order,seller,capture_day,captured_minor,currency,delivered,confirmed_time,delivery_source,"
        "others_paid_ahead_minor\n" + stated.read_text()
    )
    assert [row["paid_out"] for row in shell.json("payouts", stated)] == [most, 100]
    by_amount = written(tmp_path, "seller,capture_day,captured_minor", f"s-1,{OLD},100.00 EUR")
    assert [(row["held"], row["currency"]) for row in shell.json("payouts", by_amount)] == [(10_000, "EUR")]


def test_a_wrong_cell_is_named_by_line_and_column(asked: tuple[Shell, Running], tmp_path: Path) -> None:
    shell, _ = asked
    head = "seller,capture_day,captured_minor,currency"

    def error(*lines: str) -> str:
        return shell.error(2, "payouts", written(tmp_path, *lines))

    assert "line 1: 'shop' is no column. Use order, seller, capture_day" in error(head + ",shop")
    assert "Separate the columns by commas" in error(head.replace(",", ";"))
    assert "line 1: lacks the column captured_minor" in error("seller,capture_day")
    assert "line 1: the header names seller twice" in error(f"{head},seller")
    no_currency = error(head.removesuffix(",currency"), f"s-1,{OLD},100")
    assert "line 2, currency: is missing. Write the amount like 50,400.00 EUR." in no_currency
    twice = error(f"order,{head}", f"o-1,s-1,{OLD},100,EUR", f"o-2,s-1,{OLD},100,EUR", f"o-1,s-1,{OLD},100,EUR")
    assert (
        twice
        == "error: line 4, order: 'o-1' is on line 2, too. State it once, and of an order in parts the last part.\n"
    )
    found = error(f"{head},disputed", f"s-1,{OLD},1.00,EUR,no", f"s-1,{OLD},100,EUR,perhaps", f"s 1,{OLD},100,EUR,")
    assert "line 2, captured_minor: '1.00' is no amount in EUR. Write" in found
    assert "line 3, disputed: 'perhaps' is neither true nor false" in found
    assert "line 4, seller: 's 1' is no id of a seller" in found
    assert "line 2: has 1 cells where the header has" in error(head, "s-1")
    assert "line 2, captured_minor: '' is no amount" in error(head, f"s-1,{OLD},,EUR")
    foreign = error(head, f"s-1,{OLD},100,EUR", f"s-1,{OLD},100,USD")
    assert "error: line 3, currency: is USD; the terms are in EUR\n" in foreign
    assert "line 2, delivery_source: 'post' is unknown. Use carrier" in error(
        head + ",delivery_source", f"s-1,{OLD},100,EUR,post"
    )


def test_the_binding_measure_of_several_is_marked(asked: tuple[Shell, Running]) -> None:
    shell, _ = asked
    shown = shell("measures", "s-1")[0]
    holds = [part for part in shown.split("\n\n") if part.startswith("measure  settlement_hold")]
    assert [("(binding)" in part, "3 days" in part) for part in holds] == [(False, False), (True, True)]
    assert all("since    undated\n" in part for part in holds), "the seller need not be 180 days old"
    caps = [part for part in shown.split("\n\n") if part.startswith("measure  value_cap")]
    assert {line: "(binding)" in part for part in caps for line in part.splitlines() if line.startswith("value")} == {
        "value    10,000.00 EUR a day": False,
        "value    9.00 EUR a day": True,
        "value    5.00 EUR a day of toys": False,
    }
    terms = shell("score", "s-1")[0].split("terms of s-1, 6 of 7:\n")[1].splitlines()
    assert terms[0] == "  settlement_hold (binding)  3 days"
    assert "  paid_ahead_limit           at most 199.00 EUR on orders under 17 days old" in terms
    assert "  value_cap (binding)        9.00 EUR a day" in terms


SAID = ("--actor", "ops-1", "--reason", "a known maker")


@pytest.fixture
def terms(tmp_path: Path) -> Iterator[tuple[Shell, Running]]:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    with running_server(tmp_path, artifact=artifact(), policy=path) as running:
        shell = bare_shell(tmp_path)
        shell.environment |= {"SELLERTRUST_TARGET": running.address}
        shell("ledger", "append", "-", stdin=lines_of("s-1"))
        yield shell, running


def test_an_override_is_set_shown_and_ended_by_whom_and_why(terms: tuple[Shell, Running]) -> None:
    shell, _ = terms
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


def test_restitution_is_shown_after_an_overturn(terms: tuple[Shell, Running]) -> None:
    shell, running = terms
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

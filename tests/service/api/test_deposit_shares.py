from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sellertrust.client import Client, seller_name
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from tests.helpers.policies import TIERS
from tests.helpers.servers import MARKET, days_ago, exposure, identity, running_server
from tests.helpers.shells import shell_of
from tests.helpers.worlds import artifact

PROGRAMME = """
[trade]
delivery_promise_days = 7
claim_days = 30
deposit_returned_after_days = 90
deposit_is_refilled = true
deposit_refill_days = 3

[[rules]]
id = "secured"
reference = "Programme 1: deposit"
tenure = { below = 3_000 }
measures = [{ kind = "deposit", amount_minor = 1_000, ppm = 50_000, days = 30 }]
"""
DAY = timedelta(days=1)


def sold(seller: str, days: int, minor: int) -> entry_pb.Entry:
    entry = exposure(f"x-{seller}-{days}", seller, 10, days=days)
    entry.exposure.value_minor, entry.exposure.currency = minor, "EUR"
    return entry


def changed(seller: str, days: float, minor: int, change: str = "PLACED") -> entry_pb.Entry:
    entry = entry_pb.Entry(entry_id=f"d-{seller}-{days}-{change}", seller=seller_name(MARKET, seller))
    kind = entry_pb.DepositChange.Value(f"DEPOSIT_CHANGE_{change}")
    entry.deposit.CopyFrom(entry_pb.DepositChanged(change=kind, amount_minor=minor, currency="EUR", actor="finance"))
    entry.occur_time.FromDatetime(days_ago(days))
    return entry


def joined(seller: str) -> entry_pb.Entry:
    entry = identity(f"i-{seller}", seller)
    entry.occur_time.FromDatetime(days_ago(0.001))
    return entry


HISTORIES = {
    "new": [joined("new")],
    "small": [sold("small", 9, 10_000)],
    "late": [sold("late", 9, 100_000), changed("late", 1, 4_999)],
    "grown": [sold("grown", 9, 20_000), changed("grown", 9, 1_000), sold("grown", 2, 80_000)],
    "drawn": [sold("drawn", 9, 100_000), changed("drawn", 9, 6_000), changed("drawn", 2, 1_001, "RETURNED")],
    "past": [sold("past", 31, 100_000), changed("past", 31, 1_000)],
    "steady": [sold("steady", 40, 100_000), changed("steady", 40, 1_000)],
    "placed": [sold("placed", 9, 100_000), changed("placed", 0.001, 5_000)],
}
EXPECTED: dict[str, tuple[int, float | None, bool]] = {
    "new": (1_000, 3, False),
    "small": (1_000, None, True),
    "late": (1, None, True),
    "grown": (4_000, 2, False),
    "drawn": (1, 1, False),
    "past": (0, None, False),
    "steady": (0, None, False),
    "placed": (0, None, False),
}
"""By seller: what is still to be placed, in how many days sales stop without it, and whether they are stopped."""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    text = TIERS.read_text(encoding="utf-8").replace("version = 1", 'version = 1\ncurrency = "EUR"') + PROGRAMME
    policy = tmp_path / "shares.toml"
    policy.write_text(text)
    now = datetime.now(UTC)
    assert now.date() == (now + timedelta(minutes=3)).date(), "at midnight its days are others; run it again"
    with running_server(tmp_path, artifact=artifact(), policy=policy) as server, server.client() as found:
        yield found


def look(client: Client, seller: str) -> tuple[int, float | None, bool]:
    found = client.evaluate_measures(MARKET, seller)
    [deposit] = [one for one in found.measures if one.rule == "secured"]
    value, midnight = deposit.current.deposit, datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert (deposit.original.deposit.ppm, deposit.original.deposit.days) == (50_000, 30)
    assert found.terms.deposit_minor == value.amount_minor
    stops = [one.start_time for one in found.measures if one.rule == "secured-awaits-deposit"]
    days = [(one.ToDatetime(UTC) - midnight) / DAY for one in stops if one.seconds]
    limits = [one.limit for one in found.terms.value_caps]
    assert limits == [0] * (bool(stops) and not days)
    return value.amount_minor, days[0] if days else None, bool(limits)


def test_sales_stop_when_the_days_to_refill_are_over(client: Client, tmp_path: Path) -> None:
    client.append_entries(MARKET, [one for entries in HISTORIES.values() for one in entries])
    assert {name: look(client, name) for name in HISTORIES} == EXPECTED
    shell = shell_of(tmp_path / "shell", target=client.target)
    shown = shell("measures", "grown")[0]
    assert "40.00 EUR (stated: 10.00 EUR or 5 % of sales in 30 days)" in shown
    found = shell_of(tmp_path).json("policy", "preview", tmp_path / "shares.toml", "--against", TIERS)
    counted = {row["rule"]: row["sellers"] for row in found["rules"]}
    assert counted == {"secured": len(HISTORIES), "secured-awaits-deposit": 2}
    [everybody] = [row for row in found["segments"] if row["by"] == "all"]
    assert (everybody["deposits_before"], everybody["deposits_after"]) == (0, 4 * 1_000 + 4 * 5_000)
    client.append_entries(MARKET, [changed("late", 0, 1)])
    assert look(client, "late") == (0, None, False)
    client.append_entries(MARKET, [sold("steady", 1, 40_000)])
    assert look(client, "steady") == (1_000, 3, False)


def test_a_letter_names_the_day_on_which_sales_stop(client: Client) -> None:
    client.append_entries(MARKET, HISTORIES["grown"] + HISTORIES["late"])
    stop = datetime.now(UTC) + 2 * DAY
    for language, asked, sale in (
        ("en", "Please pay a deposit of 40.00 EUR.", f"From {stop.day}"),
        ("zh", "请缴纳保证金 40.00 EUR。", f"自 {stop.year}年{stop.month}月{stop.day}日 起"),
    ):
        deposit, cap = client.list_statements_of_reasons(
            MARKET, "grown", audience=score_pb.AUDIENCE_SELLER, language=language
        ).statements
        assert deposit.title == asked
        assert cap.title.startswith(sale)
        assert "0.00 EUR" in cap.title
    letters = client.list_statements_of_reasons(MARKET, "late", audience=score_pb.AUDIENCE_SELLER).statements
    assert "The deposit is not placed yet." in letters[1].text
    assert letters[1].next_action == "Pay the deposit that we ask you for, and the measure ends."
    assert letters[1].title == "You may sell for at most 0.00 EUR a day."

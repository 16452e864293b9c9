from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from sellertrust.client import Client, SellertrustCallError
from sellertrust.v1 import answer_service_pb2 as answer_pb
from sellertrust.v1 import entry_pb2 as entry_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from tests.helpers.policies import GRADED
from tests.helpers.servers import MARKET, Running, days_ago, exposure, identity, running_server, violation
from tests.helpers.shells import shell_of
from tests.helpers.worlds import artifact

SAID = {"actor": "staff", "reason": "seen"}


LIGHT = {
    "s2": ("misleading_listing", 100, 400),
    "s3": ("counterfeit_goods", 30, 400),
    "s4": ("not_as_described", 10, 50),
    "s5": ("counterfeit_goods", 30, 5),
}
"""By seller: the type, the age in days and the orders a day."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_server(tmp_path_factory.mktemp("path"), artifact=artifact(), policy=GRADED) as running:
        with running.client() as client:
            client.append_entries(
                MARKET, [identity("i-s1", "s1"), exposure("x-s1", "s1", 5_000), violation("v1", "s1")]
            )
            client.confirm_violation(MARKET, "v1", **SAID)
            for seller, (kind, ago, orders) in LIGHT.items():
                light = violation(f"v-{seller}", seller, violation_type=kind, harm=entry_pb.HARM_LOW)
                light.occur_time.FromDatetime(days_ago(ago))
                traded = [exposure(f"x-{seller}-{day}", seller, orders, day) for day in range(2, 80)]
                client.append_entries(MARKET, [identity(f"i-{seller}", seller), *traded, light])
                client.confirm_violation(MARKET, f"v-{seller}", **SAID)
        yield running


def test_every_path_reaches_its_tier_on_its_day(client: Client) -> None:
    answers = {seller: client.find_tier_path(MARKET, seller) for seller in LIGHT}
    assert all(found.paths for found in answers.values())
    for seller, path, now in ((seller, path, found.tier) for seller, found in answers.items() for path in found.paths):
        reached, before = (
            client.simulate_trust_score(
                MARKET, seller, acts(path, path.days), observe_time=days_ago(-days).replace(hour=0, minute=1)
            ).simulated
            for days in (path.days, path.days - 1)
            if days > 0
        )
        assert reached.tier >= path.tier > now
        assert reached.points == path.points
        assert before.tier < path.tier
        assert path.sentence


def acts(path: answer_pb.TierPath, days: int) -> list[entry_pb.Entry]:
    found = []
    if path.identity_level:
        verified = identity("", "")
        verified.ClearField("seller")
        verified.identity.level = path.identity_level
        verified.occur_time.FromDatetime(days_ago(0))
        found.append(verified)
    for day in range(days - 1) if path.trades_cleanly else ():
        orders = (day + 1) * path.orders_in_90_days // 90 - day * path.orders_in_90_days // 90
        found.append(exposure("", "", orders, -day - 1))
        found[-1].ClearField("seller")
    return found


def test_healing_is_what_a_later_score_says(client: Client) -> None:
    found = client.find_tier_path(MARKET, "s1")
    assert len(found.healing) == 181
    for days in (1, 30, 179):
        later = client.simulate_trust_score(
            MARKET, "s1", observe_time=days_ago(-days).replace(hour=0, minute=1)
        ).simulated
        healed = found.healing[days]
        assert healed.day == days_ago(-days).date().isoformat()
        assert (healed.points, healed.tier) == (later.points, later.tier)


def test_an_appeal_stands_apart_with_its_tier(client: Client) -> None:
    found = client.find_tier_path(MARKET, "s1", audience=score_pb.AUDIENCE_SELLER, language="zh")
    [appeal] = found.appeals
    won = client.simulate_trust_score(MARKET, "s1", overturned=["v1"])
    assert appeal.entries[0] == "v1"
    assert appeal.points == won.simulated.points - won.present.points
    assert appeal.tier == won.simulated.tier
    assert all("起等级" in path.sentence for path in found.paths)


def test_what_cannot_be_answered_is_named(client: Client) -> None:
    for seller, fields, code in (
        ("nobody", {}, grpc.StatusCode.NOT_FOUND),
        ("s1", {"language": "xx"}, grpc.StatusCode.INVALID_ARGUMENT),
        ("s1", {"audience": score_pb.AUDIENCE_CHECKOUT}, grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(SellertrustCallError) as refused:
            client.find_tier_path(MARKET, seller, **fields)
        assert refused.value.code is code


@pytest.mark.long
def test_the_command_shows_the_way(running: Running, tmp_path: Path) -> None:
    shell = shell_of(tmp_path, target=running.address)
    shown, _ = shell("path", "s1", "-m", MARKET)
    assert "by today's rules" in shown
    assert "if the appeal about v1 succeeds" in shown

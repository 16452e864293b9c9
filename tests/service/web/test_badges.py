import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from sellertrust.client import SellertrustCallError, TrustScore
from sellertrust.v1.trust_score_service_pb2 import (
    FRESHNESS_STATE_STALE,
    SCORE_STATE_RATED,
    SCORE_STATE_UNKNOWN,
    Freshness,
)
from service.web.badges import BATCH, CALLS, FRESH_SECONDS, MAX_WAITING, RETRY_SECONDS, Badges, Outcome

HOUR = 3_600.0


class World:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.badge = "trusted"
        self.state = SCORE_STATE_RATED
        self.age = 0.0
        self.fault: grpc.StatusCode | None = None
        self.busy: dict[str, int] = {}
        self.in_time = BATCH
        """The number of sellers that a call can have and be in time."""
        self.asked: list[str] = []
        self.calls = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.reports: list[str] = []

    def answer(self, marketplace: str, sellers: Sequence[str]) -> dict[str, Outcome]:
        self.asked += sellers
        self.calls += 1
        self.may_answer.wait(60)
        if len(sellers) > self.in_time:
            raise SellertrustCallError(grpc.StatusCode.DEADLINE_EXCEEDED, "too many to compute")
        if self.fault is not None:
            raise SellertrustCallError(self.fault, "as the test wants")
        return {seller: self.answer_one(seller) for seller in sellers}

    def answer_one(self, seller: str) -> Outcome:
        if self.busy.get(seller):
            self.busy[seller] -= 1
            return SellertrustCallError(grpc.StatusCode.UNAVAILABLE, "computes", "SERVER_BUSY")
        if seller.startswith("made-up"):
            return SellertrustCallError(grpc.StatusCode.NOT_FOUND, "nobody", "SELLER_NOT_FOUND")
        freshness = Freshness(state=FRESHNESS_STATE_STALE if self.age else 0)
        freshness.age.FromTimedelta(timedelta(seconds=self.age))
        freshness.as_of_time.FromDatetime(datetime(2026, 6, 30, tzinfo=UTC))
        return TrustScore(badge=self.badge, state=self.state, freshness=freshness)

    def badges(self, **options: Any) -> Badges:
        return Badges(self.answer, self.reports.append, clock=lambda: self.now, **options)


def run(work: Callable[[World, Badges], Coroutine[Any, Any, None]], **options: Any) -> World:
    world = World()
    badges = world.badges(**options)

    async def running() -> None:
        try:
            await work(world, badges)
        finally:
            world.may_answer.set()

    asyncio.run(running())
    badges.close()
    return world


async def shown(badges: Badges, seller: str = "s") -> str | None:
    row = badges.take_fresh(("acme", seller)) or (await badges.find([("acme", seller)]))[0]
    return None if row is None else row.badge


def kept(badges: Badges, seller: str) -> str | None:
    row = badges.take_fresh(("acme", seller))
    return None if row is None else row.badge


def test_a_badge_is_asked_for_again_once_it_is_no_longer_fresh() -> None:
    async def work(world: World, badges: Badges) -> None:
        assert await shown(badges) == "trusted"
        world.badge = "none"
        world.now += FRESH_SECONDS - 1
        assert await shown(badges) == "trusted"
        world.now += 1
        assert await shown(badges) == "none"
        assert (badges.counts.kept, badges.counts.asked) == (1, 2)

    assert run(work).asked == ["s", "s"]


def test_the_last_badge_is_shown_up_to_an_age() -> None:
    async def work(world: World, badges: Badges) -> None:
        await shown(badges)
        world.fault = grpc.StatusCode.UNAVAILABLE
        world.now += 2 * HOUR
        assert await shown(badges) == "trusted"
        world.now += 1
        assert await shown(badges) is None
        assert (badges.counts.stale, badges.counts.unknown) == (1, 1)

    run(work, stale_seconds=2 * HOUR)


def test_no_answer_is_kept_while_the_server_knows_no_score() -> None:
    async def work(world: World, badges: Badges) -> None:
        world.state, world.badge = SCORE_STATE_UNKNOWN, "unknown"
        assert await shown(badges) is None
        world.state, world.badge = SCORE_STATE_RATED, "trusted"
        assert await shown(badges) == "trusted"
        world.state, world.badge = SCORE_STATE_UNKNOWN, "unknown"
        world.now += FRESH_SECONDS
        assert await shown(badges) == "trusted"

    assert len(run(work).asked) == 3


def test_a_removed_seller_loses_its_badge() -> None:
    async def work(world: World, badges: Badges) -> None:
        for fault in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.PERMISSION_DENIED):
            world.fault = None
            assert await shown(badges) == "trusted"
            world.fault = fault
            world.now += FRESH_SECONDS
            assert await shown(badges) == ""
            world.now += FRESH_SECONDS
        assert not badges.is_away

    reports = run(work).reports
    assert reports == ["the server lets this caller not read some scores, which show no badge; see its grants file"]


def test_after_a_failed_call_one_reader_tries_again() -> None:
    async def work(world: World, badges: Badges) -> None:
        for seller in ("a", "b"):
            await shown(badges, seller)
        world.fault = grpc.StatusCode.UNAVAILABLE
        world.now += FRESH_SECONDS
        assert await shown(badges, "a") == "trusted"
        assert await shown(badges, "b") == "trusted"
        assert world.asked == ["a", "b", "a"]
        world.now += RETRY_SECONDS
        world.may_answer.clear()
        trial = asyncio.ensure_future(shown(badges, "a"))
        while len(world.asked) == 3:
            await asyncio.sleep(0)
        assert await shown(badges, "b") == "trusted"
        assert await shown(badges, "c") is None
        assert world.asked == ["a", "b", "a", "a"]
        world.fault, world.badge = None, "none"
        world.may_answer.set()
        assert await trial == "none"
        assert await shown(badges, "b") == "none"

    away, back = run(work).reports
    assert "does not answer" in away
    assert "answers again" in back


def test_all_who_ask_about_a_seller_at_a_time_wait_for_one_call() -> None:
    async def work(world: World, badges: Badges) -> None:
        world.may_answer.clear()
        readers = [asyncio.ensure_future(shown(badges)) for _ in range(50)]
        while not world.asked:
            await asyncio.sleep(0)
        world.may_answer.set()
        assert set(await asyncio.gather(*readers)) == {"trusted"}

    assert run(work).asked == ["s"]


@pytest.mark.long
def test_a_reader_does_not_wait_longer_than_a_call_may_take() -> None:
    async def work(world: World, badges: Badges) -> None:
        await shown(badges)
        world.now += FRESH_SECONDS
        world.badge = "none"
        world.may_answer.clear()
        assert await shown(badges) == "trusted"
        world.may_answer.set()
        while badges.take_fresh(("acme", "s")) is None:
            await asyncio.sleep(0.001)
        assert await shown(badges) == "none"

    run(work)


def test_sellers_who_wait_share_calls_and_are_bounded() -> None:
    async def work(world: World, badges: Badges) -> None:
        world.may_answer.clear()
        first = [asyncio.ensure_future(shown(badges, f"first{n}")) for n in range(CALLS * BATCH)]
        while world.calls < CALLS:
            await asyncio.sleep(0.001)
        then = [asyncio.ensure_future(shown(badges, f"then{n}")) for n in range(MAX_WAITING)]
        await asyncio.sleep(0)
        assert await shown(badges, "one-too-many") is None
        assert world.calls == CALLS
        world.may_answer.set()
        assert set(await asyncio.gather(*first, *then)) == {"trusted"}
        assert world.calls == CALLS + MAX_WAITING / BATCH

    assert "one-too-many" not in run(work, call_seconds=60.0).asked


def test_a_busy_answer_has_one_seller_asked_for_again() -> None:
    async def work(world: World, badges: Badges) -> None:
        world.busy = {"b": 2}
        rows = await badges.find([("acme", seller) for seller in "abc"])
        assert [row and row.badge for row in rows] == ["trusted"] * 3
        assert not badges.is_away

    world = run(work)
    assert world.asked == ["a", "b", "c", "b", "b"]
    assert world.reports == []


@pytest.mark.long
def test_a_call_that_takes_too_long_is_made_of_fewer_sellers() -> None:
    async def work(world: World, badges: Badges) -> None:
        world.in_time = 7
        rows = await badges.find([("acme", f"s{number}") for number in range(BATCH)])
        assert [row and row.badge for row in rows] == ["trusted"] * BATCH
        assert not badges.is_away
        world.in_time = 0
        assert await shown(badges, "another") is None
        assert badges.is_away

    assert len(run(work).reports) == 1


def test_a_seller_whose_answers_stay_busy_keeps_its_badge() -> None:
    async def work(world: World, badges: Badges) -> None:
        await shown(badges)
        world.now += FRESH_SECONDS
        world.busy = {"s": 10_000}
        reader = asyncio.ensure_future(shown(badges))
        while len(world.asked) < 3 and not reader.done():
            await asyncio.sleep(0.01)
        world.now += 1
        assert await reader == "trusted"
        assert not badges.is_away

    run(work)


def test_made_up_ids_hold_up_no_badge_that_is_kept() -> None:
    async def work(world: World, badges: Badges) -> None:
        await shown(badges, "good")
        world.now += FRESH_SECONDS
        world.badge = "exemplary"
        world.may_answer.clear()
        crowd = [asyncio.ensure_future(shown(badges, f"made-up-{n}")) for n in range(MAX_WAITING + CALLS * BATCH)]
        while world.calls < 1 + CALLS:
            await asyncio.sleep(0.001)
        good = asyncio.ensure_future(shown(badges, "good"))
        await asyncio.sleep(0)
        world.may_answer.set()
        assert await good == "exemplary"
        assert world.asked[1:].index("good") <= (CALLS + 2) * BATCH
        await asyncio.gather(*crowd)

    run(work)


def test_the_age_of_a_stale_answer_counts_as_that_of_the_badge() -> None:
    async def work(world: World, badges: Badges) -> None:
        world.age = 50 * 60.0
        assert await shown(badges) == "trusted"
        world.fault = grpc.StatusCode.UNAVAILABLE
        world.now += 10 * 60.0
        assert await shown(badges) == "trusted"
        world.now += 1
        assert await shown(badges) is None
        world.fault, world.age = None, 0.0
        world.now += RETRY_SECONDS
        assert await shown(badges) == "trusted"
        world.age, world.badge = 60.0, "exemplary"
        world.now += FRESH_SECONDS
        assert await shown(badges) == "trusted"
        world.age = HOUR + 1
        assert await shown(badges, "another") is None

    run(work)


def test_kept_badges_are_bounded() -> None:
    async def work(world: World, badges: Badges) -> None:
        for number in range(3):
            await shown(badges, f"s{number}")
        for number in range(9):
            await shown(badges, f"made-up-{number}")
        assert badges.kept_sellers() == 4
        assert [kept(badges, f"s{number}") for number in range(3)] == [None, "trusted", "trusted"]

    run(work, max_sellers=2)

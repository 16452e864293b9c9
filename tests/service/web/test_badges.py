"""How badges are kept: for how long, how many, and what is shown while the server is away."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import grpc

from sellertrust.client import SellertrustCallError, TrustScore
from sellertrust.v1.trust_score_service_pb2 import SCORE_STATE_RATED, SCORE_STATE_UNKNOWN
from service.web.badges import FRESH_SECONDS, MAX_ASKED, RETRY_SECONDS, Badges

HOUR = 3_600.0


class World:
    """A server of scores that a test moves, its clock, and what it was asked."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.badge = "trusted"
        self.state = SCORE_STATE_RATED
        self.fault: grpc.StatusCode | None = None
        self.asked: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.reports: list[str] = []

    def answer(self, marketplace: str, seller: str) -> TrustScore:
        self.asked.append(seller)
        self.may_answer.wait(60)
        if self.fault is not None:
            raise SellertrustCallError(self.fault, "as the test wants")
        return TrustScore(badge=self.badge, state=self.state)

    def badges(self, **options: Any) -> Badges:
        return Badges(self.answer, self.reports.append, clock=lambda: self.now, **options)


def run(work: Callable[[World, Badges], Coroutine[Any, Any, None]], **options: Any) -> World:
    """Runs a test's coroutine over a world, and ends its threads."""
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
    """The badge that a request gets."""
    kept = badges.kept(("acme", seller))
    return await badges.find(("acme", seller)) if kept is None else kept


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


def test_while_the_server_is_away_the_last_badge_is_shown_up_to_a_stated_age() -> None:
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
    """Without a model, or while its database is away: what was shown before goes on, and it is asked again."""

    async def work(world: World, badges: Badges) -> None:
        world.state, world.badge = SCORE_STATE_UNKNOWN, "unknown"
        assert await shown(badges) is None
        world.state, world.badge = SCORE_STATE_RATED, "trusted"
        assert await shown(badges) == "trusted"
        world.state, world.badge = SCORE_STATE_UNKNOWN, "unknown"
        world.now += FRESH_SECONDS
        assert await shown(badges) == "trusted"

    assert len(run(work).asked) == 3


def test_a_seller_that_is_no_longer_on_record_loses_its_badge_at_the_next_answer() -> None:
    """As does one about whom the caller may no longer ask, which is reported once, without the seller."""

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


def test_after_a_failed_call_one_reader_tries_again_and_the_others_are_answered_at_once() -> None:
    async def work(world: World, badges: Badges) -> None:
        for seller in ("a", "b"):
            await shown(badges, seller)
        world.fault = grpc.StatusCode.UNAVAILABLE
        world.now += FRESH_SECONDS
        assert await shown(badges, "a") == "trusted"
        assert await shown(badges, "b") == "trusted"  # it did not ask
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


def test_a_reader_does_not_wait_longer_than_a_call_may_take() -> None:
    """A server that says nothing at all: what is kept is shown, and its late answer is kept for the next."""

    async def work(world: World, badges: Badges) -> None:
        await shown(badges)
        world.now += FRESH_SECONDS
        world.badge = "none"
        world.may_answer.clear()
        assert await shown(badges) == "trusted"
        world.may_answer.set()
        while badges.kept(("acme", "s")) is None:
            await asyncio.sleep(0)
        assert await shown(badges) == "none"

    run(work)


def test_what_is_asked_about_at_a_time_is_bounded() -> None:
    async def work(world: World, badges: Badges) -> None:
        world.may_answer.clear()
        readers = [asyncio.ensure_future(shown(badges, f"s{n}")) for n in range(MAX_ASKED)]
        while not world.asked:
            await asyncio.sleep(0)
        assert await shown(badges, "one-too-many") is None
        world.may_answer.set()
        assert set(await asyncio.gather(*readers)) == {"trusted"}

    assert "one-too-many" not in run(work).asked


def test_the_badges_that_are_kept_are_bounded_and_made_up_ids_push_none_out() -> None:
    async def work(world: World, badges: Badges) -> None:
        for number in range(3):
            await shown(badges, f"s{number}")
        world.fault = grpc.StatusCode.NOT_FOUND
        for number in range(9):
            await shown(badges, f"made-up-{number}")
        assert badges.kept_sellers() == 4
        assert [badges.kept(("acme", f"s{number}")) for number in range(3)] == [None, "trusted", "trusted"]

    run(work, max_sellers=2)

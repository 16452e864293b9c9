import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scoring.base.enums import Tier
from scoring.base.errors import InvalidInput, LedgerUnavailable, ServerBusy, TooStale
from scoring.base.time import DAY, SECOND
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import OverrideImposed
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.contract.resource_names import seller_name
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.scores.book.read_options import ReadOptions
from tests.helpers.books import Opened, known, opened
from tests.helpers.builders import MARKET, NOW, Clock, confirmed

HOUR = DAY // 24


@contextmanager
def away(url: str, clock: Clock, *entries: Entry, asked: tuple[str, ...] = ("a",), **options: Any) -> Iterator[Opened]:
    ledger = Ledger.open(url, clock=clock)
    ledger.append(MARKET, [*known("a"), *known("b"), *entries])
    with opened(ledger, fresh_seconds=1e-9, **options) as over:
        for seller in asked:
            over.ask(seller)
        lost(over)
        with Ledger.open(url, clock=clock) as other:
            over.scorer._ledger = over.ledger = other
            yield over


def lost(over: Opened) -> None:
    over.ledger.close()
    over.book.follower.start()
    until = time.monotonic() + 60
    while not over.book.follower.is_away:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_known_seller_is_answered_with_its_age(url: str, clock: Clock) -> None:
    with away(url, clock) as over:
        clock.now += 42 * SECOND
        found = over.get("a")
        assert found.state == pb.SCORE_STATE_RATED
        assert found.freshness.state == pb.FRESHNESS_STATE_STALE
        assert found.freshness.age.ToSeconds() == 42
        assert found.freshness.as_of_time.ToMicroseconds() == NOW + 1
        for seller in ("b", "nobody"):
            unknown = over.ask(seller)
            assert (unknown.state, unknown.badge) == (pb.SCORE_STATE_UNKNOWN, "unknown")
            assert unknown.freshness == pb.Freshness(state=pb.FRESHNESS_STATE_UNKNOWN)
            assert not unknown.HasField("stamp")
        with pytest.raises(InvalidInput):
            over.book.get("sellers/odd", ReadOptions(0, None, over.ledger.cut))
        data = b"".join(over.book.batch(MARKET, ["a", "b"], ReadOptions(0, None, over.ledger.cut)).values())
        states = [r.trust_score.freshness.state for r in pb.BatchGetTrustScoresResponse.FromString(data).results]
        assert states == [pb.FRESHNESS_STATE_STALE, pb.FRESHNESS_STATE_UNKNOWN]
        assert over.hits() == 0


def test_across_midnight_it_is_the_answer_of_the_day_before(url: str, clock: Clock) -> None:
    with away(url, clock) as over:
        clock.now = (NOW // DAY + 1) * DAY + HOUR
        found = over.get("a")
        assert found.stamp.observe_time.ToMicroseconds() == (NOW // DAY + 1) * DAY - 1
        assert found.freshness.age.ToSeconds() == 13 * 3600


def test_an_ended_override_is_shown_as_of_its_time(url: str, clock: Clock) -> None:
    until = NOW + HOUR
    override = Entry("o", "a", OverrideImposed(Tier.PROBATION, until, "staff", "asked for"))
    with away(url, clock, override) as over:
        over.book.follower.heartbeat = over.book.follower.heartbeat._replace(time=until + HOUR)  # type: ignore[union-attr]
        clock.now = until + HOUR
        found = over.get("a")
        assert (found.override, found.stamp.observe_time.ToMicroseconds()) == ("o", until - 1)
        assert found.freshness.age.ToSeconds() == 3600
        with pytest.raises(TooStale):
            over.ask("a", max_staleness=HOUR - SECOND)


def test_what_an_entry_has_ended_is_as_old_as_its_computation(url: str, clock: Clock) -> None:
    ledger = Ledger.open(url, clock=clock)
    ledger.append(MARKET, known("a"))
    with opened(ledger) as over:
        before = over.ask("a")
        clock.now += HOUR
        ledger.append(MARKET, [confirmed("v", "a")])
        over.book.follower.look()
        lost(over)
        found = over.ask("a")
        assert (found.points, found.stamp) == (before.points, before.stamp)
        assert found.freshness.age.ToSeconds() == 3600


def test_who_takes_no_old_answer_hears_its_age(url: str, clock: Clock) -> None:
    with away(url, clock) as over:
        clock.now += 10 * SECOND
        assert over.ask("a", max_staleness=11 * SECOND).points
        with pytest.raises(TooStale) as caught:
            over.ask("a", max_staleness=9 * SECOND)
        assert caught.value.metadata == {"age_seconds": "10"}
        with pytest.raises(TooStale) as caught:
            over.ask("b", max_staleness=DAY)
        assert caught.value.metadata == {"age_seconds": ""}
        data = b"".join(over.book.batch(MARKET, ["a", "b"], ReadOptions(0, 0, over.ledger.cut)).values())
        results = pb.BatchGetTrustScoresResponse.FromString(data).results
        assert [result.error.reason for result in results] == ["TOO_STALE"] * 2


def test_a_sequence_beyond_memory_is_refused(url: str, clock: Clock) -> None:
    with away(url, clock) as over:
        assert over.ask("a", wanted=4).points
        with pytest.raises(LedgerUnavailable, match="ends at 4"):
            over.ask("a", wanted=5)
        with pytest.raises(LedgerUnavailable, match="ends at 4"):
            over.batch(["a"], wanted=5)


def test_beyond_the_stated_age_nothing_is_known_any_more(url: str, clock: Clock) -> None:
    with away(url, clock, stale_seconds=60) as over:
        clock.now += 59 * SECOND
        assert over.ask("a").points
        clock.now += 3 * SECOND
        assert over.ask("a").state == pb.SCORE_STATE_UNKNOWN


def test_a_batch_without_ledger_is_of_one_day_and_model(url: str, clock: Clock) -> None:
    ledger = Ledger.open(url, clock=clock)
    ledger.append(MARKET, [entry for seller in "abcd" for entry in known(seller)])
    with opened(ledger) as over:
        over.ask("a")
        clock.now += DAY
        over.book.follower.look()
        for seller in "bc":
            over.ask(seller)
        lost(over)
        assert over.ask("a").freshness.state == pb.FRESHNESS_STATE_STALE
        for sellers, unknown in (("abc", "a"), ("ab", "a"), ("ad", "d"), ("bcd", "d")):
            data = b"".join(over.book.batch(MARKET, [*sellers], ReadOptions(0, None, over.ledger.cut)).values())
            scores = [result.trust_score for result in pb.BatchGetTrustScoresResponse.FromString(data).results]
            states = {score.seller[-1]: score.freshness.state for score in scores}
            assert {seller for seller, state in states.items() if state == pb.FRESHNESS_STATE_UNKNOWN} == {unknown}
            days = {score.stamp.observe_time.ToMicroseconds() // DAY for score in scores if score.HasField("stamp")}
            assert len(days) == 1
        young = over.book.batch(MARKET, ["a", "b"], ReadOptions(0, DAY // 2, over.ledger.cut))
        results = pb.BatchGetTrustScoresResponse.FromString(b"".join(young.values())).results
        assert [result.error.reason for result in results] == ["TOO_STALE", ""]


def test_a_lagging_follower_is_no_absence(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, known("a"))
    with opened(ledger, fresh_seconds=1e-9) as over:
        for _ in range(2):
            clock.now += HOUR
            found = over.get("a")
            assert found.freshness == pb.Freshness(
                state=pb.FRESHNESS_STATE_FRESH, as_of_time=found.freshness.as_of_time
            )
            assert found.freshness.as_of_time.ToMicroseconds() == clock.now


@contextmanager
def computing(over: Opened, seller: str) -> Iterator[None]:
    begun, go_on = threading.Event(), threading.Event()

    def cut() -> Cut:
        begun.set()
        go_on.wait(30)
        return over.ledger.cut()

    other = threading.Thread(target=over.book.get, args=(seller_name(MARKET, seller), ReadOptions(0, None, cut)))
    other.start()
    try:
        assert begun.wait(30)
        yield
    finally:
        go_on.set()
        other.join(30)


def test_beside_computing_calls_an_answer_may_be_stale(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, [*known("a"), *known("b"), *known("c")])
    with opened(ledger, seats=1) as over:
        before, _ = over.ask("a"), over.ask("b")
        clock.now += HOUR
        ledger.append(MARKET, [confirmed("v", "a"), confirmed("w", "b")])
        with computing(over, "b"):
            found = over.get("a")
            assert (found.points, found.stamp) == (before.points, before.stamp)
            assert found.freshness.state == pb.FRESHNESS_STATE_STALE
            assert found.freshness.age.ToSeconds() == 3600
            with pytest.raises(ServerBusy):
                over.ask("c")
            with pytest.raises(InvalidInput):
                over.book.get("sellers/odd", ReadOptions(0, None, over.ledger.cut))
            with pytest.raises(ServerBusy):
                over.ask("a", max_staleness=0)
        now = over.ask("a", max_staleness=0)
        assert now.freshness.state == pb.FRESHNESS_STATE_FRESH
        assert now.points < before.points


def test_beside_computing_calls_what_was_asked_holds(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, [*known("a"), *known("b")])
    with opened(ledger, seats=1) as over:
        over.ask("a")
        clock.now += HOUR
        last = ledger.append(MARKET, [confirmed("v", "a")])[-1].sequence
        with computing(over, "b"):
            assert over.ask("a", max_staleness=HOUR + SECOND).freshness.state == pb.FRESHNESS_STATE_STALE
            with pytest.raises(ServerBusy):
                over.ask("a", wanted=last)
        assert over.ask("a", wanted=last).stamp.ledger_sequence >= last
    with opened(ledger, seats=1) as over:
        over.ask("a")
        clock.now += HOUR
        ledger.append(MARKET, [confirmed("x", "a")])
        with computing(over, "b"), pytest.raises(ServerBusy):
            over.ask("a", max_staleness=HOUR - SECOND)

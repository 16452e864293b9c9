import threading
from collections.abc import Callable

import pytest

from scoring.base.enums import Tier
from scoring.base.errors import SellerNotFound
from scoring.base.time import DAY, SECOND
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import OverrideImposed
from service.call_context import Call, begin_answering, end_answering
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.scores.book import flights
from service.scores.book.checking import AnswerToCheck
from tests.helpers.books import HOUR, SELLERS, Opened, known, opened
from tests.helpers.builders import MARKET, NOW, Clock, confirmed, violation
from tests.helpers.limits import Limit
from tests.helpers.moments import before_call


def test_an_answer_is_remembered_until_an_entry(ledger: Ledger, clock: Clock) -> None:
    for seller in ("a", "b"):
        ledger.append(MARKET, known(seller))
    with opened(ledger) as over:
        first = over.get("a")
        ledger.append(MARKET, [violation("v1", "b")])
        over.book.follower.look()
        again = over.get("a")
        assert over.hits() == 1
        assert (first.stamp.ledger_sequence, again.stamp.ledger_sequence) == (4, 5)
        ledger.append(MARKET, [confirmed("v2", "a")])
        worse = over.get("a")
        assert over.hits() == 1
        assert worse.points < again.points
        assert worse.stamp.ledger_sequence == 6


def test_the_day_of_answers_does_not_go_back(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, [*known("a"), *known("b"), confirmed("v", "a")])
    midnight = (NOW // DAY + 1) * DAY
    with opened(ledger) as over:
        over.get("a")
        clock.now = midnight - 1_000
        over.get("a")
        assert over.hits() == 1
        clock.now = midnight + 1
        assert over.get("a").stamp.observe_time.ToMicroseconds() > midnight
        assert over.hits() == 1
        clock.now = midnight - 1_000
        found = [over.ask(name) for name in ("a", "b", "b")]
        assert all(score.stamp.observe_time.ToMicroseconds() >= midnight for score in found)
        clock.now = midnight + SECOND
        for score in found:
            over.require_replay(score)
        clock.now = midnight - HOUR
        assert over.get("a").stamp.observe_time.ToMicroseconds() == midnight - HOUR + 1


def test_an_override_that_has_ended_is_not_answered_any_more(ledger: Ledger, clock: Clock) -> None:
    until = NOW + 2 * HOUR
    ledger.append(MARKET, [*known("a"), Entry("o", "a", OverrideImposed(Tier.PROBATION, until, "staff", "asked for"))])
    with opened(ledger) as over:
        assert over.get("a").override == "o"
        clock.now = until - 10
        assert over.get("a").override == "o"
        assert over.hits() == 1
        clock.now = until + 10
        assert over.get("a").override == ""


def test_a_record_ahead_is_answered_as_by_the_ledger(url: str, clock: Clock) -> None:
    fast = Clock(NOW + 10 * SECOND)
    with Ledger.open(url, clock=clock) as ledger, Ledger.open(url, clock=fast) as ahead:
        ledger.append(MARKET, known("a"))
        with opened(ledger) as over:
            before = over.get("a")
            ahead.append(MARKET, [confirmed("v", "a", occur_time=NOW + 9 * SECOND)])
            over.book.follower.look()
            for _ in range(2):
                assert over.get("a").points == before.points
            assert over.batch(["a"])[0].points == before.points
            clock.now += 20 * SECOND
            assert over.get("a").points < before.points


def test_nobody_who_is_not_there_is_kept(ledger: Ledger) -> None:
    with opened(ledger) as over:
        for _ in range(2):
            with pytest.raises(SellerNotFound):
                over.get("nobody")
        assert over.batch(["nobody", "no-one"]) == []
        assert len(over.book.table) == 0


def test_a_batch_waits_for_the_follower(ledger: Ledger) -> None:
    for seller in SELLERS:
        ledger.append(MARKET, known(seller))
    with opened(ledger) as over:
        before = over.batch(SELLERS)
        [done] = ledger.append(MARKET, [confirmed("v", "s2")])
        over.book.start()
        after = over.batch(SELLERS)
        assert {score.stamp.ledger_sequence for score in after} == {done.sequence}
        assert [a.points for a in after if a.seller[-1] != "2"] == [b.points for b in before if b.seller[-1] != "2"]
        assert after[2].points < before[2].points


def test_an_answer_is_not_given_while_the_follower_is_stuck(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, known("a"))
    with opened(ledger, fresh_seconds=1e-9) as over:
        for _ in range(3):
            over.get("a")
            over.batch(["a"])
        assert over.hits() == 0
        assert over.book.tally.total("lagging") == 2


def test_hits_are_recomputed_and_differences_counted(ledger: Ledger) -> None:
    ledger.append(MARKET, known("a"))
    with opened(ledger) as over:
        book, found = over.book, threading.Event()
        over.get("a")
        checked = [book.checker._tally]
        recompute = book.checker._recompute

        asked: list[tuple[str, Cut]] = []

        def noted(name: str, cut: Cut) -> object:
            asked.append((name, cut))
            try:
                return recompute(name, cut)
            finally:
                found.set()

        book.checker._recompute = noted  # type: ignore[assignment]
        book.checker.start()
        over.get("a")
        assert found.wait(30)
        book.checker.close(30)
        assert (checked[0].total("same"), checked[0].total("differed")) == (1, 0)
        answer = book.table.get("marketplaces/acme/sellers/a")
        assert answer is not None
        answer.body += b"\x2a\x00"
        [(name, cut)] = asked
        assert not book.checker.check(AnswerToCheck(name, answer.body, answer.made_by, cut))
        assert book.tally.total("differed") == 1


def blocked(over: Opened) -> tuple[threading.Semaphore, threading.Event]:
    begun, go = threading.Semaphore(0), threading.Event()
    before_call(over.scorer, "scores", lambda: (begun.release(), go.wait(60)))
    return begun, go


def in_threads(number: int, work: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


def test_one_computation_a_seller_however_many_ask(ledger: Ledger, limit: Limit) -> None:
    limit(flights, WAIT_SECONDS=60)
    ledger.append(MARKET, known("a"))
    with opened(ledger) as over:
        begun, go = blocked(over)
        threads = in_threads(8, lambda: over.ask("a"))
        assert begun.acquire(timeout=30)
        go.set()
        for thread in threads:
            thread.join(60)
        assert not begun.acquire(blocking=False)
        assert over.hits() == 7


def test_who_has_waited_long_enough_computes_alone(ledger: Ledger, limit: Limit) -> None:
    limit(flights, WAIT_SECONDS=0.01)
    ledger.append(MARKET, known("a"))
    with opened(ledger) as over:
        begun, go = blocked(over)
        threads = in_threads(2, lambda: over.ask("a"))
        assert begun.acquire(timeout=30)
        assert begun.acquire(timeout=30)
        go.set()
        for thread in threads:
            thread.join(60)


def test_a_caller_waits_no_longer_than_its_deadline(ledger: Ledger, limit: Limit) -> None:
    limit(flights, WAIT_SECONDS=600)
    ledger.append(MARKET, known("a"))
    with opened(ledger) as over:
        begun, go = blocked(over)

        def ask_in_time() -> None:
            token = begin_answering(Call(lambda: 0.05))
            try:
                over.ask("a")
            finally:
                end_answering(token)

        threads = in_threads(1, lambda: over.ask("a"))
        assert begun.acquire(timeout=30)
        threads += in_threads(1, ask_in_time)
        assert begun.acquire(timeout=30)
        go.set()
        for thread in threads:
            thread.join(60)
        assert not any(map(threading.Thread.is_alive, threads))

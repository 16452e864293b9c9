import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from scoring.base.enums import Harm, Source, Tier
from scoring.base.errors import InvalidInput, LedgerUnavailable, ServerBusy, TooStale
from scoring.base.time import DAY, SECOND
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductListed, ProductViolationReported
from scoring.entries.kinds.decisions import OverrideImposed
from scoring.scores.answer import MadeBy
from sellertrust.names import seller_name
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.ledger.clock.ledger_clock import LedgerEnd
from service.ledger.clock.server_clock import steady_clock
from service.ledger.queries.changes import LedgerChange
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.scores.book.follower import Beat, Follower
from service.scores.book.generations import Generations
from service.scores.book.read_options import ReadOptions
from service.scores.book.table import AnswerTable, RememberedAnswer
from tests.helpers.books import Opened, known, opened
from tests.helpers.builders import MARKET, NOW, Clock, ago, confirmed, identity
from tests.helpers.databases import database
from tests.helpers.limits import Limit

LISTED = [Entry(f"l-{seller}", seller, ProductListed("gtin-1"), ago(30)) for seller in ("a", "b", "c")]
RECALL = Entry("p1", "", ProductViolationReported("unsafe_product", Harm.HIGH, Source.RANDOM_AUDIT, "gtin-1"), ago(20))


def kept(table: AnswerTable, *sellers: str, at: int) -> None:
    for seller in sellers:
        table.store(
            seller_name(MARKET, seller),
            RememberedAnswer(b"", MadeBy("model", "policy"), at, at, at, 2**62),
            table.clear_count,
        )


def exact(table: AnswerTable, *sellers: str) -> list[bool]:
    found = [table.get(seller_name(MARKET, seller)) for seller in sellers]
    return [answer is not None and table.is_exact(answer) for answer in found]


class Troubled:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.trouble: Callable[[str], None] = lambda method: None
        self.clock = self.seals = self.changes = self

    def settled(self) -> int | None:
        return self.ledger.clock.settled()

    def doubt(self) -> int:
        return self.ledger.clock.doubt()

    def read_end(self) -> LedgerEnd:
        self.trouble("end")
        return self.ledger.clock.read_end()

    def chain_at(self, sequence: int) -> bytes | None:
        self.trouble("chain_at")
        return self.ledger.seals.chain_at(sequence)

    def list(self, after: int, last: int, limit: int) -> Sequence[LedgerChange]:
        self.trouble("list")
        return self.ledger.changes.list(after, last, limit)


def test_appends_of_others_end_the_answers_concerned(url: str, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as ledger, Ledger.open(url, clock=clock) as other:
        other.append(MARKET, [*LISTED, identity(seller="d")])
        table = AnswerTable(10)
        follower = Follower(ledger, table, Generations(table))
        follower.look()
        kept(table, "a", "b", "c", "d", at=4)
        other.append(MARKET, [RECALL])
        assert exact(table, "a", "b", "c", "d") == [True] * 4
        follower.look()
        assert exact(table, "a", "b", "c", "d") == [False, False, False, True]
        assert follower.watermark is not None
        assert follower.watermark[:2] == other.last()


def test_own_appends_are_noted_at_once(ledger: Ledger) -> None:
    ledger.append(MARKET, LISTED)
    with opened(ledger) as over:
        table, before = over.book.table, over.book.follower.watermark
        kept(table, "a", "b", "c", at=3)
        ledger.append(MARKET, [RECALL])
        assert exact(table, "a", "b", "c") == [False] * 3
        assert over.book.follower.watermark == before


def test_the_watermark_moves_once_all_are_marked(ledger: Ledger, limit: Limit) -> None:
    limit("service.scores.book.follower", PAGE=4)
    troubled, table = Troubled(ledger), AnswerTable(100)
    follower = Follower(cast(Ledger, troubled), table, Generations(table))
    follower.look()
    sellers = [f"s{number}" for number in range(10)]
    kept(table, *sellers, at=0)
    ledger.append(MARKET, [identity(f"i-{seller}", seller) for seller in sellers])
    asked = []

    def fail_the_third(method: str) -> None:
        asked.append(method)
        if asked.count("list") == 3:
            raise LedgerUnavailable("gone")

    troubled.trouble = fail_the_third
    with pytest.raises(LedgerUnavailable):
        follower.look()
    assert follower.watermark is not None
    assert (follower.watermark.sequence, exact(table, *sellers)) == (0, [False] * 8 + [True] * 2)
    troubled.trouble = lambda method: None
    follower.look()
    assert (follower.watermark.sequence, exact(table, *sellers)) == (10, [False] * 10)


def test_a_follower_goes_on_after_errors(ledger: Ledger) -> None:
    problems: list[str] = []
    troubled = Troubled(ledger)
    looks = threading.Semaphore(0)
    errors: list[Exception] = [LedgerUnavailable("gone"), RuntimeError("odd"), RuntimeError("odd"), KeyError()]

    def fail(method: str) -> None:
        if method == "end":
            looks.release()
            if errors:
                raise errors.pop(0)

    troubled.trouble = fail
    follower = Follower(cast(Ledger, troubled), (table := AnswerTable(10)), Generations(table), report=problems.append)
    assert follower.age() == float("inf")
    follower.start()
    try:
        for _ in range(5):
            follower.wake()
            assert looks.acquire(timeout=30)
        ledger.append(MARKET, [identity()])
        assert follower.reach(1, 30)
        assert follower.failures == 4
        assert [problem.split(":")[0] for problem in problems] == ["LedgerUnavailable", "RuntimeError", "KeyError"]
        assert follower.age() < 30
        assert follower.problem == ""
    finally:
        follower.close(30)


def test_a_look_that_hangs_makes_the_book_old_not_quiet(ledger: Ledger) -> None:
    troubled, table = Troubled(ledger), AnswerTable(10)
    follower = Follower(cast(Ledger, troubled), table, Generations(table))
    follower.look()
    before = follower.heartbeat
    seen: list[tuple[Beat | None, int]] = []
    troubled.trouble = lambda method: seen.append((follower.heartbeat, steady_clock()))
    follower.look()
    after = follower.heartbeat
    assert before is not None
    assert after is not None
    assert {beat for beat, _ in seen} == {before}
    assert before.steady < after.steady <= min(time for _, time in seen)


@pytest.mark.parametrize("more", [0, 3])
def test_another_ledger_in_the_same_place_empties_the_book(
    backend: str, tmp_path: Path, more: int, clock: Clock
) -> None:
    with (
        database(backend, tmp_path) as first,
        database(backend, tmp_path) as second,
        Ledger.open(first, clock=clock) as ledger,
        Ledger.open(second, clock=clock) as restored,
    ):
        ledger.append(MARKET, [identity("i1", "a")])
        ledger.append(MARKET, [identity("i2", "b")])
        restored.append(MARKET, [identity("other", "c")])
        for number in range(more):
            restored.append(MARKET, [identity(f"more-{number}", "c")])
        place, table = Troubled(ledger), AnswerTable(10)
        follower = Follower(cast(Ledger, place), table, Generations(table))
        follower.look()
        clear_count = table.clear_count
        kept(table, "a", at=2)
        place.ledger = restored
        follower.look()
        assert len(table) == 0
        assert follower.restarts == 1
        assert follower.watermark is not None
        assert follower.watermark[:2] == restored.last()
        under_way = RememberedAnswer(b"", MadeBy("model", "policy"), 2, 2, 2, 2**62)
        table.store(seller_name(MARKET, "a"), under_way, clear_count)
        assert len(table) == 0
        kept(table, "c", at=restored.last()[0])
        assert exact(table, "c") == [True]


def test_a_clock_that_is_put_right_ends_every_answer(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, known("a"))
    with opened(ledger) as over:
        kept(over.book.table, "a", "b", at=2)
        done = ledger.mend_clock(MARKET, actor="staff", reason="rested", entry_id="m")
        assert exact(over.book.table, "a", "b") == [False, False]
        kept(over.book.table, "a", at=done.sequence)
        assert exact(over.book.table, "a") == [True]


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
            over.scorer.ledger = over.ledger = other
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

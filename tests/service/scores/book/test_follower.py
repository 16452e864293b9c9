import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest

from scoring.base.enums import Harm, Source
from scoring.base.errors import LedgerUnavailable
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductListed, ProductViolationReported
from scoring.scores.answer import MadeBy
from service.contract.resource_names import seller_name
from service.ledger.clock.ledger_clock import LedgerEnd
from service.ledger.clock.server_clock import steady_clock
from service.ledger.queries.changes import Change
from service.ledger.store import Ledger
from service.scores.book.follower import Beat, Follower
from service.scores.book.generations import Generations
from service.scores.book.table import Answer, Table
from tests.helpers.books import known, opened
from tests.helpers.builders import MARKET, Clock, ago, identity
from tests.helpers.databases import database
from tests.helpers.limits import Limit

LISTED = [Entry(f"l-{seller}", seller, ProductListed("gtin-1"), ago(30)) for seller in ("a", "b", "c")]
RECALL = Entry("p1", "", ProductViolationReported("unsafe_product", Harm.HIGH, Source.RANDOM_AUDIT, "gtin-1"), ago(20))


def kept(table: Table, *sellers: str, at: int) -> None:
    for seller in sellers:
        table.store(
            seller_name(MARKET, seller), Answer(b"", MadeBy("model", "policy"), at, at, at, 2**62), table.clear_count
        )


def exact(table: Table, *sellers: str) -> list[bool]:
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

    def list(self, after: int, last: int, limit: int) -> Sequence[Change]:
        self.trouble("list")
        return self.ledger.changes.list(after, last, limit)


def test_appends_of_others_end_the_answers_concerned(url: str, clock: Clock) -> None:
    with Ledger.open(url, clock=clock) as ledger, Ledger.open(url, clock=clock) as other:
        other.append(MARKET, [*LISTED, identity(seller="d")])
        table = Table(10)
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
    troubled, table = Troubled(ledger), Table(100)
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
    follower = Follower(cast(Ledger, troubled), (table := Table(10)), Generations(table), report=problems.append)
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
    troubled, table = Troubled(ledger), Table(10)
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
        place, table = Troubled(ledger), Table(10)
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
        under_way = Answer(b"", MadeBy("model", "policy"), 2, 2, 2, 2**62)
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

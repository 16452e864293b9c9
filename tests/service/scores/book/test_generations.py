import os
import random
from pathlib import Path

import pytest

from scoring.base.enums import Action, CorrectionKind, Harm, Source, Tier
from scoring.base.errors import LedgerUnavailable, SellertrustError
from scoring.base.time import DAY, SECOND
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductListed, ProductViolationReported
from scoring.entries.kinds.decisions import EntryCorrected, OverrideImposed
from sellertrust.v1.trust_score_service_pb2 import (
    FRESHNESS_STATE_FRESH,
    FRESHNESS_STATE_STALE,
    SCORE_STATE_UNKNOWN,
    BatchGetTrustScoresResponse,
)
from service.ledger.store import Ledger
from service.scores.book import follower
from service.scores.book.read_options import ReadOptions
from tests.helpers.books import HOUR, SELLERS, known, opened
from tests.helpers.builders import MARKET, NOW, Clock, ago, confirmed, exposure, status, violation
from tests.helpers.databases import database
from tests.helpers.generations import kept, look, rescored
from tests.helpers.limits import Limit
from tests.helpers.worlds import ALL_FEATURES, artifact, certified, population

MIDNIGHT = NOW // DAY * DAY + DAY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "generations"


@pytest.fixture
def sold(ledger: Ledger) -> Ledger:
    for seller in ("a", "b", "c"):
        ledger.append(MARKET, known(seller))
    return ledger


def test_an_unasked_seller_is_in_the_generation(sold: Ledger, folder: Path) -> None:
    rescored(sold, folder)
    with opened(sold) as over:
        kept(over, folder)
        assert over.get("a").freshness.state == FRESHNESS_STATE_FRESH
        assert [score.seller[-1] for score in over.batch(["a", "b", "c"])] == ["a", "b", "c"]
        assert (over.hits(), over.book.tally.total("miss"), over.book.table.adopted) == (4, 0, 3)


def test_an_answer_is_stale_until_later_entries_are_marked(
    sold: Ledger, folder: Path, clock: Clock, limit: Limit
) -> None:
    rescored(sold, folder)
    clock.now += HOUR
    sold.append(MARKET, [confirmed("v1", "a")])
    limit(follower, PAGES_OF_GENERATIONS=0)
    with opened(sold) as over:
        kept(over, folder)
        assert over.get("b").freshness.state == FRESHNESS_STATE_FRESH
        assert over.hits() == 0
        over.refuse(True)
        stale = over.ask("a")
        assert (stale.freshness.state, stale.freshness.age.seconds) == (FRESHNESS_STATE_STALE, 3_600)
        over.require_replay(stale)
        over.refuse(False)
        limit(follower, PAGES_OF_GENERATIONS=4)
        over.book.follower.look()
        over.get("c")
        assert over.hits() == 1


def test_very_many_entries_since_are_marked_over_several_looks(sold: Ledger, folder: Path, limit: Limit) -> None:
    rescored(sold, folder)
    sold.append(MARKET, [violation(f"v{n}", "a", incident=f"v{n}") for n in range(7)])
    limit(follower, PAGES_OF_GENERATIONS=1, PAGE=3)
    with opened(sold) as over:
        kept(over, folder)
        [generation] = over.book.generations
        looks = 1
        while not generation.is_complete:
            over.book.follower.look()
            looks += 1
        assert looks == 3
        assert over.get("a").open_allegations == 7
        over.get("b")
        assert over.hits() == 1


class World:
    def __init__(self, seed: int, clock: Clock, *ledgers: Ledger) -> None:
        self.chance = random.Random(seed)
        self.clock = clock
        self.ledgers = ledgers
        self.count = 0

    def happen(self) -> None:
        self.count += 1
        name, chance = f"e{self.count}", self.chance
        entry = chance.choice([self.report, self.decide, self.trade, self.recall, self.override, self.correct])(name)
        self.clock.now += chance.choice([1, SECOND, HOUR])
        try:
            chance.choice(self.ledgers).append(MARKET, [entry])
        except SellertrustError:
            return

    def seller(self) -> str:
        return self.chance.choice(SELLERS)

    def report(self, name: str) -> Entry:
        make = self.chance.choice([violation, confirmed])
        return make(name, self.seller(), occur_time=ago(self.chance.uniform(0, 60)))

    def decide(self, name: str) -> Entry:
        about, action = f"e{self.chance.randrange(self.count)}", self.chance.choice([Action.CONFIRM, Action.OVERTURN])
        return status(about, action, name)

    def trade(self, name: str) -> Entry:
        revision = self.count
        return exposure(
            seller=self.seller(), entry_id=name, settled_orders=self.chance.randrange(5_000), revision=revision
        )

    def recall(self, name: str) -> Entry:
        if self.chance.random() < 0.7:
            return Entry(name, self.seller(), ProductListed("gtin-1"), ago(30))
        fact = ProductViolationReported("unsafe_product", Harm.HIGH, Source.RANDOM_AUDIT, "gtin-1", final=True)
        return Entry(name, "", fact, ago(20))

    def override(self, name: str) -> Entry:
        until = self.clock.now + self.chance.randrange(1, 36) * HOUR
        return Entry(name, self.seller(), OverrideImposed(Tier.PROBATION, until, "staff", "asked for"))

    def correct(self, name: str) -> Entry:
        about = f"e{self.chance.randrange(self.count)}"
        return Entry(
            name, "", EntryCorrected(about, CorrectionKind.MOVED, "staff", "mistaken", ago(self.chance.uniform(0, 90)))
        )


def happen_to_generations(chance: random.Random, ledger: Ledger, folder: Path) -> None:
    what = chance.random()
    if what < 0.25:
        rescored(ledger, folder, days=chance.randrange(2))
    elif what < 0.3:
        for path in folder.glob("*"):
            path.unlink()
    elif what < 0.35:
        for path in folder.glob("*.generation"):
            os.truncate(path, path.stat().st_size - 100)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_every_answer_is_that_of_its_stamp(url: str, clock: Clock, seed: int, folder: Path) -> None:
    with Ledger.open(url, clock=clock) as ledger, Ledger.open(url, clock=clock) as other:
        for seller in SELLERS:
            ledger.append(MARKET, known(seller))
        world = World(seed, clock, ledger, other)
        with opened(ledger, sellers=2) as over:
            kept(over, folder)
            for _ in range(60):
                for _ in range(world.chance.randrange(3)):
                    world.happen()
                if world.chance.random() < 0.1:
                    clock.now += world.chance.choice([HOUR, 12 * HOUR])
                happen_to_generations(world.chance, other, folder)
                if world.chance.random() < 0.5:
                    look(over)
                for _ in range(3):
                    over.get(world.seller(), wanted=ledger.last()[0] if world.chance.random() < 0.2 else 0)
                if world.chance.random() < 0.3:
                    over.batch(world.chance.sample(SELLERS, 4))
            assert over.book.table.adopted > 5
            assert over.hits() > 10


def test_the_next_generation_answers_from_midnight_on(sold: Ledger, folder: Path, clock: Clock) -> None:
    clock.now = MIDNIGHT - HOUR
    rescored(sold, folder, days=1)
    with opened(sold) as over:
        kept(over, folder)
        over.get("a")
        assert over.hits() == 0
        sold.append(MARKET, [confirmed("v1", "b")])
        over.book.follower.look()
        clock.now = MIDNIGHT + SECOND
        over.book.follower.look()
        assert over.get("a").stamp.observe_time.seconds == MIDNIGHT // SECOND + 1
        assert over.hits() == 1
        assert over.get("b").counted_incidents == 1
        assert over.hits() == 1


def test_a_promoted_model_answers_from_its_generation(sold: Ledger, folder: Path) -> None:
    mine, theirs = artifact(), certified(*population(), ALL_FEATURES, 20)
    rescored(sold, folder)
    rescored(sold, folder, model=theirs)
    with opened(sold) as over:
        kept(over, folder)
        for model in (mine, theirs, mine):
            over.serve(model)
            assert over.get("a").stamp.model_digest == model.digest
            over.batch(["a", "b"])
        assert (over.hits(), over.book.tally.total("miss")) == (9, 0)


def test_a_generation_of_another_ledger_is_not_used(sold: Ledger, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with database("sqlite", tmp_path / "other") as url, Ledger.open(url, clock=Clock()) as other:
        for seller in ("a", "b", "c"):
            other.append(MARKET, [exposure(seller=seller, settled_orders=7)])
            other.append(MARKET, [violation(f"v-{seller}", seller)])
        rescored(other, folder)
    problems: list[str] = []
    with opened(sold) as over:
        kept(over, folder, problems)
        over.get("a")
        assert (over.hits(), len(over.book.generations)) == (0, 0)
        assert "of another ledger" in problems[0]
        over.refuse(True)
        assert over.ask("b").state == SCORE_STATE_UNKNOWN


def test_without_database_a_generation_answers_as_stale(sold: Ledger, folder: Path, clock: Clock) -> None:
    rescored(sold, folder)
    with opened(sold) as over:
        kept(over, folder)
        clock.now += HOUR
        over.book.follower.look()
        over.refuse(True)
        clock.now += DAY
        for seller in ("a", "b"):
            found = over.ask(seller)
            over.require_replay(found)
            assert found.freshness.state == FRESHNESS_STATE_STALE
            assert found.freshness.as_of_time.seconds == (NOW + HOUR) // SECOND
        assert over.book.can_answer()
        with pytest.raises(LedgerUnavailable):
            over.ask("a", wanted=sold.last()[0] + 1)


def test_a_batch_without_ledger_may_take_the_generations_day(sold: Ledger, folder: Path, clock: Clock) -> None:
    rescored(sold, folder)
    with opened(sold) as over:
        kept(over, folder)
        clock.now += DAY
        over.book.follower.look()
        today = over.get("a")
        over.refuse(True)
        data = b"".join(over.book.batch(MARKET, ["a", "b"], ReadOptions(0, None, sold.cut)).values())
        found = [result.trust_score for result in BatchGetTrustScoresResponse.FromString(data).results]
        days = [score.stamp.observe_time.ToMicroseconds() // DAY for score in found]
        assert days == [today.stamp.observe_time.ToMicroseconds() // DAY - 1] * 2
        for score in found:
            over.require_replay(score)


def test_an_unpromoted_model_is_not_answered_by(sold: Ledger, folder: Path, clock: Clock) -> None:
    rescored(sold, folder, model=certified(*population(), ALL_FEATURES, 20))
    with opened(sold) as over:
        kept(over, folder)
        assert len(over.book.generations) == 1
        clock.now += SECOND
        over.refuse(True)
        assert over.ask("a").state == SCORE_STATE_UNKNOWN


def test_an_entry_about_all_ends_a_generation(sold: Ledger, folder: Path) -> None:
    rescored(sold, folder)
    sold.mend_clock(MARKET, actor="staff", reason="it rested", entry_id="c1")
    with opened(sold) as over:
        kept(over, folder)
        over.get("a")
        assert over.hits() == 0

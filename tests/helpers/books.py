from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scoring.base.errors import SellertrustError
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.model.artifact import Artifact
from sellertrust.names import seller_name
from sellertrust.v1.trust_score_service_pb2 import BatchGetTrustScoresResponse, GetTrustScoreResponse, TrustScore
from service.bootstrap import build_scorer
from service.contract.fields import optional_time
from service.contract.resource_names import parse_seller
from service.contract.scores import score_message, stamp_message
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.scores.book.book import Book, BookLimits
from service.scores.book.read_options import ReadOptions
from service.scores.scorer import Scorer
from tests.helpers.builders import MARKET, exposure, identity
from tests.helpers.servers import Shelf
from tests.helpers.worlds import artifact, policy

EVER = 1e9


class Opened:
    def __init__(
        self,
        ledger: Ledger,
        sellers: int = 100,
        fresh_seconds: float = EVER,
        stale_seconds: float = EVER,
        seats: int = 100,
    ) -> None:
        self.ledger = ledger
        self.scorer: Scorer = build_scorer(ledger, policy(), Shelf(artifact()))
        self.book = Book(self.scorer, BookLimits(sellers, fresh_seconds, stale_seconds, seats))
        self.book.follower.look()

    def serve(self, model: Artifact) -> None:
        self.scorer.champion.artifact = model

    def refuse(self, is_refused: bool) -> None:
        self.book.follower._is_refused = is_refused

    def get(self, seller: str, wanted: int = 0) -> TrustScore:
        found = self.ask(seller, wanted)
        assert found.stamp.ledger_sequence >= wanted
        self.require_replay(found)
        return found

    def ask(self, seller: str, wanted: int = 0, max_staleness: int | None = None) -> TrustScore:
        name = seller_name(MARKET, seller)
        found = self.book.get(name, ReadOptions(wanted, max_staleness, self.ledger.cut))
        return GetTrustScoreResponse.FromString(found).trust_score

    def batch(self, sellers: Sequence[str], wanted: int = 0) -> list[TrustScore]:
        found = self.book.batch(MARKET, sellers, ReadOptions(wanted, None, self.ledger.cut))
        results = BatchGetTrustScoresResponse.FromString(b"".join(found[seller] for seller in sellers)).results
        assert [result.seller for result in results] == [seller_name(MARKET, seller) for seller in sellers]
        scores = [result.trust_score for result in results if result.HasField("trust_score")]
        assert len({score.stamp.SerializeToString(deterministic=True) for score in scores}) <= 1
        for score in scores:
            assert score.stamp.ledger_sequence >= wanted
            self.require_replay(score)
        return scores

    def require_replay(self, score: TrustScore) -> None:
        """Ask again by the stamp's times: the same bits, from the same sequence."""
        answer = TrustScore.FromString(score.SerializeToString())
        answer.ClearField("freshness")
        assert self.at_stamp(score).SerializeToString(deterministic=True) == answer.SerializeToString(
            deterministic=True
        )

    def at_stamp(self, score: TrustScore) -> TrustScore:
        observe_time, known_time = (optional_time(score.stamp, name) for name in ("observe_time", "known_time"))
        return self.computed(score.seller, self.ledger.cut(observe_time, known_time))

    def computed(self, name: str, cut: Cut) -> TrustScore:
        marketplace, seller = parse_seller(name, "seller")
        [outcome], stamp = self.scorer.scores(marketplace, [seller], cut)
        assert not isinstance(outcome, SellertrustError)
        return score_message(name, outcome, stamp_message(stamp))

    def hits(self) -> int:
        return self.book.tally.total("hit")


@contextmanager
def opened(ledger: Ledger, **options: float) -> Iterator[Opened]:
    found = Opened(ledger, **options)  # type: ignore[arg-type]
    try:
        yield found
    finally:
        found.book.close()


def known(seller: str) -> list[Entry]:
    return [identity(f"i-{seller}", seller), exposure(seller=seller, settled_orders=2_000)]


SELLERS = [f"s{number}" for number in range(6)]


HOUR = DAY // 24

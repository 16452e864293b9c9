"""The score book: finished answers, and an answer from them, each of which is the answer of a stated sequence.

An answer that nothing ended stands for the watermark: the seller has no entry between the sequence it was computed at and
there. So it is stamped with the watermark, or with its own sequence where that lies beyond, and its stamp replays to it.
What is asked for a stated time is not answered here, and nothing is kept that is no score.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from scoring.answer import Stamp, TrustScore
from scoring.errors import SellertrustError
from scoring.time import DAY
from scoring.version import CORE_VERSION
from service.contract.resource_names import parse_seller, seller_name
from service.contract.scores import result_message, score_message, stamp_message
from service.ledger.changes import Change
from service.ledger.clock import SKEW, TOLERANCE, Present
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.scores.book import wire
from service.scores.book.checking import Checker, Remembered
from service.scores.book.flights import Flights
from service.scores.book.follower import Follower, Watermark, mark_changes
from service.scores.book.table import Answer, Table
from service.scores.book.tally import Tally
from service.scores.scorer import Scorer

CATCH_UP_SECONDS = 1.0
"""How long a batch waits until the watermark has come to what it must reflect; then it is computed whole."""


class Book:
    """The answers of `sellers` sellers at most. Shared by threads; `start` begins to follow the ledger, `close` ends it.

    An answer is given as long as the ledger was looked at in the last `fresh_seconds`. `moved` gets each sequence that the
    follower sees, `report` what goes wrong.
    """

    def __init__(
        self,
        ledger: Ledger,
        scorer: Scorer,
        sellers: int,
        fresh_seconds: float,
        moved: Callable[[int], None] = lambda _: None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._scorer = scorer
        self._fresh_seconds = fresh_seconds
        self._flights = Flights()
        self._midnight = 0
        self._appended = (0, 0)
        self._rest: tuple[tuple[int, int, str], bytes] = ((-1, 0, ""), b"")
        self.tally = Tally()
        """Counts of `hit`, `miss`, `not_fresh` (misses since nobody knows whether answers still hold), `same`, `differed`."""
        self.table = Table(sellers)
        """The answers."""
        self.follower = Follower(ledger, self.table, moved, report)
        """What keeps them exact."""
        self.checker = Checker(self._recompute, self.tally, report)
        """What holds them against the ledger."""
        self._end_listening = ledger.listen(self._hear)

    def start(self) -> None:
        """Begin to follow the ledger."""
        self.follower.start()
        self.checker.start()

    def close(self, seconds: float | None = None) -> None:
        """End what `start` began; wait at most `seconds` for each thread."""
        self._end_listening()  # may be repeated
        self.follower.close(seconds)
        self.checker.close(seconds)

    def get(self, name: str, wanted: int, cut: Callable[[], Cut]) -> bytes:
        """Return the GetTrustScoreResponse of a seller by its resource name, as of the sequence `wanted` at least.

        `cut` gives the cut to compute at, which holds that sequence, and raises what it must. InvalidInput names `seller`;
        SellerNotFound.
        """
        found = self._remembered(name, wanted)
        if found is not None:
            return found
        if wanted and not self.follower.has(wanted):
            life, at = self.table.life, cut()  # which may wait for long, so that nobody else is to wait for this call
            return self._remembered(name, wanted) or self._computed(name, life, at)
        with self._flights.turn(name) as is_first:
            found = None if is_first else self._remembered(name, wanted)
            return self._computed(name, self.table.life, cut()) if found is None else found

    def batch(
        self, marketplace: str, sellers: Sequence[str], wanted: int, cut: Callable[[], Cut]
    ) -> Mapping[str, bytes]:
        """Return one result of a BatchGetTrustScoresResponse a seller, all as of one sequence, model, policy and day."""
        if wanted and not self.follower.has(wanted):
            cut()
        life, appended = self._appended
        needed = max(wanted, appended if life == self.table.life else 0)
        found = None
        if self._is_fresh() and (self.follower.has(needed) or self.follower.reach(needed, CATCH_UP_SECONDS)):
            life, mark = self.table.life, self.follower.watermark
            found = None if mark is None else self._batch_at(life, mark, marketplace, sellers)
        if found is None:
            self.tally.add("miss", len(sellers))
            life = self.table.life
            found, _ = self._compute_batch(life, marketplace, sellers, cut())
        return found

    def _hear(self, changes: Sequence[Change]) -> None:
        """Take note at once of what this process has appended."""
        mark_changes(self.table, changes)
        self._appended = (self.table.life, changes[-1].sequence)
        self.follower.wake()

    def _is_fresh(self) -> bool:
        return self.follower.age() <= self._fresh_seconds

    def _remembered(self, name: str, wanted: int) -> bytes | None:
        """Return the response from the book; None unless it has an answer that is known to be exact."""
        mark = self.follower.watermark  # read before the answer: all marks up to it are in the table by then
        answer = self.table.get(name)
        if mark is None or answer is None or not self._may_answer(answer):
            return None
        if not self._is_fresh():
            self.tally.add("not_fresh")
            return None
        sequence, known_time = answer.at, answer.known_time
        if mark.sequence >= sequence:
            sequence, known_time = mark.sequence, mark.known_time
        observe_time = self._observe_time(known_time - 1)
        if answer.since > observe_time + SKEW:  # the clock was put back
            return None
        observe_time = max(observe_time, answer.since)
        if sequence < wanted or not known_time <= observe_time < answer.until:
            return None
        answer.is_used = True
        self.tally.add("hit")
        if self.checker.is_free:
            cut = Cut(observe_time, known_time, sequence)
            self.checker.offer(Remembered(name, answer.body, answer.digest, cut))
        rest = self._stamp_rest(sequence, known_time, answer.digest)
        return wire.score_response(answer.body, wire.stamp_field(rest, observe_time))

    def _may_answer(self, answer: Answer) -> bool:
        """Return whether an answer is of the model that answers, and lacks nothing that is known."""
        return answer.digest == self._scorer.champion.digest and self.table.is_exact(answer)

    def _observe_time(self, record_time: int) -> int:
        """Return the time to answer for, as `Ledger.cut` gives it for a ledger with this last record time (microseconds).

        Its day does not go back unless the clock turns out to have been wrong by more than TOLERANCE.
        """
        return self._not_before_midnight(Present(self._ledger.now()).at_end(record_time) + 1)

    def _not_before_midnight(self, observe_time: int) -> int:
        midnight = self._midnight
        if observe_time < midnight <= observe_time + TOLERANCE:
            return midnight
        if not midnight <= observe_time < midnight + DAY:
            self._midnight = observe_time // DAY * DAY
        return observe_time

    def _computed(self, name: str, life: int, at: Cut) -> bytes:
        """Compute an answer, keep it, and return the response. The table's `life` is that of before the cut."""
        marketplace, seller = parse_seller(name, "seller")
        at = replace(at, observe_time=self._not_before_midnight(at.observe_time))
        self.tally.add("miss")
        [outcome], stamp = self._scorer.scores(marketplace, [seller], at)
        if isinstance(outcome, SellertrustError):
            raise outcome
        body = self._keep(life, name, outcome, at, stamp)
        rest = self._stamp_rest(at.sequence, at.known_time, stamp.model_digest)
        return wire.score_response(body, wire.stamp_field(rest, at.observe_time))

    def _batch_at(
        self, life: int, mark: Watermark, marketplace: str, sellers: Sequence[str]
    ) -> Mapping[str, bytes] | None:
        """Return results as of the watermark; None if the model was swapped meanwhile, or records are ahead of the clock."""
        digest, names = self._scorer.champion.digest, [seller_name(marketplace, seller) for seller in sellers]
        observe_time = self._observe_time(mark.record_time)
        answers: dict[str, Answer] = {}
        for seller, name in zip(sellers, names, strict=True):
            answer = self.table.get(name)
            if answer is None or answer.digest != digest or not self.table.is_exact(answer):
                continue
            if answer.at <= mark.sequence and answer.since <= observe_time + SKEW:
                answers[seller] = answer
        observe_time = max(observe_time, *(answer.since for answer in answers.values()), 0)
        if observe_time < mark.known_time:
            return None
        cut = Cut(observe_time, mark.known_time, mark.sequence)
        answers = {seller: answer for seller, answer in answers.items() if observe_time < answer.until}
        missing = [seller for seller in sellers if seller not in answers]
        found: dict[str, bytes] = {}
        if missing:
            computed, made_by = self._compute_batch(life, marketplace, missing, cut)
            if made_by != digest:
                return None
            found.update(computed)
        stamp = wire.stamp_field(self._stamp_rest(mark.sequence, mark.known_time, digest), observe_time)
        for seller, answer in answers.items():
            answer.is_used = True
            found[seller] = wire.batch_score(seller_name(marketplace, seller), answer.body, stamp)
        self.tally.add("hit", len(answers))
        self.tally.add("miss", len(missing))
        return found

    def _compute_batch(
        self, life: int, marketplace: str, sellers: Sequence[str], cut: Cut
    ) -> tuple[Mapping[str, bytes], str]:
        """Compute the results of a batch, keep what is a score, and return them with the digest of the model."""
        cut = replace(cut, observe_time=self._not_before_midnight(cut.observe_time))
        outcomes, stamp = self._scorer.scores(marketplace, sellers, cut)
        rest = self._stamp_rest(cut.sequence, cut.known_time, stamp.model_digest)
        field, message = wire.stamp_field(rest, cut.observe_time), stamp_message(stamp)
        found: dict[str, bytes] = {}
        for seller, outcome in zip(sellers, outcomes, strict=True):
            name = seller_name(marketplace, seller)
            if isinstance(outcome, SellertrustError):
                found[seller] = wire.batch_result(result_message(name, outcome, message))
            else:
                found[seller] = wire.batch_score(name, self._keep(life, name, outcome, cut, stamp), field)
        return found, stamp.model_digest

    def _keep(self, life: int, name: str, score: TrustScore, cut: Cut, stamp: Stamp) -> bytes:
        """Keep an answer, if it may be kept, and return it without its stamp.

        Not without a model, and not as long as an entry is recorded later than the answer's time, which is not in it yet.
        """
        body = score_message(name, score, None).SerializeToString()
        if stamp.model_digest and cut.known_time <= cut.observe_time:
            answer = Answer(body, stamp.model_digest, cut.sequence, cut.known_time, cut.observe_time, score.valid_until)
            self.table.store(name, answer, life)
        return body

    def _stamp_rest(self, sequence: int, known_time: int, digest: str) -> bytes:
        """Return the stamp without its observe time. The last one is kept, which most answers share."""
        key, rest = self._rest
        if key == (sequence, known_time, digest):
            return rest
        stamp = Stamp(0, known_time, sequence, digest, self._scorer.policy_digest, CORE_VERSION)
        rest = wire.stamp_rest(stamp)
        self._rest = ((sequence, known_time, digest), rest)
        return rest

    def _recompute(self, name: str, cut: Cut) -> tuple[bytes, str] | None:
        """Return the answer of a seller at a cut, without its stamp, and the digest of the model; None if there is none."""
        marketplace, seller = parse_seller(name, "seller")
        [outcome], stamp = self._scorer.scores(marketplace, [seller], cut)
        if isinstance(outcome, SellertrustError):
            return None
        return score_message(name, outcome, None).SerializeToString(), stamp.model_digest

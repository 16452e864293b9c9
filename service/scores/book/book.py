"""The score book: remembered answers, each the answer of a known sequence.

An answer that no entry has ended is valid at the watermark: its stamp has the watermark, or its own later sequence, and
replays to it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import choice
from typing import NamedTuple

from scoring.base.enums import FreshnessState
from scoring.base.errors import LedgerUnavailable, SellerNotFound, SellertrustError, ServerBusy
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.scores.answer import MadeBy, SellerScore, Stamp
from sellertrust.names import seller_name
from service.contract.resource_names import parse_seller
from service.contract.scores import result_message, score_message, stamp_message
from service.engine.fairness import Seats
from service.ledger.clock.server_clock import SKEW, TOLERANCE, time_at_end
from service.ledger.queries.changes import LedgerChange
from service.ledger.records import Cut
from service.scores.book import wire
from service.scores.book.checking import AnswerToCheck, Checker
from service.scores.book.flights import Flights, busy_error
from service.scores.book.follower import Beat, Follower, Watermark, mark_changes
from service.scores.book.generations import Generations
from service.scores.book.keeper import Keeper
from service.scores.book.read_options import ReadOptions
from service.scores.book.stale import LastAnswer, LastKnown, encode_unknown_score, require_young
from service.scores.book.stamps import encode_fresh, encode_stale
from service.scores.book.table import AnswerTable, RememberedAnswer
from service.scores.scorer import Scorer
from service.tally import Tally

CATCH_UP_SECONDS = 1.0
"""A batch waits so long for the watermark, and is then computed whole."""


@frozen
class BookLimits:
    sellers: int
    fresh_seconds: float
    stale_seconds: float
    seats: int
    batch_seats: int = 4


class Book:
    """The answers of at most `sellers` sellers. Thread-safe; `start` begins to follow the ledger.

    An answer is fresh if the ledger was read in the last `fresh_seconds`. While the database is away, answers up to
    `stale_seconds` old are given as stale. At most `seats` callers, and `batch_seats` callers of batches, compute or
    wait; a further caller gets the last known answer as stale, or ServerBusy. `moved`, `lost` and `report` as in
    `Follower`. `folder` has the generations, if any.
    """

    def __init__(
        self,
        scorer: Scorer,
        limits: BookLimits,
        moved: Callable[[int], None] = lambda _: None,
        lost: Callable[[int], None] = lambda _: None,
        report: Callable[[str], None] = lambda _: None,
        folder: Path | None = None,
    ) -> None:
        self._ledger = ledger = scorer.ledger
        self._scorer = scorer
        self._limits = limits
        self._flights = Flights()
        self.seats = Seats(limits.seats)
        self.batch_seats = Seats(limits.batch_seats)
        self._midnight = 0
        self._appended = (0, 0)
        self.tally: Tally[str] = Tally()
        """Answers by `hit`, `miss`, `stale`, `unknown`; `lagging`: misses because the follower was behind; recomputed
        hits by `same`, `differed`, `not_checked`.
        """
        self.table = AnswerTable(limits.sellers)
        self.generations = Generations(self.table)
        self.follower = Follower(ledger, self.table, self.generations, moved, lost, report)
        self._last_known = LastKnown(self.table, self.generations, self.follower, limits.stale_seconds)
        self.keeper = (
            None if folder is None else Keeper(folder, self.generations, self.follower.join, ledger.clock.now, report)
        )
        self.checker = Checker(self._recompute, self.tally, report)
        self._end_listening = ledger.changes.listen(self._note_changes)

    def start(self) -> None:
        self.follower.start()
        self.checker.start()
        if self.keeper is not None:
            self.keeper.start()

    def close(self, seconds: float | None = None) -> None:
        """End the threads; wait at most `seconds` for each (None: until it ends)."""
        self._end_listening()
        self.follower.close(seconds)
        self.checker.close(seconds)
        if self.keeper is not None:
            self.keeper.close(seconds)

    def can_answer(self) -> bool:
        """Return whether it can answer without the database: it holds answers, current in the last `stale_seconds`."""
        return len(self.table) + len(self.generations) > 0 and self.follower.age() <= self._limits.stale_seconds

    def get(self, name: str, options: ReadOptions) -> bytes:
        """Return a seller's serialized GetTrustScoreResponse, remembered or computed.

        `name` is the resource name. While the database is away, a seller without a remembered answer gets an unknown
        score, with unknown freshness; with `max_staleness`, TooStale. Raises InvalidInput, naming `seller`;
        SellerNotFound; TooStale if the only answer is too old. Raises
        LedgerUnavailable if the database is away and the sequence is unknown; ServerBusy if too many others compute.
        """
        remembered = self._find_remembered(name, options.sequence)
        if remembered is not None:
            return remembered
        if not self.follower.is_away:
            try:
                return self._read(name, options)
            except LedgerUnavailable:
                if not self._has_reached(options.sequence):
                    raise
        parse_seller(name, "seller")
        self._require_reached(options.sequence)
        last_answer = self._last_known.find(name, self._scorer.made_by, self._now())
        require_young(last_answer, options.max_staleness)
        return wire.score_response(*self._encode_last_answer(name, last_answer))

    def batch(self, marketplace: str, sellers: Sequence[str], options: ReadOptions) -> Mapping[str, bytes]:
        """Return a batch's serialized results by seller, remembered or computed.

        All have one sequence, model, policy and day; stale ones have their own sequence and time. Raises what `get`
        raises, except TooStale, which is its seller's result.
        """
        busy: ServerBusy | None = None
        if not self.follower.is_away:
            try:
                return self._read_batch(marketplace, sellers, options)
            except LedgerUnavailable:
                if not self._has_reached(options.sequence):
                    raise
            except ServerBusy as error:
                busy = error
        if busy is None:
            self._require_reached(options.sequence)
        messages: dict[str, bytes] = {}
        now, made_by = self._now(), self._scorer.made_by
        names = [seller_name(marketplace, seller) for seller in sellers]
        last_answers = self._last_known.find_of_one_day(names, made_by, now, options.max_staleness)
        if busy is not None and not all(_is_acceptable(last_answer, options) for last_answer in last_answers):
            raise busy
        for seller, name, last_answer in zip(sellers, names, last_answers, strict=True):
            try:
                require_young(last_answer, options.max_staleness)
                messages[seller] = wire.batch_score(name, *self._encode_last_answer(name, last_answer))
            except SellertrustError as error:
                messages[seller] = wire.batch_result(result_message(name, error, None))
        return messages

    def _note_changes(self, changes: Sequence[LedgerChange]) -> None:
        mark_changes(self.table, self.generations, changes)
        self._appended = (self.table.clear_count, changes[-1].sequence)
        self.follower.wake()

    def _is_fresh(self) -> bool:
        return self.follower.is_fresh(self._limits.fresh_seconds)

    def remembered(self, name: str, wanted: int = 0) -> bytes | None:
        """Return the response from the table if it is exact and reflects `wanted`, else None. Lock-free."""
        # Read before the answer, which has all marks up to it.
        mark, beat = self.follower.watermark, self.follower.heartbeat
        if mark is None or beat is None:
            return None
        answer = self.table.get(name)
        return None if answer is None else self._respond(name, answer, mark, beat, wanted)

    def _find_remembered(self, name: str, wanted: int) -> bytes | None:
        response = self.remembered(name, wanted)
        if response is not None:
            return response
        if not self._is_fresh():
            self.tally.add("lagging", self.table.get(name) is not None and not self.follower.is_away)
            return None
        mark, beat = self.follower.watermark, self.follower.heartbeat
        if mark is None or beat is None or not len(self.generations):
            return None
        answer = self.generations.adopt(name, self._scorer.made_by, self._observe_time(mark.record_time))
        return None if answer is None else self._respond(name, answer, mark, beat, wanted)

    def _respond(self, name: str, answer: RememberedAnswer, mark: Watermark, beat: Beat, wanted: int) -> bytes | None:
        """Return the response if the answer is exact, fresh and valid at the present time; else None."""
        if not self._is_exact(answer, self._scorer.made_by):
            return None
        if not self._is_fresh():
            return None
        sequence, known_time = answer.at, answer.known_time
        if mark.sequence >= sequence:
            sequence, known_time = mark.sequence, mark.known_time
        observe_time = self._observe_time(known_time - 1)
        if answer.since > observe_time + SKEW:
            return None
        observe_time = max(observe_time, answer.since)
        if sequence < wanted or not known_time <= observe_time < answer.until:
            return None
        answer.is_used = True
        self.tally.add("hit")
        if self.checker.is_free:
            self.checker.offer(
                AnswerToCheck(name, answer.body, answer.made_by, Cut(observe_time, known_time, sequence))
            )
        fields = encode_fresh(sequence, known_time, answer.made_by, observe_time, beat.time)
        return wire.score_response(answer.body, fields)

    def _is_exact(self, answer: RememberedAnswer, made_by: MadeBy) -> bool:
        return answer.made_by == made_by and self.table.is_exact(answer)

    def _observe_time(self, record_time: int) -> int:
        """Return the answer's time, as `Ledger.cut` for this last record time (microseconds).

        Its day goes back only if the clock was wrong by more than TOLERANCE.
        """
        return self._clamp_to_current_day(time_at_end(self._ledger.clock.now(), record_time) + 1)

    def _clamp_to_current_day(self, observe_time: int) -> int:
        midnight = self._midnight
        if observe_time < midnight <= observe_time + TOLERANCE:
            return midnight
        if not midnight <= observe_time < midnight + DAY:
            self._midnight = observe_time // DAY * DAY
        return observe_time

    def _answer_as_stale(self, name: str, options: ReadOptions, computing: int) -> bytes:
        parse_seller(name, "seller")
        last_answer = self._last_known.find(name, self._scorer.made_by, self._now())
        if not _is_acceptable(last_answer, options):
            raise busy_error(computing)
        return wire.score_response(*self._encode_last_answer(name, last_answer))

    def _read(self, name: str, options: ReadOptions) -> bytes:
        """Return the response of a seller that must be computed, by the first caller who asks."""
        wanted = options.sequence
        has_waited = wanted > 0 and not self.follower.has(wanted)
        if has_waited:
            options.reach()
            if (remembered := self._find_remembered(name, wanted)) is not None:
                return remembered
        with self.seats.take_seat() as held_seats:
            if held_seats:
                return self._answer_as_stale(name, options, held_seats)
            if has_waited:
                return self._compute_response(name, options)
            with self._flights.turn(name) as is_first:
                remembered = None if is_first else self._find_remembered(name, wanted)
                return self._compute_response(name, options) if remembered is None else remembered

    def _begin_computation(self, options: ReadOptions) -> "Computation":
        """Choose the cut of a computation, and the time up to which it knows everything recorded."""
        clear_count, beat = self.table.clear_count, self.follower.heartbeat
        if beat is not None and self._is_fresh():
            recorded_until = beat.time
        else:
            options.reach()
            recorded_until = self._ledger.clock.settled() or 0
        cut = options.cut()
        cut = replace(cut, observe_time=self._clamp_to_current_day(cut.observe_time))
        doubt = self._ledger.clock.doubt()
        as_of = cut.known_time if doubt else max(recorded_until, cut.known_time)
        return Computation(clear_count, cut, min(as_of, cut.observe_time), doubt, options.max_staleness)

    def _compute_response(self, name: str, options: ReadOptions) -> bytes:
        marketplace, seller = parse_seller(name, "seller")
        computation = self._begin_computation(options)
        self.tally.add("miss")
        [outcome], stamp = self._scorer.scores(marketplace, [seller], computation.cut)
        fields = _encode_computed(computation, stamp)
        return wire.score_response(*self._finish(name, outcome, stamp, computation, fields))

    def _finish(
        self,
        name: str,
        outcome: SellerScore | SellertrustError,
        stamp: Stamp,
        computation: "Computation",
        fields: bytes,
    ) -> tuple[bytes, bytes]:
        """Keep a computed answer; return it with its stamp and freshness.

        While the clock is in doubt the answer is stale, and a seller not found is unknown.
        """
        if isinstance(outcome, SellertrustError) and not (computation.doubt and isinstance(outcome, SellerNotFound)):
            raise outcome
        last_answer = None
        if not isinstance(outcome, SellertrustError):
            body = self._remember(name, outcome, stamp, computation)
            if not computation.doubt:
                return body, fields
            age = max(computation.doubt, computation.cut.observe_time - computation.as_of)
            last_answer = LastAnswer(body, stamp.made_by, computation.cut, computation.as_of, age)
        require_young(last_answer, computation.max_staleness, "the clock is in doubt")
        return self._encode_last_answer(name, last_answer)

    def _read_batch(self, marketplace: str, sellers: Sequence[str], options: ReadOptions) -> Mapping[str, bytes]:
        wanted = options.sequence
        if wanted and not self.follower.has(wanted):
            with self.batch_seats.require(busy_error):
                options.reach()
        clear_count, appended = self._appended
        needed = max(wanted, appended if clear_count == self.table.clear_count else 0)
        answers = None
        if self._is_fresh() and (self.follower.has(needed) or self.follower.reach(needed, CATCH_UP_SECONDS)):
            clear_count, beat, mark = self.table.clear_count, self.follower.heartbeat, self.follower.watermark
            answers = (
                None
                if mark is None or beat is None
                else self._answer_batch_at_mark(clear_count, beat, mark, marketplace, sellers)
            )
        if answers is None:
            with self.batch_seats.require(busy_error):
                self.tally.add("miss", len(sellers))
                answers, _ = self._compute_batch(marketplace, sellers, self._begin_computation(options))
        return answers

    def _answer_batch_at_mark(
        self, clear_count: int, beat: Beat, mark: Watermark, marketplace: str, sellers: Sequence[str]
    ) -> Mapping[str, bytes] | None:
        """Answer a batch at the watermark, computing what is not remembered; None if a swap prevents it."""
        made_by, names = self._scorer.made_by, [seller_name(marketplace, seller) for seller in sellers]
        observe_time = self._observe_time(mark.record_time)
        answers: dict[str, RememberedAnswer] = {}
        for seller, name in zip(sellers, names, strict=True):
            answer = self.table.get(name)
            if answer is None or answer.until <= observe_time or not self._is_exact(answer, made_by):
                answer = self.generations.adopt(name, made_by, observe_time) if len(self.generations) else None
            if answer is not None and answer.at <= mark.sequence and answer.since <= observe_time + SKEW:
                answers[seller] = answer
        observe_time = max(observe_time, *(answer.since for answer in answers.values()), 0)
        if observe_time < mark.known_time:
            return None
        cut = Cut(observe_time, mark.known_time, mark.sequence)
        answers = {seller: answer for seller, answer in answers.items() if observe_time < answer.until}
        missing = [seller for seller in sellers if seller not in answers]
        messages: dict[str, bytes] = {}
        if missing:
            with self.batch_seats.require(busy_error):
                computed, computed_by = self._compute_batch(
                    marketplace, missing, Computation(clear_count, cut, beat.time)
                )
            if computed_by != made_by:
                return None
            messages.update(computed)
        fields = encode_fresh(mark.sequence, mark.known_time, made_by, observe_time, beat.time)
        for seller, answer in answers.items():
            answer.is_used = True
            messages[seller] = wire.batch_score(seller_name(marketplace, seller), answer.body, fields)
        if answers and self.checker.is_free:
            seller, answer = choice(list(answers.items()))  # noqa: S311
            self.checker.offer(AnswerToCheck(seller_name(marketplace, seller), answer.body, made_by, cut))
        self.tally.add("hit", len(answers))
        self.tally.add("miss", len(missing))
        return messages

    def _compute_batch(
        self, marketplace: str, sellers: Sequence[str], computation: "Computation"
    ) -> tuple[Mapping[str, bytes], MadeBy]:
        outcomes, stamp = self._scorer.scores(marketplace, sellers, computation.cut)
        fields, message = _encode_computed(computation, stamp), stamp_message(stamp)
        scores: dict[str, bytes] = {}
        for seller, outcome in zip(sellers, outcomes, strict=True):
            name = seller_name(marketplace, seller)
            try:
                scores[seller] = wire.batch_score(name, *self._finish(name, outcome, stamp, computation, fields))
            except SellertrustError as error:
                scores[seller] = wire.batch_result(result_message(name, error, message))
        return scores, stamp.made_by

    def _remember(self, name: str, score: SellerScore, stamp: Stamp, computation: "Computation") -> bytes:
        """Return an answer without its stamp, and keep it if allowed.

        It is kept only with a model, and only if all entries that it knows were recorded before the time of the answer.
        """
        body, cut = score_message(name, score, None).SerializeToString(), computation.cut
        if stamp.model_digest and cut.known_time <= cut.observe_time:
            answer = RememberedAnswer(
                body, stamp.made_by, cut.sequence, cut.known_time, cut.observe_time, score.valid_until
            )
            answer.as_of = computation.as_of
            self.table.store(name, answer, computation.clear_count)
        return body

    def _has_reached(self, wanted: int) -> bool:
        return wanted == 0 or self.follower.has(wanted)

    def _require_reached(self, wanted: int) -> None:
        if not self._has_reached(wanted):
            mark = self.follower.watermark
            raise LedgerUnavailable(
                f"the ledger's database does not answer, and what is remembered ends at {mark.sequence if mark else 0}; ask"
                " again, or without at_least_sequence"
            )

    def _now(self) -> int:
        return self._clamp_to_current_day(self._ledger.clock.now() + 1)

    def _encode_last_answer(self, name: str, last_answer: LastAnswer | None) -> tuple[bytes, bytes]:
        if last_answer is None:
            self.tally.add("unknown")
            body = encode_unknown_score(name, self._scorer.unknown_badge)
            return body, wire.freshness_field(FreshnessState.UNKNOWN, None)
        self.tally.add("stale")
        return last_answer.body, encode_stale(last_answer)

    def _recompute(self, name: str, cut: Cut) -> tuple[bytes, MadeBy] | None:
        marketplace, seller = parse_seller(name, "seller")
        [outcome], stamp = self._scorer.scores(marketplace, [seller], cut)
        if isinstance(outcome, SellertrustError):
            return None
        return score_message(name, outcome, None).SerializeToString(), stamp.made_by


class Computation(NamedTuple):
    """Times in microseconds."""

    clear_count: int
    cut: Cut
    as_of: int
    """The cut has everything recorded before this time."""
    doubt: int = 0
    """The answer's possible age because the clock is in doubt."""
    max_staleness: int | None = None
    """None: any."""


def _encode_computed(computation: Computation, stamp: Stamp) -> bytes:
    cut = computation.cut
    return encode_fresh(cut.sequence, cut.known_time, stamp.made_by, cut.observe_time, computation.as_of)


def _is_acceptable(last_answer: LastAnswer | None, options: ReadOptions) -> bool:
    if last_answer is None or last_answer.cut.sequence < options.sequence:
        return False
    return options.max_staleness is None or 0 < last_answer.age <= options.max_staleness

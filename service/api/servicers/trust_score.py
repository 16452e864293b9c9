from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from scoring.base.errors import FieldViolation, SellerNotFound, SellertrustError, TooStale, invalid
from scoring.base.time import DAY
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.access.rights import Right, not_granted
from service.api.answers_at_once import FindAtOnce
from service.api.reads import Reads
from service.call_context import current_call
from service.contract.audiences import (
    add_tier_meaning,
    checkout_message,
    hide_from_seller,
    leave_out_barred_measures,
    require_audience,
    told_message,
)
from service.contract.fields import FieldErrors, message_of, optional_duration
from service.contract.resource_names import parse_marketplace, parse_seller, seller_of
from service.contract.scores import (
    computed_freshness,
    explanation_message,
    result_message,
    score_message,
    stamp_message,
)
from service.contract.texts import Texts
from service.ledger.records import Cut
from service.scores.book.book import Book
from service.scores.book.flights import busy_error
from service.scores.book.read_options import ReadOptions
from service.scores.book.wire import batch_result
from service.scores.scorer import Scorer

MAX_SELLERS = 1_000
MAX_PAST_SCORES = 60
MAX_PAST_DAYS = 3_650

ScoreRequest = score_pb.GetTrustScoreRequest | score_pb.BatchGetTrustScoresRequest | score_pb.ExplainTrustScoreRequest


@dataclass(frozen=True)
class TrustScoreServicer:
    _scorer: Scorer
    _reads: Reads
    _book: Book | None = None

    def GetTrustScore(self, request: score_pb.GetTrustScoreRequest) -> score_pb.GetTrustScoreResponse | bytes:
        """Return a seller's score, as bytes if the book gives it. Raises SellerNotFound, TooStale, ServerBusy."""
        if self._book is not None and _asks_for_present(request):
            return self._book.get(request.seller, self._read_options(request))
        with nullcontext() if self._book is None else self._book.seats.require(busy_error):
            return self._compute_score(request)

    def _compute_score(self, request: score_pb.GetTrustScoreRequest) -> score_pb.GetTrustScoreResponse:
        marketplace, seller = parse_seller(request.seller, "seller")
        cut, freshness = self._find_cut(request)
        [outcome], stamp = self._scorer.scores(marketplace, [seller], cut)
        if isinstance(outcome, SellertrustError):
            raise _doubt_unknown_seller(outcome, freshness)
        score = score_message(request.seller, outcome, stamp_message(stamp), freshness)
        return score_pb.GetTrustScoreResponse(trust_score=score)

    def find_answer_at_once(self, method_name: str) -> FindAtOnce | None:
        """Return a finder of remembered scores; None for other methods than GetTrustScore, or without a book."""
        return self._make_lookup if method_name == "GetTrustScore" and self._book is not None else None

    def _make_lookup(self, request: score_pb.GetTrustScoreRequest) -> Callable[[], bytes | None] | None:
        if self._book is None or not _asks_for_present(request):
            return None
        optional_duration(request, "max_staleness")  # refuses a wrong one
        return partial(self._book.remembered, request.seller, request.at_least_sequence)

    def BatchGetTrustScores(
        self, request: score_pb.BatchGetTrustScoresRequest
    ) -> score_pb.BatchGetTrustScoresResponse | bytes:
        """Return the score or error of each seller, in order; as bytes if the book gives them.

        Raises PermissionDenied if the caller may see none of them.
        """
        marketplace = parse_marketplace(request.parent, "parent")
        sellers = _parse_sellers(request, marketplace)
        visible = current_call().visible_sellers
        shown_sellers = [seller for seller in sellers if visible is None or seller in visible]
        if not shown_sellers:
            raise not_granted(Right.READ_SCORES)
        if self._book is not None and _asks_for_present(request):
            remembered = self._book.batch(marketplace, shown_sellers, self._read_options(request))
            names_and_ids = zip(request.sellers, sellers, strict=True)
            return b"".join(remembered.get(seller) or _make_refused_result(name) for name, seller in names_and_ids)
        with nullcontext() if self._book is None else self._book.batch_seats.require(busy_error):
            cut, freshness = self._find_cut(request)
            outcomes, stamp = self._scorer.scores(marketplace, shown_sellers, cut)
        outcome_of = dict(zip(shown_sellers, outcomes, strict=True))
        message, refusal = stamp_message(stamp), not_granted(Right.READ_SCORES)
        return score_pb.BatchGetTrustScoresResponse(
            results=[
                result_message(name, outcome_of.get(seller, refusal), message, freshness)
                for name, seller in zip(request.sellers, sellers, strict=True)
            ]
        )

    def ExplainTrustScore(self, request: score_pb.ExplainTrustScoreRequest) -> score_pb.ExplainTrustScoreResponse:
        """Return a score and the facts behind it, for its audience, and earlier scores of `past_days`."""
        marketplace, seller = parse_seller(request.seller, "seller")
        require_audience(request.audience)
        texts = Texts(request.language)
        cut, freshness = self._find_cut(request)
        past_times = _read_past_times(request, cut)
        is_told = request.audience not in {score_pb.AUDIENCE_UNSPECIFIED, score_pb.AUDIENCE_CHECKOUT}
        try:
            if is_told:
                told, explanation = self._scorer.gather_told(marketplace, seller, cut)
                core, stamp = told.answer.core, told.answer.stamp
            else:
                core, explanation, stamp = self._scorer.explain(marketplace, seller, cut)
        except SellerNotFound as error:
            raise _doubt_unknown_seller(error, freshness) from None
        response = explanation_message(request.seller, explanation, stamp, freshness)
        if request.audience == score_pb.AUDIENCE_CHECKOUT:
            return checkout_message(response, texts)
        if is_told:
            for_regulator = request.audience == score_pb.AUDIENCE_REGULATOR
            told = leave_out_barred_measures(told) if request.audience == score_pb.AUDIENCE_SELLER else told
            response.audience_answer.CopyFrom(told_message(told, texts, for_regulator=for_regulator))
            if request.audience == score_pb.AUDIENCE_STAFF:
                add_tier_meaning(response.audience_answer, told.answer, texts)
            else:
                hide_from_seller(response.trust_score)
        if request.audience == score_pb.AUDIENCE_SELLER:
            response.ClearField("reasons")
            response.ClearField("baseline_points")
        past = self._scorer.past_scores(marketplace, core, cut, past_times)
        for time, score in zip(past_times, past, strict=True):
            response.past_scores.append(message_of(score_pb.PastScore, score, observe_time=time))
        return response

    def _find_cut(self, request: ScoreRequest) -> tuple[Cut, score_pb.Freshness]:
        if not isinstance(request, score_pb.ExplainTrustScoreRequest):
            optional_duration(request, "max_staleness")
        settled = 0
        if not request.HasField("known_time"):
            self._reads.tail.reach(request.at_least_sequence)
            settled = self._reads.find_settled_time()
        cut = self._reads.cut(request)
        doubt = 0 if request.HasField("observe_time") else self._reads.ledger.clock.doubt()
        return cut, computed_freshness(cut.known_time if doubt else max(settled, cut.known_time), doubt)

    def _read_options(
        self, request: score_pb.GetTrustScoreRequest | score_pb.BatchGetTrustScoresRequest
    ) -> ReadOptions:
        max_staleness = optional_duration(request, "max_staleness")
        reach = partial(self._reads.tail.reach, request.at_least_sequence)
        return ReadOptions(request.at_least_sequence, max_staleness, partial(self._reads.cut, request), reach)


def _read_past_times(request: score_pb.ExplainTrustScoreRequest, cut: Cut) -> list[int]:
    days = request.past_days
    if days and request.audience not in {score_pb.AUDIENCE_UNSPECIFIED, score_pb.AUDIENCE_STAFF}:
        raise invalid("past_days", "is for staff; leave it out with another audience")
    if len(days) > MAX_PAST_SCORES or not all(1 <= number <= MAX_PAST_DAYS for number in days):
        raise invalid("past_days", f"must have at most {MAX_PAST_SCORES} numbers, each 1 to {MAX_PAST_DAYS:,}")
    return [(cut.observe_time // DAY - number) * DAY for number in days]


def _asks_for_present(request: score_pb.GetTrustScoreRequest | score_pb.BatchGetTrustScoresRequest) -> bool:
    is_timed = request.HasField("observe_time") or request.HasField("known_time")
    return not is_timed and request.at_least_sequence >= 0


def _doubt_unknown_seller(error: SellertrustError, freshness: score_pb.Freshness) -> SellertrustError:
    if not isinstance(error, SellerNotFound) or freshness.state == score_pb.FRESHNESS_STATE_FRESH:
        return error
    text = "the clock is in doubt, and no such seller was recorded by then; set the clock right (NTP), then ask again"
    return TooStale(text, {"age_seconds": ""})


def _make_refused_result(name: str) -> bytes:
    return batch_result(result_message(name, not_granted(Right.READ_SCORES), None))


def _parse_sellers(request: score_pb.BatchGetTrustScoresRequest, marketplace: str) -> list[str]:
    if not 1 <= len(request.sellers) <= MAX_SELLERS:
        raise invalid("sellers", f"has {len(request.sellers):,} names; a batch holds 1 to {MAX_SELLERS:,}, so split it")
    wrong = FieldErrors()
    first: dict[str, int] = {}
    for index, name in enumerate(request.sellers):
        seller = wrong.convert(seller_of, name, marketplace, ("sellers", index))
        if seller is not None and first.setdefault(seller, index) != index:
            wrong.fields.append(FieldViolation(("sellers", index), f"is the same as sellers[{first[seller]}]"))
    wrong.raise_if_any()
    return list(first)

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from scoring.base.enums import FreshnessState
from scoring.base.errors import SellertrustError, invalid
from scoring.base.time import SECOND
from scoring.caution.cautions import Caution
from scoring.scores import answer
from sellertrust.v1 import entry_pb2, trust_score_service_pb2
from service.contract.fields import message_of, optional_time
from service.contract.statuses import item_error
from service.registry.starter import STARTER_DIGEST, STARTER_NAME

MAX_CAUTION_ENTRIES = 100
"""The last entries of a caution that its message lists; the others are only counted."""


def stamp_message(stamp: answer.Stamp) -> trust_score_service_pb2.Stamp:
    """Return what made an answer; the starter model is named."""
    name = STARTER_NAME if stamp.model_digest == STARTER_DIGEST else ""
    return message_of(trust_score_service_pb2.Stamp, stamp, model_name=name)


def stamp_of(message: trust_score_service_pb2.Stamp) -> answer.Stamp:
    """Convert a stamp; raises InvalidInput about `stamp` without its times."""
    times = [optional_time(message, name, ("stamp", name)) for name in ("observe_time", "known_time")]
    if None in times:
        raise invalid("stamp", "must have its observe_time and known_time, as the old answer states them")
    observe_time, known_time = (time or 0 for time in times)
    return answer.Stamp(
        observe_time,
        known_time,
        message.ledger_sequence,
        message.model_digest,
        message.policy_digest,
        message.core_version,
    )


def freshness_message(
    state: FreshnessState, as_of_time: int | None, age: int | None = None
) -> trust_score_service_pb2.Freshness:
    """Return how far an answer reflects the ledger. Times in microseconds; None is unset."""
    return message_of(
        trust_score_service_pb2.Freshness,
        state=state,
        as_of_time=as_of_time,
        age=None if age is None else Duration(seconds=age // SECOND, nanos=age % SECOND * 1_000),
    )


def computed_freshness(as_of_time: int, doubt: int) -> trust_score_service_pb2.Freshness:
    """Return the freshness of an answer with everything recorded before `as_of_time`.

    Both in microseconds; `doubt` is the answer's possible age while the clock is in doubt, else 0.
    """
    if doubt:
        return freshness_message(FreshnessState.STALE, as_of_time, doubt)
    return freshness_message(FreshnessState.FRESH, as_of_time)


def score_message(
    name: str,
    score: answer.SellerScore,
    stamp: trust_score_service_pb2.Stamp | None,
    freshness: trust_score_service_pb2.Freshness | None = None,
) -> trust_score_service_pb2.TrustScore:
    return trust_score_service_pb2.TrustScore(  # by name, not by `message_of`: a rescoring makes millions
        seller=name,
        state=trust_score_service_pb2.ScoreState.ValueType(score.state),
        points=score.points,
        points_low=score.points_low,
        points_high=score.points_high,
        points_if_upheld=score.points_if_upheld,
        tier_points=score.tier_points,
        tier=entry_pb2.Tier.ValueType(score.tier or 0),
        badge=score.badge,
        band=score.band,
        p_bad=score.p_bad,
        reason_codes=score.reason_codes,
        counted_incidents=score.counted_incidents,
        open_allegations=score.open_allegations,
        override=score.override,
        standing=score.standing,
        cautions=caution_messages(score.cautions),
        stamp=stamp,
        freshness=freshness,
        notice=notice_message(score.notice),
    )


def notice_message(notice: answer.Notice | None) -> trust_score_service_pb2.TierNotice | None:
    if notice is None:
        return None
    return message_of(trust_score_service_pb2.TierNotice, notice, end_time=notice.until)


def caution_messages(cautions: Sequence[Caution]) -> list[trust_score_service_pb2.Caution]:
    """List at most MAX_CAUTION_ENTRIES entries in each message, and count the others."""
    return [
        message_of(
            trust_score_service_pb2.Caution,
            caution,
            caution.measured,
            entries=caution.entries[-MAX_CAUTION_ENTRIES:],
            entries_omitted=max(len(caution.entries) - MAX_CAUTION_ENTRIES, 0),
        )
        for caution in cautions
    ]


def result_message(
    name: str,
    outcome: answer.SellerScore | SellertrustError,
    stamp: trust_score_service_pb2.Stamp | None,
    freshness: trust_score_service_pb2.Freshness | None = None,
) -> trust_score_service_pb2.BatchGetTrustScoresResponse.Result:
    result = trust_score_service_pb2.BatchGetTrustScoresResponse.Result
    if isinstance(outcome, SellertrustError):
        return result(seller=name, error=item_error(outcome))
    return result(seller=name, trust_score=score_message(name, outcome, stamp, freshness))


def explanation_message(
    name: str, explanation: answer.Explanation, stamp: answer.Stamp, freshness: trust_score_service_pb2.Freshness
) -> trust_score_service_pb2.ExplainTrustScoreResponse:
    """Return a score with its reasons; `name`: the seller's resource name."""
    return message_of(
        trust_score_service_pb2.ExplainTrustScoreResponse,
        explanation,
        trust_score=score_message(name, explanation.score, stamp_message(stamp), freshness),
    )

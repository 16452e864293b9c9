from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from scoring.base.enums import FreshnessState
from scoring.base.errors import SellertrustError, invalid
from scoring.base.time import SECOND, format_day
from scoring.caution.cautions import Caution
from scoring.scores import answer
from sellertrust.v1 import entry_pb2, trust_score_service_pb2
from service.contract.fields import optional_time, timestamp
from service.contract.statuses import item_error
from service.registry.starter import STARTER_DIGEST, STARTER_NAME

MAX_CAUTION_ENTRIES = 100
"""The last entries of a caution that its message lists; the others are only counted."""


def stamp_message(stamp: answer.Stamp) -> trust_score_service_pb2.Stamp:
    return trust_score_service_pb2.Stamp(
        observe_time=timestamp(stamp.observe_time),
        known_time=timestamp(stamp.known_time),
        ledger_sequence=stamp.ledger_sequence,
        model_digest=stamp.model_digest,
        policy_digest=stamp.policy_digest,
        core_version=stamp.core_version,
        model_name=STARTER_NAME if stamp.model_digest == STARTER_DIGEST else "",
    )


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
    return trust_score_service_pb2.Freshness(
        state=trust_score_service_pb2.FreshnessState.ValueType(state),
        as_of_time=None if as_of_time is None else timestamp(as_of_time),
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
    score: answer.TrustScore,
    stamp: trust_score_service_pb2.Stamp | None,
    freshness: trust_score_service_pb2.Freshness | None = None,
) -> trust_score_service_pb2.TrustScore:
    return trust_score_service_pb2.TrustScore(
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
    return trust_score_service_pb2.TierNotice(
        tier=entry_pb2.Tier.ValueType(notice.tier), end_time=timestamp(notice.until)
    )


def caution_messages(cautions: Sequence[Caution]) -> list[trust_score_service_pb2.Caution]:
    """Return the messages in the same order. Each lists at most MAX_CAUTION_ENTRIES entries, and counts the others."""
    return [
        trust_score_service_pb2.Caution(
            rule=caution.rule,
            reference=caution.reference,
            signal=trust_score_service_pb2.CautionSignal.ValueType(caution.signal),
            start_time=timestamp(caution.start),
            end_time=timestamp(caution.end),
            decide_by_time=timestamp(caution.decide_by),
            case=caution.case,
            counted=caution.measured.counted,
            compared=caution.measured.compared,
            entries=caution.entries[-MAX_CAUTION_ENTRIES:],
            entries_omitted=max(len(caution.entries) - MAX_CAUTION_ENTRIES, 0),
        )
        for caution in cautions
    ]


def result_message(
    name: str,
    outcome: answer.TrustScore | SellertrustError,
    stamp: trust_score_service_pb2.Stamp | None,
    freshness: trust_score_service_pb2.Freshness | None = None,
) -> trust_score_service_pb2.BatchGetTrustScoresResponse.Result:
    result = trust_score_service_pb2.BatchGetTrustScoresResponse.Result
    if isinstance(outcome, SellertrustError):
        return result(seller=name, error=item_error(outcome))
    return result(seller=name, trust_score=score_message(name, outcome, stamp, freshness))


def past_score_message(time: int, score: answer.TrustScore | None) -> trust_score_service_pb2.PastScore:
    tier = entry_pb2.TIER_UNSPECIFIED if score is None or score.tier is None else entry_pb2.Tier.ValueType(score.tier)
    points = None if score is None else score.points
    return trust_score_service_pb2.PastScore(observe_time=timestamp(time), tier=tier, points=points)


def explanation_message(
    name: str, explanation: answer.Explanation, stamp: answer.Stamp, freshness: trust_score_service_pb2.Freshness
) -> trust_score_service_pb2.ExplainTrustScoreResponse:
    response = trust_score_service_pb2.ExplainTrustScoreResponse(
        trust_score=score_message(name, explanation.score, stamp_message(stamp), freshness),
        baseline_points=explanation.baseline_points,
        reasons=[_reason_message(reason) for reason in explanation.reasons],
    )
    if explanation.thin_file is not None:
        thin = explanation.thin_file
        response.thin_file.CopyFrom(
            trust_score_service_pb2.ThinFile(
                settled_orders=thin.settled_orders,
                settled_orders_needed=thin.settled_orders_needed,
                tenure_days=thin.tenure_days,
                tenure_days_needed=thin.tenure_days_needed,
            )
        )
    return response


def _reason_message(reason: answer.Reason) -> trust_score_service_pb2.Reason:
    return trust_score_service_pb2.Reason(
        reason_code=reason.reason_code,
        points=reason.points,
        incidents_omitted=reason.incidents_omitted,
        entries=reason.entries,
        entries_omitted=reason.entries_omitted,
        days=[
            trust_score_service_pb2.ExposureDay(
                day=format_day(day.day), settled_orders=day.settled_orders, service_failures=day.service_failures
            )
            for day in reason.days
        ],
        days_omitted=reason.days_omitted,
        counted=reason.counted,
        compared=reason.compared,
        incidents=[
            trust_score_service_pb2.IncidentEffect(
                incident=effect.incident,
                category=entry_pb2.Category.ValueType(effect.category),
                severity=entry_pb2.Severity.ValueType(effect.severity),
                occur_time=timestamp(effect.occur_time),
                points_if_overturned=effect.points_if_overturned,
                entries=effect.entries,
            )
            for effect in reason.incidents
        ],
    )

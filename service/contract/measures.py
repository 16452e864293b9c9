from typing import Any

from scoring.measures import in_force
from scoring.measures.listed import MeasureInForce
from scoring.policy import measures as policy
from scoring.policy.policy import Policy
from scoring.scores import answer
from sellertrust.v1 import entry_pb2, measure_service_pb2
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.contract.fields import timestamp
from service.contract.scores import caution_messages, notice_message, stamp_message


def measures_message(
    name: str, found: in_force.InForce, by: Policy, stamp: answer.Stamp
) -> measure_service_pb2.EvaluateMeasuresResponse:
    score = found.score
    return measure_service_pb2.EvaluateMeasuresResponse(
        seller=name,
        state=score_pb.ScoreState.ValueType(score.state),
        tier=entry_pb2.Tier.ValueType(score.tier or 0),
        override=score.override,
        standing=score.standing,
        standing_parts=[
            measure_service_pb2.StandingPart(points=part.points, until_time=timestamp(part.until), entries=part.entries)
            for part in found.standing_parts
        ],
        standing_parts_omitted=found.standing_parts_omitted,
        measures=[_measure_message(measure) for measure in found.measures],
        terms=terms_message(found.terms, found.ahead_limit_minor),
        currency=by.rule_book.currency,
        cautions=caution_messages(score.cautions),
        stamp=stamp_message(stamp),
        policy_name=by.name,
        policy_version=by.version,
        deposit_placed_minor=found.deposit_minor,
        notice=notice_message(score.notice),
    )


def _measure_message(measure: MeasureInForce) -> measure_service_pb2.Measure:
    return measure_service_pb2.Measure(
        rule=measure.rule,
        reference=measure.reference,
        legal_ground=measure.legal_ground,
        kind=entry_pb2.MeasureKind.ValueType(measure.current.kind),
        original=_value_message(measure.original),
        current=_value_message(measure.current),
        waived=measure.waived,
        start_time=None if measure.start is None else timestamp(measure.start),
        end_time=None if measure.end is None else timestamp(measure.end),
        entries=measure.entries,
        entries_omitted=measure.entries_omitted,
        caution=measure.is_of_caution,
        measure=measure.measure,
        lifted=measure.lifted,
        notice_end_time=None if measure.notice_until is None else timestamp(measure.notice_until),
    )


def _value_message(value: policy.Measure) -> measure_service_pb2.MeasureValue:
    """Return a measure's value; an empty message for a kind without one.

    The contract has a message for each kind, with fields of the same names.
    """
    message = measure_service_pb2.MeasureValue()
    kind = value.kind.name.lower()
    if kind in message.DESCRIPTOR.fields_by_name and not isinstance(value, policy.Unvalued):
        part: Any = getattr(message, kind)
        part.SetInParent()
        for field in part.DESCRIPTOR.fields:
            setattr(part, field.name, getattr(value, field.name))
    if isinstance(value, policy.Suspension) and (value.terminates or value.until_plan):
        message.suspension.days = 0
    return message


def terms_message(terms: policy.Terms, ahead_limit_minor: int | None) -> measure_service_pb2.Terms:
    def caps(stated: tuple[tuple[str, int], ...]) -> list[measure_service_pb2.Terms.Cap]:
        return [measure_service_pb2.Terms.Cap(product_category=name, limit=limit) for name, limit in stated]

    return measure_service_pb2.Terms(
        deposit_minor=terms.deposit_minor,
        hold_days=terms.hold_days,
        reserve_ppm=terms.reserve_ppm,
        reserve_days=terms.reserve_days,
        value_caps=caps(terms.value_caps),
        listing_caps=caps(terms.listing_caps),
        intake_caps=caps(terms.intake_caps),
        manual_review=terms.manual_review,
        search_demotion=terms.search_demotion,
        campaign_exclusion=terms.campaign_exclusion,
        suspended=terms.suspension_days > 0,
        delivery_hold_days=terms.delivery_hold_days,
        ahead_days=terms.ahead_days,
        ahead_limit_minor=ahead_limit_minor,
    )

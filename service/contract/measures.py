from scoring.answers.whole import WholeAnswer
from scoring.measures.listed import MeasureInForce
from scoring.policy import measures as policy
from sellertrust.v1 import measure_service_pb2
from service.contract.fields import message_of
from service.contract.scores import caution_messages, notice_message, stamp_message


def measures_message(name: str, answer: WholeAnswer) -> measure_service_pb2.EvaluateMeasuresResponse:
    """Return the measures in force, amounts in minor units; `name`: the seller's resource name."""
    in_force, score = answer.in_force, answer.score
    return message_of(
        measure_service_pb2.EvaluateMeasuresResponse,
        in_force,
        score,
        seller=name,
        measures=[_measure_message(measure) for measure in in_force.measures],
        terms=terms_message(in_force.terms, in_force.ahead_limit_minor),
        currency=answer.policy.rule_book.currency,
        cautions=caution_messages(score.cautions),
        stamp=stamp_message(answer.stamp),
        policy_name=answer.policy.name,
        policy_version=answer.policy.version,
        deposit_placed_minor=in_force.deposit_minor,
        notice=notice_message(score.notice),
    )


def _measure_message(measure: MeasureInForce) -> measure_service_pb2.Measure:
    return message_of(
        measure_service_pb2.Measure,
        measure,
        kind=measure.current.kind,
        original=_value_message(measure.original),
        current=_value_message(measure.current),
        caution=measure.is_of_caution,
        notice_end_time=measure.notice_until,
    )


def _value_message(value: policy.Measure) -> measure_service_pb2.MeasureValue:
    kind = measure_service_pb2.MeasureValue
    name = value.kind.word
    has_value = name in kind.DESCRIPTOR.fields_by_name and not isinstance(value, policy.UnvaluedMeasure)
    message = message_of(kind, **({name: value} if has_value else {}))
    if isinstance(value, policy.Suspension) and (value.terminates or value.until_plan):
        message.suspension.days = 0
    return message


def terms_message(terms: policy.Terms, ahead_limit_minor: int | None) -> measure_service_pb2.Terms:
    """Return terms; `ahead_limit_minor`: the most paid out on young orders, if limited."""

    def cap_messages(limits: tuple[tuple[str, int], ...]) -> list[measure_service_pb2.Terms.Cap]:
        return [measure_service_pb2.Terms.Cap(product_category=name, limit=limit) for name, limit in limits]

    return message_of(
        measure_service_pb2.Terms,
        terms,
        value_caps=cap_messages(terms.value_caps),
        listing_caps=cap_messages(terms.listing_caps),
        intake_caps=cap_messages(terms.intake_caps),
        suspended=terms.suspension_days > 0,
        ahead_limit_minor=ahead_limit_minor,
    )

from scoring.base.enums import DeliverySource
from scoring.base.errors import FieldViolation
from scoring.base.time import DAY, day_of
from scoring.entries.field_types import CURRENCY, ID, list_names
from scoring.entries.kinds.common import MAX_VALUE_MINOR
from scoring.measures.order_payout import OrderPayout
from scoring.measures.restitution import Restitution
from scoring.policy.payout import Order
from sellertrust.v1 import measure_service_pb2 as measure_pb
from service.contract.fields import FieldErrors, date_of, message_of, optional_time
from service.contract.scores import stamp_message

_AMOUNTS = ("captured_minor", "refunded_minor", "claims_minor", "drawn_minor")


def parse_order(request: measure_pb.EvaluatePayoutRequest, observe_time: int) -> tuple[Order, int]:
    """Return (the request's order, the day of the answer in days since 1970-01-01).

    `observe_time`: of the answer, in microseconds; its day is the default. Raises InvalidInput.
    """
    wrong = FieldErrors()
    capture_day = wrong.convert(date_of, request.capture_day, "capture_day")
    day = wrong.convert(date_of, request.day, "day") if request.day else day_of(observe_time - 1)
    drawn_day = wrong.convert(date_of, request.drawn_day, "drawn_day") if request.drawn_day else None
    confirmed = wrong.convert(optional_time, request, "confirmed_time")
    if confirmed is not None and not (capture_day or 0) * DAY <= confirmed < observe_time:
        wrong.fields.append(
            FieldViolation(("confirmed_time",), "must lie between the capture and now; state when the order arrived")
        )
    if confirmed is not None and not request.delivered:
        wrong.fields.append(FieldViolation(("confirmed_time",), "is of a delivered order alone: state delivered too"))
    wrong.fields += [
        FieldViolation((name,), f"must be 0 to {MAX_VALUE_MINOR:,}, in minor units")
        for name in _AMOUNTS
        if not 0 <= getattr(request, name) <= MAX_VALUE_MINOR
    ]
    for name, shape in (("currency", CURRENCY), ("product_category", ID)):
        value = getattr(request, name)
        if (value or name == "currency") and (error := shape.describe_error(value)):
            wrong.fields.append(FieldViolation((name,), error))
    if request.others_paid_ahead_minor < 0:
        wrong.fields.append(FieldViolation(("others_paid_ahead_minor",), "must not be negative, in minor units"))
    if request.delivery_source not in measure_pb.DeliverySource.values():
        words = list_names(DeliverySource)
        wrong.fields.append(FieldViolation(("delivery_source",), f"must be one of {words}, or left out"))
    elif request.delivery_source and not request.HasField("confirmed_time"):
        wrong.fields.append(
            FieldViolation(("delivery_source",), "is of a confirmed delivery: state confirmed_time too")
        )
    wrong.raise_if_any()
    order = Order(
        captured_minor=request.captured_minor,
        capture_day=capture_day or 0,
        currency=request.currency,
        is_delivered=request.delivered,
        refunded_minor=request.refunded_minor,
        claims_minor=request.claims_minor,
        drawn_minor=request.drawn_minor,
        confirmed_time=None if request.delivery_source == measure_pb.DELIVERY_SOURCE_SELLER else confirmed,
        is_disputed=request.disputed,
        drawn_day=drawn_day,
        others_paid_minor=request.others_paid_ahead_minor if request.HasField("others_paid_ahead_minor") else None,
    )
    return order, day or 0


def payout_message(name: str, order: Order, order_payout: OrderPayout) -> measure_pb.EvaluatePayoutResponse:
    """Return a payout in minor units; `name`: the seller's resource name."""
    payout, stop = order_payout.payout, order_payout.stop
    return message_of(
        measure_pb.EvaluatePayoutResponse,
        order_payout,
        payout,
        order_payout.terms,
        seller=name,
        stopped_time=None if stop is None else stop.begin,
        paid_ahead_minor=payout.released_minor if payout.is_young else 0,
        stop_decide_time=None if stop is None else stop.end,
        currency=order.currency,
        capture_stamp=stamp_message(order_payout.capture_stamp),
        stamp=stamp_message(order_payout.stamp),
    )


def restitution_message(name: str, restitution: Restitution) -> measure_pb.GetRestitutionResponse:
    items = [
        message_of(measure_pb.GetRestitutionResponse.Item, item, item.span, other_violations=item.span.others)
        for item in restitution.items
    ]
    return message_of(measure_pb.GetRestitutionResponse, restitution, seller=name, items=items)

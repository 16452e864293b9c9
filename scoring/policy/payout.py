"""Payout terms of an order: the amounts released, drawn for claims and held on a day, exact to the minor unit.

docs/explanation/mechanism.md states how they follow. On every day

    released + drawn + held = captured - refunded
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from scoring.base.errors import FieldViolation, InvalidInput
from scoring.base.frozen import frozen
from scoring.base.time import DAY, format_day
from scoring.policy.measures import MAX_HOLD_DAYS, PPM, Terms


@frozen
class Order:
    """Money in minor units of one currency, days since 1970-01-01."""

    captured_minor: int
    capture_day: int
    currency: str
    is_delivered: bool = True
    """Undelivered orders are held, at most 180 days."""
    refunded_minor: int = 0
    claims_minor: int = 0
    """Granted claims so far, without refunds."""
    drawn_minor: int = 0
    confirmed_time: int | None = None
    """When its carrier or buyer confirmed the delivery, in microseconds.

    None: it counts as undelivered before a stop of payouts.
    """
    is_disputed: bool = False
    drawn_day: int | None = None
    """The last day of a draw; None: the observed day."""
    untracked_day: int | None = None
    """The day from which an unconfirmed order counts as delivered. Default: the capture."""
    others_paid_minor: int | None = None
    """Paid out on the seller's other young orders, each by its own terms; in a stop, on those that were young before it.

    None if unknown: then nothing is paid out while this order is young.
    """


@frozen
class Payout:
    released_minor: int
    drawn_minor: int
    held_minor: int
    next_release_day: int | None
    """The next day of a release if nothing else happens.

    None if all is released, delivery is awaited, or payouts are stopped.
    """
    is_young: bool = False
    """Whether `released_minor` counts against the seller's limit on young orders. In a stop as on the day before."""


class StopDays(NamedTuple):
    first_day: int
    end_day: int | None = None
    """The first day after the stop, if set."""


class Release(NamedTuple):
    """An order's release, as payouts and loss certificates define it."""

    hold_days: int
    reserve_ppm: int
    reserve_days: int
    """Days after the capture for which the reserved share is held."""

    def find_held(self, value_minor: int, age_days: int, rounded_minor: int = 0) -> int:
        """Return the held part of a value, in minor units, some days after its capture; a reserve is rounded down.

        `rounded_minor`: what rounding loses at most if the value is of many orders; the result is less by this much.
        """
        if age_days < self.hold_days:
            return value_minor
        if age_days >= self.reserve_days:
            return 0
        return max(value_minor * self.reserve_ppm // PPM - rounded_minor, 0)


def schedule_release(terms: Terms, delivery_days: int, hold_limit_days: int = MAX_HOLD_DAYS) -> Release:
    """Return when an order is released that is delivered some days after its capture.

    `hold_limit_days`: the most days of a hold in its marketplace, with or without delivery. Worked: with a hold of 9 days
    and one of 7 after the delivery on day 3, it is released on day 10.
    """
    longest = min(hold_limit_days, MAX_HOLD_DAYS)
    hold_days = min(max(terms.hold_days, delivery_days + terms.delivery_hold_days), longest)
    return Release(hold_days, terms.reserve_ppm, min(terms.reserve_days, longest))


@frozen
class PayoutLimits:
    hold_days: int = MAX_HOLD_DAYS
    """Of the order's marketplace."""
    stops: Sequence[StopDays] = ()
    """The earliest first; in a stop no further amount is released."""
    ahead_minor: int | None = None
    """The most that is paid out on the seller's young orders together, if the terms limit it."""


NO_LIMITS = PayoutLimits()


def pay_out(order: Order, terms: Terms, day: int, currency: str = "", limits: PayoutLimits = NO_LIMITS) -> Payout:
    """Return the released, drawn and held parts of an order on a day.

    `terms`: of `fix_terms`. `currency`: the required one. Raise InvalidInput naming every impossible amount.

    Worked: 10,000 captured on day 0, 999 refunded, a hold of 7 days and a reserve of 100,000 ppm for 90. Day 6: all
    9,001 held. Day 7: 8,101 released, 900 held. Day 90: all released. With 500 drawn, on day 7 400 held. Stopped on day
    5, on day 9 all held.
    """
    _refuse_impossible_amounts(order, day, currency)
    if order.drawn_minor:
        _refuse_excess_draw(order, terms, day, limits)
    return _split_within_limit(order, terms, day, limits)


def _split_within_limit(order: Order, terms: Terms, day: int, limits: PayoutLimits) -> Payout:
    """Cap the payout of a young order at what the seller's limit on young orders leaves; in a stop no order ages."""
    payout = _split_without_limit(order, terms, day, limits)
    old_day = order.capture_day + min(terms.ahead_days, limits.hold_days)
    unstopped_day = find_last_unstopped_day(limits.stops, day)
    if limits.ahead_minor is None or unstopped_day >= old_day:
        return payout
    remaining = 0 if order.others_paid_minor is None else max(limits.ahead_minor - order.others_paid_minor, 0)
    released = min(payout.released_minor, remaining)
    waiting = payout.released_minor - released
    following = payout.next_release_day
    is_spent = released == remaining
    is_stopped = unstopped_day < day
    if not is_stopped and (waiting or (following is not None and following < old_day and is_spent)):
        following = old_day
    return replace(
        payout,
        released_minor=released,
        held_minor=payout.held_minor + waiting,
        next_release_day=following,
        is_young=True,
    )


def _find_stop(stops: Sequence[StopDays], day: int) -> StopDays | None:
    return next(
        (stop for stop in stops if stop.first_day <= day and (stop.end_day is None or day < stop.end_day)), None
    )


def find_last_unstopped_day(stops: Sequence[StopDays], day: int) -> int:
    """Return `day`, or the last day before the stop of payouts that it lies in."""
    while (stop := _find_stop(stops, day)) is not None:
        day = stop.first_day - 1
    return day


def _split_without_limit(order: Order, terms: Terms, day: int, limits: PayoutLimits) -> Payout:
    """Return the parts of an order by holds, reserve and stops alone."""
    unrefunded = order.captured_minor - order.refunded_minor
    available = unrefunded - order.drawn_minor
    stop = _find_stop(limits.stops, day)
    if stop is not None:
        released = 0
        if stop.first_day > order.capture_day:
            # A delivery that was stated later counts only if carrier or buyer confirmed it.
            order_before_stop = order if order.confirmed_time is not None else replace(order, is_delivered=False)
            released = _split_without_limit(order_before_stop, terms, stop.first_day - 1, limits).released_minor
        return Payout(released, order.drawn_minor, available - released, None)
    is_delivery_awaited = not order.is_delivered or (order.confirmed_time or 0) // DAY > day
    release = schedule_release(
        terms, MAX_HOLD_DAYS if is_delivery_awaited else _find_delivery_age(order), limits.hold_days
    )
    age = day - order.capture_day
    held = min(max(release.find_held(unrefunded, age) - order.drawn_minor, 0), available)
    if age >= release.hold_days:
        return Payout(
            available - held, order.drawn_minor, held, order.capture_day + release.reserve_days if held else None
        )
    held_after_hold = max(release.find_held(unrefunded, release.hold_days) - order.drawn_minor, 0)
    next_age = (
        release.reserve_days if held_after_hold >= available else release.hold_days
    )  # a reserve of all outlasts the hold
    return Payout(
        0, order.drawn_minor, available, None if is_delivery_awaited or not available else order.capture_day + next_age
    )


def _find_delivery_age(order: Order) -> int:
    if order.confirmed_time is not None:
        return order.confirmed_time // DAY - order.capture_day
    return 0 if order.untracked_day is None else order.untracked_day - order.capture_day


def fix_terms(at_capture: Terms, for_earlier: Terms) -> Terms:
    """Return the terms at an order's capture with the stricter holds, reserve and limit of `for_earlier`.

    `at_capture`: without the terms of a caution at that time. `for_earlier`: the terms of rules on confirmed facts and
    cautions in force now. A later tier changes no earlier order.
    """
    stricter = at_capture.stricter_of(for_earlier)
    return replace(at_capture, **{name: getattr(stricter, name) for name in _PAYOUT_ASPECTS})


_PAYOUT_ASPECTS = (
    *("hold_days", "delivery_hold_days", "reserve_ppm", "reserve_days"),
    *("ahead_days", "ahead_minor", "ahead_ppm", "ahead_at_most_minor"),
)


def _refuse_impossible_amounts(order: Order, day: int, currency: str) -> None:
    wrong = [
        FieldViolation((name,), "must not be negative, in minor units")
        for name in ("captured_minor", "refunded_minor", "claims_minor", "drawn_minor")
        if getattr(order, name) < 0
    ]
    if order.refunded_minor > order.captured_minor:
        wrong.append(FieldViolation(("refunded_minor",), "is more than was captured"))
    elif order.refunded_minor + order.drawn_minor > order.captured_minor:
        wrong.append(FieldViolation(("drawn_minor",), "is more than refunds have left of the order"))
    if order.drawn_minor > order.claims_minor:
        wrong.append(FieldViolation(("drawn_minor",), "is more than was adjudicated in claims_minor"))
    if day < order.capture_day:
        wrong.append(FieldViolation(("day",), "lies before the order's capture"))
    if order.drawn_day is not None and not order.capture_day <= order.drawn_day <= day:
        wrong.append(
            FieldViolation(("drawn_day",), "must lie between the order's capture and the day that is asked about")
        )
    if currency and order.currency != currency:
        wrong.append(FieldViolation(("currency",), f"is {order.currency or 'missing'}; the terms are in {currency}"))
    if wrong:
        raise InvalidInput(wrong)


def _refuse_excess_draw(order: Order, terms: Terms, day: int, limits: PayoutLimits) -> None:
    """Raise InvalidInput if more was drawn than was held on the day of the last draw.

    For an earlier day, payments on other young orders are unknown. Then all of a young order may have been held.
    """
    drawn_day = day if order.drawn_day is None else order.drawn_day
    others_paid = order.others_paid_minor if drawn_day == day else None
    plain = replace(order, refunded_minor=0, drawn_minor=0, others_paid_minor=others_paid)
    held = _split_within_limit(plain, terms, drawn_day, limits).held_minor
    if order.drawn_minor > held:
        text = f"is more than the {held} that were held on {format_day(drawn_day)}; state drawn_day if it was drawn earlier"
        raise InvalidInput([FieldViolation(("drawn_minor",), text)])

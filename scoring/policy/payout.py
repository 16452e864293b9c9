"""Payout terms of an order: how much of it is released, drawn for claims and held on a day, to the last minor unit.

An order's terms are fixed at its capture; only rules on confirmed facts, and cautions while they last, may make them stricter
later. Refunds come first,
then the hold, then the reserve on the rest, in parts per million, rounded down. On every day

    released + drawn + held = captured - refunded
"""

from dataclasses import dataclass, replace

from scoring.errors import FieldViolation, InvalidInput
from scoring.policy.measures import MAX_HOLD_DAYS, PPM, Terms


@dataclass(frozen=True, slots=True)
class Order:
    """One order as a payout sees it. Money in minor units of one currency, days since 1970-01-01."""

    captured_minor: int
    capture_day: int
    currency: str
    is_delivered: bool = True
    """Whether it has reached its buyer: until then it is held, but never beyond 180 days."""
    refunded_minor: int = 0
    """What its buyers got back so far."""
    claims_minor: int = 0
    """What was adjudicated to its buyers so far, beside refunds."""
    drawn_minor: int = 0
    """What was taken from it for these claims so far."""
    confirmed_time: int | None = None
    """When its carrier or its buyer confirmed the delivery, in microseconds; None if neither did."""
    is_disputed: bool = False
    """Whether its buyer disputes it."""


@dataclass(frozen=True, slots=True)
class Payout:
    """What becomes of an order's value on a day."""

    released_minor: int
    drawn_minor: int
    held_minor: int
    next_release_day: int | None
    """The next day on which more is released if nothing else happens; None if nothing is held, or delivery is awaited."""


def pay_out(order: Order, terms: Terms, day: int, currency: str = "", hold_limit_days: int = MAX_HOLD_DAYS) -> Payout:
    """Return what is released, drawn and held of an order on a day.

    `terms`: those of `fix_terms`; `currency`: the policy's, if the order must be in it; `hold_limit_days`: the most days of a
    hold in its marketplace. InvalidInput names every amount that cannot be.

    Worked: 10,000 captured on day 0, 999 refunded, a hold of 7 days and a reserve of 100,000 ppm for 90: on day 6 all 9,001
    are held; on day 7, 8,101 are released and 900 held (10 % of 9,001, rounded down); on day 90 all is released. With 500
    drawn for a claim, on day 7 still 8,101 are released, and 400 held.
    """
    _refuse(order, day, currency)
    rest = order.captured_minor - order.refunded_minor
    available = rest - order.drawn_minor
    age = day - order.capture_day
    hold, reserve = (min(days, hold_limit_days, MAX_HOLD_DAYS) for days in (terms.hold_days, terms.reserve_days))
    awaited = not order.is_delivered and age < min(hold_limit_days, MAX_HOLD_DAYS)
    reserved = rest * terms.reserve_ppm // PPM if max(age, hold) < reserve else 0
    held = min(max(reserved - order.drawn_minor, 0), available)
    if awaited or age < hold:
        next_age = reserve if held == available else hold  # a reserve of everything outlasts the hold
        return Payout(
            0, order.drawn_minor, available, None if awaited or not available else order.capture_day + next_age
        )
    return Payout(available - held, order.drawn_minor, held, order.capture_day + reserve if held else None)


def pay_out_stopped(
    order: Order,
    terms: Terms,
    day: int,
    stopped_day: int | None,
    currency: str = "",
    hold_limit_days: int = MAX_HOLD_DAYS,
) -> Payout:
    """Return the same as `pay_out` while payouts to the seller stand stopped since a day; None if they do not.

    Nothing is released from that day on, but for what was by the day before; beyond the longest hold it is released all the
    same. Worked: 10,000 captured on day 0 with a hold of 7 days, stopped on day 5: on day 9 all 10,000 are held.
    """
    longest = order.capture_day + min(hold_limit_days, MAX_HOLD_DAYS)
    if stopped_day is None or day < stopped_day or day >= longest:
        return pay_out(order, terms, day, currency, hold_limit_days)
    last_day = max(stopped_day - 1, order.capture_day)
    before = pay_out(order, terms, last_day, currency, hold_limit_days)
    if stopped_day <= order.capture_day:  # nothing was released before
        before = Payout(0, before.drawn_minor, before.released_minor + before.held_minor, None)
    return replace(before, next_release_day=None)


def take_back(then: Terms, corrected: Terms) -> Terms:
    """Return the terms of then without what an overturn took back since: of hold and reserve, the laxer of both.

    `corrected`: the terms of the same time by what is known now. A confirmation since then makes those stricter, and is
    left out.
    """
    return replace(
        then,
        hold_days=min(then.hold_days, corrected.hold_days),
        reserve_ppm=min(then.reserve_ppm, corrected.reserve_ppm),
        reserve_days=min(then.reserve_days, corrected.reserve_days),
    )


def fix_terms(at_capture: Terms, for_earlier: Terms) -> Terms:
    """Return the terms of an order: those at its capture, with the stricter hold and reserve.

    `at_capture`: without what a caution asked for then. Hold and reserve are made stricter only by what reaches earlier
    orders now (`for_earlier`): rules on confirmed facts, and cautions in force. What a tier asks for later reaches no
    earlier order, and what it asked for then stays.
    """
    return replace(
        at_capture,
        hold_days=max(at_capture.hold_days, for_earlier.hold_days),
        reserve_ppm=max(at_capture.reserve_ppm, for_earlier.reserve_ppm),
        reserve_days=max(at_capture.reserve_days, for_earlier.reserve_days),
    )


def _refuse(order: Order, day: int, currency: str) -> None:
    """Raise InvalidInput for what cannot be: it names each wrong value and what it must be."""
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
    if currency and order.currency != currency:
        wrong.append(FieldViolation(("currency",), f"is {order.currency or 'missing'}; the terms are in {currency}"))
    if wrong:
        raise InvalidInput(wrong)

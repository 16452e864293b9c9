"""Payout terms: every minor unit of an order is released, drawn or held, on every day, whatever happens to it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.enums import Tier
from scoring.errors import InvalidInput
from scoring.policy.measures import MAX_HOLD_DAYS, Terms, combine
from scoring.policy.payout import Order, Payout, fix_terms, pay_out, pay_out_stopped
from scoring.policy.rules import Situation
from tests.scoring.policy.test_rules import shipped

TERMS = Terms(hold_days=7, reserve_ppm=100_000, reserve_days=90)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """An order that can be, with amounts from nothing to the largest."""
    captured = draw(st.integers(0, 10**15))
    refunded = draw(st.integers(0, captured))
    drawn = draw(st.integers(0, captured - refunded))
    claims = drawn + draw(st.integers(0, 100))
    return Order(captured, draw(st.integers(0, 30_000)), "EUR", draw(st.booleans()), refunded, claims, drawn)


terms = st.builds(
    Terms, hold_days=st.integers(0, 180), reserve_ppm=st.integers(0, 1_000_000), reserve_days=st.integers(0, 180)
)


def test_the_worked_payout() -> None:
    """Refunds first, then the hold, then the reserve on the rest, rounded down; a claim is drawn from what is held."""
    order = Order(10_000, 0, "EUR", refunded_minor=999)
    assert pay_out(order, TERMS, 6) == Payout(0, 0, 9_001, 7)
    assert pay_out(order, TERMS, 7) == Payout(8_101, 0, 900, 90)
    assert pay_out(order, TERMS, 89) == Payout(8_101, 0, 900, 90)
    assert pay_out(order, TERMS, 90) == Payout(9_001, 0, 0, None)
    whole = Terms(hold_days=7, reserve_ppm=1_000_000, reserve_days=90)
    assert pay_out(order, whole, 6) == Payout(0, 0, 9_001, 90)  # the hold ends, and the reserve holds all of it
    claimed = replace(order, claims_minor=500, drawn_minor=500)
    assert pay_out(claimed, TERMS, 7) == Payout(8_101, 500, 400, 90)


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(orders(), terms, st.integers(0, 400), st.integers(1, 180))
def test_released_drawn_and_held_are_what_was_captured_less_what_was_refunded(
    order: Order, fixed: Terms, age: int, limit: int
) -> None:
    """To the last unit, never negative; and after the longest hold nothing is held."""
    found = pay_out(order, fixed, order.capture_day + age, "EUR", limit)
    assert found.released_minor + found.drawn_minor + found.held_minor == order.captured_minor - order.refunded_minor
    assert min(found.released_minor, found.drawn_minor, found.held_minor) >= 0
    assert found.drawn_minor <= order.claims_minor
    if age >= min(limit, MAX_HOLD_DAYS):
        assert found.held_minor == 0


@settings(max_examples=300, deadline=None)
@given(orders(), terms, st.integers(0, 400), st.integers(-5, 200))
def test_while_payouts_stand_stopped_nothing_more_is_released_and_nothing_is_lost(
    order: Order, fixed: Terms, age: int, stopped_after: int
) -> None:
    """Until the longest hold is over; what was released before the stop stays released."""
    stopped, day = order.capture_day + stopped_after, order.capture_day + age
    found, plain = pay_out_stopped(order, fixed, day, stopped), pay_out(order, fixed, day)
    assert found.released_minor + found.drawn_minor + found.held_minor == order.captured_minor - order.refunded_minor
    if day < stopped or age >= MAX_HOLD_DAYS:
        assert found == plain
    elif stopped_after <= 0:
        assert found.released_minor == 0
    else:
        assert found.released_minor == pay_out(order, fixed, stopped - 1).released_minor
        assert found.next_release_day is None


@settings(max_examples=300, deadline=None)
@given(orders(), terms, terms, st.integers(0, 200))
def test_waiting_releases_more_and_stricter_terms_less(order: Order, fixed: Terms, added: Terms, age: int) -> None:
    """Day after day, and with whatever confirmed facts add."""
    day = order.capture_day + age
    found = pay_out(order, fixed, day)
    assert pay_out(order, fixed, day + 1).released_minor >= found.released_minor
    assert pay_out(order, fix_terms(fixed, added), day).released_minor <= found.released_minor
    if found.next_release_day is not None:
        assert found.next_release_day > day
        assert pay_out(order, fixed, found.next_release_day).released_minor > found.released_minor
        assert pay_out(order, fixed, found.next_release_day - 1).released_minor == found.released_minor


def test_what_is_not_delivered_is_held_until_it_is_but_not_for_ever() -> None:
    """At most 180 days after its capture, or what its marketplace allows."""
    order = Order(100, 0, "EUR", is_delivered=False)
    assert pay_out(order, Terms(), 179) == Payout(0, 0, 100, None)
    assert pay_out(order, Terms(), 180) == Payout(100, 0, 0, None)
    assert pay_out(order, Terms(), 60, hold_limit_days=60) == Payout(100, 0, 0, None)
    assert pay_out(replace(order, is_delivered=True), Terms(), 0) == Payout(100, 0, 0, None)


def test_a_later_tier_reaches_no_earlier_order_and_confirmed_facts_do() -> None:
    """By the general policy: captured as trusted, then probation by points, then with a confirmed violation."""
    book = shipped("general").rule_book
    settled = {"": 160_000_000}
    captured = book.terms(Situation(Tier.TRUSTED, settled_minor=settled))
    fallen = Situation(Tier.PROBATION, settled_minor=settled)
    confirmed = combine(found.current for found in book.apply(fallen) if found.rule.names_confirmed_facts)
    assert fix_terms(captured, confirmed) == captured
    assert book.terms(fallen).hold_days > captured.hold_days
    strict = Terms(hold_days=30)
    assert fix_terms(captured, strict).hold_days == 30


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"refunded_minor": 101}, "refunded_minor: is more than was captured"),
        ({"refunded_minor": 60, "drawn_minor": 50, "claims_minor": 50}, "drawn_minor: is more than refunds have left"),
        ({"drawn_minor": 5, "claims_minor": 4}, "drawn_minor: is more than was adjudicated"),
        ({"captured_minor": -1}, "captured_minor: must not be negative"),
        ({"currency": "USD"}, "currency: is USD; the terms are in EUR"),
        ({"capture_day": 9}, "day: lies before"),
    ],
)
def test_an_order_that_cannot_be_is_refused_by_name(changes: dict[str, object], fault: str) -> None:
    """With what is wrong: nothing is paid out on a guess."""
    with pytest.raises(InvalidInput, match=fault):
        pay_out(replace(Order(100, 0, "EUR"), **changes), TERMS, 8, "EUR")  # type: ignore[arg-type]

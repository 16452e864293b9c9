from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.enums import Tier
from scoring.base.errors import InvalidInput
from scoring.base.time import DAY
from scoring.policy.measures import MAX_HOLD_DAYS, Terms, combine
from scoring.policy.payout import Order, Payout, PayoutLimits, StopDays, fix_terms, pay_out
from scoring.policy.rules import Situation
from tests.helpers.policies import shipped
from tests.helpers.young_orders import pay_daily

TERMS = Terms(hold_days=7, reserve_ppm=100_000, reserve_days=90)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    captured = draw(st.integers(0, 10**15))
    refunded = draw(st.integers(0, captured))
    drawn = draw(st.integers(0, captured - refunded))
    claims, day, drawn_day = drawn + draw(st.integers(0, 100)), draw(st.integers(0, 30_000)), None
    if drawn:
        drawn_day = day
    arrival = draw(st.integers(1, 30) if drawn else st.none() | st.integers(0, 30))
    is_delivered = draw(st.booleans())
    confirmed = (day + arrival) * DAY if is_delivered and arrival is not None else None
    return Order(captured, day, "EUR", is_delivered, refunded, claims, drawn, confirmed, drawn_day=drawn_day)


terms = st.builds(
    Terms, hold_days=st.integers(0, 180), reserve_ppm=st.integers(0, 1_000_000), reserve_days=st.integers(0, 180)
)


def test_the_worked_payout() -> None:
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
def test_released_drawn_and_held_are_what_was_captured(order: Order, fixed: Terms, age: int, limit: int) -> None:
    found = pay_out(order, fixed, order.capture_day + age, "EUR", PayoutLimits(limit))
    assert found.released_minor + found.drawn_minor + found.held_minor == order.captured_minor - order.refunded_minor
    assert min(found.released_minor, found.drawn_minor, found.held_minor) >= 0
    assert found.drawn_minor <= order.claims_minor
    if age >= min(limit, MAX_HOLD_DAYS):
        assert found.held_minor == 0


@settings(max_examples=300, deadline=None)
@given(orders(), terms, st.integers(0, 400), st.integers(-5, 200), st.integers(1, 60), st.integers(1, 180))
def test_while_payouts_are_stopped_nothing_more_is_released(
    order: Order, fixed: Terms, age: int, stopped_after: int, length: int, limit: int
) -> None:
    stopped, day = order.capture_day + stopped_after, order.capture_day + age
    found = pay_out(order, fixed, day, "", PayoutLimits(limit, [StopDays(stopped, stopped + length)]))
    plain = pay_out(order, fixed, day, "", PayoutLimits(limit))
    assert found.released_minor + found.drawn_minor + found.held_minor == order.captured_minor - order.refunded_minor
    if not stopped <= day < stopped + length:
        assert found == plain
        return
    assert pay_out(order, fixed, day, "", PayoutLimits(limit, [StopDays(stopped)])) == found
    assert found.next_release_day is None
    if stopped_after <= 0:
        assert found.released_minor == 0
    elif not order.is_delivered or order.confirmed_time is not None:
        assert found.released_minor == pay_out(order, fixed, stopped - 1, "", PayoutLimits(limit)).released_minor


def test_a_stop_outlasts_the_hold_limit_and_day_180() -> None:
    """A stopped faked history was once paid at its marketplace's limit."""
    order = Order(10_000, 0, "EUR", confirmed_time=3 * DAY)
    for limit, day in ((20, 20), (20, 36), (180, 180), (180, 400)):
        assert pay_out(order, TERMS, day, "EUR", PayoutLimits(limit, [StopDays(5)])) == Payout(0, 0, 10_000, None)
    assert pay_out(order, TERMS, 35, "EUR", PayoutLimits(20, [StopDays(5, 35)])) == Payout(10_000, 0, 0, None)


def test_an_order_called_delivered_later_stays_stopped() -> None:
    stops = [StopDays(10)]
    undelivered = Order(10_000, 0, "EUR", is_delivered=False)
    assert pay_out(undelivered, TERMS, 12, limits=PayoutLimits(stops=stops)) == Payout(0, 0, 10_000, None)
    for called in (replace(undelivered, is_delivered=True), Order(10_000, 0, "EUR", confirmed_time=11 * DAY)):
        assert pay_out(called, TERMS, 12, limits=PayoutLimits(stops=stops)) == Payout(0, 0, 10_000, None)
    assert pay_out(
        Order(10_000, 0, "EUR", confirmed_time=9 * DAY), TERMS, 12, limits=PayoutLimits(stops=stops)
    ) == Payout(9_000, 0, 1_000, None)


def test_no_more_is_drawn_than_was_held() -> None:
    order = Order(10_000, 0, "EUR", claims_minor=5_000, drawn_minor=5_000)
    with pytest.raises(InvalidInput, match="drawn_minor: is more than the 1000 that were held on 1970-01-09"):
        pay_out(order, TERMS, 8)
    with pytest.raises(InvalidInput, match="is more than the 0 that were held on 1970-04-11"):
        pay_out(replace(order, drawn_minor=1), TERMS, 100)
    assert pay_out(replace(order, drawn_day=3), TERMS, 100) == Payout(5_000, 5_000, 0, None)
    assert pay_out(order, TERMS, 8, limits=PayoutLimits(stops=[StopDays(5, 9)])) == Payout(0, 5_000, 5_000, None)
    assert pay_out(replace(order, drawn_day=8), TERMS, 100, limits=PayoutLimits(stops=[StopDays(5, 9)])) == Payout(
        5_000, 5_000, 0, None
    )
    assert pay_out(replace(order, drawn_minor=1_000, refunded_minor=2_000), TERMS, 8).held_minor == 0


@settings(max_examples=300, deadline=None)
@given(orders(), terms, terms, st.integers(0, 200))
def test_waiting_releases_more_and_stricter_terms_less(order: Order, fixed: Terms, added: Terms, age: int) -> None:
    day = order.capture_day + age
    found = pay_out(order, fixed, day)
    assert pay_out(order, fixed, day + 1).released_minor >= found.released_minor
    assert pay_out(order, fix_terms(fixed, added), day).released_minor <= found.released_minor
    if found.next_release_day is not None:
        assert found.next_release_day > day
        assert pay_out(order, fixed, found.next_release_day).released_minor > found.released_minor
        assert pay_out(order, fixed, found.next_release_day - 1).released_minor == found.released_minor


def test_what_is_not_delivered_is_held_but_not_for_ever() -> None:
    order = Order(100, 0, "EUR", is_delivered=False)
    assert pay_out(order, Terms(), 179) == Payout(0, 0, 100, None)
    assert pay_out(order, Terms(), 180) == Payout(100, 0, 0, None)
    assert pay_out(order, Terms(), 60, limits=PayoutLimits(60)) == Payout(100, 0, 0, None)
    assert pay_out(replace(order, is_delivered=True), Terms(), 0) == Payout(100, 0, 0, None)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9), st.integers(1, 900)), min_size=1, max_size=8),
    st.builds(
        Terms,
        hold_days=st.integers(0, 5),
        delivery_hold_days=st.integers(0, 9),
        reserve_ppm=st.integers(0, 1_000_000),
        reserve_days=st.integers(0, 30),
        ahead_days=st.integers(1, 25),
        ahead_minor=st.integers(0, 900),
        ahead_ppm=st.integers(0, 200_000),
        ahead_at_most_minor=st.integers(1, 1_200),
    ),
)
def test_young_orders_never_get_more_than_their_limit(orders: list[tuple[int, int, int]], terms: Terms) -> None:
    paid = dict.fromkeys(range(len(orders)), 0)
    for day, limit, young, payouts in pay_daily(orders, terms, 60):
        assert young <= limit
        for place, found in payouts.items():
            capture_day, lag, value = orders[place]
            assert found.released_minor + found.held_minor == value
            assert found.released_minor >= paid[place]
            paid[place] = found.released_minor
            if day - capture_day >= max(
                terms.ahead_days, terms.hold_days, lag + terms.delivery_hold_days, terms.reserve_days
            ):
                assert found.released_minor == value


AHEAD = Terms(hold_days=3, ahead_days=17, ahead_minor=400)


def test_a_young_order_gets_nothing_more_in_a_stop() -> None:
    order = Order(1_000, 0, "EUR", confirmed_time=0)
    spent, some = replace(order, others_paid_minor=400), replace(order, others_paid_minor=100)
    for day in (10, 16, 17, 60, 400):
        assert pay_out(spent, AHEAD, day, limits=PayoutLimits(stops=[StopDays(10)], ahead_minor=400)) == Payout(
            0, 0, 1_000, None, True
        )
        assert pay_out(some, AHEAD, day, limits=PayoutLimits(stops=[StopDays(10)], ahead_minor=400)) == Payout(
            300, 0, 700, None, True
        )
    twice = [StopDays(10, 20), StopDays(20, 40)]
    assert pay_out(some, AHEAD, 30, limits=PayoutLimits(stops=twice, ahead_minor=400)).released_minor == 300
    assert pay_out(some, AHEAD, 40, limits=PayoutLimits(stops=twice, ahead_minor=400)) == Payout(1_000, 0, 0, None)
    assert pay_out(some, AHEAD, 30, limits=PayoutLimits(stops=[StopDays(18)], ahead_minor=400)) == Payout(
        1_000, 0, 0, None
    )


def test_claims_are_drawn_from_what_waits_for_the_limit() -> None:
    order = Order(1_000, 0, "EUR", confirmed_time=0, claims_minor=1_000, drawn_minor=700, others_paid_minor=100)
    assert pay_out(order, AHEAD, 10, limits=PayoutLimits(ahead_minor=400)) == Payout(300, 700, 0, None, True)
    with pytest.raises(InvalidInput, match="is more than the 700 that were held on 1970-01-11"):
        pay_out(replace(order, drawn_minor=701), AHEAD, 10, limits=PayoutLimits(ahead_minor=400))
    earlier = replace(order, drawn_day=10)
    assert pay_out(earlier, AHEAD, 20, limits=PayoutLimits(ahead_minor=400)) == Payout(300, 700, 0, None)
    with pytest.raises(InvalidInput, match="is more than the 0 that were held on 1970-01-18"):
        pay_out(replace(order, drawn_day=17), AHEAD, 20, limits=PayoutLimits(ahead_minor=400))


@given(
    st.integers(0, 1_000),
    st.none() | st.integers(0, 20),
    st.builds(
        Terms,
        hold_days=st.integers(0, 20),
        delivery_hold_days=st.integers(0, 9),
        reserve_ppm=st.integers(0, 1_000_000),
        reserve_days=st.integers(0, 30),
        ahead_days=st.integers(1, 25),
    ),
    st.integers(0, 40),
    st.integers(1, 60),
    st.none() | st.integers(0, 1_200),
)
def test_the_next_release_day_of_a_young_order_is_true(
    value: int, arrival: int | None, terms: Terms, day: int, limit: int, paid: int | None
) -> None:
    confirmed = None if arrival is None else arrival * DAY
    order = Order(value, 0, "", confirmed_time=confirmed, others_paid_minor=paid)

    def released(day: int) -> int:
        return pay_out(order, terms, day, limits=PayoutLimits(limit, ahead_minor=500)).released_minor

    following = pay_out(order, terms, day, limits=PayoutLimits(limit, ahead_minor=500)).next_release_day
    if following is not None:
        assert released(following) > released(following - 1) == released(day)
    elif (arrival or 0) <= day:
        assert released(day) == value


def test_a_later_tier_reaches_no_earlier_order() -> None:
    book = shipped("graded").rule_book
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
        ({"drawn_day": 9}, "drawn_day: must lie between"),
    ],
)
def test_an_order_that_cannot_be_is_refused_by_name(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(InvalidInput, match=fault):
        pay_out(replace(Order(100, 0, "EUR"), **changes), TERMS, 8, "EUR")  # type: ignore[arg-type]

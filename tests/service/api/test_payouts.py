import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from scoring.base.enums import (
    Action,
    CaseState,
    CorrectionKind,
    DepositChange,
    MeasureKind,
    MeasureState,
    PayoutsChange,
    Tier,
)
from scoring.base.errors import InvalidInput, LifecycleForbids
from scoring.base.time import DAY, SECOND, format_day
from scoring.entries.cases import PayoutStop
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import CaseChanged, EntryCorrected, MeasureChanged
from scoring.entries.kinds.settlement import DepositChanged, FlowStated, PayoutsChanged
from scoring.measures.order_payout import OrderPayout
from scoring.policy.measures import Terms
from scoring.policy.payout import Order
from sellertrust.client import Client
from sellertrust.v1 import measure_service_pb2 as measure_pb
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.policy.history import PolicyCommit
from service.policy.policy_file import parse_policy_text
from service.registry.registry import Registry
from service.scores.payouts import Payouts
from tests.helpers.builders import (
    MARKET,
    NOW,
    SELLER,
    TODAY,
    Clock,
    ago,
    confirmed,
    exposure,
    identity,
    status,
    violation,
)
from tests.helpers.models import publish
from tests.helpers.recordings import GENERAL, POLICY, payouts
from tests.helpers.refusals import refusal, refused
from tests.helpers.servers import Running, running_server
from tests.helpers.servers import exposure as exposure_message
from tests.helpers.servers import identity as identity_message


@pytest.fixture
def client(tmp_path: Path) -> Iterator[tuple[Running, Client]]:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    with running_server(tmp_path, policy=path) as running, running.client() as client:
        yield running, client


def test_an_order_is_split_by_the_terms_that_held_at_its_capture(client: tuple[Running, Client]) -> None:
    running, asking = client
    asking.append_entries(MARKET, [identity_message("i1", "s1")])
    today = running.ledger.cut().observe_time // DAY
    order = {"capture_day": date.fromisoformat(format_day(today)), "captured_minor": 10_000, "currency": "EUR"}
    found = asking.evaluate_payout(
        MARKET, "s1", **order, refunded_minor=999, delivered=True, day=format_day(today + 7), product_category="toys"
    )
    assert (found.released_minor, found.drawn_minor, found.held_minor) == (8_101, 0, 900)
    assert (found.hold_days, found.reserve_ppm, found.reserve_days) == (7, 100_000, 90)
    assert (found.next_release_day, found.value_cap_minor) == (format_day(today + 90), 9_000)
    assert found.stamp.ledger_sequence == found.capture_stamp.ledger_sequence == 1
    assert not found.HasField("stop_decide_time")
    assert not asking.evaluate_payout(MARKET, "s1", **order).HasField("value_cap_minor")
    now = running.ledger.cut().observe_time / SECOND
    confirmed_time = datetime.fromtimestamp(now, UTC)
    found = asking.evaluate_payout(MARKET, "s1", **order, delivered=True, confirmed_time=confirmed_time, disputed=True)
    assert found.held_minor == 10_000
    drawn = {"delivered": True, "claims_minor": 5_000, "drawn_minor": 5_000, "day": format_day(today + 7)}
    assert "is more than the 1000 that were held" in str(
        refusal(asking.evaluate_payout, MARKET, "s1", **order, **drawn)
    )
    found = asking.evaluate_payout(MARKET, "s1", **order, **drawn, drawn_day=format_day(today + 6))
    assert (found.released_minor, found.drawn_minor, found.held_minor) == (5_000, 5_000, 0)
    running.ledger.append(MARKET, [stop(PayoutsChange.STOPPED, "p1")])
    found = asking.evaluate_payout(MARKET, "s1", **order)
    assert found.stop_decide_time.seconds - found.stopped_time.seconds == 30 * 86_400


YOUNG = """

[[rules]]
id = "young"
reference = "Terms 3"
measures = [
  { kind = "delivery_hold", days = 2 },
  { kind = "paid_ahead_limit", days = 17, value_minor = 5_000, ppm = 50_000, at_most_minor = 6_000 },
]
"""


def test_young_orders_are_paid_within_their_limit(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(GENERAL[: GENERAL.index("[[rules]]")] + YOUNG)
    with running_server(tmp_path, policy=path) as running, running.client() as client:
        traded = exposure_message("x1", "s1")
        traded.exposure.value_minor, traded.exposure.currency = 12_000, "EUR"
        client.append_entries(MARKET, [identity_message("i1", "s1"), traded])
        today = running.ledger.cut().observe_time // DAY
        order = {"capture_day": date.fromisoformat(format_day(today)), "captured_minor": 10_000, "currency": "EUR"}
        now = datetime.fromtimestamp(running.ledger.cut().observe_time / SECOND - 1, UTC)
        arrived: dict[str, Any] = {"delivered": True, "confirmed_time": now}

        def released(days: int, **stated: Any) -> tuple[int, int, str]:
            found = client.evaluate_payout(MARKET, "s1", **order, day=format_day(today + days), **stated)
            assert found.released_minor + found.held_minor == 10_000
            assert (found.delivery_hold_days, found.ahead_days, found.ahead_limit_minor) == (2, 17, 5_600)
            return found.released_minor, found.paid_ahead_minor, found.next_release_day

        after = format_day(today + 17)
        assert released(1, **arrived, others_paid_ahead_minor=0) == (0, 0, format_day(today + 2))
        assert released(2, **arrived, others_paid_ahead_minor=1_600) == (4_000, 4_000, after)
        assert released(2, **arrived, others_paid_ahead_minor=9_999) == released(2, **arrived) == (0, 0, after)
        assert released(17, **arrived) == (10_000, 0, "")
        by_seller = arrived | {"delivery_source": measure_pb.DELIVERY_SOURCE_SELLER}
        untracked = format_day(today + 7 + 14 + 2)
        assert released(22, **by_seller) == released(22, delivered=True) == (0, 0, untracked)
        assert released(23, **by_seller) == (10_000, 0, "")
        terms = client.evaluate_measures(MARKET, "s1").terms
        assert (terms.delivery_hold_days, terms.ahead_days, terms.ahead_limit_minor) == (2, 17, 5_600)


NOW_GIVEN = {"confirmed_time": datetime.now(UTC)}
OUTSIDE = "confirmed_time: must lie between the capture and now; state when the order arrived"
IMPOSSIBLE: list[tuple[dict[str, object], str]] = [
    ({"others_paid_ahead_minor": -1}, "others_paid_ahead_minor: "),
    ({"delivery_source": measure_pb.DELIVERY_SOURCE_BUYER, "delivered": True}, "delivery_source: "),
    ({"delivery_source": 5, "delivered": True} | NOW_GIVEN, "delivery_source: "),
    ({"refunded_minor": 10_001}, "refunded_minor: "),
    ({"currency": "CNY"}, "currency: is CNY; the terms are in EUR"),
    ({"currency": ""}, "currency: "),
    ({"captured_minor": -1}, "captured_minor: "),
    ({"drawn_minor": 5}, "drawn_minor: "),
    ({"capture_day": "2999-01-01"}, "capture_day: "),
    ({"capture_day": "yesterday"}, "capture_day: "),
    ({"day": "2020-01-01"}, "day: "),
    ({"product_category": "a b"}, "product_category: "),
    (NOW_GIVEN, "confirmed_time: is of a delivered order alone: state delivered too"),
    ({"confirmed_time": datetime(2020, 1, 1, tzinfo=UTC), "delivered": True}, OUTSIDE),
    ({"confirmed_time": datetime(2999, 1, 1, tzinfo=UTC), "delivered": True}, OUTSIDE),
    ({"drawn_day": "soon"}, "drawn_day: "),
]


def test_an_impossible_order_is_refused_by_its_field(client: tuple[Running, Client]) -> None:
    running, asking = client
    asking.append_entries(MARKET, [identity_message("i1", "s1")])
    today = format_day(running.ledger.cut().observe_time // DAY)
    for changed, said in IMPOSSIBLE:
        order = {"capture_day": today, "captured_minor": 10_000, "currency": "EUR"} | changed
        [field] = refused("INVALID_ARGUMENT", "", asking.evaluate_payout, MARKET, "s1", **order).fields
        assert ": ".join(field).startswith(said), changed


def order_of(days: int) -> Order:
    return Order(10_000, TODAY - days, "EUR")


def evaluated(ledger: Ledger, days: int, text: str = POLICY, day: int = TODAY) -> tuple[int, int, int]:
    found = payouts(ledger, text).evaluate(MARKET, SELLER, order_of(days), day, "", ledger.cut())
    return (found.payout.released_minor, found.payout.held_minor, found.terms.hold_days)


def test_a_caution_reaches_no_order_confirmed_before_it(ledger: Ledger, clock: Clock) -> None:
    policy = parse_policy_text(POLICY + GENERAL[GENERAL.index("[caution]") :])
    clock.now = ago(40)
    ledger.append(MARKET, [identity("i1")])
    for day in range(TODAY - 30, TODAY):
        clock.now = (day + 1) * DAY
        value = 700_000 if day == TODAY - 1 else 20_000
        fact = FlowStated(day, currency="EUR", captured_orders=2, captured_minor=value, delivered_orders=2)
        ledger.append(MARKET, [Entry(f"f{day}", SELLER, fact)])
    clock.now = NOW
    asking = Payouts(ledger, build_scorer(ledger, policy))

    def held(confirmed_time: int | None, *, is_disputed: bool = False) -> tuple[int, int]:
        order = replace(order_of(10), confirmed_time=confirmed_time, is_disputed=is_disputed)
        found = asking.evaluate(MARKET, SELLER, order, TODAY, "", ledger.cut())
        return found.payout.held_minor, found.terms.hold_days

    began = TODAY * DAY + 1
    assert held(began - 1) == (1_000, 7)
    assert held(began) == held(None) == held(began - 1, is_disputed=True) == (10_000, 30)
    refunded = replace(fact, revision=1, refunded_orders=1, refunded_minor=680_000)
    ledger.append(MARKET, [Entry("again", SELLER, refunded)])
    assert held(None) == (1_000, 7)


def test_later_confirmed_facts_reach_an_order(ledger: Ledger, clock: Clock) -> None:
    clock.now = ago(20)
    ledger.append(MARKET, [identity("i1")])
    clock.now = NOW
    assert evaluated(ledger, 10) == (9_000, 1_000, 7)
    ledger.append(MARKET, [confirmed("v1")])
    assert evaluated(ledger, 10) == (0, 10_000, 30)
    ledger.append(MARKET, [status("v1", Action.OVERTURN)])
    assert evaluated(ledger, 10) == (9_000, 1_000, 7)


@pytest.mark.long
def test_an_order_keeps_the_terms_of_its_model(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    every = ", ".join(f'"{tier.name.lower()}"' for tier in Tier)
    text = POLICY + f'[[rules]]\nid = "tiers"\nreference = "x"\ntiers = [{every}]\n'
    text += 'measures = [{ kind = "settlement_hold", days = 60 }]\n'
    clock.now = ago(90)
    ledger.append(MARKET, [identity("i1"), exposure(TODAY - 95, settled_orders=5_000)])
    clock.now = NOW
    registry = Registry(tmp_path / "registry")
    first = publish(registry, 0, now=ago(12))
    second = publish(registry, 1, now=ago(6))
    registry.promote(second, actor="a-1", reason="so", now=ago(5))
    scorer = build_scorer(ledger, parse_policy_text(text), registry)
    asking = Payouts(ledger, scorer)

    def held(days: int) -> tuple[int, str]:
        found = asking.evaluate(MARKET, SELLER, order_of(days), TODAY, "", ledger.cut())
        return found.terms.hold_days, found.capture_stamp.model_digest

    given = [(7, ""), (60, first), (60, second)]
    assert [held(days) for days in (20, 10, 2)] == given
    registry.rollback(actor="a-1", reason="so", now=NOW)
    scorer.champion.refresh()
    assert [held(days) for days in (20, 10, 2)] == given
    assert held(0) == (60, first)


def test_a_deposit_buys_terms_while_it_is_there(ledger: Ledger, clock: Clock) -> None:
    unsecured = '[[rules]]\nid = "unsecured"\nreference = "x"\ndeposit = { below = 500 }\n'
    text = POLICY + unsecured + 'measures = [{ kind = "settlement_hold", days = 60 }]\n'
    for days, fact in (
        (20, None),
        (15, DepositChanged(change=DepositChange.PLACED, amount_minor=500, currency="EUR", actor="a-1")),
        (5, DepositChanged(change=DepositChange.RETURNED, amount_minor=1, currency="EUR", actor="a-1")),
    ):
        clock.now = ago(days)
        ledger.append(MARKET, [identity("i1") if fact is None else Entry(f"d{days}", SELLER, fact)])
    clock.now = NOW
    assert [evaluated(ledger, days, text)[2] for days in (17, 10, 2)] == [60, 7, 60]


def test_an_overturned_suspension_leaves_no_trace_in_terms(ledger: Ledger, clock: Clock) -> None:
    measures = [
        *('"suspension", days = 30', '"suspension", terminates = true, notice_days = 60', '"manual_review"'),
        *('"value_cap", value_minor = 5', '"intake_cap", new_listings = 1', '"listing_cap", listings = 1'),
        '"deposit", amount_minor = 9',
    ]
    kinds = ", ".join(f"{{ kind = {measure} }}" for measure in measures)
    text = POLICY + f'[[rules]]\nid = "more"\nreference = "x"\nstanding = {{ from = 12 }}\nmeasures = [{kinds}]\n'
    clock.now = ago(20)
    ledger.append(MARKET, [identity("i1"), confirmed("v1", occur_time=ago(30))])
    clock.now = NOW

    def order_terms() -> tuple[Terms, int | None]:
        found = payouts(ledger, text).evaluate(MARKET, SELLER, order_of(10), TODAY, "", ledger.cut())
        return found.terms, found.value_cap_minor

    assert order_terms()[0].suspension_days
    ledger.append(MARKET, [status("v1", Action.OVERTURN)])
    plain = Terms(hold_days=7, reserve_ppm=100_000, reserve_days=90, value_caps=(("toys", 9_000),))
    assert order_terms() == (plain, None)


CAPPED = (
    POLICY
    + """

[[rules]]
id = "capped"
reference = "Terms 3"
standing = { from = 12 }
measures = [{ kind = "value_cap", value_minor = 5 }, { kind = "deposit", amount_minor = 9 }]
"""
)


@pytest.mark.parametrize("is_known", [True, False])
def test_what_is_learned_later_adds_no_terms(ledger: Ledger, clock: Clock, is_known: bool) -> None:
    clock.now = ago(20)
    earlier = confirmed("v1", occur_time=ago(30)) if is_known else violation("v1", occur_time=ago(30))
    ledger.append(MARKET, [identity("i1"), earlier])
    clock.now = NOW
    decided = status("v1", Action.OVERTURN if is_known else Action.CONFIRM)
    ledger.append(MARKET, [decided, confirmed("v2", occur_time=ago(15))])
    found = payouts(ledger, CAPPED).evaluate(MARKET, SELLER, order_of(10), TODAY, "", ledger.cut())
    plain = Terms(hold_days=30, reserve_ppm=100_000, reserve_days=90, value_caps=(("toys", 9_000),))
    assert (found.terms, found.value_cap_minor) == (plain, None)


def test_a_later_policy_reaches_no_earlier_order(ledger: Ledger, clock: Clock) -> None:
    clock.now = ago(20)
    ledger.append(MARKET, [identity("i1")])
    scorer = build_scorer(ledger, parse_policy_text(POLICY))
    history, served = scorer.policy.history, scorer.policy.now
    clock.now = ago(5)
    history.commit(PolicyCommit(POLICY.replace("days = 7 }", "days = 60 }"), served.digest, "staff", "so"), served)
    clock.now = NOW
    assert evaluated(ledger, 10) == (9_000, 1_000, 7)
    assert evaluated(ledger, 3) == (0, 10_000, 60)


def test_an_order_is_in_the_currency_of_its_limit(ledger: Ledger, clock: Clock) -> None:
    clock.now = ago(20)
    ledger.append(MARKET, [identity("i1")])
    scorer = build_scorer(ledger, parse_policy_text(POLICY))
    served = scorer.policy.now
    clock.now = ago(5)
    text = POLICY.replace('currency = "EUR"', 'currency = "USD"')
    scorer.policy.history.commit(PolicyCommit(text, served.digest, "staff", "so"), served)
    clock.now = NOW
    asking = payouts(ledger)
    for days, currency, other in ((10, "EUR", "USD"), (3, "USD", "EUR")):
        order = replace(order_of(days), currency=currency)
        assert asking.evaluate(MARKET, SELLER, order, TODAY, "", ledger.cut()).payout.held_minor
        with pytest.raises(InvalidInput, match=f"currency: is {other}; the terms are in {currency}"):
            asking.evaluate(MARKET, SELLER, replace(order, currency=other), TODAY, "", ledger.cut())


LIMITED = GENERAL[: GENERAL.index("[[rules]]")] + YOUNG


def test_nothing_is_settled_in_another_currency(ledger: Ledger, clock: Clock) -> None:
    clock.now = ago(20)
    ledger.append(MARKET, [identity("i1"), exposure(TODAY - 25, settled_orders=1, value_minor=12_000, currency="USD")])
    scorer = build_scorer(ledger, parse_policy_text(LIMITED))
    served = scorer.policy.now
    clock.now = ago(5)
    text = LIMITED.replace('currency = "EUR"', 'currency = "USD"')
    scorer.policy.history.commit(PolicyCommit(text, served.digest, "staff", "so"), served)
    clock.now = NOW
    asking = payouts(ledger, LIMITED)

    def limit(days: int, currency: str) -> int:
        order = replace(order_of(days), currency=currency)
        found = asking.evaluate(MARKET, SELLER, order, TODAY, "", ledger.cut())
        assert found.ahead_limit_minor is not None
        return found.ahead_limit_minor

    assert [limit(10, "EUR"), limit(3, "USD")] == [5_000, 5_600]


def test_what_settles_in_a_stop_raises_no_limit_in_it(stopped: Ledger) -> None:
    order = replace(order_of(8), confirmed_time=ago(8), others_paid_minor=0)

    def found(text: str = LIMITED) -> OrderPayout:
        return payouts(stopped, text).evaluate(MARKET, SELLER, order, TODAY, "", stopped.cut())

    assert found().payout.released_minor == 5_000
    stopped.append(MARKET, [exposure(TODAY - 25, settled_orders=1, value_minor=12_000, currency="EUR")])
    assert found().payout.released_minor == 5_000
    stopped.append(MARKET, [stop(PayoutsChange.RESUMED, "p2")])
    assert found().payout.released_minor == 5_600


@pytest.mark.parametrize("days", [0, 5])
def test_a_commit_eases_no_order_of_its_day_or_before(ledger: Ledger, clock: Clock, days: int) -> None:
    clock.now = ago(20)
    ledger.append(MARKET, [identity("i1")])
    scorer = build_scorer(ledger, parse_policy_text(POLICY.replace("days = 7 }", "days = 60 }")))
    history, served = scorer.policy.history, scorer.policy.now
    clock.now = ago(days)
    laxer = POLICY.replace("[hold_limits]", f"[hold_limits]\n{MARKET} = 3")
    history.commit(PolicyCommit(laxer, served.digest, "staff", "so"), served)
    clock.now = NOW
    scorer.policy.refresh()
    late = replace(order_of(days + 1), is_delivered=False)
    for order, hold in ((order_of(days), 60), (late, 60)):
        found = Payouts(ledger, scorer).evaluate(MARKET, SELLER, order, TODAY, "", ledger.cut())
        assert (found.payout.released_minor, found.terms.hold_days) == (0, hold)


def test_a_seller_unknown_at_capture_has_the_terms_of_now(ledger: Ledger) -> None:
    ledger.append(MARKET, [identity("i1")])
    assert evaluated(ledger, 100) == (10_000, 0, 7)


def stop(change: PayoutsChange, entry_id: str) -> Entry:
    return Entry(entry_id, SELLER, PayoutsChanged(change, "staff", "an order"))


def decided_case(state: CaseState, entry_id: str, *violations: str, days: float = 0, **more: object) -> Entry:
    by = ago(-days) if days else None
    fact = CaseChanged("payouts~p1", state, "staff", "so", violations=violations, decide_by=by, **more)  # type: ignore[arg-type]
    return Entry(entry_id, SELLER, fact)


@pytest.fixture
def stopped(ledger: Ledger, clock: Clock) -> Ledger:
    clock.now = ago(30)
    ledger.append(MARKET, [identity("i1")])
    clock.now = ago(2)
    ledger.append(MARKET, [stop(PayoutsChange.STOPPED, "p1")])
    clock.now = NOW
    return ledger


def test_a_stop_holds_until_its_decision_day_or_its_end(stopped: Ledger) -> None:
    for days in (10, 8, 1, 0):
        assert evaluated(stopped, days)[:2] == (0, 10_000)
    delivered = replace(order_of(10), confirmed_time=ago(5))
    found = payouts(stopped).evaluate(MARKET, SELLER, delivered, TODAY, "", stopped.cut())
    assert (found.payout.released_minor, found.stop) == (9_000, PayoutStop("payouts~p1", ago(2), ago(2) + 30 * DAY))
    limited = POLICY.replace("[hold_limits]", f"[hold_limits]\n{MARKET} = 20")
    assert evaluated(stopped, 19, limited, day=TODAY + 27)[:2] == (0, 10_000)
    assert evaluated(stopped, 19, limited, day=TODAY + 28)[:2] == (10_000, 0)
    [case] = stopped.cases.list_open(MARKET, stopped.cut(), 9)
    assert (case.case, case.rule, case.decide_by) == ("payouts~p1", "payouts", ago(2) + 30 * DAY)
    stopped.append(MARKET, [stop(PayoutsChange.RESUMED, "p2")])
    assert evaluated(stopped, 8)[:2] == (9_000, 1_000)
    assert stopped.cases.list_open(MARKET, stopped.cut(), 9) == []


def test_a_confirmed_stop_lasts_while_its_violation_stands(stopped: Ledger) -> None:
    stopped.append(MARKET, [confirmed("v1")])
    stopped.append(MARKET, [decided_case(CaseState.CONFIRMED, "d1", "v1")])
    assert evaluated(stopped, 8, day=TODAY + 400)[:2] == (0, 10_000)
    stopped.append(MARKET, [status("v1", Action.OVERTURN)])
    assert evaluated(stopped, 8, day=TODAY + 27)[:2] == (0, 10_000)
    assert evaluated(stopped, 8, day=TODAY + 28)[:2] == (9_000, 1_000)


def test_a_stop_that_is_ended_or_resumed_releases_at_once(stopped: Ledger) -> None:
    stopped.append(MARKET, [decided_case(CaseState.ENDED, "d1")])
    assert evaluated(stopped, 8)[:2] == (9_000, 1_000)


def test_a_stop_is_extended_on_new_facts_alone(stopped: Ledger) -> None:
    extended = CaseState.EXTENDED
    with pytest.raises(InvalidInput, match="rests_on: must name the new facts"):
        stopped.append(MARKET, [decided_case(extended, "d0", days=60)])
    with pytest.raises(InvalidInput, match="names 'i1', which is no fact about this seller that was recorded since"):
        stopped.append(MARKET, [decided_case(extended, "d0", days=60, rests_on=("i1",))])
    stopped.append(MARKET, [violation("v1"), violation("v2")])
    with pytest.raises(InvalidInput, match="decide_by: must lie after"):
        stopped.append(MARKET, [decided_case(extended, "d0", days=179, rests_on=("v1",))])
    stopped.append(MARKET, [decided_case(extended, "d1", days=60, rests_on=("v1",))])
    with pytest.raises(InvalidInput, match="names 'v2', which is no fact"):
        stopped.append(MARKET, [decided_case(extended, "d2", days=90, rests_on=("v2",))])
    assert [evaluated(stopped, 8, day=TODAY + days)[0] for days in (59, 60)] == [0, 9_000]
    [case] = stopped.cases.list_open(MARKET, stopped.cut(), 9)
    assert (case.case, case.decide_by) == ("payouts~p1", ago(-60))
    order = {"authority_order": "court of M, 7 O 1/26", "rests_on": ("v3",)}
    stopped.append(MARKET, [violation("v3"), decided_case(extended, "d3", days=300, **order)])
    assert [evaluated(stopped, 8, day=TODAY + days)[0] for days in (299, 300)] == [0, 10_000]


def test_a_stop_that_nobody_decided_is_not_repeated(stopped: Ledger, clock: Clock) -> None:
    clock.now = ago(-29)
    with pytest.raises(LifecycleForbids, match="the case 'payouts~p1' of the stop before was not decided"):
        stopped.append(MARKET, [stop(PayoutsChange.STOPPED, "p2")])
    late = decided_case(CaseState.EXTENDED, "d0", days=60, rests_on=("v1",))
    with pytest.raises(LifecycleForbids, match="only such a case is extended"):
        stopped.append(MARKET, [violation("v1", occur_time=ago(0)), late])
    stopped.append(MARKET, [confirmed("v2", occur_time=ago(0)), decided_case(CaseState.CONFIRMED, "d1", "v2")])
    delivered = replace(order_of(8), confirmed_time=ago(0))
    asked = [(day, TODAY + day) for day in (27, 28, 29)]
    cut = stopped.cut()
    found = [payouts(stopped).evaluate(MARKET, SELLER, delivered, day, "", cut) for _, day in asked]
    assert [one.payout.released_minor for one in found] == [0, 9_000, 9_000]
    stopped.append(MARKET, [stop(PayoutsChange.RESUMED, "p3"), stop(PayoutsChange.STOPPED, "p4")])
    [case] = stopped.cases.list_open(MARKET, stopped.cut(), 9)
    assert case.case == "payouts~p4"


def stated(state: MeasureState, name: str, *violations: str, kind: MeasureKind, **values: object) -> MeasureChanged:
    return MeasureChanged(name, kind, state, "staff", "so", violations=violations, **values)  # type: ignore[arg-type]


def test_restitution_states_what_stood_on_a_violation(
    client: tuple[Running, Client],
) -> None:
    running, asking = client
    ledger = running.ledger
    now = ledger.cut().observe_time

    def append(entry_id: str, fact: object, days: float) -> None:
        ledger.append(MARKET, [Entry(entry_id, SELLER, fact, None if days is None else now - round(days * DAY))])

    ledger.append(MARKET, [confirmed("v1", occur_time=now - 40 * DAY), confirmed("v2", occur_time=now - 40 * DAY)])
    imposed, updated, lifted = MeasureState.IMPOSED, MeasureState.UPDATED, MeasureState.LIFTED
    reserve = {"kind": MeasureKind.ROLLING_RESERVE, "ppm": 100_000, "days": 90}
    append("r1", stated(imposed, "r", "v1", "v2", **reserve), 20)
    append("r2", stated(updated, "r", "v2", **reserve), 17.5)
    append("d1", stated(imposed, "d", "v1", kind=MeasureKind.DEPOSIT, amount_minor=5_000, currency="EUR"), 10)
    append("s1", stated(imposed, "s", "v1", kind=MeasureKind.SUSPENSION, until=now - 3 * DAY), 10)
    append("o1", stated(imposed, "o", "v2", kind=MeasureKind.MANUAL_REVIEW), 10)
    append("h1", stated(imposed, "h", "v1", kind=MeasureKind.MANUAL_REVIEW), 1.5)
    append("p1", DepositChanged(DepositChange.PLACED, 3_000, "EUR", "bank"), 9)
    append("d2", stated(lifted, "d", kind=MeasureKind.DEPOSIT), 1)
    for back, value in ((21, 70_000), (20, 5_005), (18, 5_006), (10, 1_000), (2, 400)):
        day = now // DAY - back
        flow = FlowStated(day, currency="EUR", captured_orders=1, captured_minor=value)
        ledger.append(MARKET, [Entry(f"f{back}", SELLER, flow)])
    error = refusal(asking.get_restitution, MARKET, SELLER, "v1")
    assert (error.reason, error.metadata["status"]) == ("LIFECYCLE_FORBIDS", "CONFIRMED")
    asking.overturn_violation(MARKET, "v1", actor="staff", reason="not theirs")
    found = asking.get_restitution(MARKET, SELLER, "v1")
    items = [item for item in found.items if not item.rule]
    told = [(i.measure, i.days, i.held_minor, [*i.other_violations], i.HasField("end_time")) for i in items]
    assert told == [
        ("r", 3, 1_001, ["v2"], True),
        ("d", 9, 3_000, [], True),
        ("s", 7, 0, [], True),
        ("h", 2, 0, [], True),
    ]
    overturned = asking.get_violation(MARKET, "v1").entries[-1]
    [change] = [one for one in asking.list_entries(MARKET, SELLER) if one.entry_id == overturned]
    assert items[-1].end_time == change.report_time
    assert (found.captured_minor, found.currency) == (5_005 + 5_006 + 1_000 + 400, "EUR")
    told = []
    for seller, name in (("s2", "v1"), ("s2", "v9")):
        error = refused("NOT_FOUND", "VIOLATION_NOT_FOUND", asking.get_restitution, MARKET, seller, name)
        told.append(re.sub(r"by \S+;", "", str(error).replace(name, "it")))
    assert told[0] == told[1]


def test_a_void_measure_held_nothing(ledger: Ledger, clock: Clock) -> None:
    clock.now = ago(30)
    hold = stated(MeasureState.IMPOSED, "h", "v1", kind=MeasureKind.SETTLEMENT_HOLD)
    review = stated(MeasureState.IMPOSED, "r", "v1", kind=MeasureKind.MANUAL_REVIEW)
    flow = FlowStated(TODAY - 20, currency="EUR", captured_orders=1, captured_minor=900)
    ledger.append(MARKET, [confirmed("v1", occur_time=ago(40)), Entry("h1", SELLER, hold), Entry("r1", SELLER, review)])
    clock.now = NOW
    ledger.append(
        MARKET,
        [
            Entry("f1", SELLER, flow),
            Entry("x1", "", EntryCorrected("h1", CorrectionKind.VOID, "staff", "a mistake")),
            Entry("x2", "", EntryCorrected("r1", CorrectionKind.MOVED, "staff", "a mistake", ago(10))),
            status("v1", Action.OVERTURN),
        ],
    )
    found = payouts(ledger).restitution(MARKET, SELLER, "v1", ledger.cut())
    assert [(item.span.measure, item.span.begin, item.held_minor) for item in found.items] == [("r", ago(10), 0)]
    assert found.captured_minor == 0

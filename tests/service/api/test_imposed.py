from pathlib import Path

import pytest

from scoring.base.enums import Action, CorrectionKind, DepositChange, MeasureKind, MeasureState
from scoring.base.errors import InvalidInput
from scoring.base.time import DAY, format_day
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged
from scoring.entries.kinds.settlement import DepositChanged
from scoring.measures.in_force import InForce
from scoring.measures.listed import MeasureInForce
from scoring.policy.measures import (
    FOR_GOOD,
    DeliveryHold,
    Deposit,
    IntakeCap,
    Measure,
    PaidAheadLimit,
    RollingReserve,
    SettlementHold,
    Suspension,
    Terms,
    UnvaluedMeasure,
    ValueCap,
)
from scoring.policy.payout import Order
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.mechanism.recorder import Recorder
from service.policy.policy_file import parse_policy_text
from tests.helpers.builders import MARKET, NOW, SELLER, TODAY, Clock, ago, confirmed, identity, status
from tests.helpers.recordings import POLICY, payouts
from tests.helpers.servers import running_server

IMPOSED, UPDATED, LIFTED = MeasureState.IMPOSED, MeasureState.UPDATED, MeasureState.LIFTED
HOLD, SUSPENSION, DEPOSIT = MeasureKind.SETTLEMENT_HOLD, MeasureKind.SUSPENSION, MeasureKind.DEPOSIT

AHEAD = MeasureKind.PAID_AHEAD_LIMIT


def ahead(days: int, minor: int, ppm: int) -> Terms:
    return Terms(ahead_days=days, ahead_minor=minor, ahead_ppm=ppm, ahead_at_most_minor=10**15)


def stated(entry_id: str, kind: MeasureKind, state: MeasureState = IMPOSED, **values: object) -> Entry:
    name = f"m-{kind.name.lower()}"
    return Entry(entry_id, SELLER, MeasureChanged(name, kind, state, "staff-9", "seen", **values))  # type: ignore[arg-type]


@pytest.fixture
def known(ledger: Ledger, clock: Clock) -> Ledger:
    clock.now = ago(30)
    ledger.append(MARKET, [identity("i1"), confirmed("v1", occur_time=ago(60)), confirmed("v2", occur_time=ago(60))])
    clock.now = ago(10)
    return ledger


def evaluated(ledger: Ledger, observe_time: int | None = None) -> InForce:
    scorer = build_scorer(ledger, parse_policy_text(POLICY))
    return scorer.whole_answer(MARKET, SELLER, ledger.cut(observe_time)).in_force


def by_persons(ledger: Ledger, observe_time: int | None = None) -> list[MeasureInForce]:
    return [one for one in evaluated(ledger, observe_time).measures if not one.rule]


def test_a_hold_by_a_person_binds_until_its_lift(
    tmp_path: Path,
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    with running_server(tmp_path, policy=path) as running, running.client() as client:
        now = running.ledger.cut().observe_time
        running.ledger.append(MARKET, [identity("i1"), stated("m1", HOLD, days=60, until=now + 20 * DAY)])
        found = client.evaluate_measures(MARKET, SELLER)
        listed = found.measures[-1]
        assert (listed.rule, listed.measure, [*listed.entries]) == ("", "m-settlement_hold", ["m1"])
        assert (listed.current.settlement_hold.days, found.terms.hold_days) == (60, 60)
        assert listed.start_time.ToMicroseconds() >= now
        assert listed.end_time.ToMicroseconds() == now + 20 * DAY

        def hold_days() -> int:
            day = format_day(now // DAY)
            return client.evaluate_payout(
                MARKET, SELLER, capture_day=day, captured_minor=10_000, currency="EUR"
            ).hold_days

        assert hold_days() == 60
        running.ledger.append(MARKET, [stated("m2", HOLD, LIFTED)])
        assert client.evaluate_measures(MARKET, SELLER).terms.hold_days == 7
        assert hold_days() == 7
        times = (found.stamp.observe_time, found.stamp.known_time)
        again = client.evaluate_measures(MARKET, SELLER, observe_time=times[0], known_time=times[1])
    assert again == found


def test_a_measure_ends_at_its_end_and_begins_anew(known: Ledger, clock: Clock) -> None:
    known.append(
        MARKET, [stated("s1", SUSPENSION, days=7, violations=("v1",)), stated("h1", HOLD, days=3, until=ago(8))]
    )
    found = evaluated(known)
    assert [one.end for one in found.measures if not one.rule] == [ago(3), ago(8)]
    assert found.terms.suspension_days == 7
    clock.now = NOW
    assert [one.measure for one in by_persons(known, ago(8))] == ["m-suspension"]
    assert by_persons(known, ago(3)) == []
    known.append(MARKET, [stated("s2", SUSPENSION, days=7, violations=("v1",))])
    assert [(one.start, one.end) for one in by_persons(known)] == [(NOW, ago(-7))]


def test_an_update_changes_the_value_and_keeps_the_begin(known: Ledger, clock: Clock) -> None:
    known.append(MARKET, [stated("h1", HOLD, days=20)])
    clock.now = ago(4)
    known.append(MARKET, [stated("h2", HOLD, UPDATED, days=40)])
    [one] = by_persons(known)
    assert (one.start, one.current, one.entries) == (ago(10), SettlementHold(40), ("h1", "h2"))
    assert by_persons(known, ago(5))[0].current == SettlementHold(20)


def test_a_void_measure_was_never_imposed(known: Ledger, clock: Clock) -> None:
    known.append(MARKET, [stated("s1", SUSPENSION, violations=("v1", "v2")), stated("h1", HOLD, days=60)])
    assert [one.current for one in by_persons(known)] == [Suspension(FOR_GOOD), SettlementHold(60)]
    clock.now = ago(5)
    known.append(MARKET, [status("v1", Action.OVERTURN)])
    assert [one.measure for one in by_persons(known)] == ["m-suspension", "m-settlement_hold"]
    known.append(MARKET, [status("v2", Action.OVERTURN)])
    assert [one.measure for one in by_persons(known)] == ["m-settlement_hold"]
    void = EntryCorrected("h1", CorrectionKind.VOID, "staff-9", "a mistake")
    known.append(MARKET, [Entry("c1", "", void)])
    assert by_persons(known) == by_persons(known, ago(7)) == []


@pytest.mark.parametrize(
    ("kind", "values", "value", "terms"),
    [
        (DEPOSIT, {"amount_minor": 500, "currency": "EUR"}, Deposit(400), Terms(deposit_minor=400)),
        (DEPOSIT, {"amount_minor": 500, "currency": "CNY"}, UnvaluedMeasure(DEPOSIT), Terms()),
        (HOLD, {}, SettlementHold(180), Terms(hold_days=180)),
        (HOLD, {"days": 400}, SettlementHold(180), Terms(hold_days=180)),
        (HOLD, {"amount_minor": 500, "currency": "EUR"}, UnvaluedMeasure(HOLD), Terms()),
        (
            MeasureKind.ROLLING_RESERVE,
            {"ppm": 7, "days": 9},
            RollingReserve(7, 9),
            Terms(reserve_ppm=7, reserve_days=9),
        ),
        (
            MeasureKind.VALUE_CAP,
            {"amount_minor": 5, "currency": "EUR", "product_category": "toys"},
            ValueCap(5, "toys"),
            Terms(value_caps=(("toys", 5),)),
        ),
        (AHEAD, {"days": 9}, PaidAheadLimit(9, 0, 0, 10**15), ahead(9, 0, 0)),
        (AHEAD, {"days": 9, "ppm": 7}, PaidAheadLimit(9, 0, 7, 10**15), ahead(9, 0, 7)),
        (AHEAD, {"amount_minor": 5, "currency": "EUR"}, PaidAheadLimit(180, 5, 0, 10**15), ahead(180, 5, 0)),
        (AHEAD, {"at_most_minor": 5, "ppm": 7, "currency": "CNY"}, UnvaluedMeasure(AHEAD), Terms()),
        (MeasureKind.DELIVERY_HOLD, {"days": 9}, DeliveryHold(9), Terms(delivery_hold_days=9)),
        (MeasureKind.INTAKE_CAP, {"listings": 0}, IntakeCap(0), Terms(intake_caps=(("", 0),))),
        (MeasureKind.WAIVER, {}, UnvaluedMeasure(MeasureKind.WAIVER), Terms()),
    ],
)
def test_each_kind_binds_the_terms_by_its_value(
    known: Ledger, kind: MeasureKind, values: dict[str, object], value: Measure, terms: Terms
) -> None:
    known.append(MARKET, [Entry("d1", SELLER, DepositChanged(DepositChange.PLACED, 100, "EUR", "bank"))])
    known.append(MARKET, [stated("m1", kind, IMPOSED, **values)])
    [one] = by_persons(known)
    assert one.current == value
    with_it = evaluated(known).terms.strictness(["toys"])
    known.append(MARKET, [stated("m2", kind, LIFTED)])
    without, alone = evaluated(known).terms.strictness(["toys"]), terms.strictness(["toys"])
    assert with_it == {name: max(without[name], alone[name]) for name in without}


def test_an_imposed_measure_reaches_orders_by_its_violations(known: Ledger, clock: Clock) -> None:
    def hold_days() -> int:
        order = Order(10_000, TODAY - 20, "EUR")
        return payouts(known, POLICY).evaluate(MARKET, SELLER, order, TODAY, "", known.cut()).terms.hold_days

    clock.now = NOW
    known.append(MARKET, [stated("h1", HOLD, days=60)])
    assert hold_days() == 30
    known.append(MARKET, [stated("h2", HOLD, days=60, violations=("v2",))])
    assert hold_days() == 60
    known.append(MARKET, [status("v2", Action.OVERTURN)])
    assert hold_days() == 30


def test_the_service_does_not_record_measures_of_persons(known: Ledger) -> None:
    recorder = Recorder(known, build_scorer(known, parse_policy_text(POLICY)))
    known.append(MARKET, [stated("h1", HOLD, days=60)])
    recorder.record(MARKET, [SELLER], known.cut())
    statements = known.measures.read_seller_terms(MARKET, SELLER, known.cut()).statements
    assert [one.entry_id for one in statements if not one.fact.rule] == ["h1"]
    assert "m-settlement_hold" not in {one.fact.measure for one in statements if one.fact.rule}
    assert {one.fact.rule for one in statements} == {"", "all", "guilty"}


def test_a_measure_names_no_violation_that_was_taken_back(known: Ledger, clock: Clock) -> None:
    known.append(MARKET, [stated("m1", SUSPENSION, violations=("v1", "v2"))])
    clock.now = NOW
    known.append(MARKET, [status("v1", Action.OVERTURN)])
    [found] = by_persons(known)
    assert found.violations == ("v2",)
    assert not any("v1" in entry for entry in found.entries)


def test_an_amount_of_a_limit_needs_its_currency(known: Ledger) -> None:
    with pytest.raises(InvalidInput, match="currency: is required with an amount"):
        known.append(MARKET, [stated("m1", AHEAD, days=9, ppm=7, at_most_minor=5)])

import copy
import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.base.canonical import JsonObject
from scoring.base.errors import CertificateRefused, PolicyRefused
from scoring.loss_certificate.certificate import certify, digest_certificate, list_failed
from scoring.loss_certificate.independent import world as independent
from scoring.loss_certificate.independent.checking import check_certificate, digest_of
from scoring.loss_certificate.independent.world import NOT_COVERED, NotProven
from scoring.loss_certificate.solving import find_released_by_run_day, solve
from scoring.loss_certificate.states import States, build_states, count_notice_days
from scoring.policy.payout import Order, PayoutLimits, pay_out
from scoring.policy.reading import parse_policy
from tests.helpers.caution_rules import WEIGHTS, caution_rule
from tests.helpers.lives import Life, replay, terms_of
from tests.helpers.policies import rule
from tests.helpers.toys import (
    FAKED,
    LITTLE,
    REAL,
    TOY,
    World,
    assumed,
    cap,
    hold,
    make_world,
    policy_of,
    shipped_data,
    stated,
    toy,
)
from tests.scoring.loss_certificate.attackers import live_at_random
from tests.scoring.loss_certificate.damage import damage, forge_statement, misspell, provable, to_be_altered


def certified(data: JsonObject, **parts: Any) -> JsonObject:
    found: JsonObject = json.loads(json.dumps(certify(policy_of(data), assumed(**parts))))
    check_certificate(data, found, stated(**parts))
    return found


def test_the_worked_toy() -> None:
    found = certified(TOY)
    faked = found["verdicts"][FAKED]
    assert (faked["holds"], faked["most_minor"]) == (False, 7_500 - 5_000 - 100)
    assert [day["captured_minor"] for day in faked["attack"]["days"]] == [1_500] * 5
    assert found["verdicts"][REAL]["most_minor"] == 5 * 4_000 - 100
    assert found["takes"]["largest"] == {"gross_minor": 20_000, "after_refunds_minor": 20_000}
    assert found["takes"]["runners_on_one_day"] == {"gross_minor": 60_000, "after_refunds_minor": 60_000}
    assert list_failed(found) == [FAKED, REAL]


def test_a_longer_hold_makes_the_toy_hold_against_faked_history() -> None:
    held = toy(cap(1_000, (100_000, 1_500), (400_000, 4_000)), hold(6, 400_000, deposit=200))
    assert certified(held)["verdicts"][FAKED]["holds"]
    assert not certified(held)["verdicts"][REAL]["holds"]
    longer = certified(held, stop={"days": 3})["verdicts"][FAKED]
    assert (longer["holds"], longer["most_minor"]) == (False, 6 * 4_000 - 20_000 - 100)
    assert certified(held, wash={"ppm": 49_000})["verdicts"][FAKED]["most_minor"] == 20_000 - 19_600 - 100


def test_both_verdicts_hold_if_nothing_is_paid_before_a_stop() -> None:
    found = certified(toy(cap(1_000), rule("hold", {"kind": "settlement_hold", "days": 5})))
    assert [found["verdicts"][name]["holds"] for name in (FAKED, REAL)] == [True, True]
    assert found["takes"]["largest"] == {"gross_minor": 5_000, "after_refunds_minor": 0}
    assert list_failed(found) == []


def test_a_run_goes_on_until_the_confirmation() -> None:
    capped, held = {"kind": "value_cap", "value_minor": 1}, {"kind": "settlement_hold", "days": 180}
    strict = {"decide_days": 1, "sources": WEIGHTS, "rules": [caution_rule(days=14, measures=[capped, held])]}
    for data in (TOY, TOY | {"caution": strict}):
        assert certified(data)["run_days"] == 5
        assert certified(data, confirm={"days": 10})["run_days"] == 15


def test_a_notice_adds_days_without_a_suspension() -> None:
    closed = rule("closed", {"kind": "suspension", "terminates": True, "notice_days": 30}, standing={"from": 24})

    def suspended(days: int, **conditions: Any) -> JsonObject:
        return rule("suspended", {"kind": "suspension", "days": days}, **conditions)

    counted = {"categories": ["counterfeit"], "days": 365}
    for others, days in (
        ([], 30),
        ([suspended(21, standing={"from": 12})], 9),
        ([suspended(60, standing={"from": 24})], 0),
        ([suspended(30, standing={"from": 12}, confirmed=counted)], 30),
        ([suspended(30, standing={"from": 36})], 30),
    ):
        held = toy(cap(1_000), rule("hold", {"kind": "settlement_hold", "days": 5}), *others, closed)
        found = certified(held)
        assert found["notice_days"] == days
        assert found["takes"]["largest"] == {"gross_minor": 1_000 * (5 + days), "after_refunds_minor": 0}
    with pytest.raises(CertificateRefused, match="orders for 30 days of its notice and pays them out after 4"):
        certified(toy(cap(1_000), closed) | {"hold_limits": {"acme": 4}})


def test_both_codes_count_the_same_days_of_a_notice() -> None:
    chance, found = random.Random(4), []

    def draw(number: int) -> JsonObject:
        closes = chance.random() < 0.5
        suspension = (
            {"terminates": True, "notice_days": chance.choice([30, 40])} if closes else {"days": chance.choice([9, 35])}
        )
        measures = [{"kind": "suspension"} | suspension]
        measures += [{"kind": "settlement_hold", "days": chance.choice([3, 9])}] if chance.random() < 0.3 else []
        conditions = [
            {"standing": {"from": chance.choice([12, 24])}},
            {"standing": {"from": 12, "below": 90}},
            {"standing": {"from": 12}, "settled": {"below": 50}},
            {"confirmed": {"days": 365}},
            {"standing": {"from": 12}, "tiers": ["probation"]},
            {"standing": {"from": 24}, "deposit": {"below": 50}},
        ]
        return rule(f"r{number}", *measures, **chance.choice([conditions[0], *conditions]))

    while len(found) < 60:
        limits = {"hold_limits": {"acme": 4}} if chance.random() < 0.1 else {}
        data = toy(cap(1_000), *map(draw, range(3)), claim_days=chance.choice([0, 5])) | limits
        try:
            policy = policy_of(data)
        except PolicyRefused:
            continue
        try:
            days = count_notice_days(policy.rule_book, 5)
        except CertificateRefused:
            days = -1
        try:
            again = independent.World(independent.add_implied_rules(data), stated()).notice
        except independent.Unbounded:
            again = -1
        assert days == again, data
        found.append(days)
    assert set(found) >= {-1, 0, 30}


def test_how_long_a_caution_lasts_cannot_be_assumed() -> None:
    with pytest.raises(CertificateRefused, match="caution is not a part of assumptions"):
        assumed(caution={"days": 14, "source": "the longest caution"})


def test_a_deposit_that_is_not_lost_deters_nobody() -> None:
    deposit = {"kind": "deposit", "amount_minor": 3_900}
    rules = cap(1_000), rule("all", {"kind": "settlement_hold", "days": 1}, deposit)
    kept, early, drawn = (
        certified(toy(*rules, **trade))["verdicts"][REAL]
        for trade in (
            {"deposit_returned_after_days": 5},
            {"deposit_returned_after_days": 4},
            {"deposit_is_refilled": False},
        )
    )
    assert kept["attack"]["deposit_minor"] == 3_900
    assert kept["holds"]
    assert early["most_minor"] == drawn["most_minor"] == 4 * 1_000 - 100


def test_who_places_enough_counts_as_placed_without_a_loss() -> None:
    free, asking = (
        certified(toy(cap(1_000), *more))
        for more in ((), (rule("low", {"kind": "value_cap", "value_minor": 10}, deposit={"below": 9_000}),))
    )
    for name in ("verdicts", "takes", "settled"):
        assert asking[name] == free[name]


def test_the_cheapest_way_to_a_history_counts() -> None:
    found = certified(TOY, aged_account={"minor": 1_500, "ppm": 0})["verdicts"][FAKED]
    assert found["most_minor"] == 5 * 4_000 - 1_500
    assert found["attack"]["entered_with_minor"] == 400_000


def test_the_slowest_stop_and_the_cheapest_fake_count_together() -> None:
    rows = {"toys": {"days": 4}, "tools": {"days": 1}}
    assert certified(TOY, stop={"by_product_category": rows})["run_days"] == 7
    cheap = certified(TOY, wash={"by_product_category": {"cards": {"ppm": 10_000}}})
    assert cheap["verdicts"][FAKED]["most_minor"] == 20_000 - 4_000 - 100


def test_a_release_on_a_scan_needs_a_carrier_that_confirms() -> None:
    scanned = certified(TOY)["verdicts"][REAL]
    confirmed = certified(TOY, carrier={"days": 2, "source": "contract"})["verdicts"][REAL]
    assert (scanned["most_minor"], confirmed["most_minor"]) == (5 * 4_000 - 100, 3 * 4_000 - 100)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 180])
def test_what_counts_as_released_is_what_is_paid_out(limit: int) -> None:
    reserve = {"kind": "rolling_reserve", "ppm": 300_000, "days": 4}
    data = toy(cap(1_000), rule("all", {"kind": "settlement_hold", "days": 2}, reserve), smallest_order_minor=10**6)
    data, carrier = data | {"hold_limits": {"acme": limit}}, {"days": 4, "source": "contract"}
    certified(data, carrier=carrier)
    states = build_states(policy_of(data), assumed(carrier=carrier))
    terms = terms_of(policy_of(data), None, 0, 0, "acme")
    for day, released in enumerate(find_released_by_run_day(states)[:, 0, 0].tolist()):
        last = states.run_days - 1
        order = Order(1_000, day, "EUR", is_delivered=last - day >= 4)
        assert pay_out(order, terms, last, "EUR", PayoutLimits(limit)).released_minor == released


def test_caps_that_rise_during_a_run_count_with_what_they_cost() -> None:
    found = certified(toy(cap(1_000, (3_000, 9_000)), hold(5, 3_000)))
    place = found["settled"].index(2_000)
    gain = found["temptation_minor"][place][0]
    assert 9_000 <= gain <= 4 * 9_000
    assert found["temptation_minor"][0][0] < gain


def test_a_part_of_a_bucket_is_worth_no_more_than_what_it_cost() -> None:
    data = toy(cap(7, (1_001, 90), (5_003, 333)), hold(3, 5_003))
    coarse = build_states(policy_of(data), assumed())
    fine = States((*range(0, 5_003, 7), 5_003), coarse.tenure, coarse.deposits, (), coarse.run_days, coarse.trade)
    places = [max(i for i, low in enumerate(coarse.settled) if low <= edge) for edge in fine.settled]
    fine = States(*(getattr(fine, n) for n in ("settled", "tenure", "deposits")), tuple(coarse.granted[p] for p in places),
                  fine.run_days, fine.trade)  # fmt: skip
    for real in (False, True):
        assert solve(coarse, assumed(), real).fresh == solve(fine, assumed(), real).fresh


@st.composite
def worlds(draw: st.DrawFn) -> World:
    return make_world(lambda least, most: draw(st.integers(least, most)))


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(worlds())
def test_the_other_code_proves_every_certificate_and_its_attacks(
    world: World,
) -> None:
    """Allow one difference: the replay has no good orders, of which a cheat may have as many as it likes."""
    data, parts = world
    found, policy = certified(data, **parts), policy_of(data)
    names = {rule["id"] for rule in data["rules"]}
    exact = "earning" not in names and ("reserve" not in names or data["trade"]["smallest_order_minor"] > 10**5)
    for verdict in found["verdicts"].values():
        attack = verdict["attack"]
        total = (
            attack["entry_cash_minor"]
            + attack["history_cash_minor"]
            + attack["run_cash_minor"]
            - attack["deposit_minor"]
        )
        assert verdict["most_minor"] == max(total, 0)
        played = replay(policy, assumed(**parts), attack)
        assert total - 1 <= played <= total if exact else played <= total


@pytest.mark.parametrize("name", ["general", "ladder"])
def test_a_certificate_of_a_shipped_policy_is_proven(name: str) -> None:
    certified(shipped_data(name))


def test_a_lower_limit_of_holds_in_one_marketplace_counts() -> None:
    rules = cap(1_000), rule("hold", {"kind": "settlement_hold", "days": 5})
    held = toy(*rules)
    assert certified(held)["verdicts"][REAL]["holds"]
    cut = certified(held | {"hold_limits": {"acme": 2}})
    assert cut["verdicts"][REAL]["most_minor"] == 3 * 1_000 - 100


def young(ppm: int) -> JsonObject:
    limit = {"kind": "paid_ahead_limit", "days": 9, "value_minor": 90, "ppm": ppm, "at_most_minor": 700}
    return toy(cap(1_000), rule("ahead", {"kind": "delivery_hold", "days": 1}, limit))


def test_a_run_brings_at_most_the_limit_on_young_orders() -> None:
    low, high = certified(young(40_000))["verdicts"], certified(young(70_000))["verdicts"]
    assert (low[FAKED]["most_minor"], low[REAL]["most_minor"]) == (0, 700 - 100)
    assert high[FAKED]["most_minor"] == 700 - 435 - 100
    assert (low[REAL]["attack"]["ahead_minor"], high[FAKED]["attack"]["ahead_minor"]) == (700, 700 - 435)


def test_orders_that_are_young_no_longer_count_by_their_hold() -> None:
    limit = {"kind": "paid_ahead_limit", "days": 2, "value_minor": 90, "ppm": 0, "at_most_minor": 90}
    found = certified(toy(cap(1_000), rule("ahead", limit)))["verdicts"][REAL]
    assert found["most_minor"] == 3 * 1_000 + 90 - 100


def test_a_policy_may_allow_a_loss_by_its_own_statement() -> None:
    allowed = certified(young(40_000) | {"trade": young(40_000)["trade"] | {"most_loss_minor": 600}})
    assert allowed["verdicts"][REAL]["holds"]
    assert list_failed(allowed) == []
    assert list_failed(certified(young(40_000))) == [REAL]


def test_a_season_counts_by_its_factor() -> None:
    plain = certified(TOY)["verdicts"]
    span = {"name": "sales", "from": "2026-11-01", "until": "2026-11-12"}
    doubled = certified(TOY | {"seasons": [span | {"times_ppm": 2_000_000}]})["verdicts"]
    assert doubled[FAKED]["most_minor"] == 2 * 5 * 4_000 - 20_000 - 100
    assert doubled[REAL]["most_minor"] == 2 * 5 * 4_000 - 100
    low = [{"times_ppm": 500_000}, {"from": "1969-12-31", "until": "1970-01-02", "times_ppm": 100_000}]
    for lowered in low:
        assert certified(TOY | {"seasons": [span | lowered]})["verdicts"] == plain


MUCH = toy(cap(30_000), rule("hold", {"kind": "settlement_hold", "days": 4}))


def joined(*data: JsonObject) -> JsonObject:
    *older, last = data
    found = json.loads(json.dumps(certify(policy_of(last), assumed(), older=[policy_of(one) for one in older])))
    check_certificate(last, found, stated(), older=older)
    sequence: JsonObject = found["sequence"]
    return sequence


def test_a_run_across_two_policies_takes_more_than_under_each() -> None:
    assert joined(MUCH, LITTLE)["most_minor"][REAL] == 30_000 + 4 * 6_000 - 100
    assert joined(LITTLE, MUCH)["most_minor"][REAL] == 30_000 - 100
    assert joined(MUCH, LITTLE, MUCH)["most_minor"][REAL] == 30_000 + 4 * 6_000 - 100
    assert joined(MUCH, LITTLE)["before_minor"][REAL] == 30_000 - 100


def test_a_run_across_policies_lasts_as_long_as_it_may_under_any() -> None:
    quick = joined(LITTLE, toy(cap(1_000), delivery_promise_days=1))
    assert quick["run_days"] == 5
    assert quick["most_minor"][REAL] == 5 * 6_000 - 100


def test_of_deposits_in_a_sequence_the_smallest_deters() -> None:
    asking = toy(cap(6_000), rule("deposit", {"kind": "deposit", "amount_minor": 9_000}))
    assert joined(asking, asking | {"version": 2})["most_minor"][REAL] == 30_000 - 9_000 - 100
    assert joined(asking, LITTLE)["most_minor"][REAL] == 30_000 - 100


def test_a_certificate_of_a_sequence_is_proven_with_its_policies() -> None:
    found = certify(policy_of(LITTLE), assumed(), older=[policy_of(MUCH)])
    for older, fault in (([], "policies before its own, which are not at hand"), ([LITTLE], "are not theirs")):
        with pytest.raises(NotProven, match=fault):
            check_certificate(LITTLE, found, stated(), older=older)
    found["sequence"]["most_minor"][REAL] -= 1
    found["digest"] = digest_certificate(found)
    with pytest.raises(NotProven, match="are not theirs"):
        check_certificate(LITTLE, found, stated(), older=[MUCH])


@pytest.mark.long
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_the_other_code_proves_runs_across_random_policies(data: st.DataObject) -> None:
    drawn = [data.draw(worlds()) for _ in range(data.draw(st.integers(2, 3)))]
    *older, (last, parts) = drawn
    assumptions = assumed(**parts)
    found = json.loads(json.dumps(certify(policy_of(last), assumptions, older=[policy_of(one) for one, _ in older])))
    check_certificate(last, found, stated(**parts), older=[one for one, _ in older])
    if any(rule["id"] == "ahead" for policy, _ in drawn for rule in policy["rules"]):
        return  # a limit counts by bucket, and the buckets of a sequence are finer than those of one policy
    for name, most in found["sequence"]["most_minor"].items():
        assert most >= max(found["sequence"]["before_minor"][name], found["verdicts"][name]["most_minor"])


def test_an_unknown_part_of_a_policy_is_not_proven() -> None:
    found = certified(TOY)
    for altered in (TOY | {"gifts": 1}, TOY | {"rules": [*TOY["rules"], TOY["rules"][0] | {"mood": "good"}]}):
        forged = found | {"policy": found["policy"] | {"digest": digest_of(altered)}}
        forged["digest"] = digest_certificate(forged)
        with pytest.raises(NotProven, match=r"nothing is known here of these parts of a policy: (gifts|mood)"):
            check_certificate(altered, forged)


def test_who_accepts_a_failed_verdict_is_named_with_the_sum() -> None:
    found = certify(policy_of(TOY), assumed(), {FAKED: "r.head"})
    assert found["accepted"] == [{"verdict": FAKED, "by": "r.head", "most_minor": 2_400}]
    assert list_failed(found) == [REAL]
    with pytest.raises(CertificateRefused, match="holds, and there is nothing to accept"):
        certify(policy_of(toy(cap(1), hold(5, 10**9))), assumed(), {FAKED: "r.head"})
    with pytest.raises(CertificateRefused, match="is no verdict"):
        certify(policy_of(TOY), assumed(), {"never": "r.head"})
    [accepted] = found["accepted"]
    for changed, fault in (({"most_minor": 2_399}, "another sum"), ({"by": " "}, "who accepted")):
        forged = json.loads(json.dumps(found | {"accepted": [accepted | changed]}))
        with pytest.raises(NotProven, match=fault):
            check_certificate(TOY, forged | {"digest": digest_certificate(forged)})


def test_a_policy_that_bounds_nothing_has_no_certificate() -> None:
    open_ended = toy(rule("some", {"kind": "value_cap", "value_minor": 5}, tiers=["unrated", "probation"]))
    for data, parts, fault in (
        (open_ended, {}, "nothing bounds what a seller without a tier takes in a day, having settled"),
        (copy.deepcopy(TOY) | {"currency": "USD"}, {}, "assumptions are in EUR, the policy's amounts in USD"),
        ({k: v for k, v in TOY.items() if k != "trade"}, {}, "states no [trade]"),
    ):
        with pytest.raises(CertificateRefused) as error:
            certify(parse_policy(data), assumed(**parts))
        assert fault in str(error.value)
    with pytest.raises(PolicyRefused, match="must be a whole number"):
        parse_policy(toy(cap(10**15 + 1)))


def test_the_page_states_what_no_certificate_covers() -> None:
    text = (Path(__file__).parents[3] / "docs" / "explanation" / "loss-certificate.md").read_text()
    stated = text.partition("## What it does not cover\n\n")[2].partition("\n\n")[0]
    assert stated.splitlines() == [f"- {sentence}" for sentence in NOT_COVERED]


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(worlds(), st.integers(0, 2**32))
def test_no_history_gets_laxer_terms_than_its_abstract_state(world: World, seed: int) -> None:
    policy, assumptions, chance = policy_of(world[0]), assumed(**world[1]), random.Random(seed)
    states = build_states(policy, assumptions)
    assert live_at_random(policy, states, Life(policy, assumptions), chance, 60) == 0


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_no_life_with_a_deposit_brings_more_than_is_certified(seed: int) -> None:
    chance = random.Random(seed)
    asked = {"kind": "deposit", "amount_minor": chance.choice([400, 2_000])}
    asked |= chance.choice([{}, {"ppm": chance.choice([20_000, 400_000]), "days": chance.choice([2, 40])}])
    days = chance.choice([0, 2, 9])
    hold_ = {"kind": "settlement_hold", "days": chance.choice([1, 3])}
    data = toy(cap(100, (500, 200), (3_000, 900)), rule("all", hold_, asked), claim_days=2, deposit_refill_days=days)
    found, policy = certified(data), policy_of(data)
    for is_real in (False, True):
        for places in (False, True):
            life = Life(policy, assumed(), places_at_once=places)
            for _ in range(chance.choice([0, 5, 20, 40])):
                if places:
                    life.refill()
                life.sell(life.room(), to_itself=not is_real)
                life.sleep()
            for _ in range(life.run_days):
                life.keep_none([life.room()])
                life.sleep()
            assert life.end() <= found["verdicts"][REAL if is_real else FAKED]["most_minor"]


@pytest.mark.long
def test_no_damaged_certificate_is_proven() -> None:
    certificate = to_be_altered()
    where, chance = provable(certificate), random.Random(17)
    accepted = []
    for _ in range(400):
        damaged, what = damage(certificate, where, chance)
        if damaged == certificate:
            continue
        try:
            check_certificate(TOY, damaged, stated())
        except NotProven:
            continue
        accepted.append(what)
    assert accepted == []


def test_a_forged_statement_is_refused_or_listed_as_not_proven() -> None:
    certificate, chance, passed = to_be_altered(), random.Random(9), []
    for _ in range(150):
        forged, text = forge_statement(certificate, chance)
        with suppress(NotProven):
            passed += [] if any(text in one for one in check_certificate(TOY, forged).not_proven) else [text]
        policy = misspell(TOY, chance)
        forged = certificate | {"policy": certificate["policy"] | {"digest": digest_of(policy)}}
        with suppress(NotProven):
            passed.append(str(check_certificate(policy, forged | {"digest": digest_certificate(forged)})))
    assert passed == []


def test_all_that_a_sound_certificate_cannot_prove_is_listed() -> None:
    found = certify(policy_of(TOY), assumed(), {FAKED: "r.head"})
    assert check_certificate(TOY, json.loads(json.dumps(found))).not_proven == (
        *(
            f"the assumption {name} holds, by its source: {stated()[name]['source']}"
            for name in stated()
            if name != "currency"
        ),
        "nobody was granted more than the policy: nobody looked",
        "r.head accepted against_faked_history",
    )


def test_an_altered_certificate_is_refused_by_its_fault() -> None:
    found = json.loads(json.dumps(certify(policy_of(TOY), assumed())))

    def fault(change: Any = None, policy: Any = TOY, assumptions: Any = None, *, forge: bool = True) -> str:
        altered = json.loads(json.dumps(found))
        if change:
            change(altered)
        altered["digest"] = digest_certificate(altered) if forge else altered["digest"]
        with pytest.raises(NotProven) as error:
            check_certificate(policy, altered, assumptions)
        return str(error.value)

    def put(value: Any, *path: Any) -> Any:
        def change(altered: Any) -> None:
            for key in path[:-1]:
                altered = altered[key]
            altered[path[-1]] = value

        return change

    assert "was altered: its digest is another" in fault(put(1, "run_days"), forge=False)
    assert "run goes on for 5 days" in fault(put(1, "run_days"))
    assert "a notice adds 0 days" in fault(put(1, "notice_days"))
    assert "2401 is stated, and its best edge gives 2400" in fault(put(2_401, "verdicts", FAKED, "most_minor"))
    assert "best edge gives" in fault(put(9, "verdicts", FAKED, "running", 0, 0, 0))
    assert "buckets of settled value are not" in fault(lambda c: c["settled"].pop())
    assert "is of another policy" in fault(policy=TOY | {"version": 9})
    assert "not in one currency" in fault(put("USD", "currency"))
    assert "rests on other assumptions" in fault(assumptions=stated(stop={"days": 1}))
    assert "an assumption is missing, or one is none" in fault(put({"days": 14}, "assumptions", "caution"))
    assert "lacks a state" in fault(lambda c: c["verdicts"][REAL]["building"].pop())
    assert "lacks a state of a run" in fault(lambda c: c["verdicts"][REAL]["running"].pop())
    assert "must be a whole number of at least 0" in fault(put(-1, "assumptions", "wash", "ppm"))
    assert "must be a whole number of at least 1" in fault(put(0, "assumptions", "stop", "days"))
    assert "stop has other parts" in fault(lambda c: c["assumptions"]["stop"].pop("days"))
    assert "stop states no source" in fault(put(" ", "assumptions", "stop", "source"))
    assert "a part is missing or of another form" in fault(put(None, "verdicts", REAL, "attack"))
    assert "does not hold as stated" in fault(put(True, "verdicts", FAKED, "holds"))


def test_an_attack_that_does_not_pay_is_checked_as_well() -> None:
    data = toy(cap(1_000), rule("all", {"kind": "settlement_hold", "days": 5}, {"kind": "deposit", "amount_minor": 50}))
    found = json.loads(json.dumps(certify(policy_of(data), assumed())))
    assert found["verdicts"][FAKED]["holds"]
    for part, fault in (
        ("deposit_minor", "the attack's deposit"),
        ("entry_cash_minor", "the attack has no such entry"),
        ("history_cash_minor", "the attack's history"),
        ("run_cash_minor", "the attack's run"),
    ):
        altered = json.loads(json.dumps(found))
        altered["verdicts"][FAKED]["attack"][part] -= 1
        altered["digest"] = digest_certificate(altered)
        with pytest.raises(NotProven, match=fault):
            check_certificate(data, altered)

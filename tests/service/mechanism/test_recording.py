import threading
from dataclasses import replace

import pytest

from scoring.base.enums import (
    Action,
    ComplaintOutcome,
    CorrectionKind,
    DepositChange,
    MeasureKind,
    MeasureState,
)
from scoring.base.errors import InvalidInput
from scoring.base.time import DAY, format_time
from scoring.entries.entry import Entry
from scoring.entries.incidents import DERIVED_ID_PREFIX
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged
from scoring.entries.kinds.settlement import ComplaintDecided, ComplaintFiled, DepositChanged
from scoring.measures.record import name_measure
from scoring.policy.measures import Suspension
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.mechanism.recorder import Recorder
from service.policy.policy_file import parse_policy_text
from service.registry.moves import ModelMove
from tests.helpers.builders import MARKET, NOW, SELLER, TODAY, Clock, confirmed, exposure, identity, status
from tests.helpers.recordings import RULES, Killed, Told, facts_of, history, killed_after, recorded, undisturbed
from tests.helpers.servers import Shelf
from tests.helpers.worlds import artifact, policy

SUSPENSION = name_measure(SELLER, "week", Suspension(7))


@pytest.fixture
def told(ledger: Ledger, clock: Clock) -> Told:
    made = Told(ledger, clock)
    made.append(identity("i1"), exposure(TODAY - 60))
    return made


def lifted(measure: str = SUSPENSION, state: MeasureState = MeasureState.LIFTED, entry_id: str = "lift") -> Entry:
    violations = () if state is MeasureState.LIFTED else ("v1", "v2")
    fact = MeasureChanged(measure, MeasureKind.SUSPENSION, state, "staff-9", "a mistake", violations=violations)
    return Entry(entry_id, SELLER, fact)


def test_what_rules_ask_for_is_recorded_once_in_order(told: Told) -> None:
    told.worker.look()
    assert told.record() == [("everybody", "imposed")]
    told.append(confirmed("v1"), confirmed("v2"), status("v1", Action.OVERTURN))
    assert told.worker.look() == 5
    assert told.record()[1:] == [
        ("review", "imposed"),
        ("review", "updated"),
        ("week", "imposed"),
        ("week", "lifted"),
        ("review", "updated"),
    ]
    assert (told.worker.look(), told.another().look()) == (0, 0)
    [imposed] = [fact for fact in told.statements() if (fact.rule, fact.state) == ("week", MeasureState.IMPOSED)]
    assert (imposed.measure, imposed.days, imposed.violations) == (SUSPENSION, 7, ("v1", "v2"))
    assert (imposed.policy, imposed.at_sequence) == (told.policy.digest, 5)
    listed = [one.entry.fact for one in told.ledger.entries.list(MARKET, told.ledger.cut())]
    said = {(f.rule, f.state.name, f.reason) for f in listed if isinstance(f, MeasureChanged)}
    assert {("week", "IMPOSED", "Terms 3"), ("week", "LIFTED", "the rule week does not hold any more")} <= said


def test_what_came_and_went_without_a_worker_is_stated(told: Told) -> None:
    told.worker.look()
    told.append(confirmed("v1"), confirmed("v2"), status("v1", Action.OVERTURN), confirmed("v3"))
    told.clock.now += 3 * DAY
    told.another().look()
    weeks = [fact for fact in told.statements() if fact.rule == "week"]
    assert [fact.state.name for fact in weeks] == ["IMPOSED", "LIFTED", "IMPOSED"]
    assert [fact.violations for fact in weeks] == [("v1", "v2"), ("v1", "v2"), ("v2", "v3")]


def test_a_suspension_that_is_served_is_lifted_by_the_day(told: Told) -> None:
    told.worker.look()
    told.append(confirmed("v1"), confirmed("v2"))
    told.worker.look()
    told.clock.now += 6 * DAY
    assert told.worker.look() == 0
    told.clock.now += DAY
    assert told.worker.look() == 1
    assert told.record()[-1] == ("week", "lifted")


def test_another_policy_changes_what_is_on_record(told: Told) -> None:
    told.worker.look()
    text = RULES.replace("50_000", "70_000").replace('id = "review"', 'id = "look"')
    told.policy = parse_policy_text(text)
    told.append(confirmed("v1"))
    told.another().look()
    assert [(fact.rule, fact.state.name, fact.amount_minor) for fact in told.statements()] == [
        ("everybody", "IMPOSED", 50_000),
        ("everybody", "UPDATED", 70_000),
        ("look", "IMPOSED", 0),
    ]
    told.policy = policy()
    told.another().look()
    assert sorted(told.record()[-2:]) == [("everybody", "lifted"), ("look", "lifted")]


def test_the_largest_measures_of_a_policy_are_recorded(told: Told) -> None:
    odd = f"""
[[rules]]
id = "odd"
reference = " {"ℵ" * 498} "
measures = [
  {{ kind = "listing_cap", listings = 1_000_000_000 }},
  {{ kind = "value_cap", value_minor = 1_000_000_000_000_000, product_category = "toys and games" }},
]
"""
    told.policy = parse_policy_text(RULES + odd)
    told.another().look()
    caps = [(fact.listings, fact.amount_minor) for fact in told.statements() if fact.rule == "odd"]
    assert caps == [(1_000_000_000, 0), (0, 10**15)]


def test_a_placed_deposit_counts_not_a_required_one(told: Told) -> None:
    told.worker.look()
    for change, amount in (
        (DepositChange.PLACED, 20_000),
        (DepositChange.PLACED, 40_000),
        (DepositChange.RETURNED, 35_000),
    ):
        told.append(Entry(f"d{amount}", SELLER, DepositChanged(change, amount, "EUR", "bank")))
    told.worker.look()
    assert [fact.amount_minor for fact in told.statements()] == [50_000, 30_000, 0, 25_000]


def test_a_deposit_as_a_share_of_sales_is_stated_once(told: Told) -> None:
    told.policy = parse_policy_text(RULES.replace("amount_minor = 50_000", "ppm = 50_000, days = 90"))
    worker = told.another()
    for number in (1, 2):
        told.append(exposure(TODAY - number, value_minor=40_000, currency="EUR"))
        worker.look()
        found = build_scorer(told.ledger, told.policy).whole_answer(MARKET, SELLER, told.ledger.cut()).in_force
        assert found.terms.deposit_minor == number * 2_000
    [stated] = [fact for fact in told.statements() if fact.rule == "everybody"]
    assert (stated.amount_minor, stated.ppm, stated.days, stated.currency) == (0, 50_000, 90, "")


def test_what_a_person_lifts_is_not_imposed_again(told: Told) -> None:
    told.worker.look()
    told.append(confirmed("v1"), confirmed("v2"))
    told.worker.look()
    told.append(lifted())
    told.worker.look()
    assert told.record()[-1] == ("week", "lifted")
    assert told.in_force()["week"] == "lift"
    told.append(exposure(TODAY - 30), identity("i2"))
    told.clock.now += 2 * DAY
    assert told.worker.look() == 0
    told.append(confirmed("v3"))
    told.worker.look()
    assert told.record()[-1] == ("week", "imposed")
    assert told.in_force()["week"] == ""


def test_a_person_may_take_a_lift_back(told: Told) -> None:
    told.worker.look()
    told.append(confirmed("v1"), confirmed("v2"), lifted(), lifted(SUSPENSION, MeasureState.IMPOSED, "again"))
    told.worker.look()
    assert [state for rule, state in told.record() if rule == "week"] == ["imposed", "lifted", "imposed"]


def test_a_complaint_that_is_upheld_lifts_what_a_rule_asked_for(told: Told) -> None:
    told.worker.look()
    told.append(confirmed("v1"), confirmed("v2"))
    told.worker.look()
    told.append(Entry("c1", SELLER, ComplaintFiled(SUSPENSION, "not ours")))
    told.append(Entry("d1", SELLER, ComplaintDecided("c1", ComplaintOutcome.UPHELD, "staff-2", "so it is")))
    told.worker.look()
    assert told.in_force()["week"].startswith(DERIVED_ID_PREFIX)
    assert told.record()[-1] == ("week", "lifted")


def test_only_the_service_states_what_rules_ask_for(told: Told) -> None:
    told.append(confirmed("v1"), confirmed("v2"))
    told.worker.look()
    mine = told.statements()[-1]
    with pytest.raises(InvalidInput) as caught:
        told.append(Entry("x", SELLER, mine))
    names = ("rule", "policy", "at_sequence")
    assert [one.field for one in caught.value.violations] == [f"entries[0].measure.{name}" for name in names]
    plain = replace(mine, rule="", policy="", at_sequence=0, state=MeasureState.UPDATED)
    with pytest.raises(InvalidInput, match=r"measure\.state: must be imposed or lifted"):
        told.append(Entry("x", SELLER, plain))
    [entry_id] = [
        one.entry_id
        for one in told.ledger.measures.read_seller_terms(MARKET, SELLER, told.ledger.cut()).statements
        if one.fact == mine
    ]
    with pytest.raises(InvalidInput, match="measures of rules the opposite change"):
        told.append(Entry("c", "", EntryCorrected(entry_id, CorrectionKind.VOID, "staff", "wrong")))


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_killed_worker_states_what_another_does(
    ledger: Ledger, clock: Clock, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    told = Told(ledger, clock)
    told.worker.look()
    history(told, 30, seed)
    kills = 0
    while True:
        try:
            with killed_after(ledger, 1 + kills % 3):
                told.another().look()
            break
        except Killed:
            kills += 1
    assert kills > 5
    assert facts_of(recorded(told)) == undisturbed(tmp_path_factory.mktemp("plain"), seed)


@pytest.mark.long
def test_two_workers_at_once_state_each_change_once(
    ledger: Ledger, clock: Clock, tmp_path_factory: pytest.TempPathFactory
) -> None:
    told = Told(ledger, clock)
    told.worker.look()
    history(told, 30, 4)
    workers = [told.another() for _ in range(2)]
    threads = [threading.Thread(target=worker.look) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert facts_of(recorded(told)) == undisturbed(tmp_path_factory.mktemp("plain"), 4)
    assert sum(worker.appended for worker in workers) == sum(map(len, recorded(told).values()))


class _Promoted(Shelf):
    def history(self) -> list[ModelMove]:
        return [ModelMove("champion", self.champion_digest(), "a-1", "the first", format_time(NOW))]


def test_the_model_before_a_promotion_is_none(ledger: Ledger) -> None:
    scorer = build_scorer(ledger, policy(), _Promoted(artifact()))
    [move], recorder = scorer.champion.changes, Recorder(ledger, scorer)
    models = [recorder.follows_from_at(move.time + after).split(":")[0] for after in (-1, 0, 1)]
    assert models == ["", "", artifact().digest[:16]]

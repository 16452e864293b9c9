"""The record of measures: each change is stated once and in order, however often and by however many workers."""

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from scoring.entries.entry import Entry
from scoring.entries.incidents import DERIVED_ID_PREFIX
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged, OverrideImposed
from scoring.entries.kinds.settlement import ComplaintDecided, ComplaintFiled, DepositChanged
from scoring.enums import (
    Action,
    ComplaintOutcome,
    CorrectionKind,
    DepositChange,
    MeasureKind,
    MeasureState,
    Tier,
)
from scoring.errors import InvalidInput
from scoring.measures.record import name_measure
from scoring.policy.measures import Suspension
from scoring.policy.policy import Policy
from scoring.time import DAY, SECOND
from service.bootstrap import build_scorer
from service.ledger.store import Ledger
from service.mechanism.recorder import Recorder
from service.mechanism.worker import MechanismWorker
from service.policy.policy_file import parse_policy_text
from tests.builders import MARKET, SELLER, TODAY, Clock, confirmed, exposure, identity, status
from tests.scoring.worlds import policy

GENERAL = (files("service.policy") / "general.toml").read_text()
RULES = (
    GENERAL[: GENERAL.index("[[rules]]")]
    + """
[[rules]]
id = "everybody"
reference = "Terms 1"
measures = [{ kind = "deposit", amount_minor = 50_000 }]

[[rules]]
id = "review"
reference = "Terms 2"
standing = { from = 12 }
measures = [{ kind = "manual_review" }]

[[rules]]
id = "week"
reference = "Terms 3"
standing = { from = 24 }
measures = [{ kind = "suspension", days = 7 }]
"""
)
"""The general policy's head with three rules: for everybody, and by two standings."""
SUSPENSION = name_measure(SELLER, "week", Suspension(7))


class Told:
    """A ledger, its clock, and a worker on it; the record as it stands."""

    def __init__(self, ledger: Ledger, clock: Clock, by: Policy | None = None) -> None:
        self.ledger, self.clock = ledger, clock
        self.policy = by or parse_policy_text(RULES)
        self.worker = self.another()

    def another(self, ledger: Ledger | None = None) -> MechanismWorker:
        """One more worker, as after a restart or in another process."""
        where = ledger or self.ledger
        return MechanismWorker(where, Recorder(where, build_scorer(where, self.policy)))

    def append(self, *entries: Entry) -> None:
        """Each in an append of its own, a minute apart."""
        for entry in entries:
            self.clock.now += 60 * SECOND
            self.ledger.append(MARKET, [entry])

    def statements(self, seller: str = SELLER) -> list[MeasureChanged]:
        """What the service stated of a seller, in order."""
        found = self.ledger.measures.of_seller(MARKET, seller, self.ledger.cut()).statements
        return [one.fact for one in found if one.fact.rule]

    def record(self, seller: str = SELLER) -> list[tuple[str, str]]:
        """The rules and states of what was stated, in order."""
        return [(fact.rule, fact.state.name.lower()) for fact in self.statements(seller)]

    def in_force(self, seller: str = SELLER) -> dict[str, str]:
        """What evaluation says now: by rule the entry that lifted it, or none."""
        found, _, _ = build_scorer(self.ledger, self.policy).measures(MARKET, seller, self.ledger.cut())
        return {one.rule: one.lifted for one in found.measures}


@pytest.fixture
def told(ledger: Ledger, clock: Clock) -> Told:
    made = Told(ledger, clock)
    made.append(identity("i1"), exposure(TODAY - 60))
    return made


def lifted(measure: str = SUSPENSION, state: MeasureState = MeasureState.LIFTED, entry_id: str = "lift") -> Entry:
    """A person lifts a measure, or takes that back."""
    violations = () if state is MeasureState.LIFTED else ("v1", "v2")
    fact = MeasureChanged(measure, MeasureKind.SUSPENSION, state, "staff-9", "a mistake", violations=violations)
    return Entry(entry_id, SELLER, fact)


def test_what_rules_ask_for_is_imposed_updated_and_lifted_once_each_and_in_order(told: Told) -> None:
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


def test_what_was_applied_and_taken_back_while_no_worker_ran_is_stated_all_the_same(told: Told) -> None:
    """At the appends that decided it, so that the record does not depend on when a worker ran."""
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
    told.policy = policy()  # which has no rules
    told.another().look()
    assert sorted(told.record()[-2:]) == [("everybody", "lifted"), ("look", "lifted")]


def test_the_largest_and_oddest_that_a_policy_may_state_is_recorded_too(told: Told) -> None:
    """Else one rule would keep the record of every seller from going on."""
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


def test_a_deposit_that_is_placed_is_what_counts_not_the_one_that_is_required(told: Told) -> None:
    told.worker.look()
    for change, amount in (
        (DepositChange.PLACED, 20_000),
        (DepositChange.PLACED, 40_000),
        (DepositChange.RETURNED, 35_000),
    ):
        told.append(Entry(f"d{amount}", SELLER, DepositChanged(change, amount, "EUR", "bank")))
    told.worker.look()
    assert [fact.amount_minor for fact in told.statements()] == [50_000, 30_000, 0, 25_000]


def test_what_a_person_lifts_is_not_imposed_again_on_the_same_facts(told: Told) -> None:
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
    told.append(confirmed("v3"))  # other facts
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
        for one in told.ledger.measures.of_seller(MARKET, SELLER, told.ledger.cut()).statements
        if one.fact == mine
    ]
    with pytest.raises(InvalidInput, match="measures of rules the opposite change"):
        told.append(Entry("c", "", EntryCorrected(entry_id, CorrectionKind.VOID, "staff", "wrong")))


def history(told: Told, number: int, seed: int) -> None:
    """Random decisions about a few sellers, each an append of its own."""
    draw = random.Random(seed)
    reported: dict[str, list[str]] = {f"s{n}": [] for n in range(3)}
    told.append(*(identity(f"i-{seller}", seller) for seller in reported))
    for n in range(number):
        seller = draw.choice([*reported])
        names = reported[seller]
        match draw.choice(["report", "report", "overturn", "override", "deposit", "lift"]):
            case "overturn" if names:
                told.append(status(names.pop(draw.randrange(len(names))), Action.OVERTURN))
            case "override":
                fact = OverrideImposed(draw.choice([*Tier]), told.clock.now + 9 * DAY, "staff", "so")
                told.append(Entry(f"o{n}", seller, fact))
            case "deposit":
                placed = DepositChanged(DepositChange.PLACED, draw.randint(1, 9_000), "EUR", "bank")
                told.append(Entry(f"d{n}", seller, placed))
            case "lift":
                fact = MeasureChanged(
                    name_measure(seller, "week", Suspension(7)),
                    *(MeasureKind.SUSPENSION, MeasureState.LIFTED, "staff-9", "a mistake"),
                )
                told.append(Entry(f"l{n}", seller, fact))
            case _:
                names.append(f"v{n}")
                told.append(confirmed(f"v{n}", seller))


class Killed(BaseException):
    """The worker's process ends here."""


@contextmanager
def killed_after(ledger: Ledger, appends: int) -> Iterator[None]:
    """The process ends after so many appends: what was committed stands, and nothing after it happens."""
    left = [appends]
    append = ledger.append

    def counted(*arguments: object, **named: object) -> object:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return append(*arguments, **named)  # type: ignore[arg-type]

    ledger.append = counted  # type: ignore[assignment]
    try:
        yield
    finally:
        ledger.append = append  # type: ignore[method-assign]


def recorded(told: Told) -> dict[str, list[MeasureChanged]]:
    return {f"s{n}": told.statements(f"s{n}") for n in range(3)}


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_worker_that_is_killed_again_and_again_states_what_one_that_is_not_does(
    ledger: Ledger, clock: Clock, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing is lost, stated twice or out of order."""
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


def undisturbed(folder: Path, seed: int) -> dict[str, Sequence[MeasureChanged]]:
    """The record of the same history, which one worker followed to the end."""
    clock = Clock()
    with Ledger.open(f"sqlite:///{folder}/plain.db", create=True, clock=clock) as ledger:
        told = Told(ledger, clock)
        told.worker.look()
        history(told, 30, seed)
        told.worker.look()
        return facts_of(recorded(told))


def facts_of(record: dict[str, list[MeasureChanged]]) -> dict[str, Sequence[MeasureChanged]]:
    """The record without the places in the ledger, which differ where statements stand between other entries."""
    return {seller: [replace(fact, at_sequence=0) for fact in facts] for seller, facts in record.items()}

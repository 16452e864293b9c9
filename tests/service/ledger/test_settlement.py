from dataclasses import replace

import pytest

from scoring.base.enums import (
    NOTICE_STATES,
    ClaimChange,
    ComplaintOutcome,
    CorrectionKind,
    DepositChange,
    MeasureKind,
    MeasureState,
    PayoutsChange,
)
from scoring.base.errors import (
    BalanceForbids,
    ContestForbids,
    EntryNotFound,
    FlowRevisionTaken,
    InvalidInput,
    MeasureNotFound,
)
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.flow import list_flow_as_of
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged
from scoring.entries.kinds.settlement import (
    ClaimChanged,
    ComplaintDecided,
    ComplaintFiled,
    DepositChanged,
    FlowStated,
    PayoutsChanged,
)
from scoring.entries.kinds.table import Fact
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, NOW, SELLER, TODAY, Clock, ago, exposure, status, violation


def deposit(change: DepositChange, amount: int, currency: str = "EUR", claim: str = "") -> DepositChanged:
    return DepositChanged(change, amount, currency, "bank", claim)


def claim(change: ClaimChange, amount: int, currency: str = "EUR", name: str = "k1") -> ClaimChanged:
    return ClaimChanged(name, change, amount, currency, "court")


def measure(state: MeasureState = MeasureState.IMPOSED, actor: str = "staff-1", *violations: str) -> MeasureChanged:
    kind = MeasureKind.SUSPENSION if violations else MeasureKind.DEPOSIT
    return MeasureChanged("m1", kind, state, actor, "as the rules say", violations=violations)


def decided(actor: str, outcome: ComplaintOutcome = ComplaintOutcome.UPHELD, complaint: str = "c1") -> ComplaintDecided:
    return ComplaintDecided(complaint, outcome, actor, "looked at again")


class Story:
    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger, self.clock, self.count = ledger, clock, 0

    def __call__(self, *facts: Fact, entry_id: str = "", seller: str = SELLER, days: float | None = None) -> None:
        entries = []
        for fact in facts:
            self.count += 1
            when = None if days is None else ago(days)
            entries.append(Entry(entry_id or f"e{self.count}", seller, fact, when))
        self.ledger.append(MARKET, entries)


@pytest.fixture
def story(ledger: Ledger, clock: Clock) -> Story:
    return Story(ledger, clock)


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_a_deposit_gives_no_more_than_it_holds(story: Story, in_one_batch: bool) -> None:
    placed = (deposit(DepositChange.PLACED, 500), claim(ClaimChange.PAID, 900))
    drawn = deposit(DepositChange.DRAWN, 200, claim="k1")
    if in_one_batch:
        story(*placed, drawn)
    else:
        for fact in (*placed, drawn):
            story(fact)
    for change in (deposit(DepositChange.RETURNED, 301), deposit(DepositChange.DRAWN, 301, claim="k1")):
        with pytest.raises(BalanceForbids, match=r"deposit\.amount_minor: is more than the 300") as caught:
            story(change)
        assert caught.value.metadata == {"available_minor": "300", "currency": "EUR"}
    story(deposit(DepositChange.RETURNED, 300))
    story(deposit(DepositChange.PLACED, 5, "CNY"))


def test_what_is_placed_and_paid_is_bounded(story: Story) -> None:
    for largest in (deposit(DepositChange.PLACED, 10**15), claim(ClaimChange.PAID, 10**15)):
        story(*[largest] * 1_000)
        with pytest.raises(BalanceForbids, match="and the most is 1000000000000000000"):
            story(largest)


def test_a_deposit_has_one_currency_at_a_time(story: Story) -> None:
    story(deposit(DepositChange.PLACED, 500))
    with pytest.raises(BalanceForbids, match=r"deposit\.currency: is CNY, but what is on record is in EUR") as caught:
        story(deposit(DepositChange.PLACED, 500, "CNY"))
    assert caught.value.metadata == {"available_minor": "500", "currency": "EUR"}
    story(deposit(DepositChange.PLACED, 1, "CNY"), seller="s2")


def test_no_more_is_recovered_than_was_paid(story: Story) -> None:
    story(deposit(DepositChange.PLACED, 500))
    with pytest.raises(BalanceForbids, match=r"'k1' is not on record") as caught:
        story(deposit(DepositChange.DRAWN, 1, claim="k1"))
    assert caught.value.metadata["available_minor"] == "0"
    story(claim(ClaimChange.PAID, 100), claim(ClaimChange.RECOVERED, 30), deposit(DepositChange.DRAWN, 40, claim="k1"))
    for change in (deposit(DepositChange.DRAWN, 31, claim="k1"), claim(ClaimChange.RECOVERED, 31)):
        with pytest.raises(BalanceForbids, match="has 30 paid and not recovered"):
            story(change)
    with pytest.raises(BalanceForbids, match=r"claim\.currency: is CNY"):
        story(claim(ClaimChange.PAID, 1, "CNY"))
    for name in ("k1", "k9"):
        with pytest.raises(BalanceForbids, match=f"'{name}' is not on record for this seller"):
            story(claim(ClaimChange.RECOVERED, 1, name=name), seller="s2")
        story(claim(ClaimChange.PAID, 5, "CNY", name=name), seller="s2")
    story(claim(ClaimChange.RECOVERED, 30))


@pytest.mark.parametrize(
    ("fact", "field"),
    [
        (deposit(DepositChange.DRAWN, 5), "deposit.claim"),
        (deposit(DepositChange.PLACED, 5, claim="k1"), "deposit.claim"),
        (deposit(DepositChange.PLACED, 0), "deposit.amount_minor"),
        (deposit(DepositChange.PLACED, 5, "euro"), "deposit.currency"),
        (claim(ClaimChange.PAID, -5), "claim.amount_minor"),
        (FlowStated(TODAY + 1), "flow.day"),
        (FlowStated(TODAY, captured_orders=1, captured_minor=5), "flow.currency"),
        (FlowStated(TODAY, currency="EUR", refunded_minor=5), "flow.refunded_orders"),
        (PayoutsChanged(PayoutsChange.STOPPED, "", "because"), "payouts.actor"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_its_field(story: Story, fact: Fact, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        story(fact)
    assert [one.field for one in caught.value.violations] == [f"entries[0].{field}"]


def test_the_highest_revision_of_flow_counts(story: Story, clock: Clock) -> None:
    first = FlowStated(TODAY - 2, "toys", currency="EUR", captured_orders=3, captured_minor=900)
    story(first, FlowStated(TODAY - 2, captured_orders=1), FlowStated(TODAY - 3, captured_orders=7), seller=SELLER)
    clock.now += DAY
    story(replace(first, revision=4, captured_orders=5), FlowStated(TODAY - 1, captured_orders=2), seller="s2")
    then = story.ledger.cut(known_time=NOW + 10)
    story(replace(first, revision=4, captured_orders=5))
    story(replace(first, revision=2, captured_orders=9))

    def read(first_day: int = 0, cut: object = None) -> list[tuple[int, str, int, str]]:
        at = cut or story.ledger.cut()
        found = story.ledger.measures.flows(MARKET, [SELLER], at, first_day).get(SELLER, [])  # type: ignore[arg-type]
        return [(d.fact.day - TODAY, d.fact.product_category, d.fact.captured_orders, d.entry_id) for d in found]

    assert read() == [(-3, "", 7, "e3"), (-2, "", 1, "e2"), (-2, "toys", 5, "e6")]
    assert read(TODAY - 2) == [(-2, "", 1, "e2"), (-2, "toys", 5, "e6")]
    assert read(cut=then) == [(-3, "", 7, "e3"), (-2, "", 1, "e2"), (-2, "toys", 3, "e1")]
    assert read(cut=story.ledger.cut(observe_time=NOW + 10)) == read(cut=then)
    since = {
        day: story.ledger.measures.flows(MARKET, [SELLER, "s2"], then, day, with_before=True)
        for day in (TODAY - 2, TODAY)
    }
    assert [one.fact.day - TODAY for one in since[TODAY - 2][SELLER]] == [
        -3,
        -2,
        -2,
    ]
    assert [one.fact.day - TODAY for one in since[TODAY][SELLER]] == [-2, -2]
    toys = story.ledger.measures.flows(MARKET, [SELLER], story.ledger.cut(), TODAY - 2, with_before=True)[SELLER][-1]
    assert [(old.fact.captured_orders, old.until_time > then.observe_time) for old in toys.before] == [(3, True)]
    assert [list_flow_as_of([toys], t)[0].fact.captured_orders for t in (0, toys.before[0].until_time)] == [3, 5]
    both = story.ledger.measures.flows(MARKET, ["s2", SELLER, "nobody"], story.ledger.cut(), TODAY - 2)
    assert {name: [one.entry_id for one in days] for name, days in both.items()} == {
        SELLER: ["e2", "e6"],
        "s2": ["e4", "e5"],
    }
    assert [(one.first_entry_id, one.known_time < NOW + DAY) for one in both[SELLER]] == [("e2", True), ("e1", True)]


def test_a_revision_of_flow_is_stated_by_one_entry(story: Story) -> None:
    story(FlowStated(TODAY, "toys"))
    story.ledger.append(MARKET, [exposure(TODAY, product_category="toys")])
    with pytest.raises(FlowRevisionTaken, match=r"entries\[0\]\.flow: .* 'e1'") as caught:
        story(FlowStated(TODAY, "toys", captured_orders=3))
    assert caught.value.metadata == {"entry_id": "e1"}


def states(ledger: Ledger) -> list[tuple[MeasureState, str, str]]:
    found = [one.entry for one in ledger.entries.list(MARKET, ledger.cut())]
    return [(e.fact.state, e.fact.actor, e.origin) for e in found if isinstance(e.fact, MeasureChanged)]


def test_an_upheld_complaint_lifts_the_measure(story: Story) -> None:
    story(measure(), days=30)
    story(ComplaintFiled("m1", "we paid"), entry_id="c1")
    story(decided("staff-2"), entry_id="d1")
    assert states(story.ledger) == [
        (MeasureState.IMPOSED, "staff-1", ""),
        (MeasureState.LIFTED, "staff-2", "d1"),
    ]
    story.ledger.append(MARKET, [Entry("d1", SELLER, decided("staff-2"))])
    assert len(states(story.ledger)) == 2


def test_what_a_complaint_lifted_can_be_contested(story: Story) -> None:
    story(measure(), days=183)
    story(ComplaintFiled("m1", "we paid"), entry_id="c1")
    story(decided("staff-2"), entry_id="d1")
    story.clock.now += 100 * DAY
    story(ComplaintFiled("m1", "tell others that we paid"), entry_id="c2")
    with pytest.raises(ContestForbids, match="'staff-2' decided"):
        story(decided("staff-2", complaint="c2"))


def test_undecided_complaints_are_those_of_the_observe_time(story: Story) -> None:
    for days, fact, name in (
        (30, measure(), "m"),
        (20, ComplaintFiled("m1", "we paid"), "c1"),
        (10, decided("staff-2"), "d1"),
    ):
        story.clock.now = ago(days)
        story(fact, entry_id=name)
    story.clock.now = NOW

    def listed(days: float) -> list[str]:
        cut = story.ledger.cut(ago(days))
        return [one.entry.entry_id for one in story.ledger.entries.list_undecided_complaints(MARKET, cut, 9)]

    assert (listed(25), listed(15), listed(5)) == ([], ["c1"], [])


def test_a_complaint_that_is_rejected_leaves_the_measure(story: Story) -> None:
    story(measure())
    story(ComplaintFiled("m1", "we paid"), entry_id="c1")
    story(decided("staff-2", ComplaintOutcome.REJECTED))
    assert states(story.ledger) == [(MeasureState.IMPOSED, "staff-1", "")]


def test_a_complaint_is_about_a_measure_of_its_seller_that_was(story: Story) -> None:
    story(measure())
    with pytest.raises(MeasureNotFound, match=r"complaint\.measure: no measure 'm2'") as caught:
        story(ComplaintFiled("m2", "we paid"))
    assert caught.value.metadata == {"measure": "m2"}
    with pytest.raises(MeasureNotFound, match="against this seller"):
        story(ComplaintFiled("m1", "we paid"), seller="s2")
    with pytest.raises(EntryNotFound, match=r"complaint_decision\.complaint: no complaint 'c9'"):
        story(decided("staff-2", complaint="c9"))


def test_a_measure_is_contested_within_six_months_of_its_record(story: Story) -> None:
    story.clock.now = ago(200)
    story(measure())
    story.clock.now = ago(16)
    story(ComplaintFiled("m1", "we paid"))
    story.clock.now = ago(15)
    with pytest.raises(ContestForbids, match="six months") as caught:
        story(ComplaintFiled("m1", "we paid"))
    assert caught.value.metadata == {"why": "LATE"}
    story(measure(), days=200)
    story(ComplaintFiled("m1", "we paid"))
    story(replace(measure(), measure="m2", since=ago(-200)))
    story.clock.now = ago(-250)
    story(ComplaintFiled("m2", "we paid"))


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_a_hold_backdated_by_200_days_can_be_contested(story: Story, in_one_batch: bool) -> None:
    story.clock.now = ago(0)
    filed = Entry("c1", SELLER, ComplaintFiled("m1", "we paid"))
    batches = [[Entry("m", SELLER, measure(), ago(200)), filed]]
    for batch in batches if in_one_batch else [[one] for one in batches[0]]:
        story.ledger.append(MARKET, batch)


def test_a_complaint_is_decided_once_by_another_person(story: Story) -> None:
    story.ledger.append(MARKET, [violation("v1"), status("v1", actor="staff-7")])
    story(measure(MeasureState.IMPOSED, "staff-1", "v1"))
    story(measure(MeasureState.IMPOSED, "staff-3", "v1"))
    story(ComplaintFiled("m1", "it was not ours"), entry_id="c1")
    for actor in ("staff-1", "staff-3", "staff-7"):
        with pytest.raises(ContestForbids, match=f"complaint_decision.actor: '{actor}' decided") as caught:
            story(decided(actor))
        assert caught.value.metadata == {"why": "SAME_PERSON"}
    story(decided("staff-2"), entry_id="d1")
    with pytest.raises(ContestForbids, match="'c1' was decided by 'd1'") as caught:
        story(decided("staff-4"))
    assert caught.value.metadata == {"why": "DECIDED"}


@pytest.mark.parametrize("first", [0, 1, 2, 3, 4])
def test_who_confirmed_decides_no_complaint_in_the_same_batch(story: Story, first: int) -> None:
    entries = [
        violation("v1"),
        status("v1", actor="staff-7"),
        Entry("x1", SELLER, measure(MeasureState.IMPOSED, "staff-1", "v1")),
        Entry("c1", SELLER, ComplaintFiled("m1", "it was not ours")),
    ]
    if first:
        story.ledger.append(MARKET, entries[:first])
    for actor, is_refused in (("staff-7", True), ("staff-1", True), ("staff-2", False)):
        batch = [*entries[first:], Entry("x3", SELLER, decided(actor))]
        if is_refused:
            with pytest.raises(ContestForbids, match=f"'{actor}' decided about the measure before"):
                story.ledger.append(MARKET, batch)
        else:
            story.ledger.append(MARKET, batch)


@pytest.mark.parametrize("state", sorted({*MeasureState} - NOTICE_STATES))
def test_complaint_and_decision_may_share_a_batch(story: Story, state: MeasureState) -> None:
    entries = [
        Entry("x1", SELLER, measure(state)),
        Entry("c1", SELLER, ComplaintFiled("m1", "we paid")),
        Entry("x3", SELLER, decided("staff-2")),
    ]
    story.ledger.append(MARKET, entries)
    assert states(story.ledger)[-1][0] is MeasureState.LIFTED
    assert len(states(story.ledger)) == (1 if state is MeasureState.LIFTED else 2)


def test_what_changes_balances_and_contests_stands(story: Story) -> None:
    story(measure(), deposit(DepositChange.PLACED, 5), claim(ClaimChange.PAID, 5), FlowStated(TODAY))
    story(PayoutsChanged(PayoutsChange.STOPPED, "staff-1", "a court's order"))
    story(ComplaintFiled("m1", "we paid"), entry_id="c1")
    story(decided("staff-2"), entry_id="d1")
    for entry_id in ("e2", "e3", "e4", "e5", "c1", "d1"):
        with pytest.raises(InvalidInput, match=r"correction\.entry: .*is not corrected like this"):
            story(EntryCorrected(entry_id, CorrectionKind.VOID, "staff-1", "a typing error"))


def test_a_letter_that_was_sent_starts_the_time_to_contest(story: Story) -> None:
    story.clock.now = ago(300)
    story(measure())
    story.clock.now = ago(200)
    story(measure(MeasureState.NOTICE_SENT))
    story.clock.now = ago(20)
    story(ComplaintFiled("m1", "we paid"), entry_id="c1")
    story(decided("staff-2"))
    assert [state for state, *_ in states(story.ledger)][-1] is MeasureState.LIFTED
    with pytest.raises(MeasureNotFound, match=r"measure\.measure: no measure 'm2'"):
        story(replace(measure(MeasureState.NOTICE_SENT), measure="m2"))


def test_a_bar_needs_a_ground_an_end_and_two_people(story: Story) -> None:
    story(measure())
    bar = replace(measure(MeasureState.NOTICE_BARRED), ground="Art. 9", until=ago(-30), approver="counsel-1")
    for wrong in ({"ground": ""}, {"until": None}, {"approver": ""}, {"approver": bar.actor}):
        with pytest.raises(InvalidInput, match=next(iter(wrong))):
            story(replace(bar, **wrong))
    with pytest.raises(InvalidInput, match="approver"):
        story(replace(measure(), approver="counsel-1"))
    story(bar)

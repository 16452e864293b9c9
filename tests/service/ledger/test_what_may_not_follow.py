from dataclasses import replace

import pytest

from scoring.base.enums import Action, Attribution, Severity, Status
from scoring.base.errors import EntryContentDiffers, InvalidInput, LifecycleForbids
from scoring.base.time import parse_time
from scoring.entries.entry import Entry
from scoring.entries.incidents import derived_id
from service.ledger.store import Ledger
from service.review.review_queue import review_queue
from tests.helpers.builders import (
    MARKET,
    PRODUCT_REPORT,
    Clock,
    ago,
    attribution,
    confirmed,
    correction,
    listing,
    merge,
    status,
    violation,
)
from tests.helpers.ledgers import find_violation
from tests.service.ledger.test_what_follows import (
    facts,
    incidents,
    report_of,
    severities,
)


def stands(ledger: Ledger, name: str = "v1") -> Status:
    return find_violation(ledger, name).status


@pytest.mark.parametrize(
    ("waits", "report", "since", "stand"),
    [
        (Action.REINSTATE, violation("v1"), [Action.CONFIRM, Action.OVERTURN], Status.OVERTURNED),
        (Action.OVERTURN, violation("v1"), [Action.CONFIRM], Status.CONFIRMED),
        (Action.CONFIRM, confirmed("v1"), [Action.APPEAL], Status.APPEALED),
    ],
    ids=["order", "overturned", "moot"],
)
def test_a_pending_decision_never_fires_after_a_later_one(
    ledger: Ledger, url: str, clock: Clock, waits: Action, report: Entry, since: list[Action], stand: Status
) -> None:
    ledger.append(MARKET, [status("v1", waits, "waits", seller="s1", occur_time=ago(5))])
    ledger.append(MARKET, [report])
    for day, action in enumerate(since):
        with Ledger.open(url, clock=clock) as again:
            again.append(MARKET, [status("v1", action, f"d{day}", occur_time=ago(4 - day))])
    view = find_violation(ledger, "v1")
    assert (view.status, view.entries) == (stand, ("v1", *(f"d{day}" for day in range(len(since)))))


def test_a_retired_pending_decision_stays_retired(ledger: Ledger) -> None:
    ledger.append(MARKET, [status("v1", Action.OVERTURN, "waits", seller="s1", occur_time=ago(5)), violation("v1")])
    ledger.append(MARKET, [status("v1", Action.REVIEW, "later", occur_time=ago(2))])
    ledger.append(MARKET, [status("v1", Action.CONFIRM, "earlier", occur_time=ago(6))])
    assert stands(ledger) is Status.CONFIRMED


def test_a_pending_decision_resolves_after_an_earlier_one(ledger: Ledger) -> None:
    ledger.append(MARKET, [status("v1", Action.OVERTURN, "waits", seller="s1", occur_time=ago(3)), violation("v1")])
    assert stands(ledger) is Status.ALLEGED
    ledger.append(MARKET, [status("v1", Action.CONFIRM, "before", occur_time=ago(4))])
    assert stands(ledger) is Status.OVERTURNED


def test_of_two_pending_decisions_the_later_counts(ledger: Ledger) -> None:
    ledger.append(
        MARKET,
        [
            status("v1", Action.REINSTATE, "first", seller="s1", occur_time=ago(6)),
            status("v1", Action.DISMISS, "second", seller="s1", occur_time=ago(5)),
        ],
    )
    ledger.append(MARKET, [violation("v1")])
    assert stands(ledger) is Status.DISMISSED


def test_an_own_decision_outlasts_the_products(ledger: Ledger) -> None:
    ledger.append(MARKET, [listing("s1"), listing("s2"), PRODUCT_REPORT, status("p1")])
    mine, other = (derived_id("p1", seller) for seller in ("s1", "s2"))
    ledger.append(MARKET, [status(mine, Action.OVERTURN, "own")])
    ledger.append(MARKET, [status("p1", Action.OVERTURN, "all")])
    assert (stands(ledger, mine), stands(ledger, other)) == (Status.OVERTURNED, Status.OVERTURNED)
    order = status("p1", Action.REINSTATE, "court")
    ledger.append(MARKET, [replace(order, fact=replace(order.fact, ground="order 7"))])
    assert (stands(ledger, mine), stands(ledger, other)) == (Status.OVERTURNED, Status.CONFIRMED)
    ledger.append(MARKET, [listing("s3")])
    assert stands(ledger, derived_id("p1", "s3")) is Status.CONFIRMED


def test_an_own_appeal_outlasts_the_products(ledger: Ledger) -> None:
    ledger.append(MARKET, [listing("s1"), PRODUCT_REPORT, status("p1")])
    mine = derived_id("p1", "s1")
    ledger.append(MARKET, [status(mine, Action.APPEAL, "own"), status("p1", Action.APPEAL, "all")])
    ledger.append(MARKET, [status("p1", Action.CONFIRM, "again")])
    assert stands(ledger, mine) is Status.APPEALED


def test_units_are_adjudicated_for_each_seller(ledger: Ledger) -> None:
    """Otherwise each seller would answer for the units of all."""
    ledger.append(MARKET, [listing("s1"), listing("s2"), PRODUCT_REPORT])
    with pytest.raises(InvalidInput, match=r"entries\[0\]\.status\.units"):
        ledger.append(MARKET, [status("p1", units=1000)])
    ledger.append(MARKET, [status("p1")])
    assert severities(facts(ledger, "s1")) == severities(facts(ledger, "s2")) == [Severity.MAJOR]


@pytest.mark.parametrize("moved_to", [None, ago(1)])
def test_an_attribution_is_not_corrected_but_rejected(ledger: Ledger, moved_to: int | None) -> None:
    ledger.append(MARKET, [confirmed("v1"), attribution("v1", Attribution.ACCEPTED, "a1")])
    with pytest.raises(InvalidInput, match=r"entries\[0\]\.correction\.entry: .*state REJECTED instead"):
        ledger.append(MARKET, [correction("a1", moved_to)])
    ledger.append(MARKET, [attribution("v1", Attribution.REJECTED, "a2")])
    assert severities(facts(ledger)) == [Severity.MAJOR]


def test_an_accepted_attribution_is_not_contested_again(ledger: Ledger, url: str, clock: Clock) -> None:
    """Otherwise the seller who won would lose its result."""
    accepted, contested = attribution("v1", Attribution.ACCEPTED, "a2"), attribution("v1", Attribution.CONTESTED, "a3")
    ledger.append(MARKET, [confirmed("v1"), attribution("v1", Attribution.CONTESTED, "a1")])
    with pytest.raises(LifecycleForbids, match=r"entries\[1\]\.attribution\.outcome"):
        ledger.append(MARKET, [accepted, contested])
    ledger.append(MARKET, [accepted])
    with Ledger.open(url, clock=clock) as again, pytest.raises(LifecycleForbids, match="allowed: rejected") as refusal:
        again.append(MARKET, [contested])
    assert refusal.value.metadata == {"status": "ACCEPTED", "allowed": "rejected"}
    assert severities(facts(ledger)) == []


def test_a_report_is_not_moved_beyond_its_knowledge(ledger: Ledger) -> None:
    """A report cannot precede its event; the queue of a time between is complete."""
    reported = violation("v1", occur_time=ago(30), report_time=ago(20))
    ledger.append(MARKET, [reported], imported=True)
    batch = [replace(reported, entry_id="v2"), correction("v2", ago(20) + 1)]
    with pytest.raises(InvalidInput, match=r"entries\[0\]\.correction\.moved_to: .*2026-02-09T12:00:00Z"):
        ledger.append(MARKET, [correction("v1", ago(20) + 1)])
    with pytest.raises(InvalidInput, match=r"entries\[1\]\.correction\.moved_to"):
        ledger.append(MARKET, batch, imported=True)
    assert [item.violation for item in review_queue(ledger, MARKET, ledger.cut(ago(10)))[0]] == ["v1"]
    ledger.append(MARKET, [correction("v1", ago(20))])


@pytest.mark.parametrize("into", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_what_was_merged_stays_merged_when_moved(ledger: Ledger, into: bool, together: bool) -> None:
    ledger.append(MARKET, [report_of("a", "2026-02-02T00:00:00Z"), confirmed("b")])
    weekly = find_violation(ledger, "a").incident
    assert incidents(ledger) == 2
    batch = [merge("b", weekly) if into else merge(weekly, "b"), correction("a", parse_time("2026-01-20T00:00:00Z"))]
    for entries in [batch] if together else [[one] for one in batch]:
        ledger.append(MARKET, entries)
    assert incidents(ledger) == 1
    # And once more, by what the first correction left.
    ledger.append(MARKET, [correction("a", parse_time("2026-01-10T00:00:00Z"), "c2")])
    assert incidents(ledger) == 1
    assert find_violation(ledger, "a").incident == find_violation(ledger, "b").incident


def test_a_merge_of_a_week_holds_a_report_there(ledger: Ledger) -> None:
    ledger.append(MARKET, [report_of("a", "2026-02-02T00:00:00Z"), confirmed("b")])
    ledger.append(MARKET, [correction("a", parse_time("2026-01-20T00:00:00Z"))])
    weekly = find_violation(ledger, "a").incident
    ledger.append(MARKET, [merge(weekly, "b")])
    ledger.append(MARKET, [correction("a", parse_time("2026-01-10T00:00:00Z"), "c2")])
    assert incidents(ledger) == 1


@pytest.mark.parametrize("erased", [False, True])
def test_entries_under_one_id_are_judged_by_themselves(ledger: Ledger, erased: bool) -> None:
    said = status("v1", reason="the seller's name")
    ledger.append(MARKET, [violation("v1"), said])
    if erased:
        ledger.erase(MARKET, "s1", actor="officer", entry_id="erasure-1")
    other = replace(said, fact=replace(said.fact, actor="staff-8"))
    for batch, wrong in (([said, other], 1), ([other, said], 0), ([said, other, said], 1)):
        with pytest.raises(EntryContentDiffers, match=rf"entries\[{wrong}\]\.entry_id"):
            ledger.append(MARKET, batch)
    assert [one.erased for one in ledger.append(MARKET, [said, said])] == [erased, erased]

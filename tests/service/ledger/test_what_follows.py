from dataclasses import replace

import numpy as np
import pytest

from scoring.base.enums import (
    Action,
    Attribution,
    Harm,
    MeasureKind,
    MeasureState,
    Severity,
    Source,
    Status,
)
from scoring.base.errors import EntryContentDiffers, InvalidInput, LifecycleForbids, ViolationNotFound
from scoring.base.time import DAY, parse_time
from scoring.entries.derivation import MAX_WAITING
from scoring.entries.entry import Entry
from scoring.entries.incidents import derived_id
from scoring.entries.kinds.conduct import (
    ProductListed,
    StatusChanged,
    ViolationReported,
)
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.features.columns import columns_of
from scoring.features.facts import Facts, resolve
from service.ledger.append import batch
from service.ledger.store import Ledger
from service.review.review_queue import review_queue
from tests.helpers.answers import fact_rows
from tests.helpers.builders import (
    MARKET,
    NOW,
    PRODUCT_REPORT,
    Clock,
    ago,
    attribution,
    confirmed,
    correction,
    listing,
    merge,
    split,
    status,
    violation,
)
from tests.helpers.ledgers import find_violation
from tests.helpers.limits import Limit


def facts(
    ledger: Ledger, seller: str = "s1", *, at: int = NOW + DAY, upheld: bool = False, known: bool = False
) -> Facts:
    rows = fact_rows(ledger, seller)
    return resolve(columns_of(rows, [seller]), np.array([at]), upheld=np.array([upheld]), as_reported=known)


def severities(facts: Facts) -> list[int]:
    return facts.violations.severity.tolist()


@pytest.mark.parametrize("reversed_order", [False, True], ids=["report first", "decision first"])
def test_an_imported_decision_is_known_since_its_source(ledger: Ledger, reversed_order: bool) -> None:
    """Otherwise a file's row order would decide what training sees."""
    report = violation("v1", occur_time=ago(100), report_time=ago(90))
    decision = status("v1", seller="s1", occur_time=ago(60), report_time=ago(50))
    for entry in [decision, report] if reversed_order else [report, decision]:
        ledger.append(MARKET, [entry], imported=True)
    assert severities(facts(ledger, at=ago(50), known=True)) == []
    assert severities(facts(ledger, at=ago(50) + 1, known=True)) == [Severity.MAJOR]


def test_a_waiting_decision_is_known_with_its_report(ledger: Ledger) -> None:
    ledger.append(MARKET, [status("v1", seller="s1", occur_time=ago(80), report_time=ago(80))], imported=True)
    ledger.append(MARKET, [violation("v1", occur_time=ago(100), report_time=ago(40))], imported=True)
    assert severities(facts(ledger, at=ago(40), known=True)) == []
    assert severities(facts(ledger, at=ago(40) + 1, known=True)) == [Severity.MAJOR]


def test_a_product_decision_is_known_since_its_source(ledger: Ledger) -> None:
    told, sold = replace(PRODUCT_REPORT, report_time=ago(20)), replace(listing("s1"), report_time=ago(30))
    decided = status("p1", occur_time=ago(10), report_time=ago(10))
    ledger.append(MARKET, [told, sold, decided], imported=True)
    rows = fact_rows(ledger, "s1")
    assert [(row.occur_time, row.report_time) for row in rows if row.status == Status.CONFIRMED] == [(ago(10), ago(10))]
    # It lists the product now; no earlier entry shows that.
    ledger.append(MARKET, [listing("s2")])
    rows = fact_rows(ledger, "s2")
    assert [row.report_time for row in rows if row.status == Status.CONFIRMED] == [ledger.last()[1]]


def test_nothing_waits_for_an_id_of_the_ledgers_own_making(ledger: Ledger) -> None:
    with pytest.raises(ViolationNotFound):
        ledger.append(MARKET, [status(derived_id("p1", "s1"), entry_id="d", seller="s1")])


def test_pending_decisions_are_taken_in_their_order(ledger: Ledger) -> None:
    waiting = [
        status("v1", Action.OVERTURN, "z", seller="s1", occur_time=ago(2)),
        status("v1", Action.CONFIRM, "y", seller="s1", occur_time=ago(4)),
        status("v1", Action.APPEAL, "x", seller="s1", occur_time=ago(3)),
        status("v1", Action.DISMISS, "of-another", seller="s2", occur_time=ago(9)),
    ]
    assert all(one.pending for one in ledger.append(MARKET, waiting))
    ledger.append(MARKET, [violation("v1")])
    rows = fact_rows(ledger, "s1")
    assert [row.status for row in rows if row.target is not None] == [
        Status.CONFIRMED,
        Status.APPEALED,
        Status.OVERTURNED,
    ]


def test_a_hundred_decisions_of_a_seller_wait_for_a_violation(ledger: Ledger) -> None:
    def waiting(number: int, seller: str = "s1") -> Entry:
        action = (Action.CONFIRM, Action.APPEAL)[number % 2]
        return status("v1", action, f"d-{seller}-{number}", seller=seller, occur_time=ago(9 - number / 100))

    ledger.append(MARKET, [waiting(number) for number in range(MAX_WAITING)])
    with pytest.raises(InvalidInput, match="100 decisions wait for 'v1' already"):
        ledger.append(MARKET, [waiting(MAX_WAITING)])
    ledger.append(MARKET, [waiting(0, "s2"), violation("v1")])
    rows = fact_rows(ledger, "s1")
    assert [row.target for row in rows if row.target is not None] == [f"d-s1-{n}" for n in range(MAX_WAITING)]


def test_one_batch_inserts_a_bounded_number_of_rows(ledger: Ledger, limit: Limit) -> None:
    limit(batch, MAX_ROWS=5)
    ledger.append(MARKET, [listing(f"s{number}") for number in range(5)])
    with pytest.raises(InvalidInput, match=r"entries\[1\]: over 5 entries follow"):
        ledger.append(MARKET, [PRODUCT_REPORT, replace(PRODUCT_REPORT, entry_id="p2")])
    ledger.append(MARKET, [PRODUCT_REPORT])
    assert ledger.last()[0] == 5 + 6


def test_a_reduced_violation_is_raised_by_no_incident(ledger: Ledger) -> None:
    reports = [violation("v1", harm=Harm.LOW, incident="i"), violation("v2", harm=Harm.LOW, incident="i")]
    ledger.append(MARKET, [*reports, status("v1", units=1000), status("v2", units=10)])
    assert severities(facts(ledger)) == [Severity.CRITICAL, Severity.CRITICAL]
    ledger.append(MARKET, [status("v1", Action.REDUCE, severity=Severity.MINOR)])
    assert sorted(severities(facts(ledger))) == [Severity.MINOR, Severity.MAJOR]


WEEKLY = {"notifier": "n", "listing": "l"}


@pytest.mark.parametrize("first", ["the correction", "the overturn"])
def test_a_split_of_an_overturned_violation_names_nothing(ledger: Ledger, first: str) -> None:
    pair = [violation("v1", occur_time=ago(9), **WEEKLY), violation("v2", occur_time=ago(9), **WEEKLY)]
    ledger.append(MARKET, [*pair, status("v1"), status("v2"), confirmed("wrong")])
    into = find_violation(ledger, "v1").incident
    ledger.append(MARKET, [split("wrong", into)])
    steps = [correction("v1", ago(40)), status("wrong", Action.OVERTURN)]
    for step in steps if first == "the correction" else reversed(steps):
        ledger.append(MARKET, [step])
    assert len(set(facts(ledger).violations.incident.tolist())) == 2
    views = [find_violation(ledger, name) for name in ("v1", "v2")]
    assert (views[0].incident != into, views[1].incident) == (True, into)
    ledger.append(MARKET, [status("wrong", Action.REINSTATE)])
    assert len(set(facts(ledger).violations.incident.tolist())) == 1
    assert find_violation(ledger, "v1").incident == into


def test_alleged_units_count_nowhere(ledger: Ledger) -> None:
    fact = ViolationReported("counterfeit_goods", Harm.LOW, Source.BRAND, units=1000)
    ledger.append(MARKET, [Entry("v1", "s1", fact, ago(10))])
    assert severities(facts(ledger, upheld=True)) == [Severity.CRITICAL]
    ledger.append(MARKET, [status("v1", units=10)])
    assert severities(facts(ledger)) == severities(facts(ledger, upheld=True)) == [Severity.MAJOR]


@pytest.mark.parametrize("listed_first", [True, False])
def test_a_product_violation_reaches_each_lister(ledger: Ledger, listed_first: bool) -> None:
    entries = [listing("s1"), listing("s2", days=5), listing("s3", days=1, supplier="other")]
    report = replace(PRODUCT_REPORT, fact=replace(PRODUCT_REPORT.fact, supplier="this"))
    for entry in [*entries, report, status("p1")] if listed_first else [report, status("p1"), *entries]:
        ledger.append(MARKET, [entry])
    ledger.append(MARKET, [replace(listing("s1"), entry_id="l-again")])
    days = {seller: facts(ledger, seller).violations.day.tolist() for seller in ("s1", "s2", "s3")}
    assert days == {"s1": [ago(20) // DAY], "s2": [ago(5) // DAY], "s3": []}


def test_nothing_is_dated_before_what_it_follows_from(ledger: Ledger, clock: Clock) -> None:
    listed, started = Entry("l", "s1", ProductListed("gtin-1"), clock.now - DAY // 2), clock.now
    ledger.append(MARKET, [listed])
    clock.now -= DAY
    ledger.append(MARKET, [replace(PRODUCT_REPORT, occur_time=ago(20)), status("p1")])
    [view], _ = ledger.violations.list(MARKET, ledger.cut(started + 1))
    assert (view.occur_time, view.status) == (listed.occur_time, Status.CONFIRMED)
    assert listed.occur_time <= view.report_time <= ledger.last()[1]


def test_one_sellers_appeal_leaves_the_others_as_they_are(ledger: Ledger) -> None:
    ledger.append(MARKET, [listing("s1"), listing("s2"), PRODUCT_REPORT, status("p1")])
    mine = derived_id("p1", "s1")
    ledger.append(MARKET, [status(mine, Action.OVERTURN, "o1"), status("p1", Action.APPEAL)])
    assert severities(facts(ledger, "s1")) == []
    assert severities(facts(ledger, "s2")) == [Severity.MAJOR]
    ledger.append(MARKET, [status("p1", Action.OVERTURN)])
    assert severities(facts(ledger, "s2")) == []


def test_what_was_stated_of_a_product_is_not_corrected(ledger: Ledger) -> None:
    ledger.append(MARKET, [listing("s1"), PRODUCT_REPORT, status("p1")])
    for name, moved_to in (("l-s1", None), ("l-s1", ago(1)), ("p1", ago(1)), ("p1", None)):
        with pytest.raises(InvalidInput, match=r"entries\[0\]\.correction\.entry"):
            ledger.append(MARKET, [correction(name, moved_to)])
    mine = derived_id("p1", "s1")
    ledger.append(MARKET, [correction(mine, ago(3), "moved")])
    assert facts(ledger).violations.day.tolist() == [ago(3) // DAY]


def test_a_violation_of_a_product_is_nobodys_to_attribute(ledger: Ledger) -> None:
    ledger.append(MARKET, [listing("s1"), PRODUCT_REPORT, status("p1")])
    with pytest.raises(InvalidInput, match=r"entries\[0\]\.attribution\.violation: 'p1' is of a product"):
        ledger.append(MARKET, [attribution("p1", Attribution.ACCEPTED)])
    mine = derived_id("p1", "s1")
    ledger.append(MARKET, [attribution(mine, Attribution.ACCEPTED, "a")])
    assert severities(facts(ledger)) == []


def test_no_suspension_rests_on_goods_that_were_somebody_elses(ledger: Ledger) -> None:
    fact = MeasureChanged("m", MeasureKind.SUSPENSION, MeasureState.IMPOSED, "staff", "repeated", violations=("v1",))
    ledger.append(MARKET, [confirmed("v1"), attribution("v1", Attribution.ACCEPTED)])
    with pytest.raises(LifecycleForbids, match="another seller"):
        ledger.append(MARKET, [Entry("m1", "s1", fact)])
    ledger.append(MARKET, [attribution("v1", Attribution.REJECTED, "a2"), Entry("m1", "s1", fact)])


def report_of(entry_id: str, moment: str) -> Entry:
    fact = ViolationReported(
        "counterfeit_goods", Harm.HIGH, Source.CUSTOMS, "", "n1", True, True, "listing-1", right="mark-1"
    )
    return Entry(entry_id, "s1", fact, parse_time(moment))


def incidents(ledger: Ledger) -> int:
    return len(set(facts(ledger).violations.incident.tolist()))


def test_reports_of_one_notifier_in_one_week_are_one_incident(ledger: Ledger) -> None:
    ledger.append(MARKET, [report_of("a", "2026-02-02T00:00:00Z"), report_of("b", "2026-02-08T23:59:59.999999Z")])
    assert incidents(ledger) == 1
    ledger.append(MARKET, [report_of("c", "2026-02-09T00:00:00Z")])
    assert incidents(ledger) == 2
    other = report_of("d", "2026-02-03T00:00:00Z")
    ledger.append(MARKET, [replace(other, fact=replace(other.fact, right="mark-2"))])
    ledger.append(MARKET, [replace(other, entry_id="e", fact=replace(other.fact, notifier="n2"))])
    ledger.append(MARKET, [replace(other, entry_id="f", seller="s2")])
    assert incidents(ledger) == 4


def test_a_moved_report_joins_the_incident_of_its_week(ledger: Ledger) -> None:
    ledger.append(MARKET, [report_of("a", "2026-02-02T00:00:00Z"), report_of("b", "2026-02-10T00:00:00Z")])
    assert incidents(ledger) == 2
    ledger.append(MARKET, [correction("b", parse_time("2026-02-04T00:00:00Z"))])
    assert incidents(ledger) == 1
    moved = correction("c", parse_time("2026-02-12T00:00:00Z"))
    ledger.append(MARKET, [report_of("c", "2026-02-05T00:00:00Z"), moved])
    assert incidents(ledger) == 2


def test_a_retried_erasure_leaves_later_texts(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, [violation("v1"), status("v1", reason="the first text")])
    first = ledger.erase(MARKET, "s1", actor="officer", entry_id="erasure-1")
    ledger.append(MARKET, [status("v1", Action.APPEAL, reason="the second text")])
    clock.now += DAY
    assert ledger.erase(MARKET, "s1", actor="officer", entry_id="erasure-1") == first._replace(already_present=True)
    listed = ledger.entries.list(MARKET, ledger.cut())
    assert [e.entry.fact.reason for e in listed if isinstance(e.entry.fact, StatusChanged)] == [
        "[erased]",
        "the second text",
    ]


def test_other_content_under_an_erased_id_is_refused(ledger: Ledger) -> None:
    said = status("v1", reason="the seller's name")
    ledger.append(MARKET, [violation("v1"), said])
    ledger.erase(MARKET, "s1", actor="officer", entry_id="erasure-1")
    for again in (said, replace(said, fact=replace(said.fact, reason="other words"))):
        [done] = ledger.append(MARKET, [again])
        assert (done.already_present, done.erased) == (True, True)
    for other in (
        replace(said, fact=replace(said.fact, actor="staff-8")),
        replace(said, seller="s1"),
        violation(said.entry_id),
    ):
        with pytest.raises(EntryContentDiffers):
            ledger.append(MARKET, [other])


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
    for entries, wrong in (([said, other], 1), ([other, said], 0), ([said, other, said], 1)):
        with pytest.raises(EntryContentDiffers, match=rf"entries\[{wrong}\]\.entry_id"):
            ledger.append(MARKET, entries)
    assert [one.erased for one in ledger.append(MARKET, [said, said])] == [erased, erased]

from dataclasses import replace
from typing import Any

import pytest

from scoring.base.enums import Action, Attribution, Harm, Severity, Source, Status
from scoring.base.errors import EntryContentDiffers, InvalidInput, SelectionChanged
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import AttributionStated, ProductListed, ProductViolationReported
from service.ledger.queries.violations import Selection
from service.ledger.store import Ledger
from service.review import bulk_decisions as deciding
from service.review.bulk_decisions import BulkDecisionCall, BulkOutcome, dry_run, execute
from service.review.review_queue import review_queue
from tests.helpers.builders import MARKET, ago, status, violation
from tests.helpers.limits import Limit
from tests.helpers.moments import before_call

DISMISS = BulkDecisionCall("case-9", Action.DISMISS, "staff-7", "made up by a ring", "", Selection(notifier="n"))
REVIEW = replace(DISMISS, decision_id="case-8", action=Action.REVIEW)


def reported(count: int, notifier: str = "n", prefix: str = "v", **fields: Any) -> list[Entry]:
    return [violation(f"{prefix}{n}", f"s{n % 7}", notifier=notifier, **fields) for n in range(count)]


def statuses(ledger: Ledger) -> dict[str, Status]:
    views, _ = ledger.violations.list(MARKET, ledger.cut(), limit=10_000)
    return {view.violation: view.status for view in views}


def names(outcome: BulkOutcome) -> list[str]:
    return [one.violation for one in outcome.selected]


def test_a_dry_run_appends_nothing(ledger: Ledger) -> None:
    ledger.append(MARKET, [*reported(40), *reported(5, "other", "w"), status("v0", Action.REVIEW), status("v1")])
    outcome = dry_run(ledger, MARKET, DISMISS)
    assert outcome.by_status == {Status.ALLEGED: 38, Status.UNDER_REVIEW: 1}
    assert (outcome.decided, outcome.remaining > 0) == (0, True)
    assert ledger.last()[0] == 47


@pytest.mark.parametrize("sample_fraction", [1e-9, 1.0])
def test_what_remains_is_the_entries_still_to_append(ledger: Ledger, sample_fraction: float) -> None:
    ledger.append(MARKET, [*reported(8), *(status(f"v{n}", Action.REVIEW) for n in range(3))])
    decision = replace(DISMISS, sample_fraction=sample_fraction)
    shown = dry_run(ledger, MARKET, decision)
    marked = [name for name in shown.held_back if name not in ("v0", "v1", "v2")]
    assert shown.remaining == len(shown.others) + len(marked)
    before = ledger.last().sequence
    assert execute(ledger, MARKET, decision, 8, limit=shown.remaining - 1).remaining == 1
    assert execute(ledger, MARKET, decision, 8).remaining == 0
    assert ledger.last().sequence == before + shown.remaining


def test_all_are_decided_but_a_sample(ledger: Ledger) -> None:
    ledger.append(MARKET, [*reported(40), *reported(5, "other", "w")])
    shown = dry_run(ledger, MARKET, DISMISS)
    done = execute(ledger, MARKET, DISMISS, 40, shown.etag)
    assert done.held_back == shown.held_back
    assert 1 <= len(done.held_back) <= 6
    assert (done.decided, done.remaining) == (40 - len(done.held_back), 0)
    wanted = {f"v{n}": Status.DISMISSED for n in range(40)} | dict.fromkeys(done.held_back, Status.UNDER_REVIEW)
    assert statuses(ledger) == wanted | {f"w{n}": Status.ALLEGED for n in range(5)}
    changes = [r.entry.fact for r in ledger.entries.list(MARKET, ledger.cut(), after_sequence=45, limit=100)]
    assert {change.violation for change in changes if change.held_back} == {*done.held_back}
    waiting, _ = review_queue(ledger, MARKET, ledger.cut())
    assert {one.violation for one in waiting if one.held_back} == {*done.held_back}
    assert {(change.actor, change.reason) for change in changes} == {("staff-7", "made up by a ring")}
    assert names(dry_run(ledger, MARKET, replace(DISMISS, decision_id="case-10"))) == []
    ledger.append(MARKET, [status(done.held_back[0], Action.CONFIRM)])
    overturn = replace(DISMISS, decision_id="case-11", action=Action.OVERTURN)
    assert names(dry_run(ledger, MARKET, overturn)) == [done.held_back[0]]


def test_the_sample_is_drawn_by_the_violations_alone(ledger: Ledger) -> None:
    ledger.append(MARKET, reported(200))
    sample = set(dry_run(ledger, MARKET, DISMISS).held_back)
    assert 3 <= len(sample) <= 20
    assert set(dry_run(ledger, MARKET, replace(DISMISS, decision_id="another")).held_back) == sample
    assert set(dry_run(ledger, MARKET, replace(DISMISS, actor="other", reason="another")).held_back) == sample
    assert set(dry_run(ledger, MARKET, replace(DISMISS, sample_fraction=0.3)).held_back) > sample
    assert len(dry_run(ledger, MARKET, replace(DISMISS, sample_fraction=1.0)).held_back) == 200
    one = dry_run(ledger, MARKET, replace(DISMISS, sample_fraction=1e-9))
    assert len(one.held_back) == 1
    ledger.append(MARKET, reported(1, "alone", "w"))
    alone = dry_run(ledger, MARKET, replace(DISMISS, selection=Selection(notifier="alone")))
    assert (alone.held_back, alone.others) == (["w0"], [])


def test_what_was_confirmed_and_is_held_back_is_left_as_it_is(ledger: Ledger) -> None:
    ledger.append(MARKET, [*reported(40), *(status(f"v{n}") for n in range(40))])
    overturn = replace(DISMISS, action=Action.OVERTURN)
    done = execute(ledger, MARKET, overturn, 40)
    assert done.held_back
    assert (done.decided, done.remaining) == (40 - len(done.held_back), 0)
    kept = {name for name, status in statuses(ledger).items() if status is Status.CONFIRMED}
    assert kept == {*done.held_back}


@pytest.mark.parametrize("change", ["one more", "one less", "one for another"])
def test_a_set_that_has_changed_since_the_dry_run_is_refused(ledger: Ledger, change: str) -> None:
    ledger.append(MARKET, reported(10))
    shown = dry_run(ledger, MARKET, DISMISS)
    if change != "one more":
        ledger.append(MARKET, [status("v3", Action.WITHDRAW)])
    if change != "one less":
        ledger.append(MARKET, [violation("late", notifier="n")])
    before = ledger.last()
    with pytest.raises(SelectionChanged) as caught:
        execute(ledger, MARKET, DISMISS, 10, shown.etag)
    again = dry_run(ledger, MARKET, DISMISS)
    assert caught.value.metadata == {"count": str(len(again.selected)), "etag": again.etag}
    assert ledger.last() == before
    execute(ledger, MARKET, DISMISS, len(again.selected), again.etag)


def test_nobody_takes_the_ids_of_a_bulk_decision_before_it(ledger: Ledger) -> None:
    """Otherwise any caller could block a decision by its id."""
    ledger.append(MARKET, reported(3))
    with pytest.raises(InvalidInput, match=r"entries\[0\].entry_id: must not begin with bulk~"):
        ledger.append(MARKET, [violation(deciding.prefix_of(DISMISS) + "squatted")])
    assert execute(ledger, MARKET, DISMISS, 3).remaining == 0


def test_a_call_goes_on_where_the_last_one_ended(ledger: Ledger) -> None:
    ledger.append(MARKET, reported(25))
    shown = dry_run(ledger, MARKET, DISMISS)
    remaining = []
    for _ in range(4):
        done = execute(ledger, MARKET, DISMISS, 25, shown.etag, limit=10)
        remaining.append(done.remaining)
        assert (done.held_back, done.etag) == (shown.held_back, shown.etag)
        assert done.remaining == dry_run(ledger, MARKET, DISMISS).remaining
    assert remaining == [15, 5, 0, 0]
    assert done.decided == 25 - len(shown.held_back)
    assert ledger.last()[0] == 50
    # One of them is appealed: the decision stays.
    ledger.append(MARKET, [status(shown.others[0], Action.REINSTATE)])
    assert execute(ledger, MARKET, DISMISS, 25, shown.etag).remaining == 0
    assert ledger.last()[0] == 51


def test_a_failure_between_batches_is_gone_on_from(ledger: Ledger, limit: Limit) -> None:
    limit(deciding, BATCH=8)
    ledger.append(MARKET, reported(20))

    def fail() -> None:
        raise ConnectionError

    before_call(ledger, "append", fail, 2)
    with pytest.raises(ConnectionError):
        execute(ledger, MARKET, DISMISS, 20)
    assert ledger.last()[0] == 28
    done = execute(ledger, MARKET, DISMISS, 20)
    assert (done.decided + len(done.held_back), done.remaining, ledger.last()[0]) == (20, 0, 40)


@pytest.mark.parametrize("action", [Action.CONFIRM, Action.REVIEW])
def test_a_violation_decided_meanwhile_is_left_alone(ledger: Ledger, action: Action) -> None:
    ledger.append(MARKET, reported(5))
    shown = dry_run(ledger, MARKET, DISMISS)
    theirs = shown.others[0]
    before_call(ledger, "append", lambda: ledger.append(MARKET, [status(theirs, action)]), 1)
    done = execute(ledger, MARKET, DISMISS, 5, shown.etag)
    assert (done.changed, done.remaining, done.decided) == ([theirs], 0, len(shown.others) - 1)
    wanted = Status.CONFIRMED if action is Action.CONFIRM else Status.UNDER_REVIEW
    assert statuses(ledger)[theirs] is wanted
    assert ledger.last()[0] == 10


def test_a_selection_is_what_all_its_conditions_agree_on(ledger: Ledger) -> None:
    ledger.append(
        MARKET,
        [
            violation("a", "s1", notifier="n", listing="l1", report_time=ago(9)),
            violation("b", "s2", notifier="n", listing="l2", report_time=ago(5)),
            violation("c", "s1", notifier="m", violation_type="fake_reviews", report_time=ago(1)),
            replace(right := violation("d", "s3", report_time=ago(2)), fact=replace(right.fact, right="tm-1")),
        ],
        imported=True,
    )
    selections = {
        "ab": Selection(notifier="n"),
        "c": Selection(violation_types=("fake_reviews",)),
        "ac": Selection(seller="s1"),
        "a": Selection(seller="s1", notifier="n"),
        "abcd": Selection(violation_types=("counterfeit_goods", "fake_reviews")),
        "b": Selection(listing="l2"),
        "d": Selection(right="tm-1"),
        "bcd": Selection(reported_from=ago(5)),
        "abd": Selection(reported_from=ago(9), reported_before=ago(1)),
    }
    for wanted, selection in selections.items():
        found = names(dry_run(ledger, MARKET, replace(DISMISS, selection=selection)))
        assert "".join(found) == wanted, selection
    assert names(dry_run(ledger, "elsewhere", DISMISS)) == []


def test_product_violations_are_decided_by_the_product(ledger: Ledger) -> None:
    listed = [Entry(f"l{n}", f"s{n}", ProductListed("gtin-1"), ago(20)) for n in range(3)]
    report = ProductViolationReported("unsafe_product", Harm.HIGH, Source.TEST_BUY, "gtin-1", notifier="n")
    ledger.append(MARKET, [*listed, Entry("p", "", report, ago(5)), violation("v", "s1", notifier="n")])
    ledger.append(MARKET, [Entry("a", "", AttributionStated("v", Attribution.ACCEPTED, "staff-7", "another parcel"))])
    of_seller = Selection(violation_types=("unsafe_product",), seller="s1")
    assert names(dry_run(ledger, MARKET, DISMISS)) == ["p"]
    [derived] = names(dry_run(ledger, MARKET, replace(DISMISS, selection=of_seller)))
    assert derived.startswith("auto~")
    confirm = replace(DISMISS, action=Action.CONFIRM, selection=Selection(violation_types=("unsafe_product",)))
    ledger.append(MARKET, [violation("u", "s9", violation_type="unsafe_product", notifier="m")])
    kept = set(dry_run(ledger, MARKET, confirm).held_back)
    execute(ledger, MARKET, confirm, 2)
    decided = statuses(ledger)
    assert {decided[name] for name in decided if name.startswith("auto~")} == {
        Status.UNDER_REVIEW if "p" in kept else Status.CONFIRMED
    }


def test_wrong_fields_are_named_all_at_once_in_a_dry_run_too(ledger: Ledger) -> None:
    wrong = BulkDecisionCall(
        "a b", Action.DISMISS, "", " ", "x" * 201, Selection(), (Status.CONFIRMED,), sample_fraction=1.5
    )
    with pytest.raises(InvalidInput) as caught:
        dry_run(ledger, MARKET, wrong)
    assert [problem.field for problem in caught.value.violations] == [
        "decision_id",
        "actor",
        "reason",
        "ground",
        "statuses",
        "violation_types",
        "sample_fraction",
    ]
    for action in (Action.APPEAL, Action.REDUCE, Action.REINSTATE):
        with pytest.raises(InvalidInput, match="decide anything else one by one"):
            dry_run(ledger, MARKET, replace(DISMISS, action=action))


def test_what_is_decided_alone_is_not_taken_for_a_bulk_decision(ledger: Ledger) -> None:
    ledger.append(
        MARKET, [*reported(6), status("v0"), status("v1"), status("v1", Action.REDUCE, severity=Severity.MINOR)]
    )
    ledger.append(MARKET, [status("v2", Action.REVIEW)])
    assert names(dry_run(ledger, MARKET, DISMISS)) == ["v2", "v3", "v4", "v5"]
    assert names(dry_run(ledger, MARKET, replace(DISMISS, statuses=(Status.UNDER_REVIEW,)))) == ["v2"]
    assert names(dry_run(ledger, MARKET, replace(DISMISS, action=Action.OVERTURN))) == ["v0", "v1"]


def test_what_was_held_back_stays_so_when_the_set_grows(ledger: Ledger) -> None:
    smallest = replace(DISMISS, sample_fraction=1e-9)
    ledger.append(MARKET, reported(3))
    [kept] = execute(ledger, MARKET, smallest, 3).held_back
    ledger.append(MARKET, reported(200, prefix="late-"))
    grown = dry_run(ledger, MARKET, smallest)
    assert len(grown.held_back) == 2
    assert (grown.held_back[0], grown.decided) == (kept, 2)


def test_dismissed_violations_are_taken_up_if_asked(ledger: Ledger) -> None:
    ledger.append(MARKET, reported(40))
    dismissed = execute(ledger, MARKET, DISMISS, 40).others
    assert names(dry_run(ledger, MARKET, REVIEW)) == []
    again = replace(REVIEW, statuses=(Status.DISMISSED,))
    assert set(names(dry_run(ledger, MARKET, again))) == set(dismissed)
    done = execute(ledger, MARKET, again, len(dismissed))
    open_again = {name for name, status in statuses(ledger).items() if status is Status.UNDER_REVIEW}
    assert open_again >= set(done.others)
    assert done.decided == len(done.others) > 30


SAMPLED = BulkDecisionCall(
    "case-9", Action.DISMISS, "staff-7", "a ring", "", Selection(notifier="n"), sample_fraction=0.5
)
OTHERWISE: dict[str, dict[str, Any]] = {
    "action": {"action": Action.CONFIRM},
    "actor": {"actor": "staff-8"},
    "share": {"sample_fraction": 0.01},
    "statuses": {"statuses": (Status.ALLEGED,)},
    "ground": {"ground": "article 7"},
    "reason": {"reason": "another"},
    "query": {"selection": Selection(notifier="n", violation_types=("counterfeit_goods",))},
}


def report(ledger: Ledger, count: int) -> list[str]:
    names = [f"v{n}" for n in range(count)]
    ledger.append(MARKET, [violation(name, f"s-{name}", notifier="n") for name in names])
    return names


def standing(ledger: Ledger) -> dict[str, Status]:
    views, _ = ledger.violations.list(MARKET, ledger.cut(), limit=10_000)
    return {view.violation: view.status for view in views}


@pytest.mark.parametrize("way", OTHERWISE)
def test_what_is_executed_is_what_the_dry_run_showed(ledger: Ledger, way: str) -> None:
    report(ledger, 10)
    shown = dry_run(ledger, MARKET, SAMPLED)
    with pytest.raises(SelectionChanged):
        execute(ledger, MARKET, replace(SAMPLED, **OTHERWISE[way]), 10, shown.etag)
    assert ledger.last()[0] == 10
    assert dry_run(ledger, MARKET, replace(SAMPLED, decision_id="case-10")).etag == shown.etag


@pytest.mark.parametrize("way", OTHERWISE)
def test_a_decision_id_stands_for_one_decision(ledger: Ledger, way: str) -> None:
    report(ledger, 10)
    execute(ledger, MARKET, SAMPLED, 10, limit=1)
    other = replace(SAMPLED, **OTHERWISE[way])
    for call in (lambda: dry_run(ledger, MARKET, other), lambda: execute(ledger, MARKET, other, 10)):
        with pytest.raises(EntryContentDiffers, match="case-9"):
            call()
    assert ledger.last()[0] == 11
    dry_run(ledger, MARKET, replace(other, decision_id="case-90"))
    assert execute(ledger, MARKET, SAMPLED, 10).remaining == 0


def test_a_decision_id_stands_for_the_first_of_two(ledger: Ledger) -> None:
    report(ledger, 10)
    other = replace(SAMPLED, reason="another")
    before_call(ledger, "append", lambda: execute(ledger, MARKET, other, 10, limit=1), 1)
    with pytest.raises(EntryContentDiffers, match="case-9"):
        execute(ledger, MARKET, SAMPLED, 10)
    assert ledger.last()[0] == 11


def test_two_calls_of_one_decision_at_once_are_one(ledger: Ledger) -> None:
    report(ledger, 10)
    before_call(ledger, "append", lambda: execute(ledger, MARKET, SAMPLED, 10), 1)
    done = execute(ledger, MARKET, SAMPLED, 10)
    assert (done.changed, done.remaining, ledger.last()[0]) == ([], 0, 20)


@pytest.mark.parametrize(
    ("before", "action", "after"),
    [
        (Action.REVIEW, Action.DISMISS, Status.UNDER_REVIEW),
        (Action.CONFIRM, Action.OVERTURN, Status.CONFIRMED),
    ],
)
def test_what_cannot_be_marked_stays_held_back(ledger: Ledger, before: Action, action: Action, after: Status) -> None:
    names = report(ledger, 60)
    ledger.append(MARKET, [status(name, before) for name in names])
    first = replace(SAMPLED, action=action)
    held = execute(ledger, MARKET, first, 60).held_back
    assert 15 < len(held) < 45
    for n in range(1, 4):
        again = replace(first, decision_id=f"again-{n}", reason=f"again {n}")
        done = execute(ledger, MARKET, again, len(held), dry_run(ledger, MARKET, again).etag)
        assert (done.held_back, done.decided) == (held, 0)
    assert {name for name, status in standing(ledger).items() if status is after} == {*held}
    least = dry_run(ledger, MARKET, replace(first, decision_id="least", sample_fraction=1e-9, reason="least"))
    assert len(least.held_back) == 1
    assert set(least.held_back) < set(held)


def test_a_sample_has_one_of_the_alleged_and_one_of_the_others(ledger: Ledger) -> None:
    names = report(ledger, 20)
    ledger.append(MARKET, [status(name, Action.REVIEW) for name in names[10:]])
    least = dry_run(ledger, MARKET, replace(SAMPLED, sample_fraction=1e-9)).held_back
    assert [name in names[10:] for name in least] == [False, True]


def test_a_product_waits_for_a_seller_held_back(ledger: Ledger) -> None:
    listed = [Entry(f"l{n}", f"s{n}", ProductListed("gtin-1"), ago(20)) for n in range(30)]
    about = ProductViolationReported("unsafe_product", Harm.HIGH, Source.TEST_BUY, "gtin-1", notifier="m")
    ledger.append(MARKET, [*listed, Entry("p", "", about, ago(5))])
    ledger.append(MARKET, [violation(f"u{n}", "s0", violation_type="unsafe_product") for n in range(9)])
    selection = Selection(violation_types=("unsafe_product",))
    shown = [dry_run(ledger, MARKET, replace(SAMPLED, selection=selection, sample_fraction=n)) for n in (0.01, 1.0)]
    assert {(one.reach, "p" in one.held_back) for one in shown} == {(30, False), (0, True)}
    of_seller = BulkDecisionCall("one", Action.DISMISS, "a", "r", "", replace(selection, seller="s3"))
    [held] = execute(ledger, MARKET, of_seller, 1).held_back
    wide = replace(SAMPLED, selection=selection)
    assert "p" not in [one.violation for one in dry_run(ledger, MARKET, wide).selected]
    ledger.append(MARKET, [status(held, Action.DISMISS, "person")])
    assert "p" in [one.violation for one in dry_run(ledger, MARKET, wide).selected]

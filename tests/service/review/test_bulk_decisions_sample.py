from dataclasses import replace
from typing import Any

import pytest

from scoring.base.enums import Action, Harm, Source, Status
from scoring.base.errors import EntryContentDiffers, SelectionChanged
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductListed, ProductViolationReported
from service.ledger.queries.violations import Selection
from service.ledger.store import Ledger
from service.review.bulk_decisions import BulkDecision, dry_run, execute
from tests.helpers.builders import MARKET, ago, status, violation
from tests.helpers.moments import before_call

DISMISS = BulkDecision("case-9", Action.DISMISS, "staff-7", "a ring", "", Selection(notifier="n"), sample_fraction=0.5)
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
    shown = dry_run(ledger, MARKET, DISMISS)
    with pytest.raises(SelectionChanged):
        execute(ledger, MARKET, replace(DISMISS, **OTHERWISE[way]), 10, shown.etag)
    assert ledger.last()[0] == 10
    assert dry_run(ledger, MARKET, replace(DISMISS, decision_id="case-10")).etag == shown.etag


@pytest.mark.parametrize("way", OTHERWISE)
def test_a_decision_id_stands_for_one_decision(ledger: Ledger, way: str) -> None:
    report(ledger, 10)
    execute(ledger, MARKET, DISMISS, 10, limit=1)
    other = replace(DISMISS, **OTHERWISE[way])
    for call in (lambda: dry_run(ledger, MARKET, other), lambda: execute(ledger, MARKET, other, 10)):
        with pytest.raises(EntryContentDiffers, match="case-9"):
            call()
    assert ledger.last()[0] == 11
    dry_run(ledger, MARKET, replace(other, decision_id="case-90"))
    assert execute(ledger, MARKET, DISMISS, 10).remaining == 0


def test_a_decision_id_stands_for_the_first_of_two(ledger: Ledger) -> None:
    report(ledger, 10)
    other = replace(DISMISS, reason="another")
    before_call(ledger, "append", lambda: execute(ledger, MARKET, other, 10, limit=1), 1)
    with pytest.raises(EntryContentDiffers, match="case-9"):
        execute(ledger, MARKET, DISMISS, 10)
    assert ledger.last()[0] == 11


def test_two_calls_of_one_decision_at_once_are_one(ledger: Ledger) -> None:
    report(ledger, 10)
    before_call(ledger, "append", lambda: execute(ledger, MARKET, DISMISS, 10), 1)
    done = execute(ledger, MARKET, DISMISS, 10)
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
    first = replace(DISMISS, action=action)
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
    least = dry_run(ledger, MARKET, replace(DISMISS, sample_fraction=1e-9)).held_back
    assert [name in names[10:] for name in least] == [False, True]


def test_a_product_waits_for_a_seller_held_back(ledger: Ledger) -> None:
    listed = [Entry(f"l{n}", f"s{n}", ProductListed("gtin-1"), ago(20)) for n in range(30)]
    about = ProductViolationReported("unsafe_product", Harm.HIGH, Source.TEST_BUY, "gtin-1", notifier="m")
    ledger.append(MARKET, [*listed, Entry("p", "", about, ago(5))])
    ledger.append(MARKET, [violation(f"u{n}", "s0", violation_type="unsafe_product") for n in range(9)])
    selection = Selection(violation_types=("unsafe_product",))
    shown = [dry_run(ledger, MARKET, replace(DISMISS, selection=selection, sample_fraction=n)) for n in (0.01, 1.0)]
    assert {(one.reach, "p" in one.held_back) for one in shown} == {(30, False), (0, True)}
    of_seller = BulkDecision("one", Action.DISMISS, "a", "r", "", replace(selection, seller="s3"))
    [held] = execute(ledger, MARKET, of_seller, 1).held_back
    wide = replace(DISMISS, selection=selection)
    assert "p" not in [one.violation for one in dry_run(ledger, MARKET, wide).selected]
    ledger.append(MARKET, [status(held, Action.DISMISS, "person")])
    assert "p" in [one.violation for one in dry_run(ledger, MARKET, wide).selected]

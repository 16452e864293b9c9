from dataclasses import replace
from typing import Any

from scoring.base.enums import Action, Attribution, Harm, Severity, Source
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductViolationReported
from service.ledger.records import Cut, Record
from service.ledger.store import Ledger
from service.review.priority import QueueItem
from service.review.review_queue import review_queue
from tests.helpers.builders import MARKET, NOW, TODAY, Clock, ago, attribution, exposure, listing, status, violation


def by(notifier: str, entry_id: str, seller: str = "s1", **fields: Any) -> Entry:
    return violation(entry_id, seller, notifier=notifier, **fields)


def records(ledger: Ledger, notifier: str = "n", cut: Cut | None = None) -> dict[Source, Record]:
    return ledger.notifiers.records(MARKET, cut or ledger.cut(), [notifier]).get(notifier, {})


def queue(ledger: Ledger, cut: Cut | None = None) -> dict[str, QueueItem]:
    items, is_truncated = review_queue(ledger, MARKET, cut or ledger.cut())
    assert not is_truncated
    return {item.violation: item for item in items}


def test_every_report_counts_by_where_it_stands(ledger: Ledger) -> None:
    ledger.append(MARKET, [by("n", f"v{n}") for n in range(9)] + [by("other", "w")])
    ledger.append("elsewhere", [by("n", "v1")])
    decisions = [
        *(status(f"v{n}", Action.CONFIRM) for n in range(4)),
        status("v1", Action.REDUCE, severity=Severity.MINOR),
        status("v2", Action.APPEAL),
        status("v3", Action.OVERTURN),
        status("v4", Action.DISMISS),
        status("v5", Action.WITHDRAW),
        status("v6", Action.REVIEW),
        attribution("v7", Attribution.ACCEPTED, "a7"),
        attribution("v8", Attribution.CONTESTED, "a8"),
    ]
    ledger.append(MARKET, decisions)
    assert records(ledger) == {Source.BRAND: Record(upheld=3, overturned=2, dismissed=1, withdrawn=1, open=2)}
    assert records(ledger, "other") == {Source.BRAND: Record(open=1)}
    assert records(ledger, "nobody") == {}


def test_a_record_is_one_of_any_time(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, [by("n", "v1", occur_time=ago(9)), by("n", "v2", occur_time=ago(2))])
    before = ledger.cut()
    clock.now += DAY
    ledger.append(MARKET, [status("v1", Action.DISMISS), by("n", "v3", source=Source.BUYER)])
    assert records(ledger, cut=before) == {Source.BRAND: Record(open=2)}
    assert records(ledger) == {Source.BRAND: Record(dismissed=1, open=1), Source.BUYER: Record(open=1)}
    assert records(ledger, cut=replace(ledger.cut(), observe_time=NOW + 1)) == {
        Source.BRAND: Record(dismissed=1, open=1)
    }


def test_derived_violations_are_not_counted_again(ledger: Ledger) -> None:
    listed = [listing(f"s{n}") for n in range(3)]
    report = ProductViolationReported("unsafe_product", Harm.HIGH, Source.TEST_BUY, "gtin-1", notifier="n")
    ledger.append(MARKET, [*listed, Entry("p", "", report, ago(5))])
    assert records(ledger) == {Source.TEST_BUY: Record(open=1)}
    ledger.append(MARKET, [status("p", Action.CONFIRM)])
    assert records(ledger) == {Source.TEST_BUY: Record(upheld=1)}
    assert len(queue(ledger)) == 0


def test_notifiers_are_listed_in_the_order_of_their_ids(ledger: Ledger) -> None:
    names = ["a", "B", "a-1", "c", "_"]
    ledger.append(MARKET, [by(name, f"v-{name}-{n}".replace("_", "u")) for name in names for n in range(3)])
    ledger.append("elsewhere", [by("b", "v")])
    found = ledger.notifiers.list(MARKET, "", 100)
    assert found == sorted(names)
    pages, after = [], ""
    while page := ledger.notifiers.list(MARKET, after, 2):
        pages, after = [*pages, *page], page[-1]
    assert pages == found


def test_the_queue_holds_what_is_open(ledger: Ledger) -> None:
    ledger.append(
        MARKET,
        [
            by("n", "alleged"),
            by("n", "dismissed"),
            by("n", "confirmed"),
            by("n", "reviewed"),
            by("n", "kept"),
            by("n", "not-theirs"),
            violation("nobody-said", source=Source.BUYER),
            by("n", "seized", source=Source.CUSTOMS),
            violation("unsafe", "s2", violation_type="unsafe_product", harm=Harm.LOW, source=Source.BUYER),
        ],
    )
    kept = status("kept", Action.REVIEW)
    ledger.append(
        MARKET,
        [
            status("dismissed", Action.DISMISS),
            status("confirmed"),
            status("reviewed", Action.REVIEW),
            replace(kept, fact=replace(kept.fact, held_back=True)),
            attribution("not-theirs", Attribution.ACCEPTED, "a"),
            exposure(TODAY - 1, settled_orders=70),
            exposure(TODAY - 1, settled_orders=80, revision=1),
            exposure(TODAY - 30, settled_orders=19, product_category="toys"),
            exposure(TODAY - 31, settled_orders=5_000),
        ],
    )
    found = queue(ledger)
    assert list(found) == ["unsafe", "seized", "alleged", "reviewed", "kept", "nobody-said"]
    assert {name for name, item in found.items() if item.held_back} == {"kept"}
    assert {found[name].recent_orders for name in ("alleged", "nobody-said")} == {99}
    assert found["unsafe"].recent_orders == 0
    # Beta(7, 3), one upheld, one dismissed and one overturned: 8 of 13.
    assert found["alleged"].probability_upheld == 8 / 13
    assert (found["seized"].probability_upheld, found["nobody-said"].probability_upheld) == (1.0, 0.5)
    assert found["nobody-said"].priority == 0.5 * 9 * 100


def test_the_queue_is_one_of_any_time(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, [by("n", "v1"), by("n", "v2"), exposure(settled_orders=10)])
    before, items = ledger.cut(), queue(ledger)
    clock.now += DAY
    ledger.append(MARKET, [status("v1", Action.DISMISS), exposure(settled_orders=99, revision=1), by("n", "v3")])
    assert queue(ledger, before) == items
    assert list(queue(ledger)) == ["v2", "v3"]


def test_a_flood_does_not_crowd_safety_out(ledger: Ledger) -> None:
    unsafe = [violation(f"unsafe{n}", violation_type="unsafe_product", harm=Harm.LOW) for n in range(3)]
    ledger.append(MARKET, [*unsafe, *(by("flood", f"v{n}") for n in range(9))])
    items, is_truncated = review_queue(ledger, MARKET, ledger.cut(), limit=3)
    assert [item.violation for item in items] == ["unsafe0", "unsafe1", "unsafe2", "v6", "v7", "v8"]
    assert is_truncated
    items, is_truncated = review_queue(ledger, MARKET, ledger.cut(), limit=9)
    assert (len(items), is_truncated) == (12, False)
    _, is_truncated = review_queue(ledger, "elsewhere", ledger.cut(), limit=1)
    assert not is_truncated
    ledger.append("elsewhere", unsafe)
    assert review_queue(ledger, "elsewhere", ledger.cut(), limit=2)[1]

from itertools import pairwise

import pytest

from scoring.base.enums import (
    Action,
    Category,
    Harm,
    Kind,
    Severity,
    Source,
    Status,
)
from scoring.base.errors import InvalidInput, ViolationNotFound
from scoring.base.time import DAY
from scoring.features.columns import FactRow
from service.ledger.clock.server_clock import SKEW
from service.ledger.queries.entries import EXPORT_COLUMNS
from service.ledger.records import Cut, ViolationView
from service.ledger.store import Ledger
from tests.helpers.answers import fact_rows
from tests.helpers.builders import MARKET, NOW, TODAY, Clock, ago, confirmed, exposure, identity, status, violation
from tests.helpers.ledgers import find_violation


def ids(ledger: Ledger, cut: Cut, *sellers: str) -> list[str]:
    return [recorded.entry.entry_id for recorded in ledger.entries.list(MARKET, cut, sellers=sellers or None)]


def test_a_cut_of_an_empty_ledger_holds_nothing(ledger: Ledger) -> None:
    assert ledger.cut() == Cut(NOW + 1, 1, 0)
    assert ledger.entries.list(MARKET, ledger.cut()) == []
    assert ledger.violations.list(MARKET, ledger.cut()) == ([], None)
    assert list(ledger.entries.export(MARKET, ledger.cut())) == []


def test_a_clock_that_lags_a_little_hides_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, [violation(occur_time=NOW)])
    clock.now = NOW - SKEW
    assert ledger.cut() == Cut(NOW + 1, NOW + 1, 1)
    assert ids(ledger, ledger.cut()) == ["v1"]
    assert ids(ledger, ledger.cut(observe_time=NOW + 1, known_time=NOW + 1)) == ["v1"]


def test_entries_named_by_id_are_those_that_the_cut_sees(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, [violation("early", occur_time=ago(5)), violation("late", occur_time=ago(1))])
    clock.now = NOW + 2
    ledger.append(MARKET, [status("early")])
    names = ["early", "late", f"{status('early').entry_id}", "absent"]
    cut = ledger.cut(observe_time=ago(3))

    def found(cut: Cut) -> list[str]:
        return [one.entry.entry_id for one in ledger.entries.list_by_id(MARKET, names, cut)]

    assert found(ledger.cut()) == names[:3]
    assert found(cut) == ids(ledger, cut)
    assert found(ledger.cut(known_time=NOW + 1)) == names[:2]


def test_known_time_is_a_sequence(ledger: Ledger, clock: Clock) -> None:
    for n, now in enumerate([NOW, NOW, NOW + 5, NOW + 5, NOW + 9]):
        clock.now = now
        ledger.append(MARKET if n != 1 else "other", [identity(f"i{n}")])
    clock.now = NOW + 20
    known = {NOW: 0, NOW + 1: 1, NOW + 2: 2, NOW + 5: 2, NOW + 6: 3, NOW + 9: 4, NOW + 10: 5, NOW + 21: 5}
    assert {time: ledger.cut(known_time=time).sequence for time in known} == known
    assert ledger.cut(known_time=NOW + 21).known_time == NOW + 10


def test_a_time_in_the_future_is_refused(ledger: Ledger) -> None:
    ledger.cut(NOW + 1, NOW + 1)
    with pytest.raises(InvalidInput) as caught:
        ledger.cut(NOW + 2, -1)
    assert [wrong.field for wrong in caught.value.violations] == ["observe_time", "known_time"]


def test_later_entries_do_not_change_what_a_cut_reads(ledger: Ledger, clock: Clock) -> None:
    ledger.append(MARKET, [violation("v1"), violation("v2")])
    cut = ledger.cut()
    before = (
        ids(ledger, cut),
        ledger.violations.list(MARKET, cut),
        fact_rows(ledger, "s1", cut=cut),
        list(ledger.entries.export(MARKET, cut)),
    )
    clock.now += DAY
    ledger.append(MARKET, [status("v1", Action.CONFIRM), violation("v3")])
    after = (
        ids(ledger, cut),
        ledger.violations.list(MARKET, cut),
        fact_rows(ledger, "s1", cut=cut),
        list(ledger.entries.export(MARKET, cut)),
    )
    assert after == before


def test_entries_are_read_as_of_each_of_the_three_times(ledger: Ledger, clock: Clock) -> None:
    history = [
        violation("early", occur_time=ago(50), report_time=ago(40)),
        violation("late", occur_time=ago(50), report_time=ago(10)),
        violation("recent", occur_time=ago(5), report_time=ago(5)),
        exposure(TODAY - 45, report_time=ago(44)),
    ]
    ledger.append(MARKET, history, imported=True)
    clock.now += DAY
    ledger.append(MARKET, [identity("i1", occur_time=ago(60))])
    day = "exposure-s1-20468--0"
    assert history[3].entry_id == day
    assert ids(ledger, ledger.cut()) == ["early", "late", "recent", day, "i1"]
    assert ids(ledger, ledger.cut(known_time=NOW + 1)) == ["early", "late", "recent", day]
    assert ids(ledger, ledger.cut(known_time=NOW)) == []
    assert ids(ledger, ledger.cut(observe_time=ago(10))) == ["early", day]
    assert ids(ledger, ledger.cut(observe_time=ago(10) + 1)) == ["early", "late", day]
    assert ids(ledger, ledger.cut(observe_time=ago(40))) == [day]
    assert ids(ledger, ledger.cut(observe_time=ago(40) + 1)) == ["early", day]
    assert ids(ledger, ledger.cut(observe_time=(TODAY - 45) * DAY)) == []
    assert ids(ledger, ledger.cut(observe_time=NOW + 1)) == ["early", "late", "recent", day]
    assert ids(ledger, ledger.cut(observe_time=ago(10) + 1, known_time=NOW)) == []


def test_a_decision_reported_early_is_read_once_in_effect(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v1"), status("v1", report_time=ago(3))], imported=True)
    assert ids(ledger, ledger.cut(observe_time=NOW)) == []
    assert ids(ledger, ledger.cut(observe_time=NOW + 1)) == ["v1", "v1-confirm"]


@pytest.mark.parametrize("sellers", [None, ("s1",), ("s0", "s2", "of-none"), ()])
def test_pages_of_entries_make_up_the_whole(ledger: Ledger, sellers: tuple[str, ...] | None) -> None:
    batch = [identity(f"i{n}", f"s{n % 3}") for n in range(23)]
    ledger.append("other", batch)
    ledger.append(MARKET, batch)
    cut = ledger.cut()
    whole = ledger.entries.list(MARKET, cut, sellers=sellers)
    assert [one.entry for one in whole] == [one for one in batch if sellers is None or one.seller in sellers]
    pages, after = [], 0
    while page := ledger.entries.list(MARKET, cut, sellers=sellers, after_sequence=after, limit=4):
        pages += page
        after = page[-1].sequence
        ledger.append(MARKET, [identity(f"later-{after}", "s1")])
    assert pages == whole
    assert all(one.sequence < other.sequence for one, other in pairwise(pages))


def test_a_violation_is_resolved_from_its_entries(ledger: Ledger, clock: Clock) -> None:
    report = violation(
        "v1", incident="raid", notifier="brand-1", harm=Harm.EXTREME, occur_time=ago(9), report_time=ago(8)
    )
    ledger.append(MARKET, [identity(), report], imported=True)
    clock.now += DAY
    ledger.append(MARKET, [status("v1", Action.CONFIRM), status("v1", Action.REDUCE, severity=Severity.MINOR)])
    ledger.append(MARKET, [status("v1", Action.APPEAL)])
    assert find_violation(ledger, "v1") == ViolationView(
        violation="v1",
        seller="s1",
        incident="raid",
        violation_type="counterfeit_goods",
        category=Category.COUNTERFEIT,
        severity=Severity.MINOR,
        harm=Harm.EXTREME,
        source=Source.BRAND,
        notifier="brand-1",
        status=Status.APPEALED,
        attribution=None,
        occur_time=ago(9),
        report_time=ago(8),
        record_time=NOW,
        entries=("v1", "v1-confirm", "v1-reduce", "v1-appeal"),
        allowed_actions=(Action.CONFIRM, Action.REDUCE, Action.OVERTURN),
        sequence=2,
    )


def test_a_violation_stands_as_it_was_known(ledger: Ledger, clock: Clock) -> None:
    for entry in (violation("v1"), status("v1", Action.CONFIRM), status("v1", Action.OVERTURN)):
        ledger.append(MARKET, [entry])
        clock.now += DAY
    cuts = [ledger.cut(known_time=NOW + days * DAY + 1) for days in range(3)]
    assert [ledger.violations.find(MARKET, "v1", cut).status for cut in cuts] == [
        Status.ALLEGED,
        Status.CONFIRMED,
        Status.OVERTURNED,
    ]
    with pytest.raises(ViolationNotFound) as caught:
        ledger.violations.find(MARKET, "v1", ledger.cut(known_time=NOW))
    assert caught.value.metadata == {"violation": "v1"}


@pytest.mark.parametrize("name", ["i1", "v1-confirm", "V1", "elsewhere"])
def test_only_a_violation_of_the_marketplace_is_found(ledger: Ledger, name: str) -> None:
    ledger.append(MARKET, [violation("v1"), status("v1"), identity("i1")])
    ledger.append("other", [violation("elsewhere")])
    with pytest.raises(ViolationNotFound):
        find_violation(ledger, name)


def test_violations_are_listed_as_of_a_time(ledger: Ledger) -> None:
    ledger.append(
        MARKET,
        [
            violation("v1", occur_time=ago(50), report_time=ago(40)),
            violation("v2", occur_time=ago(5), report_time=ago(5)),
            status("v1", occur_time=ago(20), report_time=ago(20)),
        ],
        imported=True,
    )

    def found(observe_time: int) -> dict[str, Status]:
        views, _ = ledger.violations.list(MARKET, ledger.cut(observe_time))
        return {view.violation: view.status for view in views}

    assert found(ago(40)) == {}
    assert found(ago(20)) == {"v1": Status.CONFIRMED}
    assert found(ago(19)) == {"v1": Status.CONFIRMED}
    assert found(NOW) == {"v1": Status.CONFIRMED, "v2": Status.ALLEGED}


def test_pages_of_violations_make_up_the_whole(ledger: Ledger) -> None:
    batch = [violation(f"v{n}", f"s{n % 5}") if n % 3 else identity(f"i{n}") for n in range(24)]
    ledger.append(MARKET, batch)
    ledger.append("other", batch)
    cut = ledger.cut()
    for sellers in (None, ["s1"], ["s0", "s3"]):
        whole, end = ledger.violations.list(MARKET, cut, sellers=sellers)
        assert end is None
        assert [view.violation for view in whole] == [
            one.entry_id for one in batch if one.entry_id[0] == "v" and one.seller in (sellers or one.seller)
        ]
        pages: list[ViolationView] = []
        after: int | None = 0
        while after is not None:
            page, after = ledger.violations.list(MARKET, cut, sellers=sellers, after_sequence=after, limit=4)
            assert 0 < len(page) <= 4
            pages += page
        assert pages == whole


def test_violations_are_listed_by_status_after_the_page_is_cut(ledger: Ledger) -> None:
    ledger.append(MARKET, [confirmed("v1"), violation("v2"), violation("v3"), confirmed("v4")])
    ledger.append(MARKET, [status("v3", Action.DISMISS)])
    cut = ledger.cut()
    page, after = ledger.violations.list(MARKET, cut, statuses=[Status.ALLEGED, Status.DISMISSED], limit=3)
    assert ([view.violation for view in page], after) == (["v2", "v3"], 3)
    assert ledger.violations.list(MARKET, cut, statuses=[Status.ALLEGED], after_sequence=3, limit=3) == ([], None)


def test_the_export_is_everything_of_a_marketplace_in_chunks(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v1"), status("v1"), exposure(), identity()])
    ledger.append("other", [violation("v1")])
    ledger.append(MARKET, [identity("i2")])
    cut = ledger.cut(observe_time=ago(100))
    chunks = list(ledger.entries.export(MARKET, cut, chunk=2))
    assert [len(chunk) for chunk in chunks] == [2, 2, 1]
    table = [dict(zip(EXPORT_COLUMNS, row, strict=True)) for chunk in chunks for row in chunk]
    assert [row["sequence"] for row in table] == [1, 2, 3, 4, 6]
    assert [row["kind"] for row in table] == [1, 2, 3, 4, 4]
    assert {type(row) for chunk in chunks for row in chunk} == {tuple}
    plain = '{"action":"confirm","actor":"staff-7","kind":"status","violation":"v1","sealed":"'
    assert table[1]["content"].startswith(plain)
    facts = ledger.facts.table(MARKET, ["s1"], cut)[0].rows
    shared = [name for name in FactRow._fields if name not in ("source", "violation_type", "attributes", "listing")]
    assert [[row[name] for name in shared] for row in table if row["kind"] != Kind.EXPOSURE] == [
        [getattr(fact, name) for name in shared] for fact in sorted(facts)
    ]

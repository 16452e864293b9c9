from dataclasses import replace
from itertools import pairwise

import pytest

from scoring.base.enums import (
    Action,
    Attribution,
    Category,
    DisputeOutcome,
    Harm,
    IdentityLevel,
    InspectionMethod,
    InspectionResult,
    Kind,
    MeasureKind,
    MeasureState,
    PayoutsChange,
    Severity,
    Source,
    Status,
)
from scoring.base.errors import InvalidInput, ViolationNotFound
from scoring.base.time import DAY
from scoring.entries.derivation import UNCORRECTABLE_KINDS
from scoring.entries.entry import Entry
from scoring.entries.kinds.decisions import MeasureChanged
from scoring.entries.kinds.settlement import PayoutsChanged
from scoring.entries.kinds.table import BY_COMMAND
from scoring.entries.kinds.trade import DisputeResolved, InspectionDone
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.columns import FactRow
from scoring.features.facts import COUNTING_KINDS
from scoring.loss_certificate.contradictions import RunCase
from scoring.measures.record import name_measure
from scoring.policy.measures import SettlementHold
from service.ledger.clock.server_clock import SKEW
from service.ledger.queries.entries import EXPORT_COLUMNS
from service.ledger.queries.facts import FactQueries
from service.ledger.records import Cut, ViolationView
from service.ledger.store import Ledger
from tests.helpers.answers import explain, fact_rows, score
from tests.helpers.builders import (
    MARKET,
    NOW,
    SELLER,
    TODAY,
    Clock,
    ago,
    attribution,
    confirmed,
    correction,
    exposure,
    identity,
    merge,
    split,
    status,
    violation,
)
from tests.helpers.kinds import ON_RECORD, every_entry
from tests.helpers.ledgers import find_violation
from tests.helpers.runs import run_of
from tests.helpers.worlds import artifact, policy


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


def test_settled_values_are_of_one_seller_and_currency(ledger: Ledger) -> None:
    euro = {"value_minor": 500, "currency": "EUR"}
    ledger.append(MARKET, [exposure(TODAY - 3, "s1", entry_id="a", **euro), exposure(TODAY - 4, "s1", entry_id="b")])
    cut = ledger.cut()
    ledger.append(
        MARKET,
        [
            exposure(TODAY - 3, "s1", entry_id="c", revision=1, value_minor=10**15, currency="EUR"),
            exposure(TODAY - 5, "s1", entry_id="d", value_minor=7, currency="USD"),
            exposure(TODAY - 3, "s2", entry_id="e", **euro),
        ],
    )

    def values(at: Cut, *sellers: str) -> list[int]:
        table, _ = ledger.facts.table(MARKET, sellers, at, ["EUR", "USD"])
        assert table.sales is not None
        return sorted(table.values["EUR"][table.sales.row].tolist())

    assert values(cut, "s1") == [0, 500]
    assert values(ledger.cut(), "s1") == [0, 0, 500, 10**15]
    assert values(ledger.cut(), "s1", "s2") == [0, 0, 500, 500, 10**15]


def test_fact_rows_have_what_the_fold_needs_of_every_kind(ledger: Ledger) -> None:
    ledger.append(
        MARKET,
        [
            violation("v1", incident="raid"),
            status("v1", occur_time=ago(2)),
            exposure(TODAY - 3, settled_orders=9, product_category="toys", revision=2, late=2, returned=1),
            identity("i1", attributes={"channel": "shop"}),
            identity("i2", level=IdentityLevel.BASIC),
            Entry(
                "n1", "s1", InspectionDone(InspectionResult.PASSED, InspectionMethod.SITE_VISIT, Source.CUSTOMS), ago(7)
            ),
            Entry("d1", "s1", DisputeResolved(DisputeOutcome.SHARED, "staff-7"), ago(6)),
        ],
    )
    assert fact_rows(ledger, "s1") == [
        FactRow(
            *(0, "", "s1", Kind.EXPOSURE, (TODAY - 3) * DAY, NOW),
            exposure_day=TODAY - 3,
            product_category="toys",
            revision=2,
            settled_orders=9,
            service_failures=3,
        ),
        FactRow(
            *(1, "v1", "s1", Kind.VIOLATION, ago(10), NOW, "v1", "raid", Category.COUNTERFEIT, 3, 1),
            source=Source.BRAND,
            violation_type=TYPE_NUMBERS["counterfeit_goods"],
        ),
        FactRow(2, "v1-confirm", "s1", Kind.STATUS, ago(2), NOW, "v1", status=Status.CONFIRMED),
        FactRow(4, "i1", "s1", Kind.IDENTITY, ago(400), NOW, identity_level=3, attributes={"channel": "shop"}),
        FactRow(5, "i2", "s1", Kind.IDENTITY, ago(400), NOW, identity_level=2, attributes={}),
        FactRow(6, "n1", "s1", Kind.INSPECTION, ago(7), NOW, status=InspectionResult.PASSED, source=Source.CUSTOMS),
        FactRow(7, "d1", "s1", Kind.DISPUTE, ago(6), NOW, status=DisputeOutcome.SHARED),
    ]


def test_fact_rows_are_of_the_kinds_that_the_fold_reads_alone(ledger: Ledger) -> None:
    ledger.append(MARKET, ON_RECORD)
    ledger.append(MARKET, [entry for kind, entry in every_entry() if kind not in BY_COMMAND])
    ledger.append("other", [identity("x")])
    rows = fact_rows(ledger, "s1", "nobody")
    assert {row.kind for row in rows} == COUNTING_KINDS
    everything = [row for chunk in ledger.entries.export(MARKET, ledger.cut()) for row in chunk]
    kind, seller = (EXPORT_COLUMNS.index(name) for name in ("kind", "seller"))
    counting = [row for row in everything if row[kind] in COUNTING_KINDS and row[seller] == "s1"]
    assert len(rows) == len(counting) < len(everything)
    assert [row.sequence for row in rows if row.sequence] == [row[0] for row in counting if row[kind] != Kind.EXPOSURE]
    assert ledger.facts.count(MARKET, ["s1", "nobody"]) == {"s1": (len(rows), 0)}


def accused(ledger: Ledger) -> None:
    long_ago = [identity("i", report_time=ago(399)), exposure(TODAY - 40, report_time=ago(38)), identity("j", "s2")]
    ledger.append(MARKET, [*long_ago, exposure(TODAY - 3), confirmed("k")], imported=True)
    harms = [Harm.LOW, Harm.MEDIUM, Harm.HIGH, Harm.EXTREME]
    for n in range(14):
        happened = {"occur_time": ago(30 - 2 * n), "report_time": ago(29 - 2 * n)}
        ledger.append(MARKET, [violation(f"a{n}", harm=harms[n % 4], incident=f"n{n}", **happened)], imported=True)
    ledger.append(
        MARKET, [violation("b", "s2"), status("a0"), status("a4", Action.DISMISS), status("a5", Action.REVIEW)]
    )
    ledger.append(MARKET, [split("a8", "n9"), correction("a13", ago(12))])


@pytest.mark.long
@pytest.mark.parametrize("days", [0, 7, 13, 25])
@pytest.mark.parametrize("most", [1, 4, 9])
def test_of_many_allegations_the_gravest_are_read(ledger: Ledger, days: float, most: int) -> None:
    accused(ledger)
    cut = ledger.cut(observe_time=ago(days) if days else None)
    rows = fact_rows(ledger, "s1", cut=cut)
    read, omitted = FactQueries(ledger.clock, most).table(MARKET, ["s1"], cut)
    assert ledger.facts.count(MARKET, ["s1"]) == {"s1": (len(rows), 14)}
    assert {row.entry_id for row in read.rows} <= {row.entry_id for row in rows}
    undecided = {f"a{n}" for n in range(14)} - {"a0", "a4", "a5", "a8", "a13"}
    assert len(undecided & {row.entry_id for row in read.rows}) <= most
    [whole] = score(rows, ["s1"], cut.observe_time, artifact(), policy())
    assert whole.open_allegations > 0
    [short] = score(read, ["s1"], cut.observe_time, artifact(), policy(), omitted=omitted)
    assert replace(short, points_if_upheld=whole.points_if_upheld) == whole
    assert short.valid_until == whole.valid_until
    assert whole.points is None or whole.points_if_upheld <= short.points_if_upheld <= short.points
    explained = explain(read, "s1", cut.observe_time, None, policy(), omitted=omitted)
    assert explained.score.open_allegations == whole.open_allegations


def test_grave_complaints_do_not_hide_an_inspector(ledger: Ledger) -> None:
    loud = {"harm": Harm.EXTREME, "source": Source.BUYER}
    quiet = {"harm": Harm.LOW, "occur_time": ago(9)}
    ledger.append(
        MARKET,
        [
            identity("i"),
            violation("customs", source=Source.CUSTOMS, incident="n1", **quiet),
            violation("detected", source=Source.PLATFORM_DETECTION, incident="n2", **quiet),
            *(violation(f"friend-{n}", incident=f"f{n}", **loud) for n in range(5)),
        ],
    )
    for most, kept in ((1, {"customs"}), (2, {"customs", "detected"}), (3, {"customs", "detected", "friend-4"})):
        read, omitted = FactQueries(ledger.clock, most).table(MARKET, ["s1"], ledger.cut())
        assert {row.entry_id for row in read.rows} == {"i", *kept}
        assert omitted["s1"].allegations == 7 - most


def changed(ledger: Ledger) -> None:
    accused(ledger)
    for seller in ("s1", "s2", "s3"):
        stated = [exposure(TODAY - day, seller, settled_orders=90 + day) for day in (9, 4, 30, 5)]
        stated += [exposure(TODAY - 4, seller, product_category="toys"), exposure(TODAY - 9, seller, revision=3)]
        ledger.append(MARKET, [identity(f"more-{seller}", seller, attributes={"channel": "shop"}), *stated])


@pytest.mark.parametrize("days", [0, 6, 13, 25])
def test_answers_from_columns_are_those_from_rows(ledger: Ledger, days: float) -> None:
    assert Kind.EXPOSURE in UNCORRECTABLE_KINDS
    changed(ledger)
    cut = ledger.cut(observe_time=ago(days) if days else None)
    sellers = ["s3", "s1", "nobody", "s2"]
    rows = fact_rows(ledger, *sellers, cut=cut)
    for model in (artifact(), None):
        expected = score(rows, sellers, cut.observe_time, model, policy())
        for some in (sellers, *([seller] for seller in sellers)):
            facts, omitted = ledger.facts.table(MARKET, some, cut)
            found = score(facts, some, cut.observe_time, model, policy(), omitted=omitted)
            wanted = [expected[sellers.index(seller)] for seller in some]
            assert found == wanted
            assert [a and a.valid_until for a in found] == [a and a.valid_until for a in wanted]


def incidents(ledger: Ledger) -> dict[str, str]:
    found, _ = ledger.violations.list(MARKET, ledger.cut(), sellers=[SELLER])
    return {view.violation: view.incident for view in found}


def test_a_violation_is_shown_in_its_present_incident(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation(name, incident=name.upper()) for name in ("a", "b", "c")])
    ledger.append(MARKET, [merge("A", "B", "m1"), merge("B", "C", "m2")])
    assert incidents(ledger) == {"a": "C", "b": "C", "c": "C"}
    before = ledger.cut()
    ledger.append(MARKET, [split("b", "D", "s1")])
    assert incidents(ledger) == {"a": "C", "b": "D", "c": "C"}
    ledger.append(MARKET, [correction("m2")])
    assert incidents(ledger) == {"a": "B", "b": "D", "c": "C"}
    then, _ = ledger.violations.list(MARKET, before, sellers=[SELLER])
    assert {view.incident for view in then} == {"C"}
    assert "s1" in find_violation(ledger, "b").entries


def test_whose_goods_they_were_is_shown_beside_the_status(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v")])
    assert find_violation(ledger, "v").attribution is None
    for outcome in Attribution:
        ledger.append(MARKET, [attribution("v", outcome, f"a{outcome}")])
        assert find_violation(ledger, "v").attribution is outcome
    assert find_violation(ledger, "v").entries == ("v", "a1", "a2", "a3")


def test_a_violation_is_listed_by_its_corrected_time(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v", occur_time=ago(20), report_time=ago(19))], imported=True)
    known_time = ledger.cut().known_time
    ledger.append(MARKET, [correction("v", ago(19))])
    now, then = ledger.cut(observe_time=ago(10)), ledger.cut(observe_time=ago(10), known_time=known_time)
    assert [view.occur_time for view in ledger.violations.list(MARKET, ledger.cut())[0]] == [ago(19)]
    assert [view.occur_time for view in ledger.violations.list(MARKET, now)[0]] == [ago(19)]
    assert [view.occur_time for view in ledger.violations.list(MARKET, then)[0]] == [ago(20)]


def test_a_run_lasts_until_payouts_were_stopped(ledger: Ledger) -> None:
    run_of(ledger, "caught", TODAY - 20, TODAY - 12, name="first")
    run_of(ledger, "caught", TODAY - 18, TODAY - 5, "orders_not_kept")
    run_of(ledger, "running", TODAY - 9, None)
    run_of(ledger, "resumed", TODAY - 8, TODAY - 6)
    ledger.append(MARKET, [Entry("on", "resumed", PayoutsChanged(PayoutsChange.RESUMED, "staff-1", "a mistake"))])
    run_of(ledger, "seller-of-fakes", TODAY - 9, TODAY - 8, "counterfeit_goods")
    name = run_of(ledger, "cleared", TODAY - 9, TODAY - 8)
    ledger.append(MARKET, [status(name, Action.OVERTURN)])
    seen = ledger.runs.find_runs(ledger.cut())
    assert set(seen.cases) == {
        RunCase(TODAY - 20, TODAY - 12),
        RunCase(TODAY - 9, None),
        RunCase(TODAY - 8, None),
    }
    assert (seen.confirmed, seen.overturned, seen.today) == (4, 1, TODAY)


def test_lifts_of_cautions_and_of_unknown_names_are_read(ledger: Ledger) -> None:
    of_rule, of_caution = (name_measure("s1", rule, SettlementHold(7)) for rule in ("hold", "caution~jump"))
    lifts = [
        Entry(f"l{number}", "s1", MeasureChanged(name, MeasureKind.SETTLEMENT_HOLD, MeasureState.LIFTED, "staff", "so"))
        for number, name in enumerate((of_rule, of_caution, "rule~x", "rule~a~b~c"))
    ]
    ledger.append(MARKET, lifts)
    [granted] = ledger.runs.find_granted(ledger.cut()).sellers
    assert granted.lifted == {(rule, MeasureKind.SETTLEMENT_HOLD) for rule in ("hold", "caution~jump")}

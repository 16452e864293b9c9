from dataclasses import replace

import pytest

from scoring.base.enums import (
    Action,
    Category,
    DisputeOutcome,
    Harm,
    IdentityLevel,
    InspectionMethod,
    InspectionResult,
    Kind,
    Source,
    Status,
)
from scoring.base.time import DAY
from scoring.entries.derivation import UNCORRECTABLE_KINDS
from scoring.entries.entry import Entry
from scoring.entries.kinds.table import BY_COMMAND
from scoring.entries.kinds.trade import DisputeResolved, InspectionDone
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.columns import FactRow
from scoring.features.facts import COUNTING_KINDS
from service.ledger.queries.entries import EXPORT_COLUMNS
from service.ledger.queries.facts import FactQueries
from service.ledger.records import Cut
from service.ledger.store import Ledger
from tests.helpers.answers import explain, fact_rows, score
from tests.helpers.builders import (
    MARKET,
    NOW,
    TODAY,
    ago,
    confirmed,
    correction,
    exposure,
    identity,
    split,
    status,
    violation,
)
from tests.helpers.kinds import ON_RECORD, every_entry
from tests.helpers.worlds import artifact, policy


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
    """No number of grave complaints hides what an inspector alleges. Nor do detections: otherwise a seller's friends
    could hide a customs report.
    """
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


def test_of_a_few_allegations_all_are_read(ledger: Ledger) -> None:
    accused(ledger)
    cut = ledger.cut()
    table, omitted = FactQueries(ledger.clock, 14).table(MARKET, ["s1"], cut)
    assert (len(table), omitted) == (len(fact_rows(ledger, "s1", cut=cut)), {})

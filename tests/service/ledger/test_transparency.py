import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from scoring.answers.hiding import Amount, add_up
from scoring.answers.report_figures import NOTICE_SOURCES, FigureTally, ReportExposure, ReportRow, count, parse_period
from scoring.base.enums import (
    AUTHORITIES,
    Action,
    Attribution,
    ComplaintOutcome,
    CorrectionKind,
    Harm,
    InspectionMethod,
    InspectionResult,
    Kind,
    MeasureKind,
    MeasureState,
    Source,
    Status,
)
from scoring.base.errors import SellertrustError
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import StatusChanged, ViolationReported
from scoring.entries.kinds.decisions import EntryCorrected, MeasureChanged
from scoring.entries.kinds.settlement import ComplaintDecided, ComplaintFiled
from scoring.entries.kinds.table import KIND_OF
from scoring.entries.kinds.trade import InspectionDone
from service.ledger.records import RecordedEntry
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET, Clock, ago, attribution, exposure, status, violation
from tests.helpers.ledger_histories import STEP, Steps, empty, entries_of, sellers

YEAR = parse_period("2026")
measures = st.sampled_from(["m0", "m1"])
TERMS = st.one_of(
    st.tuples(
        st.just(""),
        sellers,
        st.builds(
            MeasureChanged,
            *(measures, st.just(MeasureKind.LISTING_CAP), st.sampled_from(MeasureState), st.just("a"), st.just("r")),
            listings=st.just(9),
        ),
    ),
    st.tuples(st.sampled_from(["k0", "k1"]), sellers, st.builds(ComplaintFiled, measures, st.just("wrong"))),
    st.tuples(
        st.just(""),
        sellers,
        st.builds(
            ComplaintDecided,
            *(st.sampled_from(["k0", "k1"]), st.sampled_from(ComplaintOutcome), st.just("b"), st.just("r")),
        ),
    ),
)


def tally(ledger: Ledger, period: str = "2026") -> FigureTally:
    return ledger.transparency.tally(MARKET, parse_period(period), ledger.last()[0])


def total(found: FigureTally, key: str) -> Amount:
    return add_up(found.amounts(key))


def cells(found: FigureTally, key: str, name: str) -> dict[str, int]:
    return {cell: count for cell, count in total(found, key).splits[name].items() if count}


def group_of(source: Source) -> str:
    return "orders" if source in AUTHORITIES else "notices" if source in NOTICE_SOURCES else "own_initiative"


def own_reports(ledger: Ledger, listed: list[RecordedEntry]) -> dict[str, Any]:
    names = [
        one.entry.entry_id
        for one in listed
        if KIND_OF[type(one.entry.fact)] in (Kind.VIOLATION, Kind.PRODUCT_VIOLATION) and not one.entry.origin
    ]
    return ledger.violations.find_views(MARKET, names, ledger.cut())


@settings(max_examples=80, deadline=None, phases=[Phase.generate])
@given(st.lists(st.tuples(STEP | TERMS, st.integers(1, 20)), min_size=4, max_size=24))
def test_the_sums_are_those_of_the_ledger(steps: Steps) -> None:
    with empty() as ledger:
        for entry in entries_of(steps):
            with suppress(SellertrustError):
                ledger.append(MARKET, [entry], imported=True)
        listed = [*ledger.entries.list(MARKET, ledger.cut(), limit=1_000)]
        found, views = tally(ledger), own_reports(ledger, listed)
        sources = Counter((group_of(view.source), view.source.name.lower()) for view in views.values())
        for key in ("orders", "notices", "own_initiative"):
            amount = total(found, key)
            assert cells(found, key, "source") == {name: n for (group, name), n in sources.items() if group == key}
            assert all(sum(split.values()) == amount.total for split in amount.splits.values())
        overturned = sum(
            view.status is Status.OVERTURNED or view.attribution is Attribution.ACCEPTED for view in views.values()
        )
        outcomes = Counter[str]()
        for key in ("orders", "notices", "own_initiative"):
            outcomes.update(total(found, key).splits["outcome"])
        assert outcomes["overturned"] == overturned
        assert outcomes["open"] == sum(
            view.status in (Status.ALLEGED, Status.UNDER_REVIEW) and view.attribution is not Attribution.ACCEPTED
            for view in views.values()
        )
        facts = [one.entry.fact for one in listed if not one.pending]
        appeals = [one for one in listed if isinstance(one.entry.fact, StatusChanged) and not one.pending]
        assert total(found, "appeals").total == sum(
            one.entry.fact.action is Action.APPEAL and one.entry.fact.violation in views  # type: ignore[union-attr]
            for one in appeals
        )
        void = {one.entry for one in facts if isinstance(one, EntryCorrected) and one.correction is CorrectionKind.VOID}
        standing = [one.entry for one in listed if one.entry.entry_id not in void]
        imposed = [
            one for one in standing if isinstance(one.fact, MeasureChanged) and one.fact.state is MeasureState.IMPOSED
        ]
        assert total(found, "measures").total == len(imposed)
        assert total(found, "complaints").total == sum(isinstance(one.fact, ComplaintFiled) for one in standing)


def test_a_violation_is_followed_to_its_end(ledger: Ledger, clock: Clock) -> None:
    ledger.append(
        MARKET,
        [
            exposure(),
            violation("v1", listing="l-1", occur_time=ago(40), report_time=ago(36)),
            violation("v2", source=Source.PLATFORM_DETECTION, occur_time=ago(40), report_time=ago(36)),
            violation("v3", source=Source.CUSTOMS, final=True, identifier_verified=True, report_time=ago(9)),
            violation("v4", source=Source.BUYER, report_time=ago(9)),
        ],
        imported=True,
    )
    ledger.append(
        MARKET,
        [
            status("v1", occur_time=ago(35)),
            status("v1", Action.APPEAL, occur_time=ago(30)),
            status("v1", Action.OVERTURN, occur_time=ago(28)),
            status("v2", Action.DISMISS, occur_time=ago(34)),
            attribution("v4", Attribution.ACCEPTED),
        ],
    )
    found = tally(ledger)
    assert cells(found, "notices", "outcome") == {"overturned": 2}
    assert cells(found, "own_initiative", "outcome") == {"dismissed": 1}
    assert cells(found, "orders", "outcome") == {"confirmed": 1}
    assert cells(found, "confirmed", "source") == {"brand": 1, "customs": 1}
    assert cells(found, "overturned", "source") == {"brand": 1}
    assert cells(found, "appeals", "outcome") == {"overturned": 1}
    assert [total(found, key).total for key in ("listings", "active_sellers", "settled_orders")] == [1, 1, 100]
    assert total(tally(ledger, "2026-01"), "notices").total == 1
    assert total(tally(ledger, "2025"), "notices").total == 0


def test_software_is_judged_by_random_inspections_alone(ledger: Ledger) -> None:
    entries = []
    for number in range(30):
        seller, is_fake, is_flagged = f"s{number}", number < 13, number < 8 or number >= 25
        if is_flagged:
            fact = ViolationReported(
                "counterfeit_goods", Harm.HIGH, Source.PLATFORM_DETECTION, listing="l", automated=True
            )
            entries.append(Entry(f"f{number}", seller, fact, ago(20), ago(19)))
        result = InspectionResult.FAILED if is_fake else InspectionResult.PASSED
        for source, ppm in ((Source.RANDOM_AUDIT, 500_000), (Source.TEST_BUY, 0)):
            inspected = InspectionDone(
                result, InspectionMethod.TEST_BUY, source, selection_probability_ppm=ppm, listing="l"
            )
            entries.append(Entry(f"{source.name}-{number}", seller, inspected, ago(5)))
    ledger.append(MARKET, entries, imported=True)
    shown = tally(ledger).show()
    assert shown["audited"].shown.count == 30
    for key, share in (("accuracy", 20 / 30), ("precision", 8 / 13), ("recall", 8 / 13)):
        value = shown[key]
        assert abs((value.value or 0) - share) < 1e-9
        assert (value.low or 0) < share < (value.high or 0)
    assert shown["precision"].shown.count == 13
    audits = [
        replace(inspected, source=Source.RANDOM_AUDIT, selection_probability_ppm=9_000, result=result)
        for result in 6 * [InspectionResult.PASSED] + [InspectionResult.FAILED]
    ]
    ledger.append(MARKET, [Entry(f"a{n}", f"s{n}", fact, ago(40)) for n, fact in enumerate(audits)])
    january = tally(ledger, "2026-01").show()
    assert january["audited"].shown.count == 7
    assert january["accuracy"].value is None


def test_a_correction_moves_or_removes_what_it_names(ledger: Ledger, clock: Clock) -> None:
    fact = MeasureChanged("m", MeasureKind.LISTING_CAP, MeasureState.IMPOSED, "a", "r", listings=9)
    ledger.append(MARKET, [exposure(), Entry("e1", "s1", fact, ago(9)), Entry("e2", "s1", fact, ago(9))])
    assert total(tally(ledger, "2026-02"), "measures").total == 2
    moved = EntryCorrected("e1", CorrectionKind.MOVED, "a", "r", ago(40))
    ledger.append(
        MARKET, [Entry("c1", "", moved), Entry("c2", "", EntryCorrected("e2", CorrectionKind.VOID, "a", "r"))]
    )
    assert [total(tally(ledger, month), "measures").total for month in ("2026-01", "2026-02")] == [1, 0]


def test_general_terms_measure_no_seller() -> None:
    stated = {"s1": {"rule": "new"}, "s2": {}, "s3": {"rule": "repeated", "violations": ["v1"]}}
    rows = [
        ReportRow(
            *(number, seller, seller, Kind.MEASURE, ago(5), ago(5), None, None, MeasureState.IMPOSED, "m"),
            json.dumps({"measure_kind": "listing_cap"} | fields),
        )
        for number, (seller, fields) in enumerate(stated.items())
    ]
    found = count(YEAR, ReportExposure(3, 9), [], rows, [], [])
    assert total(found, "measures").total == 3
    assert total(found, "sellers_measured").total == 2


def test_a_restated_day_counts_once(ledger: Ledger) -> None:
    ledger.append(MARKET, [exposure(), exposure(settled_orders=70, revision=1), exposure(seller="s2")])
    assert [total(tally(ledger), key).total for key in ("active_sellers", "settled_orders")] == [2, 170]

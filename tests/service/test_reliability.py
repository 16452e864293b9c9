from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.base.enums import AUTHORITIES, Attribution, Category, Severity, Source, Status
from service.ledger.records import Record, ReportOutcome, find_outcome
from service.review.priority import HARM_WEIGHTS, QueueItem, rank_items
from service.review.reliability import PRIORS, assess, probability_upheld, reliability_of

records = st.builds(Record, *([st.integers(0, 1_000)] * 5))
judged_sources = st.sampled_from(sorted(PRIORS))
ITEM = QueueItem("v", 1, Category.COUNTERFEIT, Severity.MAJOR, 0.5, 199, held_back=False)


def test_the_worked_reliabilities() -> None:
    colluder = reliability_of(Record(dismissed=20), Source.BUYER)
    assert colluder.prior == 0.5
    assert [round(n, 3) for n in (colluder.mean, colluder.low, colluder.high)] == [0.143, 0.052, 0.263]
    mixed = reliability_of(Record(upheld=3, overturned=1, withdrawn=2), Source.BUYER)
    assert [round(n, 3) for n in (mixed.mean, mixed.low, mixed.high)] == [0.538, 0.315, 0.755]
    assert mixed == reliability_of(Record(upheld=3, overturned=1, dismissed=1), Source.BUYER)


@given(records, judged_sources)
def test_upheld_reports_never_lower_reliability(record: Record, source: Source) -> None:
    def numbers(record: Record) -> tuple[float, float, float]:
        found = reliability_of(record, source)
        assert 0 < found.low < found.mean < found.high < 1
        return found.low, found.mean, found.high

    now = numbers(record)
    assert numbers(replace(record, open=record.open + 1)) == now
    assert all(a > b for a, b in zip(numbers(replace(record, upheld=record.upheld + 1)), now, strict=True))
    withdrawn = numbers(replace(record, withdrawn=record.withdrawn + 1))
    assert all(a < b for a, b in zip(withdrawn, now, strict=True))
    for name in ("overturned", "dismissed"):
        failed = numbers(replace(record, **{name: getattr(record, name) + 1}))
        assert all(a < b for a, b in zip(failed, withdrawn, strict=True))


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (Status.ALLEGED, ReportOutcome.OPEN),
        (Status.UNDER_REVIEW, ReportOutcome.OPEN),
        (Status.CONFIRMED, ReportOutcome.UPHELD),
        (Status.REDUCED, ReportOutcome.UPHELD),
        (Status.APPEALED, ReportOutcome.UPHELD),
        (Status.DISMISSED, ReportOutcome.DISMISSED),
        (Status.WITHDRAWN, ReportOutcome.WITHDRAWN),
        (Status.OVERTURNED, ReportOutcome.OVERTURNED),
    ],
)
def test_each_status_has_its_outcome(status: Status, outcome: ReportOutcome) -> None:
    assert find_outcome(status) is outcome
    for attribution in (Attribution.CONTESTED, Attribution.REJECTED):
        assert find_outcome(status, attribution) is outcome
    assert find_outcome(status, Attribution.ACCEPTED) is ReportOutcome.OVERTURNED


def test_authorities_are_counted_and_not_judged() -> None:
    assert set(PRIORS) == set(Source) - AUTHORITIES
    seized = assess({Source.CUSTOMS: Record(overturned=5)})
    assert (seized.record, seized.authority_reports, seized.source, seized.reliability) == (Record(), 5, None, None)
    alone, beside = (assess({Source.BRAND: Record(dismissed=2)} | more) for more in ({}, {Source.COURT: Record(9)}))
    assert alone.reliability == beside.reliability
    worst = assess({Source.BUYER: Record(dismissed=100)})
    assert {probability_upheld(source, worst) for source in AUTHORITIES} == {1.0}
    assert probability_upheld(Source.BUYER, worst) < 0.05
    assert probability_upheld(Source.BRAND, seized) == probability_upheld(Source.BRAND) == PRIORS[Source.BRAND].mean


def test_a_notifier_has_the_prior_of_its_main_source() -> None:
    many, few = Record(open=2), Record(upheld=1)
    assert assess({Source.BUYER: many, Source.BRAND: few}).source is Source.BUYER
    assert assess({Source.BUYER: few, Source.BRAND: many}).source is Source.BRAND
    both = assess({Source.BUYER: few, Source.BRAND: Record(dismissed=1)})
    assert both.source is Source.BUYER
    assert both.record == Record(upheld=1, dismissed=1)


def test_the_worked_priority() -> None:
    assert ITEM.priority == 900
    assert set(HARM_WEIGHTS) == set(Severity)


@given(st.permutations(range(8)))
def test_safety_goes_first_whatever_the_numbers_say(order: list[int]) -> None:
    loud = ITEM._replace(severity=Severity.CRITICAL, probability_upheld=1.0, recent_orders=10**8)
    quiet = ITEM._replace(severity=Severity.MINOR, probability_upheld=0.01, recent_orders=0)
    wanted = [
        item._replace(category=category, sequence=sequence)
        for category, item, sequence in product((Category.SAFETY, Category.IP), (loud, quiet), (1, 2))
    ]
    assert rank_items([wanted[place] for place in order]) == wanted

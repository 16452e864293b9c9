import pytest

from scoring.base.enums import Action, Harm, Severity, Status
from scoring.base.errors import (
    EntryContentDiffers,
    ExposureRevisionTaken,
    InvalidInput,
    LifecycleForbids,
    ViolationNotFound,
)
from scoring.base.time import DAY, SECOND
from scoring.entries.entry import MAX_AHEAD, MAX_BATCH
from service.ledger.records import Position
from service.ledger.store import Ledger
from tests.helpers.answers import fact_rows
from tests.helpers.builders import MARKET, NOW, TODAY, Clock, ago, confirmed, exposure, identity, status, violation
from tests.helpers.ledgers import find_violation, ids


def test_sequences_have_no_gaps(ledger: Ledger) -> None:
    first = ledger.append(MARKET, [identity("a"), identity("b")])
    second = ledger.append("other", [identity("a")])
    third = ledger.append(MARKET, [identity("c")])
    assert [done.sequence for done in (*first, *second, *third)] == [1, 2, 3, 4]
    assert [done.already_present for done in (*first, *second, *third)] == [False] * 4
    assert [done.record_time for done in (*first, *second, *third)] == [NOW, NOW, NOW + 1, NOW + 2]
    assert ledger.last() == (4, NOW + 2)


def test_a_retry_is_answered_as_the_first_time(ledger: Ledger, clock: Clock) -> None:
    batch = [violation("v1"), exposure(), identity("i1"), status("v1")]
    position = Position("orders", 0, 5)
    first = ledger.append(MARKET, batch, position=position)
    clock.now += DAY
    again = ledger.append(MARKET, batch, position=position)
    assert ledger.positions.find("orders", 0) == 5
    ledger.append(MARKET, batch, position=Position("orders", 0, 9))
    assert ledger.positions.find("orders", 0) == 9
    assert again == [done._replace(already_present=True) for done in first]
    assert ledger.last() == (4, NOW)


def test_a_retry_is_valid_still_when_the_clock_has_been_put_back(ledger: Ledger, clock: Clock) -> None:
    first = ledger.append(MARKET, [violation(occur_time=NOW)])
    clock.now = NOW - 10 * SECOND
    assert ledger.append(MARKET, [violation(occur_time=NOW)]) == [first[0]._replace(already_present=True)]


def test_a_batch_that_is_partly_known_appends_the_rest(ledger: Ledger) -> None:
    ledger.append(MARKET, [identity("a"), identity("b")])
    done = ledger.append(MARKET, [identity("b"), identity("c"), identity("a"), identity("d")])
    assert [(one.sequence, one.already_present) for one in done] == [(2, True), (3, False), (1, True), (4, False)]


def test_an_entry_twice_in_a_batch_is_appended_once(ledger: Ledger) -> None:
    done = ledger.append(MARKET, [identity("a"), identity("a"), identity("b")])
    assert [(one.sequence, one.already_present) for one in done] == [(1, False), (1, True), (2, False)]
    assert ids(ledger) == ["a", "b"]


def test_other_content_under_a_known_id_is_refused_and_named(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v1", harm=Harm.HIGH)])
    with pytest.raises(EntryContentDiffers, match=r"entries\[1\]\.entry_id: 'v1' .* \(sequence 1\)") as caught:
        ledger.append(MARKET, [identity("new"), violation("v1", harm=Harm.LOW)])
    assert caught.value.metadata == {"entry_id": "v1"}
    assert ids(ledger) == ["v1"]


def test_other_content_under_an_id_of_the_same_batch_is_refused(ledger: Ledger) -> None:
    with pytest.raises(EntryContentDiffers, match=r"entries\[1\]\.entry_id"):
        ledger.append(MARKET, [violation("v1", harm=Harm.HIGH), violation("v1", harm=Harm.LOW)])
    assert ledger.last() == (0, 0)


def test_a_batchs_first_fault_is_told(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v1", "t")])
    with pytest.raises(EntryContentDiffers, match=r"entries\[1\]\.entry_id"):
        ledger.append(MARKET, [identity("x", "s"), identity("x", "t"), status("v1", Action.OVERTURN, "d", seller="t")])
    assert ids(ledger) == ["v1"]


def test_the_same_id_in_another_marketplace_is_another_entry(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v1", harm=Harm.HIGH)])
    [done] = ledger.append("other", [violation("v1", harm=Harm.LOW)])
    assert (done.sequence, done.already_present) == (2, False)


def test_one_wrong_entry_of_many_refuses_them_all(ledger: Ledger) -> None:
    batch = [identity(f"i{n}") for n in range(30)]
    batch[17] = violation("v17", violation_type="no_such_type", occur_time=NOW + MAX_AHEAD + 1)
    batch[20] = identity("not an id")
    with pytest.raises(InvalidInput) as caught:
        ledger.append(MARKET, batch)
    assert [wrong.field for wrong in caught.value.violations] == [
        "entries[17].occur_time",
        "entries[17].violation.violation_type",
        "entries[20].entry_id",
    ]
    assert ledger.last() == (0, 0)


@pytest.mark.long
@pytest.mark.parametrize("size", [0, MAX_BATCH + 1])
def test_a_batch_holds_1_to_10_000_entries(ledger: Ledger, size: int) -> None:
    with pytest.raises(InvalidInput, match="1 to 10,000"):
        ledger.append(MARKET, [identity(f"i{n}") for n in range(size)])
    assert ledger.last() == (0, 0)


def test_a_marketplace_that_is_no_id_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InvalidInput, match="marketplace"):
        ledger.append("a market", [identity()])


def test_record_times_do_not_go_back_with_the_clock(ledger: Ledger, clock: Clock) -> None:
    times = []
    for n, now in enumerate([NOW, NOW - DAY, NOW - 1, NOW + 1, NOW, NOW + 7]):
        clock.now = now
        times += [done.record_time for done in ledger.append(MARKET, [identity(f"i{n}")])]
    assert times == [NOW, NOW + 1, NOW + 2, NOW + 3, NOW + 4, NOW + 7]


def test_a_report_time_is_refused_unless_it_is_imported(ledger: Ledger) -> None:
    """Otherwise a caller could make its own past."""
    late = violation("v1", occur_time=ago(10), report_time=ago(9))
    with pytest.raises(InvalidInput) as caught:
        ledger.append(MARKET, [identity(), late])
    [wrong] = caught.value.violations
    assert wrong.field == "entries[1].report_time"
    ledger.append(MARKET, [identity(), late], imported=True)
    recorded = ledger.entries.list(MARKET, ledger.cut())
    assert [one.report_time for one in recorded] == [NOW, ago(9)]
    assert [one.record_time for one in recorded] == [NOW, NOW]


def test_an_import_cannot_report_from_the_future(ledger: Ledger) -> None:
    with pytest.raises(InvalidInput, match=r"entries\[0\]\.report_time"):
        ledger.append(MARKET, [violation(report_time=NOW + MAX_AHEAD + 1)], imported=True)


def test_what_a_caller_leaves_out_is_filled_in(ledger: Ledger) -> None:
    stated = [
        violation("v1", incident="", notifier="n"),
        status("v1"),
        exposure(TODAY - 3),
        identity(attributes={"a": "b"}),
    ]
    ledger.append(MARKET, stated)
    recorded = ledger.entries.list(MARKET, ledger.cut())
    assert [one.entry for one in recorded] == stated
    assert [one.seller for one in recorded] == ["s1"] * 4
    assert [one.occur_time for one in recorded] == [ago(10), NOW, (TODAY - 3) * DAY, ago(400)]
    assert [one.report_time for one in recorded] == [NOW] * 4


def test_texts_that_databases_find_hard_come_back_as_they_were(ledger: Ledger) -> None:
    reason = "a\\u0000b\\\\N \\. \"'\x80\u2028 é 漢 \U0001f600"
    ledger.append(MARKET, [violation("v1"), status("v1", reason=reason), identity(attributes={"k": reason})])
    assert [one.entry for one in ledger.entries.list(MARKET, ledger.cut())][1:] == [
        status("v1", reason=reason),
        identity(attributes={"k": reason}),
    ]


def test_half_a_character_is_refused(ledger: Ledger) -> None:
    """JSON can hold half of a surrogate pair, which no encoding can write."""
    with pytest.raises(InvalidInput) as caught:
        ledger.append(MARKET, [violation("v1"), status("v1", reason="\ud83d"), identity(attributes={"k": "\ude00"})])
    assert [wrong.field for wrong in caught.value.violations] == [
        "entries[1].status.reason",
        "entries[2].identity.attributes",
    ]


def test_the_largest_numbers_fit(ledger: Ledger) -> None:
    largest = exposure(
        settled_orders=100_000_000, revision=1_000_000, units=10_000_000_000, late=100_000_000, returned=100_000_000
    )
    ledger.append(MARKET, [largest])
    [row] = fact_rows(ledger, "s1")
    assert (row.settled_orders, row.service_failures, row.revision) == (100_000_000, 100_000_000, 1_000_000)


def test_a_days_revision_is_stated_by_one_entry(ledger: Ledger) -> None:
    ledger.append(MARKET, [exposure(entry_id="first"), exposure(entry_id="toys", product_category="toys")])
    for fresh in (exposure(entry_id="second"), exposure(entry_id="second", settled_orders=7)):
        with pytest.raises(ExposureRevisionTaken, match=r"entries\[1\]\.exposure: .* 'first'") as caught:
            ledger.append(MARKET, [identity(), fresh])
        assert caught.value.metadata == {"entry_id": "first"}
    retried = [exposure(entry_id="first"), exposure(entry_id="toys-again", product_category="toys")]
    with pytest.raises(ExposureRevisionTaken, match=r"entries\[1\]\.exposure: .* 'toys'"):
        ledger.append(MARKET, retried)
    twice = [exposure(TODAY - 9, entry_id="a"), exposure(TODAY - 9, entry_id="b")]
    with pytest.raises(ExposureRevisionTaken, match=r"entries\[1\]\.exposure: .* 'a'"):
        ledger.append(MARKET, twice)
    assert ids(ledger) == ["first", "toys"]
    ledger.append(MARKET, [exposure(entry_id="second", revision=1), exposure(TODAY - 2, entry_id="third")])
    ledger.append(MARKET, [exposure(seller="s2", entry_id="fourth")])
    ledger.append("other", [exposure(entry_id="first")])


def test_deduplication_comes_before_the_lifecycle(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v1"), status("v1", Action.CONFIRM), status("v1", Action.OVERTURN)])
    [done] = ledger.append(MARKET, [status("v1", Action.CONFIRM)])
    assert (done.sequence, done.already_present) == (2, True)


def test_a_status_knows_its_seller_by_the_violation(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v1", "s1")])
    with pytest.raises(
        ViolationNotFound, match=r"entries\[0\]\.status\.violation: no violation 'v1' .* of this seller"
    ):
        ledger.append(MARKET, [status("v1", seller="s2")])
    ledger.append(MARKET, [status("v1", seller="s1")])
    assert [row.seller for row in fact_rows(ledger, "s1")] == ["s1", "s1"]


def test_a_status_names_a_violation_of_its_own_marketplace(ledger: Ledger) -> None:
    ledger.append("other", [violation("v1")])
    ledger.append(MARKET, [identity("i1")])
    for name, batch in {"v1": [status("v1")], "v2": [status("v2"), violation("v2")], "i1": [status("i1")]}.items():
        with pytest.raises(ViolationNotFound, match=r"entries\[0\]\.status\.violation") as caught:
            ledger.append(MARKET, batch)
        assert caught.value.metadata == {"violation": name}
    assert ids(ledger) == ["i1"]


def test_a_final_act_of_an_authority_is_confirmed_on_arrival(ledger: Ledger) -> None:
    ledger.append(MARKET, [confirmed("v1"), violation("v2")])
    assert find_violation(ledger, "v1").status is Status.CONFIRMED
    assert find_violation(ledger, "v2").status is Status.ALLEGED
    with pytest.raises(LifecycleForbids):
        ledger.append(MARKET, [status("v1", Action.CONFIRM)])


def test_a_reduction_leaves_less_than_the_present_severity(ledger: Ledger) -> None:
    ledger.append(MARKET, [confirmed("v1")])
    for severity in (Severity.CRITICAL, Severity.MAJOR):
        with pytest.raises(LifecycleForbids, match=r"entries\[0\]\.status\.severity: .* major") as caught:
            ledger.append(MARKET, [status(action=Action.REDUCE, severity=severity)])
        assert caught.value.metadata == {"status": "CONFIRMED", "allowed": "appeal, reduce, overturn"}
    ledger.append(MARKET, [status("v1", Action.REDUCE, "r1", severity=Severity.MODERATE)])
    with pytest.raises(LifecycleForbids, match="moderate"):
        ledger.append(MARKET, [status("v1", Action.REDUCE, "r2", severity=Severity.MODERATE)])
    ledger.append(MARKET, [status("v1", Action.APPEAL), status("v1", Action.CONFIRM)])
    assert (find_violation(ledger).status, find_violation(ledger).severity) == (Status.CONFIRMED, Severity.MODERATE)
    with pytest.raises(LifecycleForbids, match=r"entries\[1\]\.status\.severity: .* minor"):
        ledger.append(
            MARKET,
            [
                status("v1", Action.REDUCE, "r3", severity=Severity.MINOR),
                status("v1", Action.REDUCE, "r4", severity=Severity.MINOR),
            ],
        )


def test_a_status_entry_says_what_it_leads_to(ledger: Ledger) -> None:
    ledger.append(MARKET, [confirmed("v1"), status("v1", Action.REDUCE, severity=Severity.MINOR)])
    ledger.append(MARKET, [status("v1", Action.APPEAL)])
    rows = fact_rows(ledger, "s1")
    assert [(row.violation, row.status, row.severity) for row in rows] == [
        ("v1", Status.CONFIRMED, Severity.MAJOR),
        ("v1", Status.REDUCED, Severity.MINOR),
        ("v1", Status.APPEALED, None),
    ]


def test_violations_of_one_batch_do_not_mix(ledger: Ledger) -> None:
    ledger.append(MARKET, [violation("v1"), confirmed("v2"), status("v1", Action.DISMISS), status("v2", Action.APPEAL)])
    assert (find_violation(ledger, "v1").status, find_violation(ledger, "v2").status) == (
        Status.DISMISSED,
        Status.APPEALED,
    )

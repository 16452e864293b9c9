import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring.answers.report_figures import parse_period
from scoring.base.enums import (
    Action,
    Harm,
    InspectionMethod,
    InspectionResult,
    LinkState,
    MeasureKind,
    MeasureState,
    Source,
)
from scoring.base.errors import ClockInDoubt, ConfigurationWrong, InvalidInput
from scoring.base.time import DAY, SECOND, format_day, parse_time
from scoring.entries.entry import Entry
from scoring.entries.incidents import derived_id
from scoring.entries.kinds.conduct import ProductViolationReported
from scoring.entries.kinds.decisions import ClockMended, MeasureChanged
from scoring.entries.kinds.settlement import ComplaintFiled
from scoring.entries.kinds.trade import InspectionDone
from service.bootstrap import open_ledger
from service.ledger.clock.demo_clock import MARKER
from service.ledger.clock.server_clock import REST, SKEW, TOLERANCE, ServerClock, wall_clock
from service.ledger.database.database import Database
from service.ledger.records import Cut
from service.ledger.store import Ledger
from tests.helpers.answers import fact_rows, score
from tests.helpers.builders import (
    MARKET,
    NOW,
    TODAY,
    Clock,
    confirmed,
    exposure,
    identity,
    link,
    listing,
    status,
    violation,
)
from tests.helpers.databases import database
from tests.helpers.ledgers import verify
from tests.helpers.servers import settings_of
from tests.helpers.worlds import artifact, policy

TEN_YEARS = 3652 * DAY
GUILTY = [
    identity(),
    *(exposure(TODAY - 1 - n, settled_orders=200) for n in range(60)),
    *(confirmed(f"v{n}") for n in range(3)),
]


class Shifted:
    shift = 0

    def __call__(self) -> int:
        return wall_clock() + self.shift


@pytest.fixture
def twin(backend: str, tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    (tmp_path / "twin").mkdir()
    with database(backend, tmp_path / "twin") as url, Ledger.open(url, clock=clock) as ledger:
        yield ledger


def answers(ledger: Ledger, *sellers: str) -> list[object]:
    cut = ledger.cut()
    return list(score(fact_rows(ledger, *sellers, cut=cut), sellers, cut.observe_time, artifact(), policy()))


def run_ahead(url: str, by: int = TEN_YEARS, marketplace: str = "elsewhere") -> None:
    with Ledger.open(url, clock=Clock(NOW + by)) as fast:
        fast.append(marketplace, [identity("ahead", "s9")])


def test_an_append_ten_years_ahead_is_refused(url: str) -> None:
    clock = Shifted()
    with Ledger(Database(url), ServerClock(clock, is_witnessed=True)) as ledger:
        ledger.append(MARKET, [identity("before")])
        clock.shift = TEN_YEARS
        with pytest.raises(ClockInDoubt, match=r"clock says .* \(NTP\)"):
            ledger.append(MARKET, [identity("ahead")])
        with pytest.raises(ClockInDoubt):
            ledger.erase(MARKET, "s1", actor="officer", entry_id="erasure")
        assert ledger.cut().observe_time < wall_clock() + TOLERANCE
        clock.shift = 0
        [done] = ledger.append(MARKET, [identity("after")])
        assert (done.sequence, done.record_time <= wall_clock()) == (2, True)


def test_a_clock_that_lagged_and_was_set_right_is_not_in_doubt(url: str, backend: str) -> None:
    clock = Shifted()
    with Ledger(Database(url), ServerClock(clock, is_witnessed=True)) as ledger:
        clock.shift = -3600 * SECOND
        if backend == "sqlite":
            ledger.append(MARKET, [identity("lagging")])
        clock.shift = 0
        ledger.append(MARKET, [identity("right")])


def test_the_last_record_contradicts_a_wrong_clock(url: str) -> None:
    with Ledger.open(url, clock=Clock()) as ledger:
        ledger.append(MARKET, [identity("before")])
    doubt = pytest.raises(ClockInDoubt, match=r"366 days before.*mend-clock --rested")
    with Ledger.open(url, clock=Clock(NOW + REST + 1)) as fast, doubt:
        fast.append(MARKET, [identity("ahead")])
    with Ledger.open(url, clock=Clock(NOW + REST)) as ledger:
        ledger.append(MARKET, [identity("rested")])


def test_on_postgresql_a_record_time_is_the_databases(tmp_path: Path) -> None:
    clock = Shifted()
    with (
        database("postgresql", tmp_path) as url,
        Ledger(Database(url), ServerClock(clock, is_witnessed=True)) as ledger,
    ):
        times = []
        for n, clock.shift in enumerate((TOLERANCE // 2, -TOLERANCE // 2, TOLERANCE // 2)):
            before = wall_clock()
            times += [ledger.append(MARKET, [identity(f"i{n}")])[0].record_time, ledger.cut().observe_time]
            assert before - SKEW <= times[-2] < times[-1] <= wall_clock() + SKEW
        assert times == sorted(times)


@pytest.mark.long
def test_a_fast_clock_moves_answers_by_the_skew_alone(url: str, twin: Ledger, clock: Clock) -> None:
    run_ahead(url)
    with Ledger.open(url, clock=clock) as ledger:
        for one in (ledger, twin):
            one.append(MARKET, GUILTY)
        assert NOW < ledger.cut().observe_time <= NOW + SKEW + 1
        assert answers(ledger, "s1") == answers(twin, "s1")
        [seen] = answers(ledger, "s1")
        assert getattr(seen, "counted_incidents", 0) == 3
        clock.now += 10 * SECOND
        for one in (ledger, twin):
            one.append(MARKET, [confirmed("fresh")])
        assert answers(ledger, "s1") == answers(twin, "s1")
        assert "fresh" in [found.entry.entry_id for found in ledger.entries.list(MARKET, ledger.cut(), limit=1000)]
        assert [done.record_time for done in ledger.append("elsewhere", [identity("ahead", "s9")])] == [NOW + TEN_YEARS]


def test_the_operator_is_warned_of_record_times_that_run_ahead(url: str, clock: Clock) -> None:
    run_ahead(url)
    with Ledger.open(url, clock=clock) as ledger:
        [warning] = [caution for caution in ledger.list_cautions() if "ahead of the clock" in caution]
        assert "mend-clock" in warning
        clock.now = NOW + TEN_YEARS
        assert not [caution for caution in ledger.list_cautions() if "ahead of the clock" in caution]


def test_a_record_ahead_lets_nobody_state_the_future(url: str, clock: Clock) -> None:
    with Ledger.open(url, clock=Clock(NOW + TEN_YEARS)) as fast:
        [first] = fast.append(MARKET, [violation("early", occur_time=NOW + DAY)])
    with Ledger.open(url, clock=clock) as ledger:
        with pytest.raises(InvalidInput, match=r"entries\[1\]\.occur_time: lies in the future"):
            ledger.append(MARKET, [identity(), violation("late", occur_time=NOW + DAY)])
        again = violation("early", occur_time=NOW + DAY)
        assert ledger.append(MARKET, [again]) == [first._replace(already_present=True)]


def mend(ledger: Ledger, first: int, ahead: int = TEN_YEARS, entry_id: str = "mended") -> int:
    reason = "the clock of server 2 stood ten years ahead"
    done = ledger.mend_clock(
        MARKET, actor="operator", reason=reason, first_sequence=first, ahead=ahead, entry_id=entry_id
    )
    return done.sequence


def poisoned(url: str, clock: Clock, facts: list[Entry]) -> Ledger:
    """Return a ledger whose entries after the first were recorded and dated ten years ahead."""
    with Ledger.open(url, clock=Clock(NOW - DAY)) as ledger:
        ledger.append(MARKET, [identity("before", "s8")])
    with Ledger.open(url, clock=Clock(NOW + TEN_YEARS)) as fast, pytest.MonkeyPatch.context() as patch:
        # Otherwise the last record would contradict the clock.
        patch.setattr("service.ledger.clock.server_clock.REST", 2 * TEN_YEARS)
        fast.append(MARKET, facts)
    return Ledger.open(url, clock=clock)


@pytest.mark.long
def test_mending_brings_the_answers_back(url: str, twin: Ledger, clock: Clock) -> None:
    facts = [*GUILTY, status("v2", Action.OVERTURN), violation("alleged")]
    clock.now += 60 * SECOND
    with poisoned(url, clock, facts) as ledger:
        twin.append(MARKET, [identity("before", "s8"), *facts])
        assert answers(ledger, "s1") != answers(twin, "s1")
        mend(ledger, 2)
        clock.now += SECOND
        for one in (ledger, twin):
            one.append(MARKET, [confirmed("fresh")])
        assert answers(ledger, "s1", "s8") == answers(twin, "s1", "s8")
        cut, whole = ledger.cut(), twin.cut()
        assert cut.observe_time == clock.now + 1
        names = [found.entry.entry_id for found in ledger.entries.list(MARKET, cut, limit=1000)]
        names.remove("mended")
        assert names == [found.entry.entry_id for found in twin.entries.list(MARKET, whole, limit=1000)]
        for name in ("v0", "v2", "alleged"):
            found, wanted = (one.violations.find(MARKET, name, one.cut()) for one in (ledger, twin))
            assert (found.status, found.allowed_actions) == (wanted.status, wanted.allowed_actions)
            assert found.report_time == found.record_time == NOW
        exported = {row[6] for rows in ledger.entries.export(MARKET, cut) for row in rows}
        assert min(exported) == NOW - DAY
        assert max(exported) <= clock.now
        assert verify(ledger, ledger.seals.last()).faults == ()
        assert not [caution for caution in ledger.list_cautions() if "ahead of the clock" in caution]


@pytest.mark.long
def test_answers_before_a_mending_replay_to_the_bit(url: str, clock: Clock) -> None:
    with poisoned(url, clock, GUILTY) as ledger:
        ledger.append(MARKET, [confirmed("since", "s2")])
        asked = [
            (None, None),
            (NOW, None),
            (NOW + TEN_YEARS, None),
            (NOW, NOW),
            (NOW, NOW + TEN_YEARS),
            (NOW, NOW - 2 * DAY),
        ]
        stamps = [ledger.cut(*times) for times in asked]

        def answered(cut: Cut) -> list[object]:
            rows = fact_rows(ledger, "s1", "s2", "s8", cut=cut)
            scores = list(score(rows, ["s1", "s2", "s8"], cut.observe_time, artifact(), policy()))
            return [scores, rows, ledger.entries.list(MARKET, cut, limit=1000), ledger.violations.list(MARKET, cut)]

        before = [answered(cut) for cut in stamps]
        mend(ledger, 2)
        for later in range(3):
            clock.now += later * DAY
            ledger.append(MARKET, [confirmed(f"later-{later}")])
            again = [ledger.cut(cut.observe_time, cut.known_time) for cut in stamps]
            assert again == stamps
            assert [answered(cut) for cut in again] == before
        with Ledger.open(url, clock=clock) as other:
            assert [fact_rows(other, "s1", cut=cut) for cut in stamps] == [
                [row for row in found[1] if row.seller == "s1"]  # type: ignore[attr-defined]
                for found in before
            ]


def test_after_a_mending_times_follow_the_clock(url: str, clock: Clock) -> None:
    with poisoned(url, clock, [identity("ahead")]) as ledger:
        ledger.append(MARKET, [identity("since")])
        clock.now = NOW + DAY
        mended = mend(ledger, 2)
        clock.now = NOW + 2 * DAY
        [after] = ledger.append(MARKET, [identity("after")])
        assert (mended, after.record_time) == (4, NOW + 2 * DAY)
        recorded = [found.record_time for found in ledger.entries.list(MARKET, ledger.cut())]
        assert recorded == [NOW - DAY, NOW, NOW + 1, NOW + DAY, NOW + 2 * DAY]
        known = {NOW - DAY: 0, NOW: 1, NOW + 1: 2, NOW + 2: 3, NOW + DAY: 3, NOW + DAY + 1: 4, NOW + 2 * DAY + 1: 5}
        assert {time: ledger.cut(NOW, time).sequence for time in known} == known


def test_what_links_bring_follows_from_mended_times(url: str, twin: Ledger, clock: Clock) -> None:
    facts = [link("l1", "bad", "iban"), link("l2", "bad", "iban", state=LinkState.CONFIRMED), confirmed("v1", "bad")]
    with poisoned(url, clock, facts) as ledger:
        twin.append(MARKET, [identity("before", "s8"), *facts])
        mend(ledger, 2)
        clock.now += SECOND
        found = []
        for one in (ledger, twin):
            one.append(MARKET, [link("l3", "late", "iban"), link("l4", "late", "iban", state=LinkState.CONFIRMED)])
            found.append(
                [(it.occur_time, it.fact) for it in one.measures.read_seller_terms(MARKET, "late", one.cut()).cases]
            )
        assert found[0] == found[1] != []


def test_a_transparency_report_counts_by_mended_times(url: str, twin: Ledger, clock: Clock) -> None:
    order = MeasureChanged("m1", MeasureKind.LISTING_CAP, MeasureState.IMPOSED, "staff", "r", listings=9)
    audit = InspectionDone(InspectionResult.FAILED, InspectionMethod.TEST_BUY, Source.RANDOM_AUDIT, 500_000)
    facts = [confirmed("v1"), Entry("m", "s1", order), Entry("k", "s1", ComplaintFiled("m1", "wrong"))]
    facts += [violation("v2", "s2")]
    with poisoned(url, clock, [*facts, Entry("i1", "s2", audit, NOW + TEN_YEARS)]) as ledger:
        twin.append(MARKET, [identity("before", "s8"), *facts, Entry("i1", "s2", audit, NOW)])
        mend(ledger, 2)
        mended, wanted = (
            one.transparency.tally(MARKET, parse_period(format_day(TODAY)[:4]), one.last()[0]) for one in (ledger, twin)
        )
        keys = ("own_initiative", "confirmed", "measures", "sellers_measured", "complaints", "audited")
        counts = {key: sum(month.total for month in mended.amounts(key)) for key in keys}
        assert counts == {key: sum(month.total for month in wanted.amounts(key)) for key in keys}
        assert counts["measures"] == counts["complaints"] == counts["audited"] == 1


def test_a_time_that_was_given_before_is_not_given_again(url: str, clock: Clock) -> None:
    with Ledger.open(url, clock=Clock(NOW + 3600 * SECOND)) as fast:
        fast.append(MARKET, [identity("ahead")])
    with Ledger.open(url, clock=clock) as ledger:
        stamp = ledger.cut()
        mend(ledger, 1, 3600 * SECOND)
        clock.now = NOW + 3600 * SECOND
        [done] = ledger.append(MARKET, [identity("then")])
        assert (stamp.known_time, done.record_time) == (NOW + 3600 * SECOND + 1, NOW + 3600 * SECOND + 2)
        assert ledger.cut(stamp.observe_time, stamp.known_time) == stamp
        assert ledger.cut().sequence == 3


def test_a_mending_that_cannot_be_true_is_refused(url: str, clock: Clock) -> None:
    with poisoned(url, clock, [identity("ahead")]) as ledger:
        for first, ahead, field in [
            (9, TEN_YEARS, "clock.first_sequence"),
            (0, TEN_YEARS, "clock.first_sequence"),
            (2, TEN_YEARS + DAY, "clock.ahead_micros"),
            (2, TEN_YEARS - 1, "clock.ahead_micros"),
        ]:
            with pytest.raises(InvalidInput, match=re.escape(field)):
                mend(ledger, first, ahead)
        assert ledger.last()[0] == 2
        assert [mend(ledger, 2), mend(ledger, 2)] == [3, 3]
        with pytest.raises(InvalidInput, match="must be an entry after 3"):
            mend(ledger, 2, entry_id="again")
        with pytest.raises(InvalidInput, match="mend-clock"):
            ledger.append(MARKET, [Entry("by hand", "", ClockMended("operator", "because", 2, 5))])


def test_somebody_vouches_for_the_clock_after_a_rest(url: str) -> None:
    with Ledger.open(url, clock=Clock()) as ledger:
        ledger.append(MARKET, [identity("before")])
    with Ledger.open(url, clock=Clock(NOW + REST + DAY)) as ledger:
        assert mend(ledger, 0, 0) == 2
        [done] = ledger.append(MARKET, [identity("after")])
        assert done.record_time == NOW + REST + DAY + 1


def test_what_follows_is_dated_by_the_right_clock(ledger: Ledger, clock: Clock) -> None:
    def recall(entry_id: str, product: str) -> Entry:
        fact = ProductViolationReported("unsafe_product", Harm.HIGH, Source.RANDOM_AUDIT, product)
        return Entry(entry_id, "", fact, clock.now - DAY)

    ledger.append(MARKET, [violation("v2"), listing("s0", days=9, product="g")])
    clock.now += 100 * DAY + 2 * SECOND
    ledger.append(MARKET, [recall("p1", "g"), recall("p2", "h"), status("w1", seller="s1"), status("v2")])
    clock.now = NOW + 5 * SECOND
    ledger.mend_clock(MARKET, actor="o", reason="r", first_sequence=3, ahead=100 * DAY, entry_id="mended")
    for entry in (
        listing("s1", days=1, product="g"),
        listing("s2", days=1, product="h"),
        violation("w1"),
        status("p1"),
        status("v2", Action.OVERTURN),
    ):
        clock.now += SECOND
        ledger.append(MARKET, [entry])
    views, _ = ledger.violations.list(MARKET, ledger.cut())
    assert {view.violation: view.status.name for view in views} == {
        "v2": "OVERTURNED",
        "w1": "CONFIRMED",
        derived_id("p1", "s0"): "CONFIRMED",
        derived_id("p1", "s1"): "CONFIRMED",
        derived_id("p2", "s2"): "ALLEGED",
    }
    assert all(view.report_time <= clock.now for view in views)
    assert verify(ledger).faults == ()


NOON = "2026-06-30T12:00:00Z"
START = parse_time(NOON)
MINUTE, HOUR = 60 * SECOND, 3_600 * SECOND


def test_a_demo_ledger_opened_again_goes_on(tmp_path: Path) -> None:
    settings = settings_of(data_dir=tmp_path)
    (tmp_path / MARKER).write_text("2026-06-30T13:00:00Z")
    with open_ledger(settings, create=True) as ledger:
        [first] = ledger.append("demo", [identity(entry_id="identity-1", occur_time=START)])
        assert HOUR <= first.record_time - START < HOUR + MINUTE
    (tmp_path / MARKER).write_text(NOON)
    with open_ledger(settings) as ledger:
        cut = ledger.cut()
        assert first.record_time < cut.known_time <= cut.observe_time < START + HOUR + 2 * MINUTE
        [second] = ledger.append("demo", [identity(entry_id="identity-2", occur_time=START)])
    assert first.record_time < second.record_time < START + HOUR + 2 * MINUTE


def test_a_demo_marker_without_a_time_is_refused(tmp_path: Path) -> None:
    """Otherwise a demo of an earlier release would give other answers each day."""
    (tmp_path / MARKER).touch()
    with pytest.raises(
        ConfigurationWrong, match=r"holds no time such as 2026-06-30T12:00:00Z\. Make the demo's data again"
    ):
        open_ledger(settings_of(data_dir=tmp_path), create=True)

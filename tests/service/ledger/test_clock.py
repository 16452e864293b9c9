"""A clock that runs ahead: refused where anything contradicts it, harmless where nothing did, and mendable."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scoring.errors import ClockInDoubt, InvalidInput
from scoring.score import score
from scoring.time import DAY, SECOND
from service.ledger.clock import REST, SKEW, TOLERANCE, wall_clock
from service.ledger.store import Ledger
from tests.builders import MARKET, NOW, TODAY, Clock, confirmed, exposure, identity, violation
from tests.databases import database
from tests.scoring.worlds import artifact, policy

TEN_YEARS = 3652 * DAY
GUILTY = [
    identity(),
    *(exposure(TODAY - 1 - n, settled_orders=200) for n in range(60)),
    *(confirmed(f"v{n}") for n in range(3)),
]
"""A seller with three confirmed counterfeits of ten days ago."""


class Shifted:
    """The machine's clock and a shift, which somebody changes."""

    shift = 0

    def __call__(self) -> int:
        return wall_clock() + self.shift


@pytest.fixture
def twin(backend: str, tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """Another ledger, to which nothing happens that a clock could do."""
    (tmp_path / "twin").mkdir()
    with database(backend, tmp_path / "twin") as url, Ledger.open(url, clock=clock) as ledger:
        yield ledger


def answers(ledger: Ledger, *sellers: str) -> list[object]:
    """The scores of now."""
    cut = ledger.cut()
    return list(score(ledger.fact_rows(MARKET, sellers, cut.sequence), sellers, cut.observe_time, artifact(), policy()))


def run_ahead(url: str, by: int = TEN_YEARS, marketplace: str = "elsewhere") -> None:
    """A server with a fast clock appends once, where nothing contradicts it: the first entry ever."""
    with Ledger.open(url, clock=Clock(NOW + by)) as fast:
        fast.append(marketplace, [identity("ahead", "s9")])


def test_an_append_by_a_clock_that_jumped_ten_years_ahead_is_refused(url: str) -> None:
    """By PostgreSQL's own clock, or by the time that has passed; the next one by a right clock is as if nothing had been."""
    clock = Shifted()
    with Ledger.open(url, clock=clock, is_witnessed=True) as ledger:
        ledger.append(MARKET, [identity("before")])
        clock.shift = TEN_YEARS
        with pytest.raises(ClockInDoubt, match=r"clock says .* \(NTP\)"):
            ledger.append(MARKET, [identity("ahead")])
        with pytest.raises(ClockInDoubt):
            ledger.erase(MARKET, "s1", actor="officer", entry_id="erasure")
        assert ledger.cut().observe_time < wall_clock() + TOLERANCE  # nor does it answer as of then
        clock.shift = 0
        [done] = ledger.append(MARKET, [identity("after")])
        assert (done.sequence, done.record_time <= wall_clock()) == (2, True)


def test_a_clock_that_lagged_and_was_set_right_is_not_in_doubt(url: str, backend: str) -> None:
    """A step back is no reason to doubt the clock once it has come back; PostgreSQL has a better one meanwhile."""
    clock = Shifted()
    with Ledger.open(url, clock=clock, is_witnessed=True) as ledger:
        clock.shift = -3600 * SECOND
        if backend == "sqlite":
            ledger.append(MARKET, [identity("lagging")])
        clock.shift = 0
        ledger.append(MARKET, [identity("right")])


def test_a_server_that_begins_with_a_wrong_clock_is_contradicted_by_the_last_record(url: str) -> None:
    """A machine that comes up in 2036 is refused, and the remedy is named."""
    with Ledger.open(url, clock=Clock()) as ledger:
        ledger.append(MARKET, [identity("before")])
    doubt = pytest.raises(ClockInDoubt, match=r"366 days before.*mend-clock --rested")
    with Ledger.open(url, clock=Clock(NOW + REST + 1)) as fast, doubt:
        fast.append(MARKET, [identity("ahead")])
    with Ledger.open(url, clock=Clock(NOW + REST)) as ledger:
        ledger.append(MARKET, [identity("rested")])


def test_on_postgresql_a_record_time_is_the_databases(tmp_path: Path) -> None:
    """A server that is off by less than would be refused changes nothing: neither what is recorded nor what is now."""
    clock = Shifted()
    with database("postgresql", tmp_path) as url, Ledger.open(url, clock=clock, is_witnessed=True) as ledger:
        times = []
        for n, clock.shift in enumerate((TOLERANCE // 2, -TOLERANCE // 2, TOLERANCE // 2)):
            before = wall_clock()
            times += [ledger.append(MARKET, [identity(f"i{n}")])[0].record_time, ledger.cut().observe_time]
            assert before - SKEW <= times[-2] < times[-1] <= wall_clock() + SKEW
        assert times == sorted(times)


def test_one_append_by_a_fast_clock_moves_no_answer_by_more_than_the_skew(url: str, twin: Ledger, clock: Clock) -> None:
    """Three confirmed counterfeits stay as fresh as they are, and what is recorded since is seen at once."""
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
        assert "fresh" in [found.entry.entry_id for found in ledger.entries(MARKET, ledger.cut(), limit=1000)]
        assert [done.record_time for done in ledger.append("elsewhere", [identity("ahead", "s9")])] == [NOW + TEN_YEARS]


def test_the_operator_is_warned_of_record_times_that_run_ahead(url: str, clock: Clock) -> None:
    run_ahead(url)
    with Ledger.open(url, clock=clock) as ledger:
        [warning] = [caution for caution in ledger.cautions() if "ahead of the clock" in caution]
        assert "mend-clock" in warning
        clock.now = NOW + TEN_YEARS
        assert not [caution for caution in ledger.cautions() if "ahead of the clock" in caution]


def test_a_record_time_that_ran_ahead_lets_nobody_state_the_future(url: str, clock: Clock) -> None:
    """What a fast clock took for the past is refused from then on, named by its place; what it accepted is answered."""
    with Ledger.open(url, clock=Clock(NOW + TEN_YEARS)) as fast:
        [first] = fast.append(MARKET, [violation("early", occur_time=NOW + DAY)])
    with Ledger.open(url, clock=clock) as ledger:
        with pytest.raises(InvalidInput, match=r"entries\[1\]\.occur_time: lies in the future"):
            ledger.append(MARKET, [identity(), violation("late", occur_time=NOW + DAY)])
        again = violation("early", occur_time=NOW + DAY)
        assert ledger.append(MARKET, [again]) == [first._replace(already_present=True)]

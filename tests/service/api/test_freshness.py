"""What a fresh answer claims: nothing that a commit under way brings, and nothing by a clock that is in doubt."""

import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from scoring.time import DAY, SECOND, day_of
from sellertrust.client import Client, SellertrustCallError
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.api.server import Server
from service.api.telemetry.logs import make_log
from service.bootstrap import build_scorer
from service.ledger.clock.server_clock import wall_clock
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from tests.builders import confirmed as domain_confirmed
from tests.builders import exposure as domain_exposure
from tests.builders import identity as domain_identity
from tests.scoring.worlds import artifact
from tests.servers import MARKET, Shelf, settings_of
from tests.service.api.test_book import SELLERS, filled_server
from tests.service.api.test_silent_database import wait_for

HELD_SECONDS = 1.5


def hold_commits(ledger: Ledger, seconds: float) -> None:
    """Let each commit of a ledger take so long from now on; what it writes has its record time before."""
    event.listen(ledger.database._writer, "commit", lambda _: time.sleep(seconds))


def ask_batch(client: Client, sellers: Sequence[str]) -> list[pb.TrustScore]:
    """The answers of a batch, each of which has one."""
    return [result.message.trust_score for result in client.batch_get_trust_scores(MARKET, sellers)]


def ask_every_way(client: Client) -> list[pb.TrustScore]:
    """The answers for now: one alone, a batch, one with its explanation, and one of a stated time."""
    now = datetime.now(UTC)
    return [
        client.get_trust_score(MARKET, "s1").message,
        ask_batch(client, SELLERS[:2])[1],
        client.explain_trust_score(MARKET, "s1").trust_score,
        client.get_trust_score(MARKET, "s1", known_time=now).message,
        client.get_trust_score(MARKET, "s1", observe_time=now).message,
    ]


@pytest.mark.long
@pytest.mark.parametrize("is_own", [True, False], ids=["own", "of_another"])
def test_no_answer_claims_what_is_being_committed(url: str, tmp_path: Path, is_own: bool) -> None:
    """An answer without an entry is as of no later than the record time of that entry, however long its commit takes."""
    with filled_server(tmp_path, database_url=url) as (running, client), Ledger.open(url) as other:
        writer = running.ledger if is_own else other
        found: list[pb.TrustScore] = []
        hold_commits(writer, HELD_SECONDS)
        done: list[Any] = []
        thread = threading.Thread(target=lambda: done.extend(writer.append(MARKET, [domain_confirmed("recall", "s1")])))
        thread.start()
        while thread.is_alive():
            found += ask_every_way(client)
            time.sleep(0.02)
        thread.join()
        [recall] = done
        lacking = [score for score in found if score.stamp.ledger_sequence < recall.sequence]
        assert len(lacking) > 20
        assert {score.freshness.state for score in found} == {pb.FRESHNESS_STATE_FRESH}
        late = [score.freshness.as_of_time.ToMicroseconds() - recall.record_time for score in lacking]
        assert max(late) <= 0
        # Nor does it claim much less: what was settled when the commit began is still said.
        assert min(late) > -10 * SECOND


class Shifted:
    """The machine's clock and a shift, which a test sets."""

    def __init__(self, shift: int = 0) -> None:
        self.shift = shift

    def __call__(self) -> int:
        return wall_clock() + self.shift


@contextmanager
def clocked_server(folder: Path, url: str, clock: Callable[[], int]) -> Iterator[Client]:
    """A server whose clock is another one, with a model."""
    settings = settings_of(data_dir=folder, database_url=url)
    with Ledger.open(url, clock=clock, is_witnessed=True) as ledger:
        scorer = build_scorer(ledger, load_policy(settings), Shelf(artifact()))
        with (
            Server(settings, ledger, scorer, log=make_log("json", "debug", io.StringIO())) as server,
            Client(server.address, deadline_seconds=30) as client,
        ):
            yield client


def record_guilty(url: str) -> None:
    """Three sellers with confirmed violations, and one that has just been recorded."""
    with Ledger.open(url) as ledger:
        day = day_of(wall_clock())
        for seller in SELLERS[:3]:
            sales = [domain_exposure(day - 3 - n, seller, settled_orders=200) for n in range(60)]
            facts = [domain_confirmed(f"v{n}-{seller}", seller) for n in range(3)]
            ledger.append(MARKET, [domain_identity(f"i-{seller}", seller), *sales, *facts])
        ledger.append(MARKET, [domain_identity("i-new", "new"), domain_exposure(day - 3, "new", settled_orders=900)])


def ask_all(client: Client) -> list[tuple[int, int, int]]:
    """Freshness, points and tier of every answer for now."""
    alone = [client.get_trust_score(MARKET, seller).message for seller in SELLERS[:3]]
    batch = ask_batch(client, SELLERS[:3])
    explained = client.explain_trust_score(MARKET, "s1").trust_score
    return [(score.freshness.state, score.points, score.tier) for score in (*alone, *batch, explained)]


TEN_YEARS, HOUR = 3_652 * DAY, DAY // 24
FRESH, STALE, UNKNOWN = (pb.FRESHNESS_STATE_FRESH, pb.FRESHNESS_STATE_STALE, pb.FRESHNESS_STATE_UNKNOWN)


@pytest.mark.long
@pytest.mark.parametrize("shift", [TEN_YEARS, HOUR, -HOUR], ids=["ten_years", "an_hour", "an_hour_back"])
def test_a_clock_that_jumps_makes_no_answer_fresh(url: str, tmp_path: Path, shift: int) -> None:
    """Nor does it move points, and all is as before once it is set right. On PostgreSQL the database's clock differs."""
    record_guilty(url)
    clock = Shifted()
    with clocked_server(tmp_path, url, clock) as client:
        before = ask_all(client)
        assert {state for state, _, _ in before} == {FRESH}
        clock.shift = shift
        wait_for(lambda: client.get_trust_score(MARKET, "s1").freshness.state == STALE)
        assert ask_all(client) == [(STALE, *rest) for _, *rest in before]
        with pytest.raises(SellertrustCallError) as caught:
            client.get_trust_score(MARKET, "s1", max_staleness="fresh")
        assert caught.value.reason == "TOO_STALE"
        [found] = client.batch_get_trust_scores(MARKET, ["s1"], max_staleness="fresh")
        assert found.error.reason == "TOO_STALE"
        clock.shift = 0
        wait_for(lambda: ask_all(client) == before)


@pytest.mark.long
def test_a_server_that_begins_ten_years_ahead_answers_as_of_the_last_record(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    Ledger.open(url, create=True).close()
    record_guilty(url)
    with clocked_server(tmp_path, url, Shifted()) as client:
        before = ask_all(client)
    with clocked_server(tmp_path, url, Shifted(TEN_YEARS)) as client:
        for _ in range(2):
            assert ask_all(client) == [(STALE, *rest) for _, *rest in before]


def test_a_server_that_begins_an_hour_behind_never_says_not_found(tmp_path: Path) -> None:
    """A seller that was recorded within the hour is unknown until the clock is right."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    Ledger.open(url, create=True).close()
    record_guilty(url)
    with clocked_server(tmp_path, url, Shifted(-HOUR)) as client:
        assert client.get_trust_score(MARKET, "new").freshness.state == UNKNOWN
        [found] = ask_batch(client, ["new"])
        assert found.freshness.state == UNKNOWN
        with pytest.raises(SellertrustCallError) as caught:
            client.explain_trust_score(MARKET, "new")
        assert (caught.value.reason, "clock" in caught.value.message) == ("TOO_STALE", True)

import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from scoring.base.time import SECOND
from sellertrust.client import Client
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.ledger.store import Ledger
from tests.helpers.builders import confirmed as domain_confirmed
from tests.helpers.databases import BACKENDS
from tests.helpers.filled_server import SELLERS, filled_server
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, exposure
from tests.helpers.waiting import wait_until
from tests.helpers.wrong_clocks import (
    FRESH,
    HOUR,
    STALE,
    TEN_YEARS,
    UNKNOWN,
    Shifted,
    ask_batch,
    ask_every_way,
    clocked_server,
    hold_commits,
    record_guilty,
)

HELD_SECONDS = 1.5


@pytest.mark.long
@pytest.mark.parametrize("is_own", [True, False], ids=["own", "of_another"])
@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_no_answer_claims_what_is_being_committed(url: str, tmp_path: Path, is_own: bool) -> None:
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
        # Nor does it claim much less: it includes all that was settled when the commit began.
        assert min(late) > -10 * SECOND


def ask_all(client: Client) -> list[tuple[int, int, int]]:
    alone = [client.get_trust_score(MARKET, seller).message for seller in SELLERS[:3]]
    batch = ask_batch(client, SELLERS[:3])
    explained = client.explain_trust_score(MARKET, "s1").trust_score
    return [(score.freshness.state, score.points, score.tier) for score in (*alone, *batch, explained)]


@pytest.mark.long
@pytest.mark.parametrize("shift", [TEN_YEARS, HOUR, -HOUR], ids=["ten_years", "an_hour", "an_hour_back"])
def test_a_clock_that_jumps_makes_no_answer_fresh(url: str, tmp_path: Path, shift: int) -> None:
    record_guilty(url)
    clock = Shifted()
    with clocked_server(tmp_path, url, clock) as client:
        before = ask_all(client)
        assert {state for state, _, _ in before} == {FRESH}
        clock.shift = shift
        wait_until(lambda: client.get_trust_score(MARKET, "s1").freshness.state == STALE)
        assert ask_all(client) == [(STALE, *rest) for _, *rest in before]
        error = refusal(client.get_trust_score, MARKET, "s1", max_staleness="fresh")
        assert error.reason == "TOO_STALE"
        [found] = client.batch_get_trust_scores(MARKET, ["s1"], max_staleness="fresh")
        assert found.error.reason == "TOO_STALE"
        clock.shift = 0
        wait_until(lambda: ask_all(client) == before)


@pytest.mark.long
def test_a_server_far_ahead_answers_as_of_the_last_record(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    Ledger.open(url, create=True).close()
    record_guilty(url)
    with clocked_server(tmp_path, url, Shifted()) as client:
        before = ask_all(client)
    with clocked_server(tmp_path, url, Shifted(TEN_YEARS)) as client:
        for _ in range(2):
            assert ask_all(client) == [(STALE, *rest) for _, *rest in before]


def test_a_server_behind_never_says_not_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    Ledger.open(url, create=True).close()
    record_guilty(url)
    with clocked_server(tmp_path, url, Shifted(-HOUR)) as client:
        assert client.get_trust_score(MARKET, "new").freshness.state == UNKNOWN
        [found] = ask_batch(client, ["new"])
        assert found.freshness.state == UNKNOWN
        error = refusal(client.explain_trust_score, MARKET, "new")
        assert (error.reason, "clock" in error.message) == ("TOO_STALE", True)


def test_a_stated_time_is_never_answered_from_the_book(tmp_path: Path) -> None:
    with filled_server(tmp_path) as (running, client):
        stamp = client.get_trust_score(MARKET, "s1").stamp
        before = running.book.tally.total("hit")
        asked: list[dict[str, Any]] = [{"observe_time": stamp.observe_time}, {"known_time": stamp.known_time}]
        for times in asked:
            assert client.get_trust_score(MARKET, "s1", **times).points
            assert client.batch_get_trust_scores(MARKET, ["s1"], **times)[0].trust_score.points
        assert running.book.tally.total("hit") == before


@pytest.mark.long
def test_a_fresh_answer_is_refused_soon_when_stale(tmp_path: Path) -> None:
    with filled_server(tmp_path) as (running, client):
        client.get_trust_score(MARKET, "s1")
        book = running.book
        running.ledger.close()
        wait_until(lambda: book.follower.is_away and book.follower.age() > 2)
        assert client.get_trust_score(MARKET, "s1", deadline_seconds=5).points
        for seller in ("s1", "s2", "nobody"):
            for _ in range(5):
                error = refusal(client.get_trust_score, MARKET, seller, max_staleness="fresh", deadline_seconds=0.2)
                assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "TOO_STALE")
                assert error.retry_delay == 1


def test_the_metrics_have_what_the_book_counts(tmp_path: Path) -> None:
    with filled_server(tmp_path) as (running, client):
        for _ in range(3):
            client.get_trust_score(MARKET, "s1")
        assert [running.value("book_answers_total", how=how) for how in ("hit", "miss")] == [2, 1]
        assert running.value("book_sellers") == 1
        recomputed = running.registry.get_sample_value("sellertrust_book_recomputed_total", {"outcome": "differed"})
        assert recomputed == 0
        client.append_entries(MARKET, [exposure("more", "s1", days=40)])
        assert running.value("book_dropped_total") == 1
        assert running.registry.get_sample_value("sellertrust_book_age_seconds") is not None

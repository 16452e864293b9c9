from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.helpers.filled_server import filled_server
from tests.helpers.refusals import refusal
from tests.helpers.servers import MARKET, exposure
from tests.helpers.waiting import wait_until


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
        registry = running.registry
        value = registry.get_sample_value
        assert value("sellertrust_book_answers_total", {"how": "hit"}) == 2
        assert value("sellertrust_book_answers_total", {"how": "miss"}) == 1
        assert value("sellertrust_book_sellers") == 1
        assert value("sellertrust_book_recomputed_total", {"outcome": "differed"}) == 0
        client.append_entries(MARKET, [exposure("more", "s1", days=40)])
        assert value("sellertrust_book_dropped_total") == 1
        assert value("sellertrust_book_age_seconds") is not None

import urllib.request
from pathlib import Path

import pytest

from scoring.base.enums import ScoreState
from sellertrust.client import Client
from tests.helpers.generations import rescored
from tests.helpers.policies import TIERS
from tests.helpers.servers import MARKET, Running, exposure, identity, running_server
from tests.helpers.waiting import wait_until
from tests.helpers.worlds import artifact

SELLERS = [f"s{number}" for number in range(40)]


def fill(client: Client) -> None:
    for seller in SELLERS:
        client.append_entries(MARKET, [identity(f"i-{seller}", seller), exposure(f"x-{seller}", seller, 2_000)])


def adopted(running: Running) -> int:
    book = running.book
    return book.table.adopted


def generations(running: Running) -> int:
    book = running.book
    return sum(generation.is_complete for generation in book.generations)


@pytest.mark.long
def test_scores_come_out_of_a_generation_made_meanwhile(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, artifact=artifact(), metrics_address="127.0.0.1:0", policy=TIERS) as running,
        running.client(deadline_seconds=30) as client,
    ):
        fill(client)
        rescored(running.ledger, tmp_path / "generations")
        wait_until(lambda: generations(running) == 1)
        found = client.get_trust_score(MARKET, SELLERS[0])
        assert found.state == ScoreState.RATED
        again = client.get_trust_score(
            MARKET, SELLERS[0], observe_time=found.stamp.observe_time, known_time=found.stamp.known_time
        )
        for answer in (found, again):
            answer.ClearField("freshness")
        assert found.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
        client.batch_get_trust_scores(MARKET, SELLERS)
        assert adopted(running) == len(SELLERS)
        with urllib.request.urlopen(f"http://{running.server.metrics_address}/metrics") as response:
            metrics = response.read().decode()
        assert f"sellertrust_book_adopted_total {len(SELLERS)}.0" in metrics
        assert "sellertrust_book_generations 1.0" in metrics
        assert "sellertrust_book_generations_damaged_total 0.0" in metrics
        assert 'sellertrust_book_answers_total{how="miss"} 0.0' in metrics

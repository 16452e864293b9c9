from pathlib import Path

import pytest

from sellertrust.client import Client
from service.registry.registry import Registry
from tests.helpers.databases import database
from tests.helpers.models import evaluated, publish
from tests.helpers.shells import lines_of, serving, shell_of
from tests.helpers.waiting import wait_until

OWN, REST = "acme", "other"


@pytest.mark.long
def test_a_marketplace_promotes_without_moving_others(tmp_path: Path) -> None:
    """It has its own server, registry and database; its score stays until it promotes."""
    with database("postgresql", tmp_path) as url, database("postgresql", tmp_path) as own_url:
        folder, own_folder, lines = tmp_path / "common", tmp_path / "own", tmp_path / "lines.jsonl"
        common, own = shell_of(folder, database_url=url), shell_of(own_folder, database_url=own_url)
        for place in (folder, own_folder):
            publish(Registry(place / "registry"), parts=evaluated(0, 0.7))
        better = publish(Registry(own_folder / "registry"), parts=evaluated(1, 0.8))
        lines.write_text(lines_of("s", "v"))
        for marketplace in (OWN, REST):
            common("ledger", "import", lines, "-m", marketplace)
        with serving(common, folder) as address, Client(address) as client:
            lines.write_text(common("ledger", "list", "--all", "-m", OWN, "-o", "json", target=address)[0])
            own("ledger", "import", lines, "-m", OWN)
            before = client.get_trust_score(OWN, "s")
            with serving(own, own_folder) as own_address, Client(own_address) as own_client:
                moved = own_client.get_trust_score(OWN, "s")
                assert (moved.points, moved.stamp.model_digest) == (before.points, before.stamp.model_digest)
                own("model", "promote", better, "--actor", "ana", "--reason", "better for acme", target=own_address)
                wait_until(lambda: own_client.get_trust_score(OWN, "s").stamp.model_digest == better)
                assert better != before.stamp.model_digest
                for marketplace in (OWN, REST):
                    assert client.get_trust_score(marketplace, "s").stamp.model_digest == before.stamp.model_digest

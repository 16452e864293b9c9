from collections.abc import Iterator

import pytest

from tests.helpers.badge_sites import Site, badge_site, filled_server
from tests.helpers.servers import MARKET, PATIENCE_SECONDS


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with (
        filled_server(folder) as running,
        running.client() as client,
        badge_site(client, demo_marketplace=MARKET, call_seconds=PATIENCE_SECONDS) as site,
    ):
        yield site

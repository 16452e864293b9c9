from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sellertrust.client import Client
from tests.helpers.servers import MARKET, Running, exposure, identity, running_server
from tests.helpers.worlds import artifact

SELLERS = [f"s{number}" for number in range(8)]


@contextmanager
def filled_server(folder: Path, **settings: str | Path | float) -> Iterator[tuple[Running, Client]]:
    with (
        running_server(folder, artifact=artifact(), **settings) as running,
        running.client(deadline_seconds=30) as client,
    ):
        for seller in SELLERS:
            client.append_entries(MARKET, [identity(f"i-{seller}", seller), exposure(f"x-{seller}", seller, 2_000)])
        yield running, client

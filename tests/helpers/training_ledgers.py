from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.trade import ExposureStated
from service.cli.imports import mapping_of_file
from service.ingest.file_import import import_files
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.settings import load as load_settings
from tests.helpers.builders import MARKET
from training.market.files import write_market
from training.market.simulate import simulate
from training.observation.export import LedgerTable, read_export, write_export
from training.pipeline.job import Job, TrainedModel
from training.pipeline.run import run
from training.study.definition import Study

STUDIES = Path(__file__).parents[2] / "training" / "studies"
POLICY = load_policy(load_settings({}))
START, DAYS = date(2024, 1, 1), 730


def exported(ledger: Ledger, marketplace: str, folder: Path) -> LedgerTable:
    write_export(ledger.entries.export(marketplace, ledger.cut()), folder / "export.parquet")
    return read_export(folder / "export.parquet")


def table_of(folder: Path, entries: Sequence[Entry]) -> LedgerTable:
    """Return the export of a ledger in a folder, which may be new.

    Entries without a report time were reported when they happened, an exposure at the end of its day.
    """
    folder.mkdir(exist_ok=True)
    entries = [_reported(entry) for entry in entries]
    with Ledger.open(f"sqlite:///{folder}/ledger.db", create=True) as ledger:
        ledger.append(MARKET, entries, imported=True)
        return exported(ledger, MARKET, folder)


def _reported(entry: Entry) -> Entry:
    if entry.report_time is not None:
        return entry
    fact, time = entry.fact, entry.occur_time
    return replace(entry, report_time=(fact.day + 1) * DAY - 1 if isinstance(fact, ExposureStated) else time)


def market_ledger(folder: Path, sellers: int, *, seed: int = 7, days: int = DAYS) -> Ledger:
    write_market(simulate(sellers, days, START, seed), folder / "files")
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", create=True)
    mapping = mapping_of_file(STUDIES / "marketplace.mapping.toml")
    report = import_files(ledger, mapping, folder / "files", lambda step, done, total: None)
    assert report.rejects == []
    return ledger


def train(table: LedgerTable, study: Study, **options: Any) -> TrainedModel:
    return run(Job(table, study, POLICY, **{"verify": False, **options}))


def restated(study: Study, **parts: Any) -> Study:
    """Return the study with other parts; a mapping changes only its own keys: `bad={"at_least": 2}`."""

    def part(name: str, value: Any) -> Any:
        is_table = isinstance(value, Mapping) and is_dataclass(getattr(study, name))
        return replace(getattr(study, name), **value) if is_table else value

    return replace(study, **{name: part(name, value) for name, value in parts.items()})

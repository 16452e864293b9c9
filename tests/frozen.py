"""Frozen releases: a model and a ledger as a release left them, which every later release must read to the same bits.

`python -m tests.frozen make VERSION` makes `tests/frozen/VERSION/` from the present code. Until that version is released
it may be made again; afterwards it is never changed, and the command refuses to.
"""

import json
import shutil
import sqlite3
import sys
import tempfile
import tomllib
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from scoring.base.enums import Action, ControlReason, CorrectionKind, Harm, IncidentChange, Severity, Source, Tier
from scoring.base.time import DAY, parse_time
from scoring.base.version import CORE_VERSION
from scoring.entries.entry import Entry
from scoring.entries.incidents import derived_id
from scoring.entries.kinds.account import ControlChanged
from scoring.entries.kinds.conduct import IncidentChanged, ProductListed, ProductViolationReported
from scoring.entries.kinds.decisions import EntryCorrected, OverrideImposed
from scoring.entries.kinds.table import Fact
from scoring.features.columns import tabulate
from scoring.model.artifact import Artifact, load
from scoring.scores.score import explain, fold_views
from service.ingest.file_import import import_files
from service.ledger.store import Ledger
from service.policy.policy_file import load_policy
from service.settings import load as load_settings
from tests.bench._real_data import STUDIES
from tests.helpers.builders import MARKET, NOW, Clock, ago, confirmed, exposure, identity, status, violation
from tests.helpers.training_ledgers import restated

FOLDER = Path(__file__).parent / "frozen"
SELLERS = ("clean", "guilty", "cleared", "accused", "reduced", "new", "regrouped", "recalled", "moved", "sold")
OBSERVED = parse_time("2026-03-02T12:00:00Z")


def versions() -> list[str]:
    """The frozen releases, oldest first."""
    return sorted(path.name for path in FOLDER.iterdir()) if FOLDER.is_dir() else []


def model(version: str) -> Artifact:
    """A release's model, verified as any artifact."""
    return load({path.name: path.read_bytes() for path in (FOLDER / version / "model").iterdir()})


def thaw(version: str, path: Path) -> str:
    """Writes a release's ledger to a SQLite file, with the schema it had then; its URL."""
    with sqlite3.connect(path) as database:
        database.executescript((FOLDER / version / "ledger.sql").read_text())
    database.close()
    return f"sqlite:///{path}"


def answers(ledger: Ledger, artifact: Artifact) -> dict[str, Any]:
    """What the present code makes of each frozen seller at the frozen time, as JSON values: its features, which show a
    changed definition that no tree happens to notice, its trust score, and every point explained.
    """
    policy = load_policy(load_settings({}))
    cut = ledger.cut(observe_time=OBSERVED)
    rows = ledger.facts.rows(MARKET, SELLERS, cut.sequence)
    inputs = fold_views(tabulate(rows, SELLERS), OBSERVED, artifact, policy).x[: len(SELLERS)].tolist()
    keys = [feature.key for feature in artifact.features]
    found = {}
    for seller, values in zip(SELLERS, inputs, strict=True):
        explanation = explain(ledger.facts.rows(MARKET, [seller], cut.sequence), seller, OBSERVED, artifact, policy)
        found[seller] = {
            "explanation": None if explanation is None else asdict(explanation),
            "features": {key: value for key, value in zip(keys, values, strict=True) if value},
        }
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def make(version: str) -> None:
    """Freezes the present release, again if it is not out yet."""
    place = FOLDER / version
    if version != CORE_VERSION:
        sys.exit(f"the present code is {CORE_VERSION}; another version stays as it was released")
    shutil.rmtree(place, ignore_errors=True)
    (place / "model").mkdir(parents=True)
    for name, data in _trained().items():
        (place / "model" / name).write_bytes(data)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.db"
        with Ledger.open(f"sqlite:///{file}", create=True, clock=Clock(NOW)) as ledger:
            _fill(ledger)
        with Ledger.open(f"sqlite:///{file}") as ledger:
            expected = answers(ledger, model(version))
        with sqlite3.connect(file) as database:
            (place / "ledger.sql").write_text("\n".join(database.iterdump()) + "\n")
        database.close()
    (place / "answers.json").write_text(json.dumps(expected, indent=1) + "\n")


def _trained() -> dict[str, bytes]:
    from service.ingest.mapping.rules import mapping_of
    from tests.helpers.training_ledgers import train
    from training.market.files import write_market
    from training.market.simulate import simulate
    from training.observation.export import read_export, write_export
    from training.study.loading import load_study

    mapping = mapping_of(tomllib.loads((STUDIES / "marketplace.mapping.toml").read_text()))
    study = restated(load_study(STUDIES / "marketplace.toml"), model={"rounds": 40})
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_market(simulate(1500, 730, date(2024, 1, 1), 1), place)
        with Ledger.open(f"sqlite:///{place}/ledger.db", create=True) as ledger:
            import_files(ledger, mapping, place, lambda step, done, total: None)
            write_export(ledger.entries.export(mapping.marketplace, ledger.cut()), place / "export.parquet")
        return train(read_export(place / "export.parquet"), study).parts


def _fill(ledger: Ledger) -> None:
    """Sellers of every kind of fate, each with an identity and two months of orders."""
    today = NOW // 86_400_000_000
    for seller in SELLERS:
        if seller == "new":
            continue
        ledger.append(MARKET, [identity(f"identity-{seller}", seller)])
        days = [exposure(today - d, seller, settled_orders=20 + d % 7, late=d % 3) for d in range(1, 61)]
        ledger.append(MARKET, days)
    ledger.append(MARKET, [exposure(today - 1, "new", settled_orders=3)])
    ledger.append(MARKET, [exposure(today - 5, "clean", settled_orders=90, revision=1)])
    ledger.append(
        MARKET, [confirmed("seized", "guilty"), violation("copied", "guilty", harm=Harm.LOW, incident="seized")]
    )
    ledger.append(MARKET, [violation("wrong", "cleared"), violation("doubtful", "accused", source=Source.BUYER)])
    ledger.append(MARKET, [confirmed("grave", "reduced")])
    ledger.append(MARKET, [status("wrong", Action.CONFIRM), status("copied", Action.CONFIRM)])
    ledger.append(MARKET, [status("wrong", Action.OVERTURN), status("grave", Action.REDUCE, severity=Severity.MINOR)])
    _fill_kinds(ledger)


def _fill_kinds(ledger: Ledger) -> None:
    """What later entries change of earlier ones, and what follows from others' entries."""

    def stated(entry_id: str, seller: str, fact: Fact, days: float | None = None) -> Entry:
        return Entry(entry_id, seller, fact, None if days is None else ago(days))

    ledger.append(
        MARKET, [confirmed(name, "regrouped", occur_time=ago(9 + k)) for k, name in enumerate(("a", "b", "c"))]
    )
    merged = IncidentChanged(IncidentChange.MERGED, "b", "staff", "one event", incident="a")
    ledger.append(MARKET, [stated("merged", "regrouped", merged)])
    listed, recall = (
        ProductListed("gtin-1"),
        ProductViolationReported("unsafe_product", Harm.HIGH, Source.BRAND, "gtin-1"),
    )
    ledger.append(MARKET, [stated("listed", "recalled", listed, 40), stated("recall", "", recall, 20)])
    mine = derived_id("recall", "recalled")
    ledger.append(MARKET, [status("recall", Action.CONFIRM), status(mine, Action.APPEAL, "own")])
    ledger.append(MARKET, [status(mine, Action.CONFIRM, "again", units=12)])
    moved = EntryCorrected("misdated", CorrectionKind.MOVED, "staff", "another year", ago(300))
    ledger.append(MARKET, [confirmed("misdated", "moved"), stated("corrected", "", moved)])
    sold = ControlChanged(ControlReason.SOLD, "staff", "a new owner")
    override = OverrideImposed(Tier.STANDARD, NOW + 30 * DAY, "staff", "until the new owner is known")
    ledger.append(MARKET, [stated("sold", "sold", sold, 20), stated("override", "sold", override)])


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "make":
        sys.exit(f"usage: python -m tests.frozen make VERSION; there are {', '.join(versions()) or 'none'}")
    make(sys.argv[2])

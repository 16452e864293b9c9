import gzip
import shutil
import tomllib
from pathlib import Path

import pytest

from scoring.base.time import DAY, parse_day
from scoring.policy.reading import parse_policy
from sellertrust.client import Client
from sellertrust.v1.trust_score_service_pb2 import ScoreState
from service.api.server import Server
from service.bootstrap import build_scorer
from service.ingest.file_import import import_files
from service.ingest.mapping.rules import mapping_of
from service.ledger.store import Ledger
from service.registry.registry import Registry
from tests.bench._real_data import toronto
from tests.helpers.answers import score
from tests.helpers.models import gates_json
from tests.helpers.servers import settings_of
from tests.helpers.training_ledgers import STUDIES, restated, train
from training.observation.export import read_export, write_export
from training.observation.snapshots import snapshot
from training.study.definition import Study
from training.study.loading import load_study

MADE = Path(__file__).parents[1] / "data" / "inspections"
# Places are inspected a few times a year: a floor of 30 inspections would leave few rated.
POLICY = """
name = "inspections"
version = 1
clear_days = 14
cut_offs = { standard = 450, trusted = 550, exemplary = 650 }
thin_file = { settled_orders = 3, tenure_days = 365 }
badges = { unrated = "new", probation = "none", standard = "none", trusted = "good", exemplary = "best", unknown = "unknown" }
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """Return the real inspections beside the project if long tests run; else made ones of the same shape."""
    if pytestconfig.getoption("--all") and (real := toronto()) is not None:
        return real
    folder = tmp_path_factory.mktemp("inspections")
    for name in ("events.csv", "entities.csv"):
        with (MADE / name).open("rb") as source, gzip.open(folder / f"{name}.gz", "wb") as target:
            shutil.copyfileobj(source, target)
    return folder


@pytest.fixture(scope="module")
def study(data: Path) -> Study:
    """Return task A; the 300 made rows have one training year and few rounds."""
    stated = load_study(STUDIES / "toronto_a.toml")
    if data == toronto():
        return stated
    return restated(
        stated, observation={"train": ("2010-01-01",)}, model={"rounds": 20, "parameters": {"min_data_in_leaf": 5}}
    )


@pytest.fixture(scope="module")
def ledger(data: Path, tmp_path_factory: pytest.TempPathFactory):
    mapping = mapping_of(tomllib.loads((STUDIES / "toronto.mapping.toml").read_text()))
    with Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db", create=True) as opened:
        report = import_files(opened, mapping, data, lambda step, done, total: None)
        assert report.rejects == []
        assert report.appended > 300
        again = import_files(opened, mapping, data, lambda step, done, total: None)
        assert (again.appended, again.already_present) == (0, report.appended)
        yield opened


@pytest.mark.long
def test_real_places_are_scored_over_grpc(ledger: Ledger, study: Study, tmp_path: Path) -> None:
    export = tmp_path / "export.parquet"
    cut = ledger.cut()
    write_export(ledger.entries.export("toronto", cut), export)
    table = read_export(export)
    trained = train(table, study)
    if data == toronto():
        auc, difference = trained.evaluation["auc"], trained.evaluation["difference"]["lightgbm-logistic"]
        assert (trained.evaluation["train"]["rows"], trained.evaluation["test"]["rows"]) == (20_060, 4_335)
        assert auc["lightgbm"]["value"] > auc["points_rule"]["high"], difference

    registry = Registry(tmp_path / "registry")
    beside = {"gates.json": gates_json()}
    digest = registry.publish(trained.parts, actor="test", reason="end to end", now=1, attachments=beside)
    policy = parse_policy(tomllib.loads(POLICY))
    scorer = build_scorer(ledger, policy, registry)
    settings = settings_of(data_dir=tmp_path)
    sellers = table.sellers[:200]
    with Server(settings, ledger, scorer) as server, Client(server.address, deadline_seconds=30) as client:
        results = client.batch_get_trust_scores("toronto", sellers)
        scores = [result.trust_score for result in results]
        assert all(s.stamp.model_digest == digest for s in scores)
        rated = [s for s in scores if s.state == ScoreState.SCORE_STATE_RATED]
        assert len(rated) > len(sellers) / 3
        assert len({s.points for s in rated}) > (5 if toronto() is not None else 2)

        then = scores[0].stamp.observe_time.ToMicroseconds()
        rows, _ = ledger.facts.table("toronto", sellers, ledger.cut())
        expected = score(rows, sellers, then, registry.load(digest), policy)
        assert [s.points for s in rated] == [e.points for e in expected if e is not None and e.points is not None]

        guilty = min(rated, key=lambda s: s.points)
        explained = client.explain_trust_score("toronto", guilty.seller.rsplit("/", 1)[-1])
        assert explained.baseline_points + sum(r.points for r in explained.reasons) == guilty.points


@pytest.mark.long
def test_imported_today_gives_the_features_of_then(ledger: Ledger, study: Study, tmp_path: Path) -> None:
    then = parse_day("2010-01-01")
    point = study.point_at(then)
    full, cut_off = tmp_path / "full.parquet", tmp_path / "cut.parquet"
    rows = [row for chunk in ledger.entries.export("toronto", ledger.cut()) for row in chunk]
    write_export([rows], full)
    write_export([[row for row in rows if row[5] < then * DAY]], cut_off)
    whole, known = read_export(full), read_export(cut_off)
    assert whole.sellers
    assert known.sellers
    features = snapshot(whole, restated(study, eligible={"active_in_window": False}), point)
    earlier = snapshot(known, restated(study, eligible={"active_in_window": False}), point)
    seen = {whole.sellers[code]: x for code, x in zip(features.seller, features.x.tolist(), strict=True)}
    assert {known.sellers[code]: x for code, x in zip(earlier.seller, earlier.x.tolist(), strict=True)} == seen

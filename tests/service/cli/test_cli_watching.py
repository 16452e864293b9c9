from pathlib import Path

import pytest

from service.registry.registry import Registry
from tests.helpers.models import gates_json
from tests.helpers.shells import Shell, shell_of
from tests.helpers.training_ledgers import STUDIES, exported, market_ledger, restated
from tests.helpers.worlds import policy
from training.pipeline.job import Job
from training.pipeline.run import run
from training.study.loading import load_study

STUDY = STUDIES / "marketplace.toml"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    folder = tmp_path_factory.mktemp("data")
    with market_ledger(folder, 700) as ledger:
        table = exported(ledger, "demo", folder)
    registry = Registry(folder / "registry")
    for number, rounds in enumerate((40, 15)):
        parts = run(Job(table, restated(load_study(STUDY), model={"rounds": rounds}), policy(), verify=False)).parts
        beside = {"gates.json": gates_json()}
        digest = registry.publish(parts, actor="tests", reason="trained", now=number, attachments=beside)
        assert registry.aliases()["challenger" if number else "champion"] == digest
    return shell_of(folder, marketplace="demo")


@pytest.mark.long
def test_a_monitor_ends_with_4_on_an_alert_and_with_0_without(shell: Shell, tmp_path: Path) -> None:
    calm, strict = tmp_path / "calm.toml", tmp_path / "strict.toml"
    calm.write_text(STUDY.read_text() + "\n[monitor]\npsi = 100\ncsi = 100\ncalibration = 100\n")
    strict.write_text(STUDY.read_text() + "\n[monitor]\npsi = 0\ncsi = 0\n")
    quiet = shell.json("model", "monitor", "--study", calm)
    assert set(quiet["alerts"].values()) == {False}
    shown, told = shell("model", "monitor", "--study", strict, code=4)
    assert "feature_csi" in shown
    assert "at least one check alerts" in told
    assert "monitor.mood" in shell.error(6, "model", "monitor", "--study", _with(tmp_path, "mood = 1"))


def _with(folder: Path, line: str) -> Path:
    path = folder / "wrong.toml"
    path.write_text(STUDY.read_text() + f"\n[monitor]\n{line}\n")
    return path

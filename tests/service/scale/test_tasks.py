"""Tasks: the ledger's answers from files, committed once, whatever happens meanwhile."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from scoring.base.errors import ConfigurationWrong, InvalidInput, SellertrustError
from service.contract.resource_names import seller_name
from service.contract.scores import score_message
from service.ledger.queries import facts
from service.ledger.store import Ledger
from service.scale import export
from service.scale.manifest import MANIFEST, POLICY
from service.scale.task import read_part, run_task
from service.scores import extract
from tests.helpers.builders import MARKET
from tests.helpers.policies import TIERS
from tests.helpers.scale import GENERAL, entry_files, fill, folder_of, open_scorer, planned


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have several buckets, batches, and sellers with more allegations than are read."""
    monkeypatch.setattr(export, "ENTRIES_PER_BUCKET", 100)
    for module in (facts, extract):
        monkeypatch.setattr(module, "MAX_BATCH_ROWS", 60)
    monkeypatch.setattr(extract, "MAX_ALLEGATIONS", 2)


@pytest.mark.parametrize("seed", range(3))
def test_a_task_answers_as_a_single_request_does(ledger: Ledger, tmp_path: Path, seed: int) -> None:
    """Each answer from files equals the seller's own from the ledger, cautions and omitted allegations included."""
    fill(ledger, 40, seed)
    run = planned(ledger, tmp_path / "scale")
    assert len(run.manifest.tasks) > 2
    scorer = open_scorer(ledger)
    object.__setattr__(ledger.facts, "max_allegations", 2)
    found = 0
    for task in run.manifest.tasks:
        run_task(run.store.place, task.line)
        for seller, points, tier, body in (
            read_part(*run, task).select("seller", "points", "tier", "answer").iter_rows()
        ):
            [score], _ = scorer.scores(MARKET, [seller], run.manifest.head.cut)
            assert not isinstance(score, SellertrustError)
            assert (score.points, score.tier) == (points, tier)
            assert score_message(seller_name(MARKET, seller), score, None).SerializeToString() == body
            found += 1
    assert found == 40
    assert GENERAL.digest == run.manifest.head.policy


def test_a_repeated_task_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """The second of two attempts leaves the first one's receipt and no file."""
    fill(ledger, 10)
    run = planned(ledger, tmp_path / "scale")
    first = run_task(run.store.place, 1)
    assert run_task(run.store.place, 1) == first
    task = run.manifest.task(1)
    data, receipt = run.store.read(task.receipt), folder_of(run) / task.receipt
    receipt.unlink()
    other = run_task(run.store.place, 1)
    assert (other.part != first.part, other.sha256) == (True, first.sha256)
    assert not run.store.create(task.receipt, data)
    assert json.loads(receipt.read_bytes())["part"] == other.part


def _alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _replace(path: Path) -> None:
    pl.DataFrame({"seller": ["a"]}).write_parquet(path)


@pytest.mark.parametrize(
    ("break_file", "said"),
    [(_alter, "not the file"), (_cut_short, "not the file"), (_replace, "not the file"), (Path.unlink, "is missing")],
)
def test_a_broken_file_of_entries_is_refused(
    ledger: Ledger, tmp_path: Path, break_file: Callable[[Path], None], said: str
) -> None:
    fill(ledger, 10)
    run = planned(ledger, tmp_path / "scale")
    break_file(entry_files(run.manifest)[0])
    with pytest.raises(ConfigurationWrong, match=said):
        run_task(run.store.place, 1)
    assert not run.store.exists(run.manifest.task(1).receipt)


def _edit(path: Path, change: Callable[[list[bytes]], None]) -> None:
    lines = path.read_bytes().splitlines()
    change(lines)
    path.write_bytes(b"\n".join(lines))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines.append(lines[1]), "twice"),
        (lambda lines: lines.pop(), "altered"),
        (lambda lines: lines.__setitem__(0, lines[0].replace(b'"version":1', b'"version":2')), "another version"),
        (lambda lines: lines.__setitem__(0, lines[0].replace(b'"day":', b'"day":1')), "altered"),
        (lambda lines: lines.__setitem__(1, b"{}"), "cannot be read"),
    ],
)
def test_an_altered_manifest_is_refused(
    ledger: Ledger, tmp_path: Path, change: Callable[[list[bytes]], None], said: str
) -> None:
    fill(ledger, 10)
    run = planned(ledger, tmp_path / "scale")
    _edit(folder_of(run) / MANIFEST, change)
    with pytest.raises(ConfigurationWrong, match=said):
        run_task(run.store.place, 1)


def test_what_a_run_does_not_hold_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    """No such line; another policy than the manifest's; receipts that lie."""
    fill(ledger, 10)
    run = planned(ledger, tmp_path / "scale")
    with pytest.raises(InvalidInput, match="LINE"):
        run_task(run.store.place, 99)
    receipt = run_task(run.store.place, 1)
    _alter(folder_of(run) / receipt.part)
    with pytest.raises(ConfigurationWrong, match="delete it, and run line 1"):
        read_part(*run, run.manifest.task(1))
    run.store.write(run.manifest.task(2).receipt, json.dumps(receipt._asdict()).encode())
    with pytest.raises(ConfigurationWrong, match="no receipt of this run"):
        run_task(run.store.place, 2)
    other = planned(ledger, tmp_path / "other")
    path = folder_of(other) / POLICY
    path.write_text(TIERS.read_text())
    with pytest.raises(ConfigurationWrong, match="another model or policy"):
        run_task(other.store.place, 1)


def test_a_notice_keeps_tiers_in_a_run_too(ledger: Ledger, tmp_path: Path) -> None:
    """After a stricter commit, the run holds the policy before it, and answers as a single request does."""
    fill(ledger, 12)
    object.__setattr__(ledger.facts, "max_allegations", 2)
    strict = "notice_days = 15\n" + GENERAL.text.replace("trusted = 450", "trusted = 998").replace("= 600", "= 999")
    scorer = open_scorer(ledger)
    scorer.policy.history.commit(
        strict, expected=GENERAL.digest, actor="anna", reason="stricter", served=GENERAL, assumptions=""
    )
    run = planned(ledger, tmp_path / "scale")
    assert run.manifest.head.notice
    scorer.policy.refresh()
    kept = 0
    for task in run.manifest.tasks:
        run_task(run.store.place, task.line)
        for seller, body in read_part(*run, task).select("seller", "answer").iter_rows():
            [score], _ = scorer.scores(MARKET, [seller], run.manifest.head.cut)
            assert not isinstance(score, SellertrustError)
            assert score_message(seller_name(MARKET, seller), score, None).SerializeToString() == body
            kept += score.notice is not None
    assert kept

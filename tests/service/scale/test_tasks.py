"""Tasks: the ledger's answers from files, committed once, whatever happens meanwhile."""

import json
import resource
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from scoring.base.errors import ConfigurationWrong, InvalidInput, SellertrustError
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.settlement import FlowStated
from sellertrust.names import seller_name
from service.contract.scores import score_message
from service.ledger.queries import facts
from service.ledger.store import Ledger
from service.policy.history import PolicyCommit
from service.scale import export
from service.scale.layout import SCHEMA
from service.scale.manifest import MANIFEST, POLICY, SERVED
from service.scale.rescoring import Run
from service.scale.task import read_scores_of_task, run_task
from service.scores import extract
from service.scores.scorer import Scorer
from tests.helpers.books import known
from tests.helpers.builders import MARKET, TODAY, Clock, confirmed, exposure, violation
from tests.helpers.limits import Limit
from tests.helpers.policies import TIERS
from tests.helpers.scale import GENERAL, entry_files, fill, folder_of, open_scorer, planned


@pytest.fixture(autouse=True)
def small(limit: Limit) -> None:
    limit(export, ENTRIES_PER_BUCKET=100)
    limit(facts, MAX_BATCH_ROWS=60)
    limit(extract, MAX_ALLEGATIONS=2)


@pytest.mark.parametrize("seed", range(3))
def test_a_task_answers_as_a_single_request_does(ledger: Ledger, tmp_path: Path, seed: int) -> None:
    fill(ledger, 40, seed)
    run = planned(ledger, tmp_path / "scale")
    assert len(run.manifest.tasks) > 2
    assert _compare(ledger, run) == 40
    assert GENERAL.digest == run.manifest.head.policy


def _compare(ledger: Ledger, run: Run) -> int:
    scorer = open_scorer(ledger)
    object.__setattr__(ledger.facts, "max_allegations", 2)
    found = 0
    for task in run.manifest.tasks:
        run_task(run.store.place, task.line)
        for seller, points, tier, body in (
            read_scores_of_task(*run, task).select("seller", "points", "tier", "answer").iter_rows()
        ):
            [score], _ = scorer.scores(MARKET, [seller], run.manifest.head.cut)
            assert not isinstance(score, SellertrustError)
            assert (score.points, score.tier) == (points, tier)
            assert score_message(seller_name(MARKET, seller), score, None).SerializeToString() == body
            found += 1
    return found


def test_a_seller_of_many_allegations_is_read_alone(ledger: Ledger, tmp_path: Path) -> None:
    known = [exposure(TODAY - 40, "a", settled_orders=5_000), confirmed("v", "a")]
    alleged = [violation(f"v{number}", "a", incident=f"v{number}") for number in range(5)]
    nothing = Entry("f", "b", FlowStated(TODAY - 2, currency="EUR", delivered_orders=1))
    ledger.append(MARKET, [*known, *alleged, nothing])
    assert _compare(ledger, planned(ledger, tmp_path / "scale")) == 1


@pytest.mark.parametrize(("seed", "days"), [(0, 1), (1, 0), (2, 0)])
def test_answers_roll_over_to_the_next_day(ledger: Ledger, tmp_path: Path, clock: Clock, seed: int, days: int) -> None:
    fill(ledger, 40, seed)
    _compare(ledger, planned(ledger, tmp_path / "scale"))
    clock.now += (1 - days) * DAY
    ledger.append(MARKET, [confirmed(f"late{number}", f"s{number}") for number in range(5)])
    ledger.append(MARKET, [exposure(TODAY - 3, f"s{number}", settled_orders=900, revision=9) for number in (7, 8)])
    run = planned(ledger, tmp_path / "scale", days)
    assert run.manifest.earlier is not None
    assert _compare(ledger, run) == 40
    rolled = [run.store.read(run.manifest.task(task.line).receipt_path) for task in run.manifest.tasks]
    for task in run.manifest.tasks:
        assert task.earlier
        (Path(run.manifest.earlier.place) / task.earlier[0]).unlink()
        (folder_of(run) / task.receipt_path).unlink()
        run_task(run.store.place, task.line)
    anew = [run.store.read(task.receipt_path) for task in run.manifest.tasks]
    assert [json.loads(one)["sha256"] for one in rolled] == [json.loads(one)["sha256"] for one in anew]


@pytest.mark.parametrize(
    ("days_off", "midnights", "is_own"), [(0, [0] * 14, True), (7, [0] * 14, False), (0, [0] * 12, False)]
)
def test_only_own_parts_without_new_facts_roll_over(
    ledger: Ledger, tmp_path: Path, clock: Clock, days_off: int, midnights: list[int], is_own: bool
) -> None:
    ledger.append(MARKET, [*known("old"), *known("new")])
    first = planned(ledger, tmp_path / "scale")
    for task in first.manifest.tasks:
        receipt = run_task(first.store.place, task.line)
        zeros = read_scores_of_task(*first, task).with_columns(
            pl.col("day") - days_off, pl.lit(midnights).cast(pl.List(pl.Int64)).alias("midnights")
        )
        zeros.write_parquet(folder_of(first) / receipt.part)
        digest = sha256((folder_of(first) / receipt.part).read_bytes()).hexdigest()
        first.store.write(task.receipt_path, json.dumps(receipt._asdict() | {"sha256": digest}).encode())
    clock.now += DAY
    ledger.append(MARKET, [exposure(TODAY - 3, "new", settled_orders=9, revision=9)])
    run = planned(ledger, tmp_path / "scale")
    found: dict[str, list[int]] = {}
    for task in run.manifest.tasks:
        run_task(run.store.place, task.line)
        found |= dict(read_scores_of_task(*run, task).select("seller", "midnights").iter_rows())
    assert found["old"][0] > 0
    assert (found["old"][1:] == [0] * 13) == is_own
    assert (min(found["old"]) > 0) != is_own
    assert min(found["new"]) > 0


def test_a_repeated_task_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger, 10)
    run = planned(ledger, tmp_path / "scale")
    first = run_task(run.store.place, 1)
    assert run_task(run.store.place, 1) == first
    task = run.manifest.task(1)
    data, receipt = run.store.read(task.receipt_path), folder_of(run) / task.receipt_path
    receipt.unlink()
    other = run_task(run.store.place, 1)
    assert (other.part != first.part, other.sha256) == (True, first.sha256)
    assert not run.store.create(task.receipt_path, data)
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
    assert not run.store.exists(run.manifest.task(1).receipt_path)


def _edit(path: Path, change: Callable[[list[bytes]], None]) -> None:
    lines = path.read_bytes().splitlines()
    change(lines)
    path.write_bytes(b"\n".join(lines))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines.append(lines[1]), "twice"),
        (lambda lines: lines.pop(), "altered"),
        (lambda lines: lines.__setitem__(0, lines[0].replace(b'"version":2', b'"version":3')), "another version"),
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
    fill(ledger, 10)
    run = planned(ledger, tmp_path / "scale")
    with pytest.raises(InvalidInput, match="LINE"):
        run_task(run.store.place, 99)
    receipt = run_task(run.store.place, 1)
    _alter(folder_of(run) / receipt.part)
    with pytest.raises(ConfigurationWrong, match="delete it, and run line 1"):
        read_scores_of_task(*run, run.manifest.task(1))
    run.store.write(run.manifest.task(2).receipt_path, json.dumps(receipt._asdict()).encode())
    with pytest.raises(ConfigurationWrong, match="no receipt of this run"):
        run_task(run.store.place, 2)
    other = planned(ledger, tmp_path / "other")
    path = folder_of(other) / POLICY
    for data in (TIERS.read_bytes(), b"\xff", b"x = ["):
        path.write_bytes(data)
        with pytest.raises(ConfigurationWrong, match="another policy"):
            run_task(other.store.place, 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda part: part.head(1), "other sellers"),
        (lambda part: part.with_columns(seller=pl.lit("s")), "other sellers"),
        (lambda part: part.with_columns(pl.col("seller").replace(part["seller"][0], None)), "no scores"),
        (lambda part: part.with_columns(answer=pl.lit(None, pl.Binary)), "no scores"),
        (lambda part: part.with_columns(day=pl.col("day") - 1), "another run's"),
        (lambda _: pl.DataFrame({"seller": ["a"]}), "no scores"),
    ],
)
def test_a_lying_receipt_gives_no_part_of_a_run(
    ledger: Ledger, tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], said: str
) -> None:
    fill(ledger, 10)
    run = planned(ledger, tmp_path / "scale")
    task = run.manifest.task(1)
    receipt = run_task(run.store.place, 1)
    path = folder_of(run) / receipt.part
    change(read_scores_of_task(*run, task)).write_parquet(path)
    lie = receipt._replace(sha256=sha256(path.read_bytes()).hexdigest())
    run.store.write(task.receipt_path, json.dumps(lie._asdict()).encode())
    with pytest.raises(ConfigurationWrong, match=f"{said}.*run line 1"):
        read_scores_of_task(*run, task)


def test_a_receipt_of_another_bucket_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger, 40)
    run = planned(ledger, tmp_path / "scale")
    lie = run_task(run.store.place, 1)._replace(line=2)
    run.store.write(run.manifest.task(2).receipt_path, json.dumps(lie._asdict()).encode())
    with pytest.raises(ConfigurationWrong, match="run line 2"):
        read_scores_of_task(*run, run.manifest.task(2))


def _plan_with_notice(ledger: Ledger, folder: Path) -> tuple[Run, Scorer]:
    strict = "notice_days = 15\n" + GENERAL.text.replace("trusted = 450", "trusted = 998").replace("= 600", "= 999")
    scorer = open_scorer(ledger)
    scorer.policy.history.commit(PolicyCommit(strict, GENERAL.digest, "anna", "stricter"), GENERAL)
    return planned(ledger, folder), scorer


@pytest.mark.parametrize("data", [b"", b"{}", b'{"policies":[[1]],"models":[]}', b"x = ["])
def test_altered_moves_of_a_notice_are_refused(ledger: Ledger, tmp_path: Path, data: bytes) -> None:
    fill(ledger, 12)
    run, _ = _plan_with_notice(ledger, tmp_path / "scale")
    for name in [SERVED] if data != b"x = [" else run.store.list("policies"):
        run.store.write(name, data)
    with pytest.raises(ConfigurationWrong, match="plan it again"):
        run_task(run.store.place, 1)


def test_a_notice_keeps_tiers_in_a_run_too(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger, 12)
    object.__setattr__(ledger.facts, "max_allegations", 2)
    run, scorer = _plan_with_notice(ledger, tmp_path / "scale")
    assert run.manifest.head.notice
    scorer.policy.refresh()
    kept = 0
    for task in run.manifest.tasks:
        run_task(run.store.place, task.line)
        for seller, body in read_scores_of_task(*run, task).select("seller", "answer").iter_rows():
            [score], _ = scorer.scores(MARKET, [seller], run.manifest.head.cut)
            assert not isinstance(score, SellertrustError)
            assert score_message(seller_name(MARKET, seller), score, None).SerializeToString() == body
            kept += score.notice is not None
    assert kept


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"seller": ["a"]}, "cannot be read"),
        ({name: ["1"] for name in SCHEMA}, "another schema"),
        ({name: [1 if kind == pl.Int64 else "a"] for name, kind in SCHEMA.items()}, "schema or length"),
    ],
)
def test_a_foreign_file_with_its_own_digest_is_refused(
    ledger: Ledger, tmp_path: Path, columns: dict[str, list[object]], said: str
) -> None:
    fill(ledger, 10)
    run = planned(ledger, tmp_path / "scale")
    path = entry_files(run.manifest)[0]
    pl.DataFrame(columns).write_parquet(path)
    task = run.manifest.task(1)
    file = task.files[0]._replace(sha256=sha256(path.read_bytes()).hexdigest())
    tasks = [replace(task, files=(file, *task.files[1:])), *run.manifest.tasks[1:]]
    run.store.write(MANIFEST, replace(run.manifest, tasks=tasks).encode())
    with pytest.raises(ConfigurationWrong, match=said):
        run_task(run.store.place, 1)


def test_a_full_disk_leaves_nothing_of_a_line(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger, 10)
    run, other = planned(ledger, tmp_path / "scale"), planned(ledger, tmp_path / "other")
    files = set(folder_of(run).rglob("*"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(ConfigurationWrong, match="cannot be written: file too large"):
            run_task(run.store.place, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path for path in folder_of(run).rglob("*") if path.is_file()} <= files
    assert run_task(run.store.place, 1).sha256 == run_task(other.store.place, 1).sha256

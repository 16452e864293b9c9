import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoring.base.errors import ConfigurationWrong
from scoring.model.artifact import Artifact, load
from tests.helpers.limits import Limit
from tests.helpers.training_ledgers import POLICY, restated, train
from tests.training.report import sample
from training.gates.table import ADVISORY, HARD
from training.observation.export import LedgerTable
from training.pipeline import comparing, judging, observing
from training.pipeline.job import Job, Shell, TrainedModel
from training.pipeline.judging import spell_verdict
from training.pipeline.observing import Observations
from training.pipeline.run import plan, run
from training.pipeline.steps import NAMES, Step
from training.report.page import render
from training.report.parts import Reading
from training.study.definition import Study


@pytest.fixture(scope="module")
def trained(table: LedgerTable, study: Study) -> TrainedModel:
    return train(table, study)


@pytest.fixture(scope="module")
def champion(trained: TrainedModel) -> Artifact:
    return load(trained.parts)


@pytest.mark.long
def test_a_training_takes_nine_steps_and_ends_each_once(table: LedgerTable, study: Study) -> None:
    told: list[tuple[str, int, int]] = []
    trained = run(Job(table, study, POLICY, verify=False), lambda *step: told.append(step))
    ended = [step for step, done, total in told if done == total]
    numbered = [f"{number}/9 {name}" for number, name in enumerate(NAMES, 1)]
    assert ended == [*numbered[:3], "exposure slope", *numbered[3:]]
    assert list(trained.lines) == [*NAMES[:3], "exposure slope", *NAMES[3:]]
    assert all(trained.lines.values())
    assert ("4/9 train", 29, 30) in told


@pytest.mark.long
def test_a_dry_run_says_what_would_be_trained(table: LedgerTable, study: Study) -> None:
    assert list(plan(Job(table, study, POLICY)).lines) == [*NAMES[:3], "labels"]


@pytest.mark.long
def test_figures_of_a_sample_say_what_it_was_drawn_from(
    table: LedgerTable, study: Study, trained: TrainedModel, limit: Limit
) -> None:
    whole = trained.evaluation
    assert whole["test"]["drawn_from"] == whole["test"]["rows"]
    limit(comparing, MAX_ROWS=500)
    found = train(table, study).evaluation
    assert {**found["train"], "auc": None} == {**whole["train"], "auc": None}
    assert (found["test"]["rows"], found["test"]["drawn_from"]) == (500, whole["test"]["rows"])


@pytest.mark.long
def test_a_verified_training_trains_twice_and_finds_the_same(table: LedgerTable, study: Study) -> None:
    gates = {row["gate"]: row for row in train(table, study, verify=True).gates["gates"]}
    assert gates["reproducible"]["ok"]
    assert not {row["gate"]: row for row in train(table, study).gates["gates"]}["reproducible"]["ok"]


@pytest.mark.long
def test_another_second_observation_is_found_out(
    table: LedgerTable, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:

    def otherwise(step: Step, job: Job) -> Observations:
        found = observing.observe(step, job)
        x = found.rows.x.copy()
        x[::7] = x[::-7][: len(x[::7])]
        return replace(found, rows=replace(found.rows, x=x))

    monkeypatch.setattr(judging, "observe", otherwise)
    gates = {row["gate"]: row for row in train(table, study, verify=True).gates["gates"]}
    assert not gates["reproducible"]["ok"]


@pytest.mark.long
def test_a_recalibration_keeps_every_tree(
    table: LedgerTable, study: Study, trained: TrainedModel, champion: Artifact
) -> None:
    old = Artifact(champion.manifest | {"base": champion.page.base - 72}, champion.parts, champion.digest)
    again = train(table, study, champion=old, recalibrate=True)
    assert again.parts["model.txt"] == champion.parts["model.txt"]
    scale = load(again.parts).scale
    assert scale.base == pytest.approx(champion.page.base, abs=20)
    assert json.loads(again.parts["lineage.json"])["recalibrated_from"] == champion.digest
    raw = champion.raw_score(trained.test.x)
    order = np.argsort(raw, kind="stable")
    assert (np.diff(scale.points(raw)[order]) <= 0).all()


@pytest.fixture(scope="module")
def challenger(table: LedgerTable, study: Study, champion: Artifact) -> TrainedModel:
    return train(table, replace(study, features=study.features[10:]), champion=champion)


def test_a_champion_with_other_features_is_compared_by_its_own(challenger: TrainedModel) -> None:
    evaluation = challenger.evaluation
    assert {"lightgbm", "champion"} <= set(evaluation["auc"])
    assert 0 < sum(map(sum, evaluation["migration"]["matrix"])) <= evaluation["test"]["rows"]


def test_the_report_leaves_out_only_what_needs_a_champion(trained: TrainedModel, challenger: TrainedModel) -> None:
    alone, beside = report_of(trained), report_of(challenger)
    assert re.findall(r"<strong>([^<]+)</strong>: left out", alone) == ["Migration matrix"]
    assert 'class="missing"' not in beside
    for html in (alone, beside):
        assert "Jeffreys test of each grade" in html
        assert "unrated" in html


def report_of(trained: TrainedModel) -> str:
    stated = {n: json.loads(trained.parts[f"{n}.json"]) for n in ("manifest", "evaluation", "lineage", "certificate")}
    return render(Reading(**stated, gates=trained.gates, digest="f" * 64))


def test_the_sample_holds_no_figure_that_training_does_not_make(challenger: TrainedModel) -> None:
    made = paths(json.loads(challenger.parts["evaluation.json"]))
    unmade = paths(sample.evaluation()) - made
    assert {path for path in unmade if not path.startswith(".looks[]")} == set()


def paths(value: Any, at: str = "") -> set[str]:
    """Return the keys of JSON tables by their path; in lists, the keys of any row."""
    if isinstance(value, dict):
        return {f"{at}.{key}" for key in value}.union(*(paths(part, f"{at}.{key}") for key, part in value.items()))
    return set().union(*(paths(part, f"{at}[]") for part in value)) if isinstance(value, list) else set()


@pytest.mark.long
def test_every_look_at_a_test_window_is_logged_and_shown(table: LedgerTable, study: Study, tmp_path: Path) -> None:
    shell = Shell(looks=tmp_path / "looks.jsonl", now=1_764_000_000_000_000)
    plan(Job(table, study, POLICY, shell=shell))
    assert not (tmp_path / "looks.jsonl").exists(), "a dry run judges nothing, and is no look"
    first = train(table, study, shell=shell)
    other = train(table, restated(study, model={"seed": 3}, name="other", digest="f" * 64), shell=shell)
    assert first.evaluation["looks"] == []
    assert [look["study"] for look in other.evaluation["looks"]] == ["marketplace"]
    assert train(table, study, shell=shell).parts == first.parts
    assert len((tmp_path / "looks.jsonl").read_text().splitlines()) == 3


def test_a_window_longer_than_the_ledger_is_refused(table: LedgerTable, study: Study) -> None:
    with pytest.raises(ConfigurationWrong, match="training points hold 0 rows") as refused:
        plan(Job(table, restated(study, window={"days": 700}), POLICY))
    said = refused.value.message
    assert "the ledger begins on 2024-01-0" in said
    assert "shorten the window" in said
    assert "widen" not in said
    with pytest.raises(ConfigurationWrong, match="widen the window, the bad definition"):
        plan(Job(table, restated(study, bad={"at_least": 1000}), POLICY))


def test_the_line_of_the_gates_parts_failed_from_signed() -> None:
    ok, failed = {"gate": "parity", "kind": HARD, "ok": True}, {"gate": "ranking", "kind": HARD, "ok": False}
    unsigned = {"gate": "psi", "kind": ADVISORY, "ok": False}
    assert spell_verdict([ok]) == "all 1 passed"
    assert spell_verdict([ok, unsigned]) == "every hard one passed; to be signed: psi"
    assert spell_verdict([ok, failed, unsigned]) == "failed: ranking; to be signed: psi"

import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from service.cli.models import compare_plainly
from service.registry.registry import Registry
from tests.helpers.models import evaluated, gate, gates_json, publish, with_context
from tests.helpers.shells import Shell, bare_shell, serving, shell_of

BESIDE = {
    "gates.json": gates_json(gate("calibration", ok=False), gate("psi", ok=False, kind="advisory")),
    "report.html": b"<!doctype html><p>better",
}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("data")
    filled(folder / "registry")
    shell = shell_of(folder)
    with serving(shell, folder) as address:
        yield shell_of(folder, target=address)


@pytest.fixture
def bare(tmp_path: Path) -> Shell:
    filled(tmp_path / "data" / "registry")
    return bare_shell(tmp_path)


def filled(folder: Path) -> list[str]:
    registry = Registry(folder)
    return [
        publish(registry, parts=evaluated(0, 0.7)),
        publish(registry, parts=evaluated(1, 0.8), attachments=BESIDE),
        publish(registry, parts=evaluated(2, 0.75)),
    ]


@pytest.mark.long
def test_models_are_listed_shown_and_compared_without_a_server(bare: Shell) -> None:
    rows = {row["auc"]: row for row in bare.json("model", "list")}
    assert [(rows[auc]["aliases"], rows[auc]["gates"], rows[auc]["state"]) for auc in (0.7, 0.8, 0.75)] == [
        ("champion", "passed", "verified"), ("", "failed", "verified"), ("challenger", "passed", "verified"),
    ]  # fmt: skip
    shown = bare.json("model", "show", rows[0.8]["digest"])
    assert (shown["auc"], shown["gates"]) == ({"value": 0.8, "low": 0.78, "high": 0.8200000000000001}, "failed")
    assert "0.8000 (0.7800 to 0.8200)" in bare("model", "show", rows[0.8]["digest"])[0]
    assert shown["gate calibration"] == "failed: calibration was looked at"
    assert shown["gate psi"] == "failed, advisory: psi was looked at"
    assert shown["evaluation"]["base_rate"] == 0.1
    table, told = bare("model", "show", "champion", "--against", rows[0.8]["digest"][:9])
    assert f"a is {rows[0.7]['digest'][:12]}, b is {rows[0.8]['digest'][:12]}" in told
    lines = [line.split() for line in table.splitlines()]
    assert ["evaluation", "auc.lightgbm.value", "0.7", "0.8"] in lines
    assert "names no model" in bare.error(3, "model", "show", "nobody")


def test_the_card_of_a_model_is_its_page(bare: Shell, tmp_path: Path) -> None:
    digest = bare.json("model", "show")["digest"]
    card, _ = bare("model", "show", "--card")
    assert card.startswith(f"Model {digest}\n")
    assert card.count("#") > 20
    folder = next(path for path in tmp_path.rglob(digest) if path.is_dir())
    manifest = (folder / "manifest.json").read_bytes().replace(b'"format":2', b'"format":1')
    shutil.copytree(folder, folder.with_name(sha256(manifest).hexdigest()))
    (folder.with_name(sha256(manifest).hexdigest()) / "manifest.json").write_bytes(manifest)
    said = bare.error(6, "model", "show", "--card", sha256(manifest).hexdigest())
    assert "of another format; train it again" in said


@pytest.mark.long
def test_a_promotion_past_its_gates_takes_names(bare: Shell) -> None:
    digest = next(row["digest"] for row in bare.json("model", "list") if row["gates"] == "failed")
    said = ("model", "promote", digest[:10], "--reason", "the world moved", "--actor", "anna")
    refused = bare.error(4, *said)
    assert "past calibration it takes a named person's override (--override NAME)" in refused
    assert "psi must be signed off by name (--sign-off NAME)" in refused
    _, told = bare(*said, "--override", "dora", "--sign-off", "emil")
    assert told == f"champion is now {digest[:12]}\n"
    _, told = bare("model", "rollback", "--reason", "complaints")
    rows = bare.json("model", "list", "--history")
    assert [row["alias"] for row in rows] == ["champion", "challenger", "challenger", "champion", "champion"]
    assert told == f"champion is now {rows[0]['digest'][:12]}\n"
    assert (rows[3]["actor"], rows[3]["reason"], rows[3]["figures"]["override"]) == ("anna", "the world moved", "dora")
    assert rows[4]["figures"]["previous"] == digest
    table, _ = bare("model", "list", "--history")
    assert "sign_off=emil" in table


@pytest.mark.long
def test_the_report_is_written_as_it_was_published(bare: Shell, tmp_path: Path) -> None:
    digest = next(row["digest"] for row in bare.json("model", "list") if row["gates"] == "failed")
    _, told = bare("model", "show", digest, "--report", tmp_path / "seen.html")
    assert (tmp_path / "seen.html").read_bytes() == BESIDE["report.html"]
    assert told == f"24 bytes written to {tmp_path / 'seen.html'}\n"
    assert "was published without report.html" in bare.error(3, "model", "show", "champion", "--report", tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.long
def test_a_server_answers_as_the_registry_itself(shell: Shell) -> None:
    address = shell.environment["SELLERTRUST_TARGET"]
    for command in (["list"], ["show", "challenger"], ["show", "--against", "challenger"], ["list", "--history"]):
        assert shell.json("model", *command, "--server", address) == shell.json("model", *command)
    assert "MODEL_NOT_FOUND" in shell.error(3, "model", "show", "nobody", "--server", address)


@pytest.mark.long
def test_a_model_with_context_is_shown_like_any_other(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "data" / "registry")
    publish(registry)
    digest = publish(registry, parts=with_context())
    context = ["context.looks@1", "context.sent_by=court@1"]
    with serving(bare_shell(tmp_path), tmp_path) as address:
        for shell, where in ((bare_shell(tmp_path), ()), (shell_of(tmp_path, target=address), ("--server", address))):
            rows = {row["digest"]: row["state"] for row in shell.json("model", "list", *where)}
            assert rows[digest] == "verified"
            assert shell.json("model", "show", "challenger", *where)["features"][-2:] == context
            found = shell.json("model", "show", "--against", "challenger", *where)
            assert [row["name"] for row in found if row["section"] == "features"] == context


@pytest.mark.long
def test_a_registry_is_a_folder_or_a_url(bare: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    filled(folder)
    for registry in (folder, f"file://{folder}"):
        assert len(bare.json("model", "list", registry=registry)) == 3
    assert bare.json("model", "list", registry=tmp_path / "empty") == []
    assert "must be a folder, or a URL such as" in bare.error(6, "model", "list", registry="s 3://x")


def ranked(model: float, rule: float, logistic: float, by: str = "pairs at equal volume") -> dict[str, object]:
    def interval(value: float, half: float = 0.02) -> dict[str, float]:
        return {"value": value, "low": value - half, "high": value + half}

    return {
        "judged_auc": interval(model),
        "judged_auc_points_rule": interval(rule),
        "judged_auc_logistic": interval(logistic),
        "judged_difference_to_points_rule": interval(model - rule),
        "judged_difference_to_logistic": interval(model - logistic),
        "judged_by": by,
        "auc": interval(0.823),
        "auc_points_rule": interval(0.861),
        "auc_logistic": interval(0.827),
        "auc_window_volume": interval(0.68),
    }


def test_a_model_is_compared_in_plain_words() -> None:
    first, second = compare_plainly(ranked(0.879, 0.758, 0.866))
    assert first.endswith(" in 88 % of pairs (a points rule 76 %; logistic regression 87 %, not told apart).")
    assert second.startswith("Among all sellers: 82 %, a points rule 86 %.")
    assert "sales decide much" in second
    _, second = compare_plainly(ranked(0.879, 0.758, 0.866) | {"auc_window_volume": {"low": 0.5}})
    assert second.endswith("a points rule 86 %.")
    first, _ = compare_plainly(ranked(0.879, 0.878, 0.910))
    assert first.endswith(" (a points rule 88 %, not told apart; logistic regression 91 %).")
    [only] = compare_plainly(ranked(0.879, 0.758, 0.866, "all pairs of a day"))
    assert only.startswith("Among sellers of one day the model ranks")

"""A rerun uses kept files exactly as written, or not at all."""

from pathlib import Path

import pytest

from training.gates.table import ADVISORY, HARD
from training.pipeline.judging import spell_verdict
from training.pipeline.made_by import LIBRARIES, code_versions
from training.pipeline.steps import Kept


def test_a_kept_result_is_used_whole_or_not_at_all(tmp_path: Path) -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Kept(tmp_path).text("model", interrupted)
    (tmp_path / "model.partial").write_text("tre")
    kept = Kept(tmp_path)
    assert kept.text("model", lambda: "tree\nend of trees\n") == "tree\nend of trees\n"
    assert kept.used == []
    again = Kept(tmp_path)
    assert again.text("model", lambda: "another") == "tree\nend of trees\n"
    assert again.used == ["model"]
    assert [file.name for file in tmp_path.iterdir()] == ["model.txt"]


def test_other_code_makes_another_training(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "fit.py"
    file.write_text("ROUNDS = 1\n")
    before = code_versions([tmp_path])
    assert set(before) == {*LIBRARIES, "code"}
    assert code_versions([tmp_path]) == before
    file.write_text("ROUNDS = 2\n")
    changed = code_versions([tmp_path])
    file.rename(tmp_path / "fit.py")
    assert len({before["code"], changed["code"], code_versions([tmp_path])["code"], code_versions()["code"]}) == 4


def test_the_line_of_the_gates_parts_failed_from_signed() -> None:
    ok, failed = {"gate": "parity", "kind": HARD, "ok": True}, {"gate": "ranking", "kind": HARD, "ok": False}
    unsigned = {"gate": "psi", "kind": ADVISORY, "ok": False}
    assert spell_verdict([ok]) == "all 1 passed"
    assert spell_verdict([ok, unsigned]) == "every hard one passed; to be signed: psi"
    assert spell_verdict([ok, failed, unsigned]) == "failed: ranking; to be signed: psi"

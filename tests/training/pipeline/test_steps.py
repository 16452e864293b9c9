"""A rerun uses kept files exactly as written, or not at all."""

from pathlib import Path

import pytest

from training.gates.table import ADVISORY, HARD
from training.pipeline.judging import spell_verdict
from training.pipeline.made_by import LIBRARIES, code_versions
from training.pipeline.steps import Kept


@pytest.mark.parametrize("harm", ["cut off", "altered", "without its digest"])
def test_what_is_not_as_it_was_written_is_made_anew(tmp_path: Path, harm: str) -> None:
    Kept(tmp_path).text("model", lambda: "tree\nend of trees\n")
    file = tmp_path / "model.txt"
    data = file.read_bytes()
    file.write_bytes({"cut off": data[:4], "altered": data[:-1] + b"!"}.get(harm, data))
    if harm == "without its digest":
        file.with_name(f"{file.name}.sha256").unlink()
    kept = Kept(tmp_path)
    assert kept.text("model", lambda: "another") == "another"
    assert kept.used == []
    again = Kept(tmp_path)
    assert again.text("model", lambda: "a third") == "another"
    assert again.used == ["model"]


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


def test_the_line_of_the_gates_parts_what_failed_from_what_a_person_signs() -> None:
    ok, failed = {"gate": "parity", "kind": HARD, "ok": True}, {"gate": "ranking", "kind": HARD, "ok": False}
    unsigned = {"gate": "psi", "kind": ADVISORY, "ok": False}
    assert spell_verdict([ok]) == "all 1 passed"
    assert spell_verdict([ok, unsigned]) == "every hard one passed; to be signed: psi"
    assert spell_verdict([ok, failed, unsigned]) == "failed: ranking; to be signed: psi"

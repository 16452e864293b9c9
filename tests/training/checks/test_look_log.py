import json
from dataclasses import replace
from pathlib import Path

import pytest

from scoring.base.errors import ConfigurationWrong
from scoring.base.time import parse_day
from training.checks.look_log import Look, earlier_looks, log_look, read_looks

LOOK = Look(
    time="2026-03-01T12:00:00Z",
    marketplace="acme",
    study="a",
    study_digest="1" * 64,
    ledger_digest="2" * 64,
    first_day=parse_day("2025-01-01"),
    end_day=parse_day("2025-07-01"),
    why="train",
)
OTHER = replace(LOOK, study="b", study_digest="3" * 64)


def test_looks_are_appended_and_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "looks.jsonl"
    assert read_looks(path) == []
    log_look(path, LOOK)
    first = path.read_bytes()
    log_look(path, OTHER)
    assert path.read_bytes().startswith(first)
    assert read_looks(path) == [LOOK, OTHER]
    assert json.loads(first)["first_day"] == "2025-01-01"
    assert LOOK.as_dict()["window"] == "2025-01-01 to 2025-06-30"


@pytest.mark.parametrize(
    ("past", "counts"),
    [
        (OTHER, True),
        (replace(OTHER, ledger_digest="9" * 64), True),
        (replace(OTHER, marketplace="elsewhere"), False),
        (LOOK, False),
        (replace(OTHER, first_day=LOOK.end_day - 1, end_day=LOOK.end_day + 100), True),
        (replace(OTHER, first_day=LOOK.end_day, end_day=LOOK.end_day + 100), False),
        (replace(OTHER, first_day=LOOK.first_day - 100, end_day=LOOK.first_day), False),
        (replace(OTHER, first_day=LOOK.first_day - 100, end_day=LOOK.first_day + 1), True),
    ],
)
def test_looks_of_others_at_an_overlapping_window_count(tmp_path: Path, past: Look, counts: bool) -> None:
    path = tmp_path / "looks.jsonl"
    log_look(path, past)
    assert earlier_looks(path, LOOK) == ([past] if counts else [])


def test_the_same_study_finds_the_same_looks_again(tmp_path: Path) -> None:
    path = tmp_path / "looks.jsonl"
    third = replace(OTHER, study_digest="4" * 64)
    elsewhere = replace(LOOK, first_day=LOOK.first_day - 30)
    for look in (elsewhere, OTHER, LOOK, third):
        log_look(path, look)
    assert earlier_looks(path, LOOK) == [OTHER]
    assert earlier_looks(path, third) == [elsewhere, OTHER, LOOK]


@pytest.mark.parametrize("line", ["{", "7", "{}", json.dumps({"first_day": "2025-01-01", "end_day": "soon"})])
def test_a_damaged_record_is_refused_and_not_passed_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "looks.jsonl"
    log_look(path, LOOK)
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ConfigurationWrong, match=r"line 2 of .* is no look at a test window"):
        earlier_looks(path, OTHER)


def test_a_look_that_cannot_be_logged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationWrong, match="cannot be logged"):
        log_look(tmp_path, LOOK)
    with pytest.raises(ConfigurationWrong, match="cannot be read"):
        read_looks(tmp_path)

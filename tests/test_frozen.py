"""What earlier releases left behind is served and replayed for ever: their models and their ledgers."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.ledger.database.schema import upgrade
from service.ledger.store import Ledger
from tests.frozen import FOLDER, answers, model, thaw, versions


@pytest.mark.parametrize("version", versions())
def test_a_frozen_ledger_and_model_give_the_answers_they_gave(version: str, tmp_path: Path) -> None:
    """Upgraded to the present schema, verified against its seals, and scored by the frozen model to the same values."""
    url = thaw(version, tmp_path / "ledger.db")
    upgrade(url)
    with Ledger.open(url) as ledger:
        assert ledger.seals.verify([], lambda done, total: None).mismatch is None
        found = answers(ledger, model(version))
    then = json.loads((FOLDER / version / "answers.json").read_text())
    assert _as_then(found, then) == then


def _as_then(found: Any, then: Any) -> Any:
    """What was found, without the fields that answers had not got then."""
    if isinstance(found, dict) and isinstance(then, dict):
        return {name: _as_then(value, then[name]) for name, value in found.items() if name in then}
    if isinstance(found, list) and isinstance(then, list) and len(found) == len(then):
        return [_as_then(*pair) for pair in zip(found, then, strict=True)]
    return found


def test_there_is_a_frozen_release_to_test() -> None:
    """Each release freezes itself: python -m tests.frozen make VERSION."""
    assert versions()

from pathlib import Path

import pytest

from tests.helpers.owner_edits import edits
from tests.reference_pages import UNNAMED


@pytest.mark.long
def test_each_edit_is_named_or_documented(tmp_path: Path) -> None:
    found = list(edits(tmp_path))
    assert len(found) >= 200
    unnamed = {edit.of for edit in found if not edit.is_found}
    tables = {"source_position", "ledger_compatibility"}
    assert {of if of in UNNAMED else next(t for t in tables if of.startswith(t)) for of in unnamed} == UNNAMED.keys()

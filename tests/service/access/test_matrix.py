from pathlib import Path

import pytest

from service.access.rights import METHODS
from tests.helpers.matrix import CALLS, cells


@pytest.mark.long
def test_every_method_by_every_identity_is_as_the_matrix_says(tmp_path: Path) -> None:
    found = list(cells(tmp_path))
    wrong = [cell for cell in found if cell.found != cell.wanted]
    assert wrong == []
    assert len(found) == len(CALLS) * 72


def test_the_matrix_has_every_method() -> None:
    assert {call.split(" ")[0] for call in CALLS} == METHODS.keys()

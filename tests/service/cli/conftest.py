from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.shells import Shell, bare_shell, serving, shell_of


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("data")
    shell = shell_of(folder)
    with serving(shell, folder) as address:
        yield shell_of(folder, target=address)


@pytest.fixture
def bare(tmp_path: Path) -> Shell:
    return bare_shell(tmp_path)

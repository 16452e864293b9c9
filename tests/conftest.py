"""Shared by all tests: the mark of long tests, and expensive fixtures made once for all processes."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.helpers import limits, shared

if TYPE_CHECKING:
    from types import ModuleType

    from sellertrust.client import Client
    from tests.helpers.limits import Limit
    from tests.helpers.servers import Running

LONG = "takes longer than the rest and repeats in full what a shorter test promises; run by ./dev test --all"


# No test asserts speed, so an example may take any time.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the long tests too")
    parser.addoption("--update-docs", action="store_true", help="write the blocks of output in the documents")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"long: {LONG}")
    # No fixture: the process from which others are forked may start with the first test.
    if shared.VARIABLE not in os.environ:
        folder = os.environ[shared.VARIABLE] = tempfile.mkdtemp(prefix="sellertrust-tests-")
        config.add_cleanup(lambda: shutil.rmtree(folder))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip long tests unless all of them, or one by its name, are requested."""
    if config.getoption("--all") or any("::" in argument for argument in config.args):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A server without a model, on a ledger of its own."""
    from tests.helpers.servers import running_server  # slow to import

    with running_server(tmp_path) as found:
        yield found


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    with running.client() as found:
        yield found


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    def set_limits(where: ModuleType | str, **values: float) -> None:
        module = importlib.import_module(where) if isinstance(where, str) else where
        assert limits.find_wrong(module, [*values]) == []
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)

    return set_limits

"""What all tests share: which of them are long, and what is dear and made once for all processes of a run."""

import os
import shutil
import tempfile

import hypothesis
import pytest

from tests.helpers import shared

LONG = "takes longer than the rest and repeats in full what a shorter test promises; run by ./dev test --all"


# No test asserts how quick something is: on a busy machine an example may take what it takes.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the long tests too")
    parser.addoption("--update-docs", action="store_true", help="write the blocks of output in the documents")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"long: {LONG}")
    # Here, and not in a fixture: the process that others are forked from may start with the first test.
    if shared.VARIABLE not in os.environ:  # else this is one of several processes of a run
        folder = os.environ[shared.VARIABLE] = tempfile.mkdtemp(prefix="sellertrust-tests-")
        config.add_cleanup(lambda: shutil.rmtree(folder))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves long tests out unless they are asked for, all of them or one by its name."""
    if config.getoption("--all") or any("::" in argument for argument in config.args):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]

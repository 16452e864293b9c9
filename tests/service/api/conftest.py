"""Tests here run on SQLite; those of the ledger cover PostgreSQL. Modules that write to a ledger run on both."""

import pytest

WRITE_TO_LEDGERS = {
    "test_four_eyes",
    "test_four_eyes_attacked",
    "test_imposed",
    "test_later_kinds",
    "test_payouts",
    "test_times_ahead",
    "test_tracing",
}


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "sqlite"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run these modules on PostgreSQL, too, if the long tests run."""
    stated = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "backend" not in metafunc.fixturenames or "backend" in stated:
        return
    if metafunc.module.__name__.rpartition(".")[2] in WRITE_TO_LEDGERS:
        both = ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)]
        metafunc.parametrize("backend", both, indirect=True)

import pytest

from tests import stubs


def test_checked_in_stubs_are_what_the_proto_files_give() -> None:
    """Nobody talks a contract other than the one that the .proto files state."""
    if not stubs.ENVIRONMENT.exists():
        pytest.skip(f"{stubs.ENVIRONMENT.name} is absent: run ./dev env stubs")

    assert stubs.stale(stubs.generated()) == [], "run ./dev stubs"

import pytest

from tests import stubs


def test_checked_in_stubs_are_what_the_proto_files_give() -> None:
    if not stubs.ENVIRONMENT.exists():
        pytest.skip(f"{stubs.ENVIRONMENT.name} is absent: run ./dev env stubs")

    assert stubs.stale(stubs.generated()) == [], "run ./dev stubs"

import uuid
from pathlib import Path

import pytest

from service.registry.registry import Registry
from tests.helpers.models import FOLDER, STORE


@pytest.fixture(params=[FOLDER, STORE])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    return tmp_path / "registry" if request.param == FOLDER else f"memory://{uuid.uuid4().hex}/registry"


@pytest.fixture
def registry(place: Path | str) -> Registry:
    return Registry(place)

import pytest

from tests.helpers.training_ledgers import restated
from training.study.definition import Study


@pytest.fixture(scope="session")
def study(study: Study) -> Study:
    return restated(study, model={"rounds": 30})

"""The benchmarks of damaged artifacts and of swaps under load, in short: what they promise of the long run."""

import pytest

from tests.bench import _artifacts, _swaps
from tests.bench._damage import KINDS


def figures_of(run, count: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    run(figures.__setitem__, lambda step, done, total: None, count)
    return figures


@pytest.mark.long
@pytest.mark.timeout(600)
def test_no_damaged_or_poisoned_artifact_is_served_and_no_server_dies() -> None:
    """150 of every kind. LightGBM reads those few alone that are models of their own."""
    found = figures_of(_artifacts.run, 150)
    assert (found["artifacts.tried"], found["artifacts.served_bad"], found["artifacts.server_deaths"]) == (150, 0, 0)
    assert found["artifacts.refused"] + found["artifacts.served_consistent"] == 150
    assert sum(found[f"artifacts.kind.{kind.__name__}"] for kind in KINDS) == 150
    assert found["artifacts.refused_after_lightgbm"] == 0
    assert len([kind for kind in KINDS if found[f"artifacts.kind.{kind.__name__}"]]) >= 12


@pytest.mark.long
@pytest.mark.timeout(600)
def test_no_call_fails_while_models_are_swapped() -> None:
    """Ten swaps: each answer is whole, and that of the model that its stamp names; a rollback takes under a second."""
    found = figures_of(_swaps.run, 10)
    assert (found["swap.tried"], found["swap.failed_calls"], found["swap.wrong_answers"]) == (10, 0, 0)
    assert found["swap.models_seen"] == 6
    assert found["swap.calls"] > 100

import shutil

import pytest

from tests.bench import (
    _cancelled,
    _clocks,
    _database_away,
    _midnight,
    _mixed_swaps,
    _overload,
    _races,
)
from tests.helpers.databases import BACKENDS

pytestmark = pytest.mark.long


def figures_of(run, *arguments: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    run(figures.__setitem__, *arguments)
    return figures


@pytest.mark.timeout(300)
def test_at_five_times_the_load_health_is_answered() -> None:
    found = figures_of(_overload.run, 4, 2)
    assert found["overload.python.tries"] > 10
    assert found["overload.python.goodput"] > 0
    if shutil.which("h2load"):
        assert found["overload.goodput"] > 0
        assert found["overload.computed.goodput"] > 0
    assert found["overload.health_tries"] > 5
    assert found["slow_reads.checkouts"] > 5
    assert (found["overload.health_failed"], found["slow_reads.health_failed"]) == (0, 0)
    assert found["slow_reads.checkouts_failed"] == 0


@pytest.mark.timeout(300)
def test_memory_does_not_grow_with_cancelled_calls() -> None:
    found = figures_of(_cancelled.run, 3_000, 3)
    assert found["cancelled.tries"] > 5
    assert found["cancelled.cancelled"] > 10
    assert found["cancelled.failed"] == 0
    assert found["cancelled.growth_mb"] < 50


@pytest.mark.timeout(300)
def test_known_sellers_are_answered_without_the_database() -> None:
    found = figures_of(_database_away.run, 4)
    assert found["chaos.hanging_database_checkouts"] > 10
    assert found["chaos.hanging_database_checkouts_failed"] == 0
    assert found["database_away.frozen.tries"] > 10
    assert found["database_away.stopped.tries"] > 10
    assert (found["database_away.frozen.unanswered"], found["database_away.stopped.unanswered"]) == (0, 0)
    assert found["database_away.frozen.sequence_tries"] > 5
    assert found["database_away.frozen.sequence_not_refused"] == 0
    assert found["database_away.stopped.sequence_not_refused"] == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("backend", BACKENDS)
def test_answers_beside_writes_are_those_of_their_stamps(backend: str) -> None:
    figures: dict[str, float] = {}
    _races.race(figures.__setitem__, "race", backend, 1.5, 8)
    assert figures["race.tries"] > 5
    assert [figures[f"race.{what}"] for what in ("differ", "behind", "failed", "refused", "not_found")] == [0] * 5


@pytest.mark.timeout(300)
def test_answers_of_disagreeing_clocks_are_those_of_their_stamps() -> None:
    found = figures_of(_clocks.run, 2, 8)
    for name in ("sqlite.seconds", "sqlite.hours", "postgresql.seconds", "postgresql.hours"):
        assert found[f"clocks.{name}.tries"] > 5
        assert (found[f"clocks.{name}.differ"], found[f"clocks.{name}.behind"]) == (0, 0)
        assert found[f"clocks.{name}.failed"] == 0
    assert found["clocks.postgresql.hours.refused"] > 0
    assert found["clocks.postgresql.seconds.refused"] == 0


@pytest.mark.timeout(300)
def test_no_call_fails_at_midnight() -> None:
    found = figures_of(_midnight.run, 5, 60)
    for kind in ("with_generation", "without_generation"):
        assert found[f"midnight.{kind}.tries"] > 5
        assert found[f"midnight.{kind}.failed"] == 0
        assert found[f"midnight.{kind}.hit"] > 10
    assert (found["midnight.with_generation.miss"], found["midnight.with_generation.stale"]) == (0, 0)
    assert found["midnight.with_generation.adopted"] > 5
    assert found["midnight.without_generation.miss"] > 5


@pytest.mark.timeout(300)
def test_no_answer_is_of_two_models_or_policies() -> None:
    found = figures_of(_mixed_swaps.run, 8)
    assert (found["swaps.tries"], found["swaps.failed"], found["swaps.mixed"]) == (8, 0, 0)
    assert found["swaps.kinds_seen"] == 4
    assert found["swaps.calls"] > 5

"""The benchmarks of faults in short: what they promise of the long run, without what depends on how quick a machine is."""

import pytest

from tests.bench import _cancelled, _database_away, _overload, _restarts, chaos


def figures_of(run, *arguments: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    run(figures.__setitem__, *arguments)
    return figures


@pytest.mark.long
@pytest.mark.timeout(300)
def test_at_five_times_what_a_server_can_do_health_is_answered_and_checkouts_beside_slow_reads_are() -> None:
    found = figures_of(_overload.run, 4, 2)
    assert found["overload.tries"] > 100
    assert found["overload.goodput"] > 0
    assert found["overload.health_tries"] > 5
    assert found["slow_reads.checkouts"] > 5
    assert (found["overload.health_failed"], found["slow_reads.health_failed"]) == (0, 0)
    assert found["slow_reads.checkouts_failed"] == 0


@pytest.mark.long
@pytest.mark.timeout(300)
def test_memory_does_not_grow_with_calls_of_which_some_are_cancelled() -> None:
    found = figures_of(_cancelled.run, 5)
    assert found["cancelled.tries"] > 500
    assert found["cancelled.cancelled"] > 10
    assert found["cancelled.failed"] == 0
    assert found["cancelled.growth_mb"] < 50


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_call_fails_while_two_servers_are_restarted_one_after_the_other() -> None:
    found = figures_of(_restarts.run, 2)
    assert (found["restarts.tries"], found["restarts.failed"], found["restarts.ended_badly"]) == (2, 0, 0)
    assert found["restarts.calls"] > 100


@pytest.mark.long
@pytest.mark.timeout(300)
def test_known_sellers_are_answered_while_the_database_is_frozen_and_stopped() -> None:
    found = figures_of(_database_away.run, 8)
    assert found["database_away.frozen.tries"] > 100
    assert found["database_away.stopped.tries"] > 100
    assert (found["database_away.frozen.unanswered"], found["database_away.stopped.unanswered"]) == (0, 0)


def test_the_seed_of_a_run_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos, "PARTS", {})
    monkeypatch.setenv("CHAOS_SEED", "17")
    lines: list[str] = []
    assert chaos.run(lines.append) == {"seed": 17}
    assert lines == ["CHAOS_SEED=17"]

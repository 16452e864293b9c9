"""The benchmarks of faults in short: what they promise of the long run, without what depends on how quick a machine is."""

import pytest

from tests.bench import _overload, chaos


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


def test_the_seed_of_a_run_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos, "PARTS", {})
    monkeypatch.setenv("CHAOS_SEED", "17")
    lines: list[str] = []
    assert chaos.run(lines.append) == {"seed": 17}
    assert lines == ["CHAOS_SEED=17"]

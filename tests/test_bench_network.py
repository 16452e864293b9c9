import pytest

from tests.bench._rings import measure_rings


@pytest.mark.long
def test_links_find_gangs_and_move_no_victim() -> None:
    found = measure_rings(gangs=4, honest=60, rebuild_sellers=10_000, recalled=100)
    assert (found["victims_moved"], found["evader_gain"], found["retracted.left_traces"]) == (0, 0, 0)
    assert (found["retracted.tried"], found["rings.found"]) == (20, 100)
    assert {"rings.false", "warning_days.median", "innocent_touched_per_100000.upper"} <= found.keys()

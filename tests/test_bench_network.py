import pytest

from tests.bench._rings import measure_large, measure_rings
from tests.bench.network import tamper_case


@pytest.mark.long
def test_links_find_gangs_and_move_no_victim() -> None:
    found = measure_rings(gangs=4, honest=60) | measure_large(links=400, recalled=100)
    assert (found["victims_moved"], found["evader_gain"], found["retracted.left_traces"]) == (0, 0, 0)
    assert (found["retracted.tried"], found["rings.found"]) == (20, 100)
    assert {"rings.false", "warning_days.median", "innocent_touched_per_100000.upper"} <= found.keys()
    assert {"links_per_s", "rebuild_s", "rebuild_mb", "incremental_ms.p99", "rings_ms.p99", "recall_s"} <= found.keys()


def test_every_change_of_a_case_is_counted_and_found() -> None:
    assert tamper_case() == {"export.tampered": 128, "export.accepted": 0}

import pytest

from tests.bench.scale import run


@pytest.mark.long
def test_files_answer_as_the_ledger_does() -> None:
    found = run(lambda _: None, base=60, sellers=240)
    assert (found["bit_equal.sellers"], found["bit_equal.differ"], found["sellers"]) == (60, 0, 240)
    assert found["rollover.differing_parts"] == 0
    assert found.get("duckdb.differ", 0) == 0  # it is measured where DuckDB is installed
    assert {
        "rollover_over_full",
        "rescore_over_predict",
        "growth.spread",
        "bytes_per_seller",
        "peak_mb",
    } <= found.keys()

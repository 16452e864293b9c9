import pytest

from tests.bench.gates import verdict
from tests.helpers.gate_worlds import BROKEN, judged


def test_a_good_simulated_model_passes() -> None:
    assert verdict(judged("good", 200, 1)) == ("passed", [])


@pytest.mark.parametrize(
    ("kind", "gate"),
    [*zip(BROKEN, ("leakage", "ranking", "calibration", "ranking", "calibration", "calibration"), strict=True)],
)
def test_a_broken_simulated_model_is_refused_by_its_gate(kind: str, gate: str) -> None:
    word, refusing = verdict(judged(kind, 200, 1))
    assert word == "refused"
    assert gate in refusing


@pytest.mark.parametrize(("bad_rows", "said"), [(39, "signed"), (40, "refused")])
@pytest.mark.parametrize("kind", ["shifted", "miscalibrated"])
def test_no_refusal_rests_on_fewer_than_40_bad_rows(kind: str, bad_rows: int, said: str) -> None:
    assert verdict(judged(kind, bad_rows, 1, 6.0))[0] == said

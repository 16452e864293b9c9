"""A short run of `./dev bench ledger-faults`: what must never happen, in figures that must be 0."""

from tests.bench.ledger_faults import SHORT, run


def test_faults_lose_double_and_hide_nothing() -> None:
    """Kill -9 while writing, 64 clients retrying, a jumping clock, an owner who tampers; the seed is printed."""
    figures = run(print, SHORT)
    must_be_zero = ("lost", "duplicated", "partial", "undetected", "disordered")
    found = {name: value for name, value in figures.items() if name.rsplit(".", 1)[-1] in must_be_zero}
    assert len(found) > 10
    assert not any(found.values()), figures

import pytest

from tests.bench import credit


def test_a_small_preview_states_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credit, "PREVIEWED", (40,))
    found = credit.run(lambda _: None, "preview")
    assert found["preview.moved.40"] == 40
    assert {*found} >= {"preview_s.40", "preview.sample_s.40", "preview.rss_mb.40"}


def test_young_orders_stay_within_the_limit() -> None:
    assert credit.limits(20) == {"paid_ahead.histories": 20, "paid_ahead.above_limit": 0}

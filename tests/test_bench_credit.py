from tests.bench import credit


def test_young_orders_stay_within_the_limit() -> None:
    assert credit.limits(20) == {"paid_ahead.histories": 20, "paid_ahead.above_limit": 0}

import re
from dataclasses import replace

import pytest

from scoring.loss_certificate.sensitivity import find_sensitivity, holds_verdict, price_names
from service.policy.certificate_file import SHIPPED_ASSUMPTIONS, read_assumptions
from tests.bench._certificate_plot import PLOT
from tests.helpers.toys import assumed, cap, hold, policy_of, shipped_data, toy

TOY = toy(cap(1_000, (100_000, 1_500), (400_000, 4_000)), hold(6, 400_000, deposit=200))


def test_a_verdict_turns_where_it_is_stated_to() -> None:
    policy, assumptions = policy_of(TOY), assumed()
    found = find_sensitivity(policy, assumptions)["against_faked_history"]
    assert (found.largest_stop_days, found.smallest_wash_ppm, found.smallest_identity_minor) == (2, 49_750, 0)
    assert not holds_verdict(policy, replace(assumptions, stop_days=3), history_is_real=False)
    assert not holds_verdict(policy, replace(assumptions, wash_ppm=49_749), history_is_real=False)
    real = find_sensitivity(policy, assumptions)["unconditional"]
    assert (real.largest_stop_days, real.smallest_wash_ppm, real.smallest_identity_minor) == (None, None, 20_000)
    assert holds_verdict(policy, price_names(assumptions, 20_000), history_is_real=True)
    assert not holds_verdict(policy, price_names(assumptions, 19_999), history_is_real=True)


@pytest.mark.parametrize(("name", "ppm"), [("general", 30_000), ("general", 45_000), ("ladder", 60_000)])
def test_the_plotted_prices_by_the_cost_of_a_fake_are_right(name: str, ppm: int) -> None:
    """To ten units of the currency; `python -m tests.bench._certificate_plot` redraws them."""
    assumptions = replace(read_assumptions(SHIPPED_ASSUMPTIONS), wash_ppm=ppm, aged_account_ppm=ppm)
    [title, *_] = re.findall(rf"<title>{name}: {ppm / 10_000:g}, ([\d.]+)</title>", PLOT.read_text(encoding="utf-8"))
    policy, price = policy_of(shipped_data(name)), round(float(title) * 100_000)
    assert holds_verdict(policy, price_names(assumptions, price + 1_000), history_is_real=False)
    assert not holds_verdict(policy, price_names(assumptions, price - 1_000), history_is_real=False)


def test_the_plotted_prices_of_names_are_right() -> None:
    for name in ("general", "ladder"):
        assumptions = read_assumptions(SHIPPED_ASSUMPTIONS)
        titles = re.findall(rf"<title>{name}: {assumptions.stop_days}, (\d+)</title>", PLOT.read_text(encoding="utf-8"))
        price, policy = int(titles[-1]) * 100_000, policy_of(shipped_data(name))
        assert holds_verdict(policy, price_names(assumptions, price), history_is_real=True)
        assert not holds_verdict(policy, price_names(assumptions, price - 100_000), history_is_real=True)

import random
from typing import Any

import pytest

from scoring.loss_certificate.certificate import certify
from service.policy.certificate_file import SHIPPED_ASSUMPTIONS, read_assumptions
from tests.scoring.loss_certificate.market import Plan, let_loose_in_market, play
from tests.scoring.loss_certificate.test_certificate import FAKED, REAL
from tests.scoring.loss_certificate.toys import policy_of, shipped_data

ASSUMED = read_assumptions(SHIPPED_ASSUMPTIONS)
GRADED = policy_of(shipped_data("graded"))


def days_of_run(**parts: Any) -> set[int]:
    plan = Plan(**({"fakes": False, "bought_minor": 0, "target_minor": 2_000_000, "pace": 0.5, "order_minor": 5_000,
        "run_order_minor": 5_000, "waits": 0, "zeal": 1.0, "faked_days": 1, "jumps": 0} | parts))  # fmt: skip
    return {play(plan, GRADED, ASSUMED, random.Random(seed), {})[1] for seed in range(8)}


def test_caution_stops_a_jump_unless_its_days_were_used_up() -> None:
    """Five jumps beforehand use up all days of caution: then buyers' disputes stop the run, as after a person's miss."""
    assert days_of_run() == {5, 15}
    assert days_of_run(jumps=5) == {15}


def test_few_large_orders_go_on_until_the_assumed_stop() -> None:
    """No buyer disputes early. After a rest they are a jump, which a person may miss; its days of caution can be used up."""
    assert days_of_run(run_order_minor=10**9, waits=40) == {5, 16}
    assert days_of_run(run_order_minor=10**9, jumps=5) == {16}


@pytest.mark.long
@pytest.mark.parametrize(("name", "generations"), [("general", 3), ("graded", 2), ("ladder", 5)])
def test_no_attacker_in_the_market_gets_more_than_certified(name: str, generations: int) -> None:
    """Fakers stay within the first verdict's sum, earnest traders within the second's; a verdict that holds allows 0."""
    policy = policy_of(shipped_data(name))
    verdicts = certify(policy, ASSUMED)["verdicts"]
    for verdict, fakes in ((FAKED, True), (REAL, False)):
        bound = verdicts[verdict]["most_minor"]
        best = max(total for _, total, _ in let_loose_in_market(policy, ASSUMED, fakes, generations, 12, 5))
        assert best <= bound
        assert best >= 0.8 * bound or bound == 0 or name == "graded"

import random

import pytest

from scoring.loss_certificate.certificate import certify
from tests.scoring.loss_certificate.joined import Served, live, play
from tests.scoring.loss_certificate.test_certificate import LITTLE, MUCH
from tests.scoring.loss_certificate.toys import assumed, policy_of, stated


def test_lives_across_a_commit_come_up_to_the_bound() -> None:
    """54,000 under two policies that allow 30,000 each, less the price of a name."""
    data, chance = (MUCH, LITTLE), random.Random(4)
    policies = tuple(policy_of(one) for one in data)
    sequence = Served(data, policies, assumed(), stated(), certify(policies[1], assumed(), older=policies[:1]))
    lives = [live(sequence, chance) for _ in range(300)]
    assert max(life.end() for life, _ in lives) == sequence.bound(is_real=True) == 54_000 - 100
    assert all(life.end() <= sequence.bound(is_real=is_real or bool(life.real)) for life, is_real in lives)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_no_life_across_policies_takes_more_than_certified(seed: int) -> None:
    number, above, _ = play(6, 100, seed)
    assert (number, above) == (600, [])

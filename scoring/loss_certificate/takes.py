from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from scoring.loss_certificate.assumptions import Assumptions
from scoring.loss_certificate.solving import find_run_gain, solve_running
from scoring.loss_certificate.states import TIERS, States, restrict_to_tier
from scoring.policy.policy import Policy

NO_TIER = "none"


@dataclass(frozen=True, slots=True)
class Take:
    gross_minor: int
    after_refunds_minor: int
    """Less held money and deposit; at least 0."""


def join_largest(takes: Iterable[Take]) -> Take:
    """Return the largest gross and the largest net amount, maybe of different takes. ValueError without takes."""
    all_takes = [*takes]
    return Take(max(take.gross_minor for take in all_takes), max(take.after_refunds_minor for take in all_takes))


def find_takes(policy: Policy, states: States, assumptions: Assumptions) -> dict[str, Take]:
    """Return the largest take by tier's name, with any history; the largest bounds every override."""
    takes = {}
    for tier in TIERS:
        of_tier = restrict_to_tier(states, policy, assumptions, tier)
        running = solve_running(of_tier, np.zeros(len(states.settled), dtype=np.int64), of_tier.bound_ahead(0))
        cap = max(one.cap_minor for row in of_tier.granted for one in row)
        net = int(find_run_gain(of_tier, running[0]).max())
        name = NO_TIER if tier is None else tier.name.lower()
        takes[name] = Take(cap * (states.run_days + states.notice_days), max(net, 0))
    return takes

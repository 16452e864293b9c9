from typing import Any

import numpy as np

from scoring.base.arrays import Bools, Ints
from scoring.base.enums import Tier
from scoring.features.facts import Facts
from scoring.policy.policy import Policy

NO_TIER = 0
"""Without a model, or of an unknown seller."""


def find_cases_with_violation(facts: Facts) -> Bools:
    guilty: Bools = np.zeros(facts.cases, dtype=np.bool_)
    guilty[facts.violations.case] = True
    return guilty


def find_rated(policy: Policy, facts: Facts) -> Bools:
    """Return, by case, whether a violation counts, or the file is not thin."""
    rated: Bools = find_cases_with_violation(facts) | ~policy.is_thin(facts.settled_orders, facts.tenure_days)
    return rated


def decide_tiers(policy: Policy, lowest: Ints, standing: Ints, is_rated: Any, override: Ints, exists: Bools) -> Ints:
    """Return the tier's number of each seller, or NO_TIER; all arrays have one shape.

    `lowest`: the lowest points that count for the tier. An override wins, then UNRATED, then the standing's bound.
    """
    tier = policy.tiers_with_standing(lowest.ravel(), standing.ravel()).reshape(lowest.shape)
    tier = np.where(is_rated, tier, int(Tier.UNRATED))
    tier = np.where(override > 0, override, tier)
    return np.where(exists, tier, NO_TIER)

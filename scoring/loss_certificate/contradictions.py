"""Runs in a ledger, compared with a certificate's assumptions."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr, bdtrc

from scoring.base.frozen import frozen
from scoring.loss_certificate.assumptions import Assumptions
from scoring.policy.measures import PPM

COVERED = 0.99
"""Share of all cases that a tolerance bound covers."""

DOUBT = 0.05
"""Largest chance that a bound covers less, or that a contradiction is chance."""

RUN_TYPES = frozenset({"order_fraud", "orders_not_kept"})


@frozen
class RunCase:
    """One seller with a confirmed violation of RUN_TYPES; UTC days since 1970-01-01."""

    start_day: int
    """The day of the first violation."""
    stop_day: int | None
    """The day when its payouts were stopped, or None."""

    def days_by(self, today: int) -> int:
        """Return how many UTC days the run lasted, its first and last included; at most until `today` without a stop."""
        return max((today if self.stop_day is None else self.stop_day) - self.start_day, 0) + 1


@frozen
class ObservedCases:
    cases: tuple[RunCase, ...]
    confirmed: int
    overturned: int
    today: int


@frozen
class Contradiction:
    assumption: str
    """`stop`, `runners` or `overturned`."""
    text: str


def bound_stop_days(cases: Sequence[RunCase]) -> int | None:
    """Return days within which COVERED of all runs are stopped, wrong with a chance of at most DOUBT; None if unknown.

    Distribution-free; unstopped cases are the slowest. It is the slowest of 299 cases, and the second slowest of 473.
    """
    is_slower_in_doubt = bdtr(np.arange(len(cases)), len(cases), 1 - COVERED) <= DOUBT
    slower = np.count_nonzero(is_slower_in_doubt)
    if not slower:
        return None
    days = sorted(case.days_by(0) if case.stop_day is not None else math.inf for case in cases)
    return None if days[-slower] == math.inf else int(days[-slower])


def find_contradictions(assumptions: Assumptions, observed: ObservedCases) -> list[Contradiction]:
    """Return the assumptions contradicted beyond chance: slow stops, overturned violations, or runs on one day."""
    contradictions = []
    slow = sum(case.days_by(observed.today) > assumptions.stop_days for case in observed.cases)
    if _exceeds_chance(slow, len(observed.cases), 1 - COVERED):
        text = f"a stop within {assumptions.stop_days:,} days is assumed of {COVERED:.0%} of runs, and {slow:,} of"
        contradictions.append(Contradiction("stop", f"{text} {len(observed.cases):,} on record took longer"))
    decided = observed.confirmed + observed.overturned
    if _exceeds_chance(observed.overturned, decided, assumptions.overturned_ppm / PPM):
        text = f"{assumptions.overturned_ppm:,} ppm of confirmed violations are assumed to be overturned, and"
        contradictions.append(
            Contradiction("overturned", f"{text} {observed.overturned:,} of {decided:,} on record were")
        )
    most = max(Counter(case.start_day for case in observed.cases).values(), default=0)
    if most > assumptions.runners:
        text = f"at most {assumptions.runners:,} runs are assumed to begin on one day, and {most:,} did"
        contradictions.append(Contradiction("runners", text))
    return contradictions


def _exceeds_chance(count: int, cases: int, share: float) -> bool:
    return bool(bdtrc(count - 1, cases, share) < DOUBT)

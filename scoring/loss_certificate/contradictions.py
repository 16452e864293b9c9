"""What a ledger has seen of runs, against what a certificate assumes: tolerance bounds of cases, and contradictions."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scoring.loss_certificate.assumptions import Assumptions
from scoring.policy.measures import PPM

COVERED = 0.99
"""Share of all cases that a tolerance bound covers."""

DOUBT = 0.05
"""Chance at most that a tolerance bound covers less, or that a contradiction is one by chance."""

RUN_TYPES = frozenset({"order_fraud", "orders_not_kept"})
"""Violation types that are cases of a run."""


@dataclass(frozen=True, slots=True)
class RunCase:
    """One seller with a confirmed violation of RUN_TYPES. Days are UTC days since 1970-01-01."""

    start_day: int
    """When the first of these violations happened: the day on which an order was not kept."""
    stop_day: int | None
    """Since when payouts to it stand stopped; None if they do not: it is not caught yet."""

    def days_by(self, today: int) -> int:
        """Return for how many days it went on, the first one included: until its stop, or at least until `today`."""
        return max((today if self.stop_day is None else self.stop_day) - self.start_day, 0) + 1


@dataclass(frozen=True, slots=True)
class Seen:
    """What a ledger has on record of runs."""

    cases: tuple[RunCase, ...]
    confirmed: int
    """Violations of RUN_TYPES that stand confirmed."""
    overturned: int
    """Violations of RUN_TYPES that were confirmed and overturned."""
    today: int
    """UTC day of the look, in days since 1970-01-01."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One assumption that a ledger contradicts."""

    assumption: str
    """`stop`, `runners` or `overturned`."""
    text: str
    """What was assumed, and what was seen."""


def bound_stop_days(cases: Sequence[RunCase]) -> int | None:
    """Return days by which COVERED of all runs are stopped, with a chance of DOUBT at most that fewer are; None if unknown.

    Of n cases the r-th fastest, cases that are not stopped being the slowest: no form of distribution is assumed. It takes
    299 cases; of 299 it is the slowest, of 473 the second slowest.
    """
    above, found = -1, 0.0
    while found <= DOUBT and above < len(cases):
        above += 1
        found += _binomial(len(cases), above, 1 - COVERED)
    slowest = above - 1
    if slowest < 0:
        return None
    days = sorted(case.days_by(0) if case.stop_day is not None else math.inf for case in cases)
    bound = days[len(days) - 1 - slowest]
    return None if bound == math.inf else int(bound)


def find_contradictions(assumptions: Assumptions, seen: Seen) -> list[Contradiction]:
    """Return the assumptions that a ledger contradicts, beyond what chance allows.

    Slower stops than one case in a hundred, more overturned than assumed, or more runs that began on one day.
    """
    found = []
    slow = sum(case.days_by(seen.today) > assumptions.stop_days for case in seen.cases)
    if _is_too_many(slow, len(seen.cases), 1 - COVERED):
        text = f"a stop within {assumptions.stop_days:,} days is assumed of 99 in 100 runs, and {slow:,} of"
        found.append(Contradiction("stop", f"{text} {len(seen.cases):,} on record took longer"))
    decided = seen.confirmed + seen.overturned
    if _is_too_many(seen.overturned, decided, assumptions.overturned_ppm / PPM):
        text = f"{assumptions.overturned_ppm:,} ppm of confirmed violations are assumed to be overturned, and"
        found.append(Contradiction("overturned", f"{text} {seen.overturned:,} of {decided:,} on record were"))
    most = max(Counter(case.start_day for case in seen.cases).values(), default=0)
    if most > assumptions.runners:
        text = f"at most {assumptions.runners:,} runs are assumed to begin on one day, and {most:,} did"
        found.append(Contradiction("runners", text))
    return found


def _is_too_many(seen: int, among: int, share: float) -> bool:
    """Return whether so many, or more, of a number of cases have a chance below DOUBT if each is one by a share."""
    if not seen:
        return False
    return 1 - math.fsum(_binomial(among, k, share) for k in range(seen)) < DOUBT


def _binomial(number: int, k: int, share: float) -> float:
    """Return the chance of exactly k of `number` cases, each by a share."""
    if share <= 0 or share >= 1:
        return float(k == (number if share >= 1 else 0))
    ways = math.lgamma(number + 1) - math.lgamma(k + 1) - math.lgamma(number - k + 1)
    return math.exp(ways + k * math.log(share) + (number - k) * math.log1p(-share))

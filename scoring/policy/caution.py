"""Caution as a policy states it: its triggers, and the reversible protections that follow for a few days."""

from collections.abc import Mapping
from dataclasses import dataclass

from scoring.base.enums import Category, CautionSignal, Severity, Source
from scoring.policy.measures import Measure

MAX_CAUTION_DAYS = 14

MAX_DAYS_IN_SPAN = 30
"""Most days under caution in any SPAN_DAYS, unless a violation was confirmed in them."""

SPAN_DAYS = 180

MAX_FLOW_DAYS = 45
"""Most days of flow that one part of a trigger names."""

MAX_WINDOW_DAYS = 2 * MAX_FLOW_DAYS
"""Most days of flow that a trigger looks at."""

CROWD = frozenset({Source.BUYER, Source.BRAND, Source.PARTNER})
"""Sources that many people can use at once: their reports may open a case, and never impose a measure."""


@dataclass(frozen=True, slots=True)
class ReportWeight:
    """Weight of one source's reports, decided or not."""

    weight: int
    """Weight of one incident."""
    at_most: int
    """Weight of all incidents together, at most."""


@dataclass(frozen=True, slots=True)
class Reports:
    """A trigger: enough weight of reports within some days, alleged or confirmed, but never dismissed, withdrawn or
    overturned.
    """

    categories: frozenset[Category]
    severity: Severity
    """The lowest severity that counts."""
    weight: int
    """The least weight of all reports together."""
    days: int
    """Days within which the reports must have become known."""

    signal = CautionSignal.REPORTS


@dataclass(frozen=True, slots=True)
class ControlSign:
    """A trigger: a sign that the account came into other hands."""

    signs: frozenset[str]
    """Members of CONTROL_SIGNS."""

    signal = CautionSignal.CONTROL


CONTROL_SIGNS = ("sold", "taken_over", "identity_lowered")
"""The reasons of a change of control, and an identity verified to a lower level than before."""


@dataclass(frozen=True, slots=True)
class Burst:
    """A trigger: orders that went wrong within some days by the recorded flow, undelivered or disputed and charged
    back.

    Undelivered orders are those captured on `days` days up to `grace_days` before, less all that were delivered or
    refunded since the first of these days. Their share is of the captured orders. Disputed orders are those of `days`
    days; their share is of the orders delivered on these days.
    """

    signal: CautionSignal
    """UNDELIVERED or DISPUTED."""
    share_ppm: int
    """The least share, in parts per million."""
    orders: int
    """The least number of orders."""
    days: int
    grace_days: int = 0
    """Days that an order has to arrive in."""

    @property
    def window_days(self) -> int:
        return self.days + self.grace_days


@dataclass(frozen=True, slots=True)
class Jump:
    """A trigger: the value captured in some days is a multiple of the average of earlier spans as long, by the
    recorded flow.

    Money refunded since the first of these days does not count. At least half of `before_days` must follow the first
    statement in them, so a newcomer never jumps.
    """

    times: int
    days: int
    before_days: int
    """Days before the jump whose average is compared."""
    value_minor: int
    """The least value captured in `days`, in minor units of the policy's currency."""

    signal = CautionSignal.VALUE_JUMP

    @property
    def window_days(self) -> int:
        return self.days + self.before_days


Trigger = Reports | ControlSign | Burst | Jump


@dataclass(frozen=True, slots=True)
class CautionRule:
    id: str
    reference: str
    """The text that a seller can read the rule in."""
    trigger: Trigger
    days: int
    """How long a caution lasts, 1 to MAX_CAUTION_DAYS."""
    measures: tuple[Measure, ...]
    """Its protections, each of REVERSIBLE_KINDS in `scoring.policy.caution_reading`."""


@dataclass(frozen=True, slots=True)
class CautionTable:
    decide_days: int
    """Days within which a person must decide the case that a caution opens; at most the days of its shortest rule."""
    weights: Mapping[Source, ReportWeight]
    """By source; every source has one."""
    rules: tuple[CautionRule, ...]
    currency: str = ""
    """Currency of all amounts; flow in another currency has no value."""

    @property
    def flow_days(self) -> int:
        """Return the most days of flow that a rule looks at; 0 if none does."""
        triggers = (rule.trigger for rule in self.rules)
        return max((one.window_days for one in triggers if isinstance(one, Burst | Jump)), default=0)

    def least_weight(self) -> int:
        """Return the lowest weight of reports that sets off a caution; 0 if no rule asks for reports."""
        return min((rule.trigger.weight for rule in self.rules if isinstance(rule.trigger, Reports)), default=0)

"""Caution as a policy states it: what sets it off, and the reversible protections that follow for a few days."""

from collections.abc import Mapping
from dataclasses import dataclass

from scoring.base.enums import Category, CautionSignal, Severity, Source
from scoring.policy.measures import Measure

MAX_CAUTION_DAYS = 14
"""Days that one caution lasts at most."""

MAX_DAYS_IN_SPAN = 30
"""Days under caution in any SPAN_DAYS, unless a violation was confirmed in them."""

SPAN_DAYS = 180

MAX_FLOW_DAYS = 45
"""Most days of flow that one part of a trigger names."""

MAX_WINDOW_DAYS = 2 * MAX_FLOW_DAYS
"""Most days of flow that a trigger looks at."""

CROWD = frozenset({Source.BUYER, Source.BRAND, Source.PARTNER})
"""Sources in whose name many can report at once: their reports may open a case, and never impose anything."""


@dataclass(frozen=True, slots=True)
class ReportWeight:
    """What the reports of one source weigh, whether decided or not."""

    weight: int
    """Of one incident."""
    at_most: int
    """Of all incidents together."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Reports that weigh enough within some days, alleged or confirmed, but never dismissed, withdrawn or overturned."""

    categories: frozenset[Category]
    severity: Severity
    """The lowest severity that counts."""
    weight: int
    """What they must weigh together."""
    days: int
    """Days within which they must have become known."""

    signal = CautionSignal.REPORTS


@dataclass(frozen=True, slots=True)
class ControlSign:
    """A sign that the account came into other hands."""

    signs: frozenset[str]
    """Of CONTROL_SIGNS."""

    signal = CautionSignal.CONTROL


CONTROL_SIGNS = ("sold", "taken_over", "identity_lowered")
"""A change of control by its reason, and an identity verified to a lower level than the one before."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Orders that went wrong within some days, by the flow on record: not delivered, or disputed and charged back.

    Undelivered are those captured on `days` days up to `grace_days` before, less all that were delivered or refunded since
    the first of these; their share is of the captured ones. Disputed are those of `days` days; their share is of what was
    delivered on them.
    """

    signal: CautionSignal
    """UNDELIVERED or DISPUTED."""
    share_ppm: int
    """The share that they must be, in parts per million."""
    orders: int
    """How many they must be."""
    days: int
    grace_days: int = 0
    """Days that an order has to arrive in."""

    @property
    def window_days(self) -> int:
        """Return how many days are looked at."""
        return self.days + self.grace_days


@dataclass(frozen=True, slots=True)
class Jump:
    """The value captured in some days is a multiple of that of as many days before, on average, by the flow on record.

    Money that was refunded since the first of these days is no part of it. At least half of `before_days` must lie behind the
    first statement in them: who has just begun does not jump.
    """

    times: int
    """The multiple."""
    days: int
    before_days: int
    """Days before these whose average is compared."""
    value_minor: int
    """The value captured in `days` must be this at least, in minor units of the policy's currency."""

    signal = CautionSignal.VALUE_JUMP

    @property
    def window_days(self) -> int:
        """Return how many days are looked at."""
        return self.days + self.before_days


Trigger = Reports | ControlSign | Burst | Jump


@dataclass(frozen=True, slots=True)
class CautionRule:
    """One rule of caution."""

    id: str
    reference: str
    """What a seller reads it in."""
    trigger: Trigger
    days: int
    """How long a caution lasts, 1 to MAX_CAUTION_DAYS."""
    measures: tuple[Measure, ...]
    """Its protections, each of REVERSIBLE_KINDS in `scoring.policy.caution_reading`."""


@dataclass(frozen=True, slots=True)
class CautionTable:
    """All that a policy states of caution."""

    decide_days: int
    """Days within which a person is to decide the case that a caution opens; at most those of its shortest rule."""
    weights: Mapping[Source, ReportWeight]
    """By source; every source has one."""
    rules: tuple[CautionRule, ...]
    currency: str = ""
    """Of all amounts; what flow states in another one has no value."""

    @property
    def flow_days(self) -> int:
        """Return the most days of flow that a rule looks at; 0 if none does."""
        triggers = (rule.trigger for rule in self.rules)
        return max((one.window_days for one in triggers if isinstance(one, Burst | Jump)), default=0)

    def least_weight(self) -> int:
        """Return the lowest weight of reports that sets off a caution; 0 if no rule asks for reports."""
        return min((rule.trigger.weight for rule in self.rules if isinstance(rule.trigger, Reports)), default=0)

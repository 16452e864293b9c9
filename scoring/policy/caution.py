from collections.abc import Mapping

from scoring.base.enums import Category, CautionSignal, Severity, Source
from scoring.base.frozen import frozen
from scoring.base.parts import member_of, whole
from scoring.entries.kinds.common import MAX_VALUE_MINOR
from scoring.policy.measures import PPM, Measure
from scoring.policy.rules import categories

MAX_CAUTION_DAYS = 14

MAX_DAYS_IN_SPAN = 30
"""Unless a violation was confirmed in the SPAN_DAYS."""

SPAN_DAYS = 180

MAX_FLOW_DAYS = 45

MAX_WEIGHT = 1_000
MAX_REPORT_DAYS = 90
MAX_ORDERS = 1_000_000
MAX_TIMES = 1_000

MAX_WINDOW_DAYS = 2 * MAX_FLOW_DAYS

CROWD = frozenset({Source.BUYER, Source.BRAND, Source.PARTNER})
"""Sources that many people can use at once: their reports impose no measure."""


@frozen
class ReportWeight:
    weight: int = whole(0, MAX_WEIGHT)
    """Of one incident."""
    at_most: int = whole(0, MAX_WEIGHT)
    """For all incidents together."""


@frozen
class Reports:
    """Enough weight of reports within `days`, alleged or confirmed, but never dismissed, withdrawn or overturned."""

    categories: frozenset[Category] = categories()
    severity: Severity = member_of(Severity, Severity.MINOR)
    weight: int = whole(1, MAX_WEIGHT)
    days: int = whole(1, MAX_REPORT_DAYS)

    signal = CautionSignal.REPORTS


@frozen
class ControlSign:
    signs: frozenset[str]

    signal = CautionSignal.CONTROL


CONTROL_SIGNS = ("sold", "taken_over", "identity_lowered")


@frozen
class Burst:
    """Orders that went wrong within some days, UNDELIVERED or DISPUTED, by the recorded flow.

    Undelivered: captured on `days` days up to `grace_days` before, less all delivered or refunded since the first, of
    the captured ones. Disputed: disputed or charged back in `days` days, of those delivered.
    """

    signal: CautionSignal
    share_ppm: int = whole(1, PPM)
    """The least share."""
    orders: int = whole(1, MAX_ORDERS)
    days: int = whole(1, MAX_FLOW_DAYS)
    grace_days: int = 0

    @property
    def window_days(self) -> int:
        return self.days + self.grace_days


@frozen
class Jump:
    """A captured value, less refunds since its first day, that is a multiple of the average of earlier spans as long.

    At least half of `before_days` must follow the first statement in them: a newcomer never jumps.
    """

    times: int = whole(2, MAX_TIMES)
    days: int = whole(1, MAX_FLOW_DAYS)
    before_days: int = whole(1, MAX_FLOW_DAYS)
    value_minor: int = whole(1, MAX_VALUE_MINOR)
    """The least value, in minor units of the policy's currency."""

    signal = CautionSignal.VALUE_JUMP

    @property
    def window_days(self) -> int:
        return self.days + self.before_days


Trigger = Reports | ControlSign | Burst | Jump


@frozen
class CautionRule:
    id: str
    reference: str
    trigger: Trigger
    days: int
    """1 to MAX_CAUTION_DAYS."""
    measures: tuple[Measure, ...]


@frozen
class CautionTable:
    decide_days: int
    """Days within which a person must decide a caution's case; at most the days of its shortest rule."""
    weights: Mapping[Source, ReportWeight]
    rules: tuple[CautionRule, ...]
    currency: str = ""
    """Flow in another currency has no value."""

    @property
    def flow_days(self) -> int:
        triggers = (rule.trigger for rule in self.rules)
        return max((trigger.window_days for trigger in triggers if isinstance(trigger, Burst | Jump)), default=0)

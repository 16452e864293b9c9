"""Sample sellers, made of a few facts: for examples, cases and tests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from scoring.base.enums import Category, Severity, Tier
from scoring.base.frozen import frozen
from scoring.base.money import show_amount
from scoring.base.time import DAY, format_day
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.policy.history import EstablishedViolation, trace_facts, value_at
from scoring.policy.policy import Policy
from scoring.policy.rules import Measured, Quantity, Situation


@frozen
class Breach:
    category: Category
    severity: Severity
    age_days: int = 0
    incident: int = 0
    violation_type: int = 0
    """0 for any type that a policy does not name."""

    def establish(self, day: int) -> EstablishedViolation:
        """Return it as a violation that was decided on `day` (since 1970-01-01), so that it counts then."""
        return EstablishedViolation(
            "", self.incident, self.category, self.severity, day - self.age_days, day * DAY, self.violation_type
        )

    def __str__(self) -> str:
        when = f" {self.age_days} days ago" if self.age_days else ""
        name = next((key for key, number in TYPE_NUMBERS.items() if number == self.violation_type), None)
        return f"{self.severity.word} {name or self.category.word}{when} (incident {self.incident})"


@frozen
class SampleSeller:
    points: int | None
    """None for an UNRATED seller. A seller with a breach is rated."""
    breaches: tuple[Breach, ...] = ()
    settled_minor: Mapping[str, int] = field(default_factory=dict)
    day: int = 0
    marketplace: str = ""
    tier: Tier | None = None
    tenure_days: int = 0
    deposit_minor: int = 0
    orders: int | None = None
    """None: enough orders and tenure to be rated."""
    earlier: tuple[int, int] | None = None
    """(days ago, points) at an earlier day-end with other points, if any."""
    measured: Mapping[Measured, int] = field(default_factory=dict)
    recent_minor: int = 0
    good_orders: int = 0
    currency: str = ""
    """Of sums; empty: minor units are shown."""

    def situation(self, policy: Policy) -> Situation:
        """Return what rules see of the seller on its day; without a set tier, that of the policy."""
        established = [breach.establish(self.day) for breach in self.breaches]
        time = self.day * DAY
        values = {operand: value_at(steps, time) for operand, steps in trace_facts(established, policy).items()}
        tier = self.tier
        if tier is None:
            tier = policy.tier_with_standing(self.tier_points(policy), values.get(Quantity.STANDING, 0))
        return replace(
            Situation.of_values(tier, values),
            settled_minor=self.settled_minor,
            measured=self.measured,
            day=self.day,
            marketplace=self.marketplace,
            tenure_days=self.tenure_days,
            deposit_minor=self.deposit_minor,
            good_orders=self.good_orders,
            rated_by_violation=self.tier is None and bool(self.breaches) and self._is_thin(policy),
        )

    def _is_thin(self, policy: Policy) -> bool:
        return self.orders is not None and policy.is_thin(self.orders, self.tenure_days)

    def tier_points(self, policy: Policy) -> int | None:
        """Return the lowest points that count for the tier; None for an unrated seller."""
        if self.points is None:
            return None
        if self._is_thin(policy) and not self.breaches:
            return None
        if self.earlier is not None and self.earlier[0] <= policy.clear_days:
            return min(self.points, self.earlier[1])
        return self.points

    def __str__(self) -> str:
        parts = ["unrated" if self.points is None else f"{self.points} point{'s' * (self.points != 1)}"]
        if self.tier is not None:
            parts = [f"tier {self.tier.word} set by a person"]
        if self.earlier is not None:
            parts.append(f"{self.earlier[1]} at the day-end {self.earlier[0]} days ago")
        parts += [f"{self.orders:,} settled orders"] if self.orders is not None else []
        parts += describe_breaches(self.breaches)
        parts += [
            f"settled {show_amount(value, self.currency)}" + (f" of {name}" if name else "")
            for name, value in self.settled_minor.items()
            if value
        ]
        parts += [f"{value:,} {one.describe(self.currency)}" for one, value in self.measured.items() if value]
        parts += [f"{self.good_orders:,} good orders since"] if self.good_orders else []
        parts += [f"{self.tenure_days:,} days of tenure"] if self.tenure_days else []
        parts += [f"deposit of {show_amount(self.deposit_minor, self.currency)} placed"] if self.deposit_minor else []
        parts += [f"on {format_day(self.day)}"] if self.day else []
        return ", ".join(parts)


def describe_breaches(breaches: Sequence[Breach]) -> Iterable[str]:
    """Return equal breaches of different incidents counted, as `3 x major ip`."""
    sizes = {b.incident: sum(other.incident == b.incident for other in breaches) for b in breaches}
    counted: dict[str, int] = {}
    for breach in breaches:
        name = str(breach) if sizes[breach.incident] > 1 else str(breach).rsplit(" (", 1)[0]
        counted[name] = counted.get(name, 0) + 1
    return [f"{count} x {name}" if count > 1 else name for name, count in counted.items()]

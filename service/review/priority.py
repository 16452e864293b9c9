from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from scoring.base.enums import Category, Severity

HARM_WEIGHTS: Mapping[Severity, int] = MappingProxyType(
    {Severity.MINOR: 1, Severity.MODERATE: 3, Severity.MAJOR: 9, Severity.CRITICAL: 27}
)
"""Harm of an order that ships in spite of a violation; only for the queue."""


class QueueItem(NamedTuple):
    violation: str
    sequence: int
    category: Category
    severity: Severity
    probability_upheld: float
    recent_orders: int
    """Settled in the last 30 days, as an estimate of orders in transit."""
    held_back: bool

    @property
    def harm_weight(self) -> int:
        return HARM_WEIGHTS[self.severity]

    @property
    def is_safety(self) -> bool:
        """Return whether it comes before all others, because people may be hurt."""
        return self.category is Category.SAFETY

    @property
    def priority(self) -> float:
        """Return the expected harm while no one decides: probability upheld x harm weight x (recent orders + 1).

        A major violation (9) with probability 0.5 and 199 recent orders: 900.
        """
        return self.probability_upheld * self.harm_weight * (self.recent_orders + 1)


def rank_items(items: Iterable[QueueItem]) -> list[QueueItem]:
    """Sort items: safety first, then by priority, then the oldest."""
    return sorted(items, key=lambda item: (not item.is_safety, -item.priority, item.sequence))

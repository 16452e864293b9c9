"""The order in which people should look at open violations: where a decision is worth most."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from scoring.enums import Category, Severity

HARM_WEIGHTS: Mapping[Severity, int] = MappingProxyType(
    {Severity.MINOR: 1, Severity.MODERATE: 3, Severity.MAJOR: 9, Severity.CRITICAL: 27}
)
"""Harm of one order that ships in spite of a violation, by its severity. The queue's own: a model's weights may differ."""


@dataclass(frozen=True, slots=True)
class QueueItem:
    """An open violation with what its priority is made of."""

    violation: str
    """Its id."""
    sequence: int
    """The sequence of its report."""
    category: Category
    """Its category."""
    severity: Severity
    """Its present severity."""
    probability_upheld: float
    """The probability that its report is upheld, 0 to 1."""
    recent_orders: int
    """Orders that the seller settled in the last 30 days: a proxy for those still shipping, which nobody states."""
    held_back: bool
    """Whether a bulk decision left it to a person."""

    @property
    def harm_weight(self) -> int:
        """Return the weight of the violation's severity in its priority."""
        return HARM_WEIGHTS[self.severity]

    @property
    def is_safety(self) -> bool:
        """Return whether its category is SAFETY, which goes before all others in the queue.

        People may be hurt, whatever the numbers are.
        """
        return self.category is Category.SAFETY

    @property
    def priority(self) -> float:
        """Return the harm to be expected while nobody decides the violation.

        Probability that it is upheld x harm weight x (recent orders + 1). A major violation (9) by a notifier of
        reliability 0.5, of a seller with 199 recent orders: 900.
        """
        return self.probability_upheld * self.harm_weight * (self.recent_orders + 1)


def rank_items(items: Iterable[QueueItem]) -> list[QueueItem]:
    """Return the queue's items in order: safety first, then by falling priority.

    Of equals the earlier report.
    """
    return sorted(items, key=lambda item: (not item.is_safety, -item.priority, item.sequence))

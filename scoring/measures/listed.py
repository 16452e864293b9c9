"""One measure that is in force, as it is listed."""

from dataclasses import dataclass

from scoring.policy.measures import Measure


@dataclass(frozen=True, slots=True)
class MeasureInForce:
    """One measure that holds for a seller: of a rule, or imposed by a person."""

    rule: str
    """Id of the rule; empty for what a person imposed."""
    reference: str
    """Where the seller reads it; empty for what a person imposed."""
    legal_ground: str
    """Of a rule for a product category: the legal ground."""
    original: Measure
    """As the rule, or the person, states it."""
    current: Measure
    """As it is for this seller now."""
    waived: bool
    """Whether another rule waives it, so that it has no effect."""
    measure: str
    """Its id in the record of measures: what a complaint and a lift name."""
    lifted: str
    """The entry by which a person lifted it, so that it has no effect; empty if it stands."""
    start: int | None
    """When it begins, in microseconds: later than now for a termination with notice. None: before the days looked back."""
    end: int | None
    """When it ends by itself, if nothing else happens, in microseconds; None if that is not known."""
    entries: tuple[str, ...]
    """Ids of the entries that it rests on."""
    entries_omitted: int = 0
    """Number of further ones."""
    is_of_caution: bool = False
    """Whether it is a protection of a caution: no part of the terms that are fixed at an order's capture."""
    reaches_earlier_orders: bool = False
    """Whether it holds for orders that were captured before it began: of confirmed facts, and of cautions while they last."""
    violations: tuple[str, ...] = ()
    """Ids of the violations among what it rests on, by the day they happened."""

    @property
    def has_effect(self) -> bool:
        """Return whether it is neither waived nor lifted."""
        return not self.waived and not self.lifted

    def has_begun(self, observe_time: int) -> bool:
        """Return whether it has an effect at a time, in microseconds."""
        return self.has_effect and (self.start is None or self.start <= observe_time)

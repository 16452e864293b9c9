from collections.abc import Iterable

from scoring.base.frozen import frozen
from scoring.policy.measures import Measure, Suspension, find_binding


@frozen
class MeasureInForce:
    original: Measure
    current: Measure
    """For this seller now; `original` is as stated."""
    measure: str
    """Its recorded id, for complaints and lifts."""
    start: int | None
    """In microseconds; future for a termination with notice, and while a move's notice runs; None: before the days looked
    back.
    """
    end: int | None
    """In microseconds; None if unknown."""
    entries: tuple[str, ...]
    rule: str = ""
    """Empty for a measure by a person, as `reference`."""
    reference: str = ""
    legal_ground: str = ""
    """Only of a rule for a product category."""
    waived: bool = False
    lifted: str = ""
    """Entry of a person's lift; empty without one."""
    entries_omitted: int = 0
    is_of_caution: bool = False
    """Then it is no part of an order's lasting terms."""
    reaches_earlier_orders: bool = False
    """True on confirmed facts, and for cautions while they last."""
    notice_until: int | None = None
    """When a move's notice ends and it gets stricter, in microseconds; None if it does not."""
    violations: tuple[str, ...] = ()
    """By the day they happened."""

    @property
    def has_effect(self) -> bool:
        """Return whether it is neither waived nor lifted; it may still lie ahead."""
        return not self.waived and not self.lifted

    def has_begun(self, observe_time: int) -> bool:
        return self.has_effect and (self.start is None or self.start <= observe_time)


def list_binding(measures: Iterable[MeasureInForce], observe_time: int) -> set[str]:
    """Return the binding measures of a time, in microseconds; no suspension, since all of them keep a shop shut."""
    counted = (one for one in measures if one.has_begun(observe_time) and not isinstance(one.current, Suspension))
    return find_binding({one.measure: one.current for one in counted})

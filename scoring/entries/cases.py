"""Cases: what may be stated about the case that a caution opens. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scoring.entries.contests import require_confirmed
from scoring.entries.kinds.decisions import CaseChanged
from scoring.entries.violation_state import ViolationState
from scoring.enums import CaseState
from scoring.errors import CaseNotFound, FieldPath, LifecycleForbids


@dataclass(slots=True)
class Cases:
    """The cases that a batch opens or decides."""

    states: dict[tuple[str, str], CaseState] = field(default_factory=dict)
    """By seller and case, what was stated last; OPENED also for one that is not recorded, of an entry that is."""

    def change(self, fact: CaseChanged, seller: str, violations: Mapping[str, ViolationState], path: FieldPath) -> None:
        """Note what became of a case.

        CaseNotFound if this seller has no such case; LifecycleForbids if it is not open, or if a violation by which a
        person confirms it is not confirmed or not the seller's.
        """
        path, key = (*path, "case"), (seller, fact.case)
        if not fact.rule:
            before = self.states.get(key)
            if before is None:
                raise CaseNotFound(
                    f"no case {fact.case!r} of this seller is known; give the name that its caution states as `case`",
                    {"case": fact.case},
                    (*path, "case"),
                )
            if before is not CaseState.OPENED:
                raise LifecycleForbids(
                    f"{fact.case!r} was {before.name.lower()}; a case is decided once",
                    {"status": before.name, "allowed": "opened"},
                    (*path, "case"),
                )
            require_confirmed(fact.violations, seller, violations, "a case is confirmed by", (*path, "violations"))
        self.states[key] = fact.state


def list_possible_entries(case: str) -> list[str]:
    """Return the ids of entries that may have set off the caution of a case, which is named `RULE~ENTRY`.

    Both may hold the mark: `a~b~c` is of the entry `b~c` or of `c`.
    """
    parts = case.split("~")
    return ["~".join(parts[place:]) for place in range(1, len(parts))]

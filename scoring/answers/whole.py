from collections.abc import Sequence
from dataclasses import dataclass

from scoring.measures.in_force import InForce
from scoring.measures.record import MeasureStatement
from scoring.policy.policy import Policy
from scoring.scores.answer import SellerScore, Stamp
from scoring.scores.score import CoreAnswer


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    core: CoreAnswer
    in_force: InForce
    statements: Sequence[MeasureStatement]
    """About its measures, by sequence."""
    policy: Policy
    stamp: Stamp
    notices: Sequence[MeasureStatement] = ()

    @property
    def score(self) -> SellerScore:
        return self.in_force.score

from scoring.base.frozen import frozen
from scoring.measures.in_force import InForce
from scoring.measures.record import SellerTerms
from scoring.policy.policy import Policy
from scoring.scores.answer import SellerScore, Stamp
from scoring.scores.score import CoreAnswer


@frozen
class WholeAnswer:
    core: CoreAnswer
    in_force: InForce
    recorded: SellerTerms
    stamp: Stamp

    @property
    def policy(self) -> Policy:
        return self.core.policy

    @property
    def score(self) -> SellerScore:
        return self.in_force.score

from dataclasses import replace

from scoring.base.enums import Action
from scoring.base.errors import invalid
from scoring.base.time import DAY
from sellertrust.v1 import answer_service_pb2 as answer_pb
from sellertrust.v1 import trust_score_service_pb2 as score_pb
from service.access.rights import Right, not_granted
from service.api.reads import Reads
from service.contract.answers import simulation_message
from service.contract.audiences import require_audience
from service.contract.entries import entries_of
from service.contract.fields import optional_time
from service.contract.resource_names import parse_seller
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.scores.scorer import Scorer

MAX_DAYS_AHEAD = 366

OF_SELLER_AND_STAFF = (score_pb.AUDIENCE_UNSPECIFIED, score_pb.AUDIENCE_SELLER, score_pb.AUDIENCE_STAFF)

_ENDS_OF_APPEALS = {int(Action.REDUCE), int(Action.OVERTURN)}


class AnswerServicer:
    def __init__(self, ledger: Ledger, scorer: Scorer, reads: Reads) -> None:
        self._ledger = ledger
        self._scorer = scorer
        self._reads = reads

    def SimulateTrustScore(self, request: answer_pb.SimulateTrustScoreRequest) -> answer_pb.SimulateTrustScoreResponse:
        marketplace, seller = parse_seller(request.seller, "seller")
        require_audience(request.audience, OF_SELLER_AND_STAFF)
        for_seller = request.audience == score_pb.AUDIENCE_SELLER
        if for_seller and not all(one.status.action in _ENDS_OF_APPEALS for one in request.entries):
            raise not_granted(Right.EXPLAIN)
        entries = entries_of(marketplace, request.entries)
        cut, later = self._cuts(request)
        supposed = self._ledger.suppose(marketplace, seller, entries, later)
        present = self._scorer.whole(marketplace, seller, cut)
        simulated = self._scorer.whole(marketplace, seller, later, supposed=supposed)
        return simulation_message(request.seller, present, simulated, for_seller=for_seller)

    def _cuts(self, request: answer_pb.SimulateTrustScoreRequest) -> tuple[Cut, Cut]:
        """Return the cut of now, and the same at the simulated time."""
        self._reads.reach(request.at_least_sequence)
        cut = self._reads.cut(score_pb.ExplainTrustScoreRequest(at_least_sequence=request.at_least_sequence))
        later = optional_time(request, "observe_time") or cut.observe_time
        if not cut.observe_time <= later <= cut.observe_time + MAX_DAYS_AHEAD * DAY:
            raise invalid("observe_time", f"must lie between now and {MAX_DAYS_AHEAD} days ahead")
        return cut, replace(cut, observe_time=later)

from dataclasses import dataclass

from sellertrust.v1 import measure_service_pb2 as measure_pb
from service.api.reads import Reads
from service.contract.measures import measures_message
from service.contract.payouts import parse_order, payout_message, restitution_message
from service.contract.resource_names import parse_policy_name, parse_seller
from service.mechanism.recorder import Recorder
from service.scores.payouts import Payouts
from service.scores.scorer import Scorer


@dataclass(frozen=True)
class MeasureServicer:
    _scorer: Scorer
    _payouts: Payouts
    _reads: Reads
    _recorder: Recorder

    def EvaluateMeasures(self, request: measure_pb.EvaluateMeasuresRequest) -> measure_pb.EvaluateMeasuresResponse:
        """Return a seller's measures by `policy`, default the served one; records nothing."""
        marketplace, seller = parse_seller(request.seller, "seller")
        named_policy = self._scorer.policy.find(parse_policy_name(request.policy, "policy")) if request.policy else None
        cut = self._reads.cut(request)
        artifact, policy = self._scorer.serving
        answer = self._scorer.whole_answer(marketplace, seller, cut, made_by=(artifact, named_policy or policy))
        return measures_message(request.seller, answer)

    def EvaluatePayout(self, request: measure_pb.EvaluatePayoutRequest) -> measure_pb.EvaluatePayoutResponse:
        """Return when an order is paid out, and what is held, in minor units."""
        marketplace, seller = parse_seller(request.seller, "seller")
        cut = self._reads.cut(request)
        order, day = parse_order(request, cut.observe_time)
        payout = self._payouts.evaluate(marketplace, seller, order, day, request.product_category, cut)
        return payout_message(request.seller, order, payout)

    def GetRestitution(self, request: measure_pb.GetRestitutionRequest) -> measure_pb.GetRestitutionResponse:
        """Return what measures held because of an overturned violation, after recording pending changes.

        Raises LifecycleForbids while the violation is open or valid.
        """
        marketplace, seller = parse_seller(request.seller, "seller")
        self._recorder.record_pending(marketplace, seller)
        restitution = self._payouts.restitution(marketplace, seller, request.violation, self._reads.cut(request))
        return restitution_message(request.seller, restitution)

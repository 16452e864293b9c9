"""MeasureService, as functions from request to response."""

from sellertrust.v1 import measure_service_pb2 as measure_pb
from service.api.reads import Reads
from service.contract.measures import measures_message
from service.contract.resource_names import parse_policy_name, parse_seller
from service.scores.scorer import Scorer


class MeasureServicer:
    """MeasureService."""

    def __init__(self, scorer: Scorer, reads: Reads) -> None:
        self._scorer = scorer
        self._reads = reads

    def EvaluateMeasures(self, request: measure_pb.EvaluateMeasuresRequest) -> measure_pb.EvaluateMeasuresResponse:
        marketplace, seller = parse_seller(request.seller, "seller")
        stated = self._scorer.policy.find(parse_policy_name(request.policy, "policy")) if request.policy else None
        found, policy, stamp = self._scorer.measures(marketplace, seller, self._reads.cut(request), stated)
        return measures_message(request.seller, found, policy, stamp)

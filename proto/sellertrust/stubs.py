"""The generated stubs of a channel, which the parts of the client call."""

import grpc

from sellertrust.v1.answer_service_pb2_grpc import AnswerServiceStub
from sellertrust.v1.audit_service_pb2_grpc import AuditServiceStub
from sellertrust.v1.ledger_service_pb2_grpc import LedgerServiceStub
from sellertrust.v1.measure_service_pb2_grpc import MeasureServiceStub
from sellertrust.v1.model_service_pb2_grpc import ModelServiceStub
from sellertrust.v1.network_service_pb2_grpc import NetworkServiceStub
from sellertrust.v1.policy_service_pb2_grpc import PolicyServiceStub
from sellertrust.v1.proposal_service_pb2_grpc import ProposalServiceStub
from sellertrust.v1.review_service_pb2_grpc import ReviewServiceStub
from sellertrust.v1.trust_score_service_pb2_grpc import TrustScoreServiceStub
from sellertrust.waiting import Threads


class Stubs:
    """A part of the client. Methods raise SellertrustCallError; a list raises it while it is read."""

    _waits = Threads
    _write_seconds: float

    def __init__(self, channel: grpc.Channel) -> None:
        self._scores = TrustScoreServiceStub(channel)
        self._ledger = LedgerServiceStub(channel)
        self._models = ModelServiceStub(channel)
        self._measures = MeasureServiceStub(channel)
        self._answers = AnswerServiceStub(channel)
        self._audits = AuditServiceStub(channel)
        self._networks = NetworkServiceStub(channel)
        self._policies = PolicyServiceStub(channel)
        self._proposals = ProposalServiceStub(channel)
        self._reviews = ReviewServiceStub(channel)

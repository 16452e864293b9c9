from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Self, Unpack

import grpc

from sellertrust.answers import ANSWER_SECONDS
from sellertrust.audit import AUDIT_SECONDS, VERIFY_SECONDS
from sellertrust.channel import Token
from sellertrust.client import (
    PATIENCE_SECONDS,
    OnError,
    Use,
)
from sellertrust.decisions import Decided, Decision
from sellertrust.measures import MEASURE_SECONDS
from sellertrust.models import MODEL_SECONDS, PROMOTE_SECONDS
from sellertrust.network import NETWORK_SECONDS, REFRESH_SECONDS
from sellertrust.operations import OPERATION_SECONDS
from sellertrust.policies import COMMIT_SECONDS, POLICY_SECONDS
from sellertrust.proposals import CARRY_OUT_SECONDS, PROPOSAL_SECONDS, Done, Proposable
from sellertrust.requests import (
    MaxStaleness,
    Time,
)
from sellertrust.review import DECIDE_SECONDS, REPORT_SECONDS, REVIEW_SECONDS, BulkDecision
from sellertrust.scores import ScoreResult, TrustScore
from sellertrust.streams import Acknowledgement
from sellertrust.v1 import entry_pb2, ledger_service_pb2, trust_score_service_pb2
from sellertrust.v1.answer_service_pb2 import (
    FindTierPathResponse,
    ListStatementsOfReasonsResponse,
    ReplayTrustScoreResponse,
    SimulateTrustScoreResponse,
)
from sellertrust.v1.audit_service_pb2 import (
    AuditRecord,
    VerifyAuditResponse,
)
from sellertrust.v1.entry_pb2 import Entry
from sellertrust.v1.ledger_service_pb2 import (
    EraseSellerResponse,
    MendClockResponse,
)
from sellertrust.v1.measure_service_pb2 import (
    DELIVERY_SOURCE_UNSPECIFIED,
    DeliverySource,
    EvaluateMeasuresResponse,
    EvaluatePayoutResponse,
    GetRestitutionResponse,
)
from sellertrust.v1.model_service_pb2 import (
    DiffModelsResponse,
    GetModelResponse,
    Model,
    ModelMove,
    PromoteModelResponse,
    RollbackModelResponse,
)
from sellertrust.v1.network_service_pb2 import (
    ExportCaseRequest,
    ExportCaseResponse,
    GetSellerNetworkResponse,
    ListRingsResponse,
    RefreshLinksResponse,
)
from sellertrust.v1.policy_service_pb2 import (
    CommitPolicyResponse,
    GetPolicyResponse,
    ImmediateGround,
    PolicyMove,
    RollbackPolicyResponse,
)
from sellertrust.v1.proposal_service_pb2 import (
    Proposal,
)
from sellertrust.v1.review_service_pb2 import (
    DecideViolationsRequest,
    DecideViolationsResponse,
    GetTransparencyReportResponse,
    ListReviewQueueResponse,
    Notifier,
    QueueItem,
)
from sellertrust.v1.trust_score_service_pb2 import AUDIENCE_STAFF, Audience, Stamp

class AsyncClient:
    channel: Any

    def __init__(
        self,
        target: str,
        *,
        deadline_seconds: float | None = None,
        tls: grpc.ChannelCredentials | str | Path | None = None,
        certificate: str | Path | None = None,
        key: str | Path | None = None,
        token: Token = None,
        service_config: Mapping[str, Any] | str | None = None,
        badge_seconds: float = 0.0,
    ) -> None: ...
    async def close(self) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...
    async def appeal_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided: ...
    async def append_entries(
        self,
        marketplace: str,
        entries: Iterable[entry_pb2.Entry],
        *,
        proposal: str = "",
        deadline_seconds: float | None = None,
    ) -> list[ledger_service_pb2.AppendEntriesResponse.Result]: ...
    async def approve_proposal(
        self, name: str, digest: str, *, actor: str, reason: str, deadline_seconds: float = PROPOSAL_SECONDS
    ) -> Proposal: ...
    async def batch_get_trust_scores(
        self,
        marketplace: str,
        sellers: Iterable[str],
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        max_staleness: MaxStaleness = "any",
        on_error: OnError = "raise",
        use: Use | None = None,
        deadline_seconds: float | None = None,
    ) -> list[ScoreResult]: ...
    async def carry_out(self, proposal: Proposal, *, deadline_seconds: float = CARRY_OUT_SECONDS) -> Done: ...
    async def commit_policy(
        self,
        text: str,
        *,
        actor: str,
        reason: str,
        expected: str,
        proposal: str = "",
        assumptions: str = "",
        accepted_losses: Mapping[str, int] | None = None,
        immediate: ImmediateGround.ValueType = ImmediateGround.IMMEDIATE_GROUND_UNSPECIFIED,
        deadline_seconds: float = COMMIT_SECONDS,
    ) -> CommitPolicyResponse: ...
    async def confirm_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided: ...
    async def create_proposal(
        self,
        request: Proposable,
        *,
        actor: str,
        reason: str,
        proposal_id: str | None = None,
        deadline_seconds: float = PROPOSAL_SECONDS,
    ) -> Proposal: ...
    async def decide(
        self, request: DecideViolationsRequest, *, deadline_seconds: float = DECIDE_SECONDS
    ) -> DecideViolationsResponse: ...
    async def decide_violation(
        self, action: str, marketplace: str, violation: str, **fields: Unpack[Decision]
    ) -> Decided: ...
    async def decide_violations(
        self,
        marketplace: str,
        action: entry_pb2.Action.ValueType,
        *,
        actor: str,
        reason: str,
        deadline_seconds: float = DECIDE_SECONDS,
        **fields: Unpack[BulkDecision],
    ) -> DecideViolationsResponse: ...
    async def diff_models(
        self, first: str, second: str, *, deadline_seconds: float = MODEL_SECONDS
    ) -> DiffModelsResponse: ...
    async def dismiss_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided: ...
    async def erase_seller(
        self,
        marketplace: str,
        seller: str,
        *,
        actor: str,
        ground: str = "",
        entry_id: str | None = None,
        deadline_seconds: float = OPERATION_SECONDS,
    ) -> EraseSellerResponse: ...
    async def evaluate_measures(
        self,
        marketplace: str,
        seller: str,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        policy: str = "",
        deadline_seconds: float = MEASURE_SECONDS,
    ) -> EvaluateMeasuresResponse: ...
    async def evaluate_payout(
        self,
        marketplace: str,
        seller: str,
        *,
        capture_day: date | str,
        captured_minor: int,
        currency: str,
        product_category: str = "",
        delivered: bool = False,
        confirmed_time: Time | None = None,
        delivery_source: DeliverySource.ValueType = DELIVERY_SOURCE_UNSPECIFIED,
        others_paid_ahead_minor: int | None = None,
        disputed: bool = False,
        refunded_minor: int = 0,
        claims_minor: int = 0,
        drawn_minor: int = 0,
        drawn_day: date | str = "",
        day: date | str = "",
        at_least_sequence: int = 0,
        deadline_seconds: float = MEASURE_SECONDS,
    ) -> EvaluatePayoutResponse: ...
    async def explain_trust_score(
        self,
        marketplace: str,
        seller: str,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        audience: trust_score_service_pb2.Audience.ValueType = trust_score_service_pb2.AUDIENCE_UNSPECIFIED,
        language: str = "",
        past_days: Iterable[int] = (),
        deadline_seconds: float | None = None,
    ) -> trust_score_service_pb2.ExplainTrustScoreResponse: ...
    async def export_case(
        self, request: ExportCaseRequest, *, deadline_seconds: float = NETWORK_SECONDS
    ) -> ExportCaseResponse: ...
    async def find_tier_path(
        self,
        marketplace: str,
        seller: str,
        *,
        at_least_sequence: int = 0,
        audience: Audience.ValueType = AUDIENCE_STAFF,
        language: str = "",
        deadline_seconds: float = ANSWER_SECONDS,
    ) -> FindTierPathResponse: ...
    async def get_model(
        self, model: str = "champion", *, deadline_seconds: float = MODEL_SECONDS
    ) -> GetModelResponse: ...
    async def get_model_report(self, model: str = "champion", *, deadline_seconds: float = MODEL_SECONDS) -> bytes: ...
    async def get_notifier(
        self,
        marketplace: str,
        notifier: str,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        deadline_seconds: float = REVIEW_SECONDS,
    ) -> Notifier: ...
    async def get_policy(
        self, policy: str = "head", *, deadline_seconds: float = POLICY_SECONDS
    ) -> GetPolicyResponse: ...
    async def get_proposal(self, name: str, *, deadline_seconds: float = PROPOSAL_SECONDS) -> Proposal: ...
    async def get_recorded_violation(
        self,
        marketplace: str,
        violation: str,
        *,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        deadline_seconds: float | None = None,
    ) -> ledger_service_pb2.GetViolationResponse: ...
    async def get_restitution(
        self,
        marketplace: str,
        seller: str,
        violation: str,
        *,
        at_least_sequence: int = 0,
        deadline_seconds: float = MEASURE_SECONDS,
    ) -> GetRestitutionResponse: ...
    async def get_seller_network(
        self,
        marketplace: str,
        seller: str,
        *,
        steps: int = 0,
        at_least_sequence: int = 0,
        deadline_seconds: float = NETWORK_SECONDS,
    ) -> GetSellerNetworkResponse: ...
    async def get_transparency_report(
        self, marketplace: str, period: str, *, deadline_seconds: float = REPORT_SECONDS
    ) -> GetTransparencyReportResponse: ...
    async def get_trust_score(
        self,
        marketplace: str,
        seller: str,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        max_staleness: MaxStaleness = "any",
        on_error: OnError = "raise",
        use: Use | None = None,
        deadline_seconds: float | None = None,
    ) -> TrustScore: ...
    async def get_violation(
        self,
        marketplace: str,
        violation: str,
        *,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        deadline_seconds: float | None = None,
    ) -> ledger_service_pb2.Violation: ...
    def list_audit_records(
        self, marketplace: str = "", *, page_size: int = 1000, deadline_seconds: float = AUDIT_SECONDS
    ) -> AsyncIterator[AuditRecord]: ...
    async def list_cases(
        self, marketplace: str, *, deadline_seconds: float = REVIEW_SECONDS
    ) -> ListReviewQueueResponse: ...
    def list_entries(
        self,
        marketplace: str,
        seller: str | None = None,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        page_size: int = 1000,
        deadline_seconds: float | None = None,
    ) -> AsyncIterator[entry_pb2.Entry]: ...
    def list_model_moves(
        self, *, page_size: int = 100, deadline_seconds: float = MODEL_SECONDS
    ) -> AsyncIterator[ModelMove]: ...
    def list_models(self, *, page_size: int = 100, deadline_seconds: float = MODEL_SECONDS) -> AsyncIterator[Model]: ...
    def list_notifiers(
        self,
        marketplace: str,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        page_size: int = 100,
        deadline_seconds: float = REVIEW_SECONDS,
    ) -> AsyncIterator[Notifier]: ...
    def list_policy_moves(
        self, *, page_size: int = 100, deadline_seconds: float = POLICY_SECONDS
    ) -> AsyncIterator[PolicyMove]: ...
    def list_proposals(
        self, marketplace: str = "", *, page_size: int = 100, deadline_seconds: float = PROPOSAL_SECONDS
    ) -> AsyncIterator[Proposal]: ...
    def list_review_queue(
        self,
        marketplace: str,
        *,
        observe_time: Time | None = None,
        known_time: Time | None = None,
        page_size: int = 100,
        deadline_seconds: float = REVIEW_SECONDS,
    ) -> AsyncIterator[QueueItem]: ...
    async def list_rings(
        self, marketplace: str, *, page_size: int = 0, least_size: int = 0, deadline_seconds: float = REFRESH_SECONDS
    ) -> ListRingsResponse: ...
    async def list_statements_of_reasons(
        self,
        marketplace: str,
        seller: str,
        *,
        measure: str = "",
        at_least_sequence: int = 0,
        audience: Audience.ValueType = AUDIENCE_STAFF,
        language: str = "",
        deadline_seconds: float = ANSWER_SECONDS,
    ) -> ListStatementsOfReasonsResponse: ...
    def list_violations(
        self,
        marketplace: str,
        seller: str | None = None,
        *,
        statuses: Iterable[entry_pb2.ViolationStatus.ValueType] = (),
        notifier: str = "",
        observe_time: Time | None = None,
        known_time: Time | None = None,
        at_least_sequence: int = 0,
        page_size: int = 1000,
        deadline_seconds: float | None = None,
    ) -> AsyncIterator[ledger_service_pb2.Violation]: ...
    async def mend_clock(
        self,
        marketplace: str,
        *,
        actor: str,
        reason: str,
        first_sequence: int = 0,
        ahead_micros: int = 0,
        entry_id: str | None = None,
        deadline_seconds: float = OPERATION_SECONDS,
    ) -> MendClockResponse: ...
    async def overturn_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided: ...
    async def promote_model(
        self,
        model: str,
        *,
        actor: str,
        reason: str,
        override: str = "",
        sign_off: str = "",
        proposal: str = "",
        deadline_seconds: float = PROMOTE_SECONDS,
    ) -> PromoteModelResponse: ...
    async def reduce_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided: ...
    async def refresh_links(
        self, marketplace: str, *, deadline_seconds: float = REFRESH_SECONDS
    ) -> RefreshLinksResponse: ...
    async def reinstate_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided: ...
    async def replay_trust_score(
        self,
        marketplace: str,
        seller: str,
        answer: Stamp | TrustScore | trust_score_service_pb2.TrustScore | EvaluateMeasuresResponse,
        *,
        deadline_seconds: float = ANSWER_SECONDS,
    ) -> ReplayTrustScoreResponse: ...
    async def review_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided: ...
    async def rollback_model(
        self, *, actor: str, reason: str, champion: str | None = None, deadline_seconds: float = PROMOTE_SECONDS
    ) -> RollbackModelResponse: ...
    async def rollback_policy(
        self, *, actor: str, reason: str, policy: str | None = None, deadline_seconds: float = POLICY_SECONDS
    ) -> RollbackPolicyResponse: ...
    async def simulate_trust_score(
        self,
        marketplace: str,
        seller: str,
        entries: Iterable[Entry] = (),
        *,
        overturned: Iterable[str] = (),
        observe_time: Time | None = None,
        at_least_sequence: int = 0,
        audience: Audience.ValueType = AUDIENCE_STAFF,
        deadline_seconds: float = ANSWER_SECONDS,
    ) -> SimulateTrustScoreResponse: ...
    def stream_entries(
        self,
        marketplace: str,
        batches: AsyncIterable[Sequence[entry_pb2.Entry]] | Iterable[Sequence[entry_pb2.Entry]],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> AsyncIterator[Acknowledgement]: ...
    async def verify_audit(self, *, deadline_seconds: float = VERIFY_SECONDS) -> VerifyAuditResponse: ...
    async def wait_for_model(self, digest: str, *, timeout_seconds: float = 60.0) -> bool: ...
    def watch_entries(
        self,
        marketplace: str,
        seller: str | None = None,
        *,
        after_sequence: int = 0,
        resume_token: str = "",
        page_size: int = 1000,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> AsyncIterator[ledger_service_pb2.WatchEntriesResponse]: ...
    async def withdraw_proposal(
        self, name: str, *, actor: str, reason: str, deadline_seconds: float = PROPOSAL_SECONDS
    ) -> Proposal: ...
    async def withdraw_violation(self, marketplace: str, violation: str, **fields: Unpack[Decision]) -> Decided: ...

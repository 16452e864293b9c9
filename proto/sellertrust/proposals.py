"""The client of ProposalService: one person proposes a request, another approves it.

with Client("trust.example:50051", tls="ca.pem", certificate="anna.pem", key="anna.key") as client:
    request = PromoteModelRequest(name="models/...", actor="anna", reason="...")
    proposal = client.create_proposal(request, actor="anna", reason="better on the last quarter")
    ...  # another person approves it
    client.carry_out(proposal)
"""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from sellertrust.names import marketplace_name
from sellertrust.requests import invoke, pages
from sellertrust.stubs import Stubs
from sellertrust.v1.ledger_service_pb2 import AppendEntriesRequest, AppendEntriesResponse
from sellertrust.v1.model_service_pb2 import PromoteModelRequest, PromoteModelResponse
from sellertrust.v1.network_service_pb2 import ExportCaseRequest, ExportCaseResponse
from sellertrust.v1.policy_service_pb2 import CommitPolicyRequest, CommitPolicyResponse
from sellertrust.v1.proposal_service_pb2 import (
    ApproveProposalRequest,
    CreateProposalRequest,
    GetProposalRequest,
    ListProposalsRequest,
    Proposal,
    WithdrawProposalRequest,
)
from sellertrust.v1.review_service_pb2 import DecideViolationsRequest, DecideViolationsResponse

PROPOSAL_SECONDS = 10.0
"""People wait for it; no checkout does."""

CARRY_OUT_SECONDS = 120.0
"""For a promotion, which loads the model in a temporary process, or up to 10,000 decisions."""

Proposable = (
    PromoteModelRequest | DecideViolationsRequest | AppendEntriesRequest | CommitPolicyRequest | ExportCaseRequest
)
Done = (
    PromoteModelResponse | DecideViolationsResponse | AppendEntriesResponse | CommitPolicyResponse | ExportCaseResponse
)
_FIELDS: Mapping[type[Proposable], str] = {
    PromoteModelRequest: "promote_model",
    DecideViolationsRequest: "decide_violations",
    AppendEntriesRequest: "append_entries",
    CommitPolicyRequest: "commit_policy",
    ExportCaseRequest: "export_case",
}


class Proposals(Stubs):
    def create_proposal(
        self,
        request: Proposable,
        *,
        actor: str,
        reason: str,
        proposal_id: str | None = None,
        deadline_seconds: float = PROPOSAL_SECONDS,
    ) -> Proposal:
        """Propose a request, which must later be made unchanged except for `proposal`.

        `proposal_id` makes a retry safe. An open proposal of the same request is returned instead.
        """
        message = CreateProposalRequest(proposal_id=proposal_id or uuid.uuid4().hex, actor=actor, reason=reason)
        getattr(message, _FIELDS[type(request)]).CopyFrom(request)
        return invoke(self._proposals.CreateProposal, message, deadline_seconds).proposal

    def get_proposal(self, name: str, *, deadline_seconds: float = PROPOSAL_SECONDS) -> Proposal:
        """Return a proposal by its `proposal_name`. Raises SellertrustCallError if unknown."""
        return invoke(self._proposals.GetProposal, GetProposalRequest(name=name), deadline_seconds).proposal

    def list_proposals(
        self, marketplace: str = "", *, page_size: int = 100, deadline_seconds: float = PROPOSAL_SECONDS
    ) -> Iterator[Proposal]:
        """Yield the proposals of a marketplace, by default those of models and policies, the latest first."""
        request = ListProposalsRequest(parent=marketplace_name(marketplace) if marketplace else "", page_size=page_size)
        yield from pages(self._proposals.ListProposals, request, "proposals", deadline_seconds)

    def approve_proposal(
        self, name: str, digest: str, *, actor: str, reason: str, deadline_seconds: float = PROPOSAL_SECONDS
    ) -> Proposal:
        """Approve a proposal; `digest` identifies the request that the approver read."""
        request = ApproveProposalRequest(name=name, digest=digest, actor=actor, reason=reason)
        return invoke(self._proposals.ApproveProposal, request, deadline_seconds).proposal

    def withdraw_proposal(
        self, name: str, *, actor: str, reason: str, deadline_seconds: float = PROPOSAL_SECONDS
    ) -> Proposal:
        """Withdraw a proposal, or decline another person's."""
        request = WithdrawProposalRequest(name=name, actor=actor, reason=reason)
        return invoke(self._proposals.WithdrawProposal, request, deadline_seconds).proposal

    def carry_out(self, proposal: Proposal, *, deadline_seconds: float = CARRY_OUT_SECONDS) -> Done:
        """Make the call in an approved proposal, and return its answer.

        A repeated call changes nothing more. A bulk decision takes calls of 10,000: call again while the answer's
        `remaining` is above 0. Raises ValueError if the proposal was erased.
        """
        field = proposal.WhichOneof("request")
        if field is None:
            raise ValueError("the proposal was erased with the seller whom it was about, or is of a newer release")
        proposed = getattr(proposal, field)
        request = type(proposed)(proposal=proposal.name)
        request.MergeFrom(proposed)
        calls: dict[str, Any] = {
            "promote_model": self._models.PromoteModel,
            "decide_violations": self._reviews.DecideViolations,
            "append_entries": self._ledger.AppendEntries,
            "commit_policy": self._policies.CommitPolicy,
            "export_case": self._networks.ExportCase,
        }
        done: Done = invoke(calls[field], request, deadline_seconds)
        return done

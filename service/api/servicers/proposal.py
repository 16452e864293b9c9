from collections.abc import Callable

from scoring.base.errors import (
    ArtifactRefused,
    GatesFailed,
    InvalidInput,
    ModelNotFound,
    PermissionDenied,
    PolicyMoved,
    PromiseGivenUp,
    ProposalClosed,
    ProposalNotFound,
    invalid,
)
from sellertrust.names import policy_name
from sellertrust.v1 import proposal_service_pb2 as pb
from service.api.approvals import Approvals, add_name_to_not_found, require_open
from service.api.reads import is_number, parse_page
from service.api.servicers.entry_streams import cut_to_message
from service.call_context import current_call
from service.contract.fields import prefix_violations
from service.contract.needed_rights import PROPOSABLE, list_rights_of_proposed
from service.contract.policies import accepted_losses_of
from service.contract.proposals import check_proposal_fields, check_proposed, proposal_message, serialize_canonically
from service.contract.resource_names import parse_marketplace, parse_model, parse_proposal
from service.ledger.append.proposals import NewStep, Proposal, ProposalContent, ProposalStep, proposal_not_found
from service.ledger.clock.server_clock import wall_clock
from service.ledger.store import Ledger
from service.policy.history import check_text
from service.registry.gates import GateOverride
from service.registry.registry import Registry
from service.scores.served_policy import ServedPolicy

MAX_PAGE = 100
"""Proposals a page: each may have 256 KB and is read whole."""

_BEYOND_ALL_NUMBERS = 2**62


class ProposalServicer:
    def __init__(self, ledger: Ledger, approvals: Approvals, registry: Registry | None, policy: ServedPolicy) -> None:
        self._ledger = ledger
        self._approvals = approvals
        self._registry = registry
        self._policy = policy
        self._bases = {"promote_model": self._find_promotion_basis, "commit_policy": self._find_commit_basis}

    def CreateProposal(self, request: pb.CreateProposalRequest) -> pb.CreateProposalResponse:
        """Record a request for other persons to approve; execute nothing. Raises what execution is known to raise."""
        field, proposed, seller = check_proposed(request, wall_clock())
        rights = list_rights_of_proposed(request)
        basis = self._bases[field](request) if field in self._bases else {}
        content = ProposalContent(
            PROPOSABLE[field], serialize_canonically(proposed), request.actor, request.reason, basis
        )
        proposal = self._ledger.proposals.propose(
            rights[0].marketplace,
            request.proposal_id,
            content,
            principal=current_call().caller,
            seller=seller,
            hours=self._approvals.agreement.proposal_hours(rights),
        )
        return pb.CreateProposalResponse(proposal=self._make_message(proposal))

    def GetProposal(self, request: pb.GetProposalRequest) -> pb.GetProposalResponse:
        """Return a proposal. Raises ProposalNotFound if there is none that the caller may see."""
        marketplace, proposal_id = parse_proposal(request.name, "name")
        with add_name_to_not_found(request.name):
            proposal = self._ledger.proposals.find(marketplace, proposal_id)
            self._require_visible(proposal)
        return pb.GetProposalResponse(proposal=self._make_message(proposal))

    def ListProposals(self, request: pb.ListProposalsRequest) -> pb.ListProposalsResponse:
        """Return a page of visible proposals, latest first; without `parent` those of models and policies."""
        marketplace = parse_marketplace(request.parent, "parent") if request.parent else ""
        page = parse_page(request, is_number)
        limit = min(page.limit, MAX_PAGE)
        visible = self._list_visible(marketplace, page.after_number or _BEYOND_ALL_NUMBERS, limit + 1)
        messages = cut_to_message([self._make_message(proposal) for proposal in visible[:limit]])
        is_last = len(messages) == len(visible)
        return pb.ListProposalsResponse(
            proposals=messages, next_page_token="" if is_last else page.make_token(visible[len(messages) - 1].number)
        )

    def ApproveProposal(self, request: pb.ApproveProposalRequest) -> pb.ApproveProposalResponse:
        """Add the caller's person to a proposal; execute nothing. A repetition changes nothing.

        Raises PermissionDenied for its author; ProposalClosed also for another `digest`.
        """
        check_proposal_fields(request)
        person = self._approvals.agreement.find_person(current_call().caller)

        def adds_person(proposal: Proposal) -> bool:
            if not person:
                text = "a person approves, and under [[persons]] the grants file names none, or two, for this caller"
                raise PermissionDenied(text, {"right": "approve"})
            require_open(proposal)
            if request.digest != proposal.digest:
                text = "is not that of this proposal; show it again (GetProposal) and approve what it shows"
                raise ProposalClosed(text, {"proposal": request.name, "state": "OUTDATED"}, ("digest",))
            persons = self._approvals.persons(proposal)
            if persons[0][0] == person:
                raise PermissionDenied("nobody approves its own proposal: another person has to", {"right": "approve"})
            return all(behind != person for _, behind in persons)

        proposal = self._take_step(request, ProposalStep.APPROVED, adds_person)
        return pb.ApproveProposalResponse(proposal=self._make_message(proposal))

    def WithdrawProposal(self, request: pb.WithdrawProposalRequest) -> pb.WithdrawProposalResponse:
        """Withdraw one's own proposal, or decline another's; a repetition changes nothing. Raises ProposalClosed."""
        check_proposal_fields(request)

        def needs_withdrawal(proposal: Proposal) -> bool:
            self._require_visible(proposal)
            if proposal.has_step(ProposalStep.WITHDRAWN):
                return False
            require_open(proposal)
            return True

        proposal = self._take_step(request, ProposalStep.WITHDRAWN, needs_withdrawal)
        return pb.WithdrawProposalResponse(proposal=self._make_message(proposal))

    def _require_visible(self, proposal: Proposal) -> None:
        if not self._approvals.may_see(current_call().caller, proposal):
            raise proposal_not_found(proposal.proposal)

    def _list_visible(self, marketplace: str, before: int, count: int) -> list[Proposal]:
        call, visible = current_call(), list[Proposal]()
        while len(visible) < count:
            call.require_caller()
            page = self._ledger.proposals.list(marketplace, before, count)
            visible += [proposal for proposal in page if self._approvals.may_see(call.caller, proposal)]
            if len(page) < count:
                break
            before = page[-1].number
        return visible[:count]

    def _take_step(
        self,
        request: pb.ApproveProposalRequest | pb.WithdrawProposalRequest,
        step: ProposalStep,
        is_needed: Callable[[Proposal], bool],
    ) -> Proposal:
        marketplace, proposal = parse_proposal(request.name, "name")
        with add_name_to_not_found(request.name):
            new = NewStep(step, current_call().caller, request.actor, request.reason)
            return self._ledger.proposals.take_step(marketplace, proposal, new, is_needed)

    def _find_promotion_basis(self, request: pb.CreateProposalRequest) -> dict[str, str]:
        promotion = request.promote_model
        if self._registry is None:
            raise ModelNotFound("this server has no registry of models", {"model": ""})
        digest = self._registry.resolve(parse_model(promotion.name, "name"))
        try:
            basis = self._registry.find_promotion_basis(digest, GateOverride(promotion.override, promotion.sign_off))
            if basis["champion"] == digest:
                raise invalid("name", f"is of the champion already, {digest[:12]}")
            return basis
        except (ArtifactRefused, GatesFailed, InvalidInput, PromiseGivenUp):
            if self._is_recorded(request.proposal_id):
                return {}
            with prefix_violations("promote_model"):
                raise

    def _find_commit_basis(self, request: pb.CreateProposalRequest) -> dict[str, str]:
        basis = self._policy.history.find_basis(self._policy.configured)
        head = basis["policy"]
        if request.commit_policy.expected != policy_name(head) and not self._is_recorded(request.proposal_id):
            problem = f"the policy {head[:12]} is served, and not the expected one; compare with it and propose anew"
            raise PolicyMoved(problem, {"policy": head})
        commit = request.commit_policy
        if not self._is_recorded(request.proposal_id):
            with prefix_violations("commit_policy"):
                if check_text(commit.text).digest == head:
                    raise invalid("text", "is the policy that is served already")
                self._policy.history.certify(
                    commit.text, commit.assumptions, accepted_losses_of(commit), commit.actor, self._policy.configured
                )
        return basis

    def _is_recorded(self, proposal: str) -> bool:
        try:
            self._ledger.proposals.find("", proposal)
        except ProposalNotFound:
            return False
        return True

    def _make_message(self, proposal: Proposal) -> pb.Proposal:
        return proposal_message(proposal, self._approvals.persons(proposal))

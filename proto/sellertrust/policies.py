"""The client of PolicyService."""

from collections.abc import Iterator, Mapping

from sellertrust.names import policy_name
from sellertrust.requests import invoke, pages
from sellertrust.stubs import Stubs
from sellertrust.v1.policy_service_pb2 import (
    AcceptedLoss,
    CommitPolicyRequest,
    CommitPolicyResponse,
    GetPolicyRequest,
    GetPolicyResponse,
    ImmediateGround,
    ListPolicyMovesRequest,
    PolicyMove,
    RollbackPolicyRequest,
    RollbackPolicyResponse,
)

POLICY_SECONDS = 15.0
"""People wait for a policy; no checkout does."""

COMMIT_SECONDS = 60.0
"""A policy is first checked in every situation that it distinguishes."""


class Policies(Stubs):
    """PolicyService of the client.

    A policy is named by `head` (the served one), its digest, or the digest's beginning.
    """

    def get_policy(self, policy: str = "head", *, deadline_seconds: float = POLICY_SECONDS) -> GetPolicyResponse:
        """Return one policy with its text, and what the server runs: `serving_digest` and `server`."""
        return invoke(self._policies.GetPolicy, GetPolicyRequest(name=policy_name(policy)), deadline_seconds)

    def list_policy_moves(
        self, *, page_size: int = 100, deadline_seconds: float = POLICY_SECONDS
    ) -> Iterator[PolicyMove]:
        """Yield every move of the policy, oldest first. `deadline_seconds` is for one page."""
        request = ListPolicyMovesRequest(page_size=page_size)
        yield from pages(self._policies.ListPolicyMoves, request, "moves", deadline_seconds)

    def commit_policy(
        self,
        text: str,
        *,
        actor: str,
        reason: str,
        expected: str,
        proposal: str = "",
        assumptions: str = "",
        accepted_losses: Mapping[str, int] | None = None,
        immediate: "ImmediateGround.ValueType" = ImmediateGround.IMMEDIATE_GROUND_UNSPECIFIED,
        deadline_seconds: float = COMMIT_SECONDS,
    ) -> CommitPolicyResponse:
        """Serve a policy from now on. `text` is its TOML, `expected` the digest of the policy that it replaces.

        `proposal` names the approved proposal of exactly this request, if the server requires one. `assumptions`: the
        TOML behind its loss certificate, by default the last committed one; `accepted_losses`: by failed verdict, the
        sum in minor units that `actor` accepts. `immediate`: why nothing waits for a notice.
        """
        request = CommitPolicyRequest(
            text=text,
            expected=policy_name(expected),
            actor=actor,
            reason=reason,
            proposal=proposal,
            assumptions=assumptions,
            accepted_losses=[
                AcceptedLoss(verdict=verdict, sum_minor=sum_minor)
                for verdict, sum_minor in (accepted_losses or {}).items()
            ],
            immediate=immediate,
        )
        return invoke(self._policies.CommitPolicy, request, deadline_seconds)

    def rollback_policy(
        self, *, actor: str, reason: str, policy: str | None = None, deadline_seconds: float = POLICY_SECONDS
    ) -> RollbackPolicyResponse:
        """Serve the policy again that the present one replaced; another rollback goes further back.

        `policy` is the digest to be taken back, so that a repeated call changes nothing; by default the present
        policy's, which takes one more call.
        """
        if policy is None:
            policy = self.get_policy(deadline_seconds=deadline_seconds).policy.digest
        request = RollbackPolicyRequest(actor=actor, reason=reason, policy=policy_name(policy))
        return invoke(self._policies.RollbackPolicy, request, deadline_seconds)

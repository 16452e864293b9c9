from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from scoring.base.errors import PolicyRefused
from scoring.base.version import CORE_VERSION
from sellertrust.v1 import policy_service_pb2 as pb
from sellertrust.version import VERSION
from service.api.reads import is_number, parse_page
from service.call_context import current_call
from service.contract.policies import accepted_losses_of, immediate_of, move_message, policy_message
from service.contract.resource_names import parse_policy_digest, parse_policy_name
from service.ledger.append.policy_moves import PolicyMove
from service.ledger.database.database import Database
from service.ledger.database.schema import version_of
from service.policy.history import PolicyCommit
from service.scores.served_policy import ServedPolicy


@dataclass(frozen=True)
class PolicyServicer:
    _served: ServedPolicy
    _database: Database
    _serving_model: Callable[[], str]
    _build: str

    def GetPolicy(self, request: pb.GetPolicyRequest) -> pb.GetPolicyResponse:
        """Return a policy, its last commit, if any, and what this server runs."""
        policy = self._served.find(parse_policy_name(request.name, "name"))
        move = self._served.history.find_commit(policy.digest)
        return pb.GetPolicyResponse(
            policy=policy_message(policy),
            serving_digest=self._served.now.digest,
            commit=None if move is None else move_message(move),
            server=self._describe_server(),
        )

    def _describe_server(self) -> pb.Server:
        with self._database.read() as connection:
            schema = version_of(connection)
        return pb.Server(
            release=VERSION,
            core_version=CORE_VERSION,
            schema=schema or "",
            model_digest=self._serving_model(),
            build=self._build,
        )

    def ListPolicyMoves(self, request: pb.ListPolicyMovesRequest) -> pb.ListPolicyMovesResponse:
        """Return a page of commits and rollbacks, oldest first."""
        page = parse_page(request, is_number)
        moves = self._served.history.list_moves(page.after_number, page.limit + 1)
        on_page = moves[: page.limit]
        return pb.ListPolicyMovesResponse(
            moves=map(move_message, on_page),
            next_page_token=page.make_token(on_page[-1].number) if len(moves) > len(on_page) else "",
        )

    def CommitPolicy(self, request: pb.CommitPolicyRequest) -> pb.CommitPolicyResponse:
        """Make every server serve a policy. Raises as `PolicyHistory.commit`."""
        call = current_call()
        wanted = PolicyCommit(
            request.text,
            parse_policy_digest(request.expected, "expected"),
            request.actor,
            request.reason,
            request.assumptions,
            accepted_losses_of(request),
            immediate_of(request),
        )
        move = self._served.history.commit(wanted, self._served.configured, call.caller, call.approval)
        return pb.CommitPolicyResponse(move=move_message(move), serving_digest=self._adopt_move(move))

    def RollbackPolicy(self, request: pb.RollbackPolicyRequest) -> pb.RollbackPolicyResponse:
        """Serve again what the present policy replaced. Raises as `PolicyHistory.rollback`."""
        move = self._served.history.rollback(
            actor=request.actor,
            reason=request.reason,
            policy=parse_policy_digest(request.policy, "policy") if request.policy else "",
            principal=current_call().caller,
        )
        return pb.RollbackPolicyResponse(move=move_message(move), serving_digest=self._adopt_move(move))

    def _adopt_move(self, move: PolicyMove) -> str:
        if self._served.now.digest != move.digest:
            with suppress(PolicyRefused):
                self._served.refresh()
        return self._served.now.digest

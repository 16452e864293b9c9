"""The committed policies, and the conditions of a commit and a rollback.

The first commit keeps its server's file as the first policy of the history, so that a rollback leads back to it.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from scoring.base.errors import (
    FieldViolation,
    InvalidInput,
    PolicyMoved,
    PolicyNotFound,
    PolicyRefused,
    ProposalClosed,
    invalid,
)
from scoring.base.frozen import frozen
from scoring.base.time import day_of
from scoring.loss_certificate.certificate import GrantedExceptions
from scoring.policy.policy import Policy
from service.call_context import Approval
from service.ledger.append.policy_moves import NewMove, PolicyAction, PolicyMove
from service.ledger.store import Ledger
from service.policy.loss_check import NO_CHECK, check_loss, state_sequence
from service.policy.policy_file import parse_policy_text
from service.registry.moves import check_actor_and_reason

HEAD = "head"
"""The policy served now."""

MAX_TEXT_BYTES = 200_000
"""A proposal has 256 KB."""

MIN_BEGINNING = 6

_COMMITTED_MEANWHILE = (
    "Other assumptions or policies were committed meanwhile, and the policy must be certified with them. Commit again."
)


@frozen
class PolicyCommit:
    text: str
    """The policy's TOML."""
    expected: str
    """The whole digest of the policy that it replaces."""
    actor: str
    reason: str
    assumptions: str = ""
    """TOML, by default the last committed."""
    accepted_losses: Sequence[tuple[str, int]] = ()
    """Each (failed verdict or RAISED, sum in minor units) that `actor` accepts."""
    immediate: str = ""
    """The ground for no notice."""


class PolicyHistory:
    """Thread-safe."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def list_moves(self, after: int = 0, count: int = 2**31) -> Sequence[PolicyMove]:
        return self._ledger.policies.list(after, count)

    def load(self, digest: str) -> Policy:
        """Return a policy of the history by its whole digest.

        Raises PolicyNotFound if it was never served; PolicyRefused if its text was changed, or this release cannot read
        it.
        """
        text = self._ledger.policies.find_text(digest)
        if text is None:
            raise _not_found(digest, "no policy of this digest was committed")
        policy = parse_policy_text(text, was_committed=True)
        if policy.digest != digest:
            raise PolicyRefused(f"the policy {digest[:12]} is not what was committed: its text has another digest")
        return policy

    def resolve(self, name: str) -> str:
        """Return the whole digest for a prefix of at least MIN_BEGINNING digits. Raises PolicyNotFound."""
        digests = self._ledger.policies.list_digests(name) if len(name) >= MIN_BEGINNING and name.isalnum() else []
        if len(digests) != 1:
            problem = "names several policies" if digests else "names no policy"
            raise _not_found(name, f"{name[:80]!r} {problem}; see: sellertrust policy show --history")
        return digests[0]

    def commit(
        self, wanted: PolicyCommit, served: Policy, principal: str = "", approval: Approval | None = None
    ) -> PolicyMove:
        """Have every server serve a policy from now on; return its move. A repeated call changes nothing.

        `served`: this server's file policy. `principal`: the authenticated caller.

        Raises InvalidInput for each wrong field, `text` if the policy is invalid or is served already. Raises
        PolicyMoved if the expected policy is not served, or another move came during the check of losses. Raises
        ProposalClosed if the policy was moved since the proposal, LossNotAccepted for a loss beyond `accepted_losses`.
        """
        check_actor_and_reason(actor=wanted.actor, reason=wanted.reason)
        policy = check_text(wanted.text)

        is_already_done = partial(_is_commit_done, digest=policy.digest, expected=wanted.expected, approval=approval)
        loss_assumptions, loss = wanted.assumptions or self.assumptions(), NO_CHECK
        if not is_already_done(moves_before := self.list_moves()):  # a proof may take long
            list_served = partial(self._list_served, moves_before, served=served)
            loss = check_loss(
                policy, loss_assumptions, wanted.accepted_losses, wanted.actor, self._read_granted, list_served
            )

        def decide(moves: Sequence[PolicyMove]) -> list[NewMove]:
            if is_already_done(moves):
                return []
            head = _require_expected(moves, policy, wanted.expected, served, approval)
            is_overtaken = loss_assumptions and (not loss.certificate or len(moves) != len(moves_before))
            if is_overtaken or (not wanted.assumptions and _find_last_assumptions(moves) != loss.assumptions):
                raise PolicyMoved(_COMMITTED_MEANWHILE, {"policy": head})
            first = NewMove(PolicyAction.CONFIGURED, served.digest, "server", "its policy file", content=served.text)
            new_move = NewMove(
                PolicyAction.COMMITTED,
                policy.digest,
                wanted.actor,
                wanted.reason,
                "" if approval is None else approval.proposal,
                content=wanted.text,
                immediate=wanted.immediate,
                assumptions_content=loss_assumptions or None,
                **asdict(loss),
            )
            return [new_move] if moves or not served.text else [first, new_move]

        return self._ledger.policies.move(principal, decide)

    def certify(
        self, text: str, assumptions: str, accepted_losses: Sequence[tuple[str, int]], actor: str, served: Policy
    ) -> None:
        """Raise what `check_text` and `check_loss` of a commit would raise; write nothing.

        `assumptions`: TOML, by default the last committed; without any it checks only `text`, and that no loss is
        accepted.
        """
        loss_assumptions = assumptions or self.assumptions()
        list_served = partial(self._list_served, self.list_moves(), served=served)
        check_loss(check_text(text), loss_assumptions, accepted_losses, actor, self._read_granted, list_served)

    def _list_served(
        self, moves: Sequence[PolicyMove], days: int, served: Policy | None = None
    ) -> list[tuple[Policy, int]]:
        """Return each policy served in the last `days`, with its last UTC day; the present one last."""
        today = day_of(self._ledger.cut().observe_time)
        ends = [*(day_of(move.move_time) for move in moves[1:]), today]
        if not moves and served is not None:
            return [(served, today)]
        return [(self.load(move.digest), end) for move, end in zip(moves, ends, strict=True) if end + days > today]

    def _read_granted(self) -> GrantedExceptions:
        return self._ledger.runs.find_granted(self._ledger.cut())

    def assumptions(self) -> str:
        """Return the TOML text of the last committed assumptions, or ""."""
        digest = _find_last_assumptions(self.list_moves())
        return (self._ledger.policies.find_assumptions(digest) or "") if digest else ""

    def find_commit(self, digest: str) -> PolicyMove | None:
        """Return the last move to this policy that was no rollback; None without one."""
        commits = [m for m in self.list_moves() if m.digest == digest and m.action is not PolicyAction.ROLLED_BACK]
        return commits[-1] if commits else None

    def rollback(self, *, actor: str, reason: str, policy: str = "", principal: str = "") -> PolicyMove:
        """Serve again the policy that the present one had replaced; return the move.

        Another rollback goes further back, never to a policy that was taken back. With `policy`, the whole digest to
        take back, a repeated call changes nothing. Raises PolicyNotFound if the present one replaced none; PolicyMoved
        if another than `policy` is served, or one was moved meanwhile.
        """
        check_actor_and_reason(actor=actor, reason=reason)
        moves_before = self.list_moves()
        loss = NO_CHECK
        if replaced_before := list_replaced(moves_before):
            loss = state_sequence(
                partial(self.load, replaced_before[-1]), self.assumptions(), partial(self._list_served, moves_before)
            )

        def decide(moves: Sequence[PolicyMove]) -> list[NewMove]:
            if policy and _is_taken_back(moves, policy):
                return []
            head = moves[-1].digest if moves else ""
            if policy and moves and policy != head:
                problem = f"the policy {head[:12]} is served, and not {policy[:12]}, so there is nothing to take back"
                raise PolicyMoved(problem, {"policy": head})
            replaced = list_replaced(moves)
            if not replaced:
                problem = "the present policy replaced none that the history knows; commit the one that is to be served"
                raise _not_found(HEAD, problem)
            if len(moves) != len(moves_before):
                problem = "the policy was moved meanwhile; look at the history, and roll back again"
                raise PolicyMoved(problem, {"policy": head})
            return [NewMove(PolicyAction.ROLLED_BACK, replaced[-1], actor, reason, **asdict(loss))]

        return self._ledger.policies.move(principal, decide)

    def find_basis(self, served: Policy) -> dict[str, str]:
        return basis_of(self.list_moves(), served)


def basis_of(moves: Sequence[PolicyMove], served: Policy) -> dict[str, str]:
    """Return what a proposed commit rests on: other values close the proposal."""
    return {"policy": moves[-1].digest if moves else served.digest, "policy_moves": str(len(moves))}


def _find_last_assumptions(moves: Sequence[PolicyMove]) -> str:
    return next((move.assumptions for move in reversed(moves) if move.assumptions), "")


def list_replaced(moves: Sequence[PolicyMove]) -> list[str]:
    """Return the digests to which rollbacks lead, each replaced by the next one.

    After A was served, B and C were committed and C was rolled back: A.
    """
    stack: list[str] = []
    for move in moves:
        if move.action is PolicyAction.ROLLED_BACK and move.digest in stack:
            while stack.pop() != move.digest:
                pass
        stack.append(move.digest)
    return stack[:-1]


def _is_taken_back(moves: Sequence[PolicyMove], digest: str) -> bool:
    return len(moves) > 1 and moves[-1].action is PolicyAction.ROLLED_BACK and moves[-2].digest == digest


def check_text(text: str) -> Policy:
    """Parse a policy to be committed. Raises InvalidInput with `text` if it is too long or invalid."""
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise invalid("text", f"must have at most {MAX_TEXT_BYTES:,} bytes")
    try:
        return parse_policy_text(text)
    except PolicyRefused as error:
        raise InvalidInput(FieldViolation(("text",), fault) for fault in error.faults) from None


def _require_expected(
    moves: Sequence[PolicyMove], policy: Policy, expected: str, served: Policy, approval: Approval | None
) -> str:
    """Return the served digest. Raises InvalidInput, PolicyMoved or ProposalClosed if the commit must not replace it."""
    head = moves[-1].digest if moves else served.digest
    if policy.digest == head:
        raise invalid("text", "is the policy that is served already")
    if expected != head:
        problem = f"the policy {head[:12]} is served, and not {expected[:12]}; compare with it and commit again"
        raise PolicyMoved(problem, {"policy": head})
    if approval is not None and approval.basis != basis_of(moves, served):
        problem = "the policy was moved since this was proposed; propose it anew"
        raise ProposalClosed(problem, {"proposal": approval.proposal, "state": "OUTDATED"})
    return head


def _is_commit_done(moves: Sequence[PolicyMove], digest: str, expected: str, approval: Approval | None) -> bool:
    is_by_proposal = approval is not None and any(move.proposal == approval.proposal for move in moves)
    return is_by_proposal or _is_repeated_commit(moves, digest, expected)


def _is_repeated_commit(moves: Sequence[PolicyMove], digest: str, expected: str) -> bool:
    if not moves or moves[-1].action is not PolicyAction.COMMITTED or moves[-1].digest != digest:
        return False
    return len(moves) == 1 or moves[-2].digest == expected


def _not_found(name: str, problem: str) -> PolicyNotFound:
    return PolicyNotFound(problem, {"policy": name[:80]})

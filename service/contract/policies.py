from collections.abc import Iterable

from scoring.base.errors import invalid
from scoring.base.time import DAY
from scoring.policy.policy import Policy
from sellertrust.names import policy_name
from sellertrust.v1 import policy_service_pb2 as pb
from service.contract.fields import message_of
from service.ledger.append.policy_moves import PolicyMove


def policy_message(policy: Policy) -> pb.Policy:
    name = policy_name(policy.digest)
    return message_of(pb.Policy, policy, name=name, policy_name=policy.name, policy_version=policy.version)


def move_message(move: PolicyMove) -> pb.PolicyMove:
    return message_of(
        pb.PolicyMove,
        move,
        policy=policy_name(move.digest),
        accepted_losses=_list_losses(move.accepted),
        sequence_losses=_list_losses(move.sequence),
        owed_until=move.owed_until * DAY if move.owed_until else None,
        immediate=pb.ImmediateGround.Value(f"IMMEDIATE_GROUND_{(move.immediate or 'unspecified').upper()}"),
    )


def _list_losses(sums: Iterable[tuple[str, int]]) -> list[pb.AcceptedLoss]:
    return [pb.AcceptedLoss(verdict=verdict, sum_minor=most) for verdict, most in sums]


def accepted_losses_of(request: pb.CommitPolicyRequest) -> list[tuple[str, int]]:
    """Return (verdict, sum in minor units) of each accepted loss. Raises InvalidInput for duplicates."""
    losses = [(loss.verdict, loss.sum_minor) for loss in request.accepted_losses]
    if len(dict(losses)) < len(losses):
        raise invalid("accepted_losses", "names a verdict twice; state each with one sum")
    return losses


def immediate_of(request: pb.CommitPolicyRequest) -> str:
    """Return `law` or `danger`, or empty for a commit with notice. Raises InvalidInput for another ground."""
    if request.immediate == pb.IMMEDIATE_GROUND_UNSPECIFIED:
        return ""
    if request.immediate not in pb.ImmediateGround.values():
        raise invalid("immediate", "must be IMMEDIATE_GROUND_LAW or IMMEDIATE_GROUND_DANGER, or be left out")
    return pb.ImmediateGround.Name(request.immediate).removeprefix("IMMEDIATE_GROUND_").lower()

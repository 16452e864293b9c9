from collections.abc import Iterable

from scoring.base.errors import invalid
from scoring.base.time import DAY
from scoring.policy.policy import Policy
from sellertrust.v1 import policy_service_pb2 as pb
from service.contract.fields import timestamp
from service.contract.resource_names import policy_name
from service.ledger.append.policy_moves import PolicyMove


def policy_message(policy: Policy) -> pb.Policy:
    return pb.Policy(
        name=policy_name(policy.digest),
        digest=policy.digest,
        policy_name=policy.name,
        policy_version=policy.version,
        text=policy.text,
    )


def move_message(move: PolicyMove) -> pb.PolicyMove:
    return pb.PolicyMove(
        number=move.number,
        action=pb.PolicyAction.ValueType(move.action),
        policy=policy_name(move.digest),
        move_time=timestamp(move.move_time),
        actor=move.actor,
        reason=move.reason,
        principal=move.principal,
        proposal=move.proposal,
        certificate=move.certificate,
        accepted_losses=_list_losses(move.accepted),
        sequence_losses=_list_losses(move.sequence),
        owed_until=timestamp(move.owed_until * DAY) if move.owed_until else None,
        immediate=pb.ImmediateGround.Value(f"IMMEDIATE_GROUND_{(move.immediate or 'unspecified').upper()}"),
    )


def _list_losses(sums: Iterable[tuple[str, int]]) -> list[pb.AcceptedLoss]:
    return [pb.AcceptedLoss(verdict=verdict, sum_minor=most) for verdict, most in sums]


def accepted_losses_of(request: pb.CommitPolicyRequest) -> list[tuple[str, int]]:
    """Return (verdict, sum in minor units) of each accepted loss. Raises InvalidInput for duplicates."""
    stated = [(loss.verdict, loss.sum_minor) for loss in request.accepted_losses]
    if len(dict(stated)) < len(stated):
        raise invalid("accepted_losses", "names a verdict twice; state each with one sum")
    return stated


def immediate_of(request: pb.CommitPolicyRequest) -> str:
    """Return `law` or `danger`, or empty for a commit with notice. Raises InvalidInput for another ground."""
    if request.immediate == pb.IMMEDIATE_GROUND_UNSPECIFIED:
        return ""
    if request.immediate not in pb.ImmediateGround.values():
        raise invalid("immediate", "must be IMMEDIATE_GROUND_LAW or IMMEDIATE_GROUND_DANGER, or be left out")
    return pb.ImmediateGround.Name(request.immediate).removeprefix("IMMEDIATE_GROUND_").lower()

"""Protobuf to domain and back: policies and their moves."""

from scoring.policy.policy import Policy
from sellertrust.v1 import policy_service_pb2 as pb
from service.contract.fields import timestamp
from service.contract.resource_names import policy_name
from service.ledger.policy_moves import PolicyMove


def policy_message(policy: Policy) -> pb.Policy:
    """Return a policy as a message, with its text."""
    return pb.Policy(
        name=policy_name(policy.digest),
        digest=policy.digest,
        policy_name=policy.name,
        policy_version=policy.version,
        text=policy.text,
    )


def move_message(move: PolicyMove) -> pb.PolicyMove:
    """Return a move of the policy as a message."""
    return pb.PolicyMove(
        number=move.number,
        action=pb.PolicyAction.ValueType(move.action),
        policy=policy_name(move.digest),
        move_time=timestamp(move.move_time),
        actor=move.actor,
        reason=move.reason,
        principal=move.principal,
        proposal=move.proposal,
    )

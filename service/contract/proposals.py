from collections.abc import Sequence
from typing import Any, TypeVar, cast

from google.protobuf.message import Message

from scoring.base.errors import FieldPath, FieldViolation, InvalidInput, invalid
from scoring.entries.entry import prepare_batch
from scoring.entries.field_types import ID_FORM, is_id
from scoring.entries.kinds.common import REASON, REASON_MISSING
from sellertrust.names import proposal_name
from sellertrust.v1 import proposal_service_pb2
from service.access.four_eyes import PERSONS
from service.contract.case_export import parse_case
from service.contract.entries import entries_of
from service.contract.fields import FieldErrors, message_of
from service.contract.needed_rights import PROPOSABLE
from service.contract.resource_names import parse_marketplace, parse_model, parse_policy_digest, seller_of
from service.contract.review import decision_of
from service.ledger.append.proposals import Proposal, ProposalStep
from service.policy.history import check_text
from service.registry.moves import check_actor_and_reason, is_digest
from service.review.bulk_decisions import check_call

MAX_REQUEST_BYTES = 256 << 10

Pb = proposal_service_pb2
STATES = {
    ProposalStep.PROPOSED: Pb.PROPOSAL_STATE_OPEN,
    ProposalStep.APPROVED: Pb.PROPOSAL_STATE_APPROVED,
    ProposalStep.USED: Pb.PROPOSAL_STATE_USED,
    ProposalStep.WITHDRAWN: Pb.PROPOSAL_STATE_WITHDRAWN,
}
_FIELD_OF_METHOD = {method: field for field, method in PROPOSABLE.items()}
_PROPOSABLE_FACTS = frozenset({"override", "correction", "measure"})
M = TypeVar("M", bound=Message)


def serialize_canonically(request: Message) -> bytes:
    """Serialize a request as it is approved, without its proposal's name."""
    unnamed = type(request)()
    unnamed.MergeFrom(request)
    unnamed.ClearField("proposal")
    return unnamed.SerializeToString(deterministic=True)


def parse_request(method: str, data: bytes) -> Message:
    kind: type[Message] = type(getattr(Pb.CreateProposalRequest(), _FIELD_OF_METHOD[method]))
    return kind.FromString(data)


def holds_request(proposal: Proposal, method: str, request: Message) -> bool:
    """Return whether a proposal holds this method and request, ignoring the proposal's name.

    Serializes both again: another release may order fields differently.
    """
    content = proposal.content
    if content is None or content.method != method:
        return False
    return serialize_canonically(parse_request(method, content.request)) == serialize_canonically(request)


def check_proposal_fields(request: Any) -> None:
    """Raise InvalidInput for a malformed `proposal_id`, if the request has one, `actor` or `reason`."""
    wrong = []
    if not is_id(getattr(request, "proposal_id", "p")):
        wrong.append(FieldViolation(("proposal_id",), f"must be {ID_FORM}"))
    if not is_id(request.actor):
        wrong.append(FieldViolation(("actor",), f"must say who, by {ID_FORM}"))
    if not request.reason or REASON.describe_error(request.reason) is not None:
        wrong.append(FieldViolation(("reason",), REASON_MISSING))
    if wrong:
        raise InvalidInput(wrong)


def check_proposed(request: Pb.CreateProposalRequest, now: int) -> tuple[str, Message, str]:
    """Check a new proposal; return (the field of the request, the request, its one seller or "").

    Raises InvalidInput for each field, by path, that is known to be wrong before execution.
    """
    check_proposal_fields(request)
    field = cast(str, request.WhichOneof("request"))
    proposed: Any = getattr(request, field)
    wrong = FieldErrors()
    if proposed.proposal:
        wrong.fields.append(FieldViolation(("proposal",), "must be empty: the proposal is what is made"))
    if proposed.ByteSize() > MAX_REQUEST_BYTES:
        wrong.fields.append(FieldViolation((), f"must have at most {MAX_REQUEST_BYTES:,} bytes; propose it in parts"))
    else:
        seller = wrong.convert(_CHECKS[field], proposed, now) or ""
    if wrong.fields:
        raise InvalidInput(
            FieldViolation((field, *violation.path), violation.description) for violation in wrong.fields
        )
    return field, proposed, seller


def _check_promotion(request: Any, _: int) -> str:
    if not is_digest(parse_model(request.name, "name")):
        text = "must be models/{digest} with the whole digest, 64 digits: an alias may point elsewhere by then"
        raise invalid("name", text)
    check_actor_and_reason(
        actor=request.actor, reason=request.reason, override=request.override, sign_off=request.sign_off
    )
    return ""


def _check_decision(request: Any, _: int) -> str:
    """Return the seller of a bulk decision, "" for all."""
    marketplace = parse_marketplace(request.parent, "parent")
    if not request.execute:
        raise invalid("execute", "must be set: a dry run needs no approval")
    check_call(decision_of(marketplace, request))
    return seller_of(request.seller, marketplace, "seller") if request.seller else ""


def _check_entries(request: Any, now: int) -> str:
    """Return the one seller of entries that may be proposed."""
    marketplace = parse_marketplace(request.parent, "parent")
    wrong: list[FieldViolation] = []
    for index, entry in enumerate(request.entries):
        path: FieldPath = ("entries", index)
        if entry.WhichOneof("fact") not in _PROPOSABLE_FACTS:
            text = "must be an override, the correction of one, or a measure"
            wrong.append(FieldViolation((*path, "fact"), text))
        elif not entry.seller or entry.seller != request.entries[0].seller:
            wrong.append(
                FieldViolation((*path, "seller"), "must be the same in all entries: propose each seller's own")
            )
    if wrong:
        raise InvalidInput(wrong)
    entries = entries_of(marketplace, request.entries)
    prepare_batch(entries, now)
    return entries[0].seller


def _check_commit(request: Any, _: int) -> str:
    parse_policy_digest(request.expected, "expected")
    check_actor_and_reason(actor=request.actor, reason=request.reason)
    check_text(request.text)
    return ""


def _check_export(request: Any, _: int) -> str:
    parse_case(request)
    return ""


_CHECKS = {
    "promote_model": _check_promotion,
    "decide_violations": _check_decision,
    "append_entries": _check_entries,
    "commit_policy": _check_commit,
    "export_case": _check_export,
}


def proposal_message(proposal: Proposal, persons: Sequence[tuple[str, str]]) -> Pb.Proposal:
    """Return a proposal with its state and steps.

    `persons`: of each step, (its caller's person, the person whose support it adds); "" for none.
    """
    count = sum(1 for _, added in persons if added)
    message = message_of(
        Pb.Proposal,
        proposal,
        name=proposal_name(proposal.proposal, proposal.marketplace),
        state=state_of(proposal, count),
        persons_missing=max(0, PERSONS - count),
        steps=[
            message_of(Pb.Proposal.Step, step, state=STATES[step.step], person=person, counts=bool(added))
            for step, (person, added) in zip(proposal.steps, persons, strict=True)
        ],
        erased=proposal.content is None,
    )
    if (content := proposal.content) is not None:
        message.basis.update(content.basis)
        getattr(message, _FIELD_OF_METHOD[content.method]).ParseFromString(content.request)
    return message


def state_of(proposal: Proposal, persons: int) -> Pb.ProposalState.ValueType:
    """Return the state of a proposal with `persons` persons behind it.

    The first that applies: used (even if withdrawn later), withdrawn, expired, approved with enough persons, open.
    """
    if proposal.has_step(ProposalStep.USED):  # a withdrawal does not undo the call
        return Pb.PROPOSAL_STATE_USED
    if proposal.has_step(ProposalStep.WITHDRAWN):
        return Pb.PROPOSAL_STATE_WITHDRAWN
    if proposal.is_expired:
        return Pb.PROPOSAL_STATE_EXPIRED
    return Pb.PROPOSAL_STATE_APPROVED if persons >= PERSONS else Pb.PROPOSAL_STATE_OPEN

import secrets
from pathlib import Path
from typing import Any

from scoring.entries.field_types import is_id
from sellertrust.errors import SellertrustCallError
from sellertrust.v1.entry_pb2 import VIOLATION_STATUS_APPEALED
from sellertrust.v1.proposal_service_pb2 import Proposal
from sellertrust.v1.review_service_pb2 import DecideViolationsRequest
from service.web.frame.rendering import read_texts
from service.web.frame.visits import Problem, Visit

WORDS = read_texts(Path(__file__).parent, "desk.toml")


def call_or_propose(visit: Visit, **requests: Any) -> Any:
    """Make a call, named as in Proposal. If it needs four eyes, propose it and return None."""
    [request] = requests.values()
    client, actor = visit.visitor.client, visit.visitor.actor
    try:
        return client.carry_out(Proposal(**requests))
    except SellertrustCallError as error:
        if error.reason != "APPROVAL_REQUIRED":
            raise
    client.create_proposal(request, actor=actor, reason=request.reason)
    return None


def refuse_appeals(request: DecideViolationsRequest) -> None:
    """Raise Problem if a bulk decision could reach appealed violations."""
    if not request.statuses or VIOLATION_STATUS_APPEALED in request.statuses:
        raise Problem(400, "Appeals are decided one by one", "Begin with another dry run, which leaves them out.")


def require_reason(visit: Visit) -> str:
    """Return the form's `reason`. Raises Problem if it is empty."""
    reason = visit.form_value("reason")
    if not reason:
        raise Problem(400, "A reason is missing", "Go back and state the reason: it is recorded beside your name.")
    return reason


def require_entry_id(visit: Visit) -> str:
    """Return the form's `id`. Raises Problem unless it is one that `new_entry_id` may have made."""
    name = visit.form_value("id")
    if not is_id(name) or not name.startswith("desk-"):
        raise Problem(400, "This form is out of date", "Open the page again and send the form from there.")
    return name


def new_entry_id() -> str:
    """Return a random id such as `desk-6f0c...`, as grants of the desk cover it."""
    return f"desk-{secrets.token_hex(12)}"

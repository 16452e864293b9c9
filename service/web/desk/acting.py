import secrets
from collections.abc import Callable

from starlette.responses import Response

from sellertrust.errors import SellertrustCallError
from sellertrust.proposals import Proposable
from service.web.frame.rendering import redirect
from service.web.frame.visits import Problem, Visit


def propose_if_needed(visit: Visit, request: Proposable, call: Callable[[], object]) -> Response | None:
    """Make a call; if the server asks for four eyes, propose its request and lead to the proposals. Return None if done."""
    try:
        call()
    except SellertrustCallError as error:
        if error.reason != "APPROVAL_REQUIRED":
            raise
        visit.visitor.client.create_proposal(
            request, actor=visit.visitor.actor, reason=request.reason if hasattr(request, "reason") else "a decision"
        )
        return redirect("/proposals")
    return None


def require_reason(visit: Visit) -> str:
    """Return the form's `reason`. Raises Problem if it is empty."""
    reason = visit.form_value("reason")
    if not reason:
        raise Problem(400, "A reason is missing", "Go back and state the reason: it is recorded beside your name.")
    return reason


def new_entry_id() -> str:
    """Return a random id of an entry, such as `desk-6f0c...`: grants of the desk cover ids that begin so."""
    return f"desk-{secrets.token_hex(12)}"

from collections.abc import Callable

from starlette.responses import Response

from sellertrust.errors import SellertrustCallError
from sellertrust.proposals import Proposable
from service.web.frame.rendering import redirect
from service.web.frame.visits import Visit


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

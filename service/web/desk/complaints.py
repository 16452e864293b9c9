"""Complaints of sellers about measures. The ledger lets nobody decide one who filed it or decided before."""

from starlette.responses import Response

from sellertrust.v1.entry_pb2 import COMPLAINT_OUTCOME_REJECTED, COMPLAINT_OUTCOME_UPHELD, Entry
from service.web.desk.acting import new_entry_id, require_reason
from service.web.desk.calls import READ_SECONDS, part
from service.web.desk.queue import QueuePages
from service.web.frame.rendering import last, redirect
from service.web.frame.visits import Problem, Visit

OUTCOMES = {"uphold": COMPLAINT_OUTCOME_UPHELD, "reject": COMPLAINT_OUTCOME_REJECTED}


class ComplaintPages:
    def __init__(self, marketplace: str, queue: QueuePages) -> None:
        self._marketplace = marketplace
        self._queue = queue

    def show(self, visit: Visit) -> Response:
        entry = self._find(visit)
        seller, measure, client = last(entry.seller), entry.complaint.measure, visit.visitor.client
        letters = part(
            lambda: (
                client.list_statements_of_reasons(
                    self._marketplace, seller, measure=measure, deadline_seconds=READ_SECONDS
                ).statements
            )
        )
        return visit.page("complaint.html", entry=entry, seller=seller, letters=letters, decision_id=new_entry_id())

    def decide(self, visit: Visit) -> Response:
        """Record the decision. A second press of the same form changes nothing."""
        entry, outcome = self._find(visit), OUTCOMES.get(visit.form_value("outcome"))
        if outcome is None:
            raise Problem(400, "Choose a decision", "Open the complaint again and send the form from there.")
        decision = Entry(entry_id=visit.form_value("id"), seller=entry.seller)
        stated = decision.complaint_decision
        stated.complaint, stated.outcome = entry.entry_id, outcome
        stated.actor, stated.reason = visit.visitor.actor, require_reason(visit)
        visit.visitor.client.append_entries(self._marketplace, [decision])
        return redirect("/queue")

    def _find(self, visit: Visit) -> Entry:
        wanted = visit.path_value("complaint")
        found = next((one for one in self._queue.complaints(visit.visitor) if one.entry_id == wanted), None)
        if found is None:
            raise Problem(404, "This complaint is not open", "It is decided, or the first 1,000 leave it out.")
        return found

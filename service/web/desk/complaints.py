"""The ledger lets nobody decide a complaint who filed it or decided before."""

from dataclasses import dataclass

from starlette.responses import Response

from sellertrust.v1.entry_pb2 import COMPLAINT_OUTCOME_REJECTED, COMPLAINT_OUTCOME_UPHELD, Entry
from service.web.desk.acting import new_entry_id, require_entry_id, require_reason
from service.web.desk.calls import READ_SECONDS, call_or_problem
from service.web.desk.queue import MAX_CASES, QueuePages
from service.web.frame.rendering import last, redirect
from service.web.frame.visits import Problem, Visit

OUTCOMES = {"uphold": COMPLAINT_OUTCOME_UPHELD, "reject": COMPLAINT_OUTCOME_REJECTED}


@dataclass(frozen=True)
class ComplaintPages:
    marketplace: str
    queue: QueuePages

    def show(self, visit: Visit) -> Response:
        entry = self._require_open_complaint(visit)
        seller, measure, client = last(entry.seller), entry.complaint.measure, visit.visitor.client
        letters = call_or_problem(
            lambda: (
                client.list_statements_of_reasons(
                    self.marketplace, seller, measure=measure, deadline_seconds=READ_SECONDS
                ).statements
            )
        )
        return visit.page("complaint.html", entry=entry, seller=seller, letters=letters, decision_id=new_entry_id())

    def decide(self, visit: Visit) -> Response:
        """Record the decision once, however often the form is sent."""
        decision_id = require_entry_id(visit)
        if self.queue.is_decided_by(visit.path_value("complaint"), decision_id):  # sent twice
            return redirect("/queue")
        entry, outcome = self._require_open_complaint(visit), OUTCOMES.get(visit.form_value("outcome"))
        if outcome is None:
            raise Problem(400, "Choose a decision", "Open the complaint again and send the form from there.")
        decision = Entry(entry_id=decision_id, seller=entry.seller)
        fact = decision.complaint_decision
        fact.complaint, fact.outcome = entry.entry_id, outcome
        fact.actor, fact.reason = visit.visitor.actor, require_reason(visit)
        visit.visitor.client.append_entries(self.marketplace, [decision])
        self.queue.note_complaint(entry.entry_id, decision_id)
        return redirect("/queue")

    def _require_open_complaint(self, visit: Visit) -> Entry:
        wanted = visit.path_value("complaint")
        complaint = next(
            (entry for entry in self.queue.read(visit.visitor).complaints if entry.entry_id == wanted), None
        )
        if complaint is None:
            raise Problem(404, "This complaint is not open", f"It is decided, or the first {MAX_CASES:,} leave it out.")
        return complaint

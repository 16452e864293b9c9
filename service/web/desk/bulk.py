from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from starlette.responses import Response

from scoring.base.enums import Status
from scoring.entries.lifecycle import TRANSITIONS
from sellertrust.review import decide_request
from sellertrust.v1.entry_pb2 import ViolationStatus
from sellertrust.v1.review_service_pb2 import DecideViolationsRequest
from service.web.desk.acting import call_or_propose, new_entry_id, refuse_appeals
from service.web.desk.journal import Journal
from service.web.frame.rendering import action_name, action_of, redirect
from service.web.frame.visits import Problem, Visit

ACTIONS = ("confirm", "dismiss", "review", "overturn")
REVERSING = {"confirm": ("overturn", "confirmed"), "dismiss": ("review", "dismissed")}
"""By action: what takes it back, and from which status."""
OUT_OF_DATE = Problem(400, "This form is out of date", "Begin with another dry run.")
MAX_CALLS = 10
"""Of 10,000 decisions each."""
_FIELDS = (
    "action",
    "types",
    "notifier",
    "seller",
    "listing",
    "right",
    "since",
    "before",
    "reason",
    "reverses",
    "status",
)


@dataclass(frozen=True)
class BulkPages:
    marketplace: str
    journal: Journal

    def show(self, visit: Visit) -> Response:
        """Show the form of a bulk decision; the query's `reverses` fills it in to take that one back."""
        values = {name: visit.query_value(name) for name in _FIELDS}
        if values["reverses"]:
            earlier = next(
                (decision for decision in self.journal.list_bulk() if decision["decision_id"] == values["reverses"]),
                None,
            )
            if earlier is not None and earlier["action"] in REVERSING:
                values["action"], values["status"] = REVERSING[earlier["action"]]
        return self._show_form(visit, values)

    def _show_form(self, visit: Visit, values: Mapping[str, str], problems: Any = ()) -> Response:
        status = 400 if problems else 200
        return visit.page(
            "bulk.html",
            status,
            given=values,
            problems=problems,
            actions=ACTIONS,
            reversible=REVERSING,
            earlier=self.journal.list_bulk()[:20],
        )

    def preview(self, visit: Visit) -> Response:
        """Show the outcome of a dry run; a wrong form again, with status 400."""
        form = {name: visit.form_value(name) for name in _FIELDS}
        if form["status"] not in ("", *(status for _, status in REVERSING.values())):
            raise OUT_OF_DATE
        problems = [
            (name, text)
            for name, text in (("action", "Choose what to do"), ("reason", "Give the reason"))
            if not form[name]
        ]
        times: dict[str, Any] = {}
        for field, name in (("reported_from", "since"), ("reported_before", "before")):
            try:
                times |= {field: datetime.fromisoformat(f"{form[name]}T00:00+00:00")} if form[name] else {}
            except ValueError:
                problems.append((name, "Write a day as 2026-06-30"))
        if problems or form["action"] not in ACTIONS:
            return self._show_form(visit, form, problems or [("action", "Choose what to do")])
        action = action_of(form["action"])
        statuses = [ViolationStatus.Value(f"VIOLATION_STATUS_{form['status'].upper()}")] if form["status"] else None
        request = decide_request(
            self.marketplace,
            action,
            actor=visit.visitor.actor,
            reason=form["reason"],
            decision_id=new_entry_id(),
            violation_types=[name.strip() for name in form["types"].split(",") if name.strip()],
            notifier=form["notifier"],
            seller=form["seller"],
            listing=form["listing"],
            right=form["right"],
            statuses=statuses or _statuses_without_appeals(action),
            reverses=form["reverses"],
            **times,
        )
        outcome = visit.visitor.client.decide(request)
        request.execute, request.expected_count, request.etag = True, outcome.count, outcome.etag
        return visit.page(
            "bulk_preview.html",
            request=MessageToJson(request, indent=None),
            outcome=outcome,
            given=form,
        )

    def execute(self, visit: Visit) -> Response:
        """Decide what the dry run showed, call by call until nothing remains, or propose it; note it in the journal."""
        try:
            request = Parse(visit.form_value("request"), DecideViolationsRequest())
        except ParseError:
            raise OUT_OF_DATE from None
        refuse_appeals(request)
        request.actor, request.execute = visit.visitor.actor, True
        for _ in range(MAX_CALLS):
            outcome = call_or_propose(visit, decide_violations=request)
            if outcome is None:
                return redirect("/proposals")
            if not outcome.remaining:
                break
        self.journal.note_bulk(
            {
                "decision_id": request.decision_id,
                "action": action_name(request.action),
                "actor": request.actor,
                "reason": request.reason,
                "decided": outcome.decided,
                "remaining": outcome.remaining,
                "held_back": len(outcome.held_back),
                "time": datetime.now(UTC).isoformat(),
            }
        )
        return redirect("/bulk#earlier")


def _statuses_without_appeals(action: int) -> list[ViolationStatus.ValueType]:
    """Return the statuses that allow an action, without dismissed and appealed: nobody decides an own case again."""
    allowing = [status for status, following in TRANSITIONS.items() if action in following]
    return [
        ViolationStatus.ValueType(status) for status in allowing if status not in (Status.DISMISSED, Status.APPEALED)
    ]

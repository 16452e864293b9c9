from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from starlette.responses import Response

from sellertrust.names import seller_name
from sellertrust.v1.answer_service_pb2 import Ingredient, ReplayState
from sellertrust.v1.entry_pb2 import CASE_STATE_ENDED, CaseChanged, Entry, StatusChanged
from sellertrust.v1.trust_score_service_pb2 import Stamp
from service.web.desk.acting import new_entry_id, require_reason
from service.web.desk.effects import simulate_decision
from service.web.desk.seller_file import STAMP_FIELDS, SUPPOSED, read_seller
from service.web.frame.rendering import action_of, redirect
from service.web.frame.visits import Problem, Visit


@dataclass(frozen=True)
class WhatIfPages:
    marketplace: str

    def simulate(self, visit: Visit) -> Response:
        """Show what a decision would change for the seller; nothing is recorded."""
        seller, violation, action = read_seller(visit), visit.query_value("violation"), visit.query_value("action")
        if action not in SUPPOSED or not violation:
            raise Problem(400, "Choose what to suppose", "Open the seller's file and follow a link beside a violation.")
        decision = StatusChanged(
            violation=violation,
            action=action_of(action),
            actor=visit.visitor.actor,
            reason="a simulation",
            ground="a simulation" if action == "reinstate" else "",
        )
        effect = simulate_decision(visit.visitor.client, self.marketplace, seller, decision)
        return visit.page("what_if.html", seller=seller, violation=violation, action=action, effect=effect)

    def replay(self, visit: Visit) -> Response:
        """Compare an old answer, by the query's stamp, with today's; without a stamp show the form."""
        seller = read_seller(visit)
        fields = {name: visit.query_value(name) for name in STAMP_FIELDS}
        values: dict[str, Any] = {"seller": seller, "given": fields, "ingredient": Ingredient.Name}
        if not any(fields.values()):
            return visit.page("replay.html", **values, answer=None, state="", problems=[])
        try:
            stamp = ParseDict(fields, Stamp())
        except ParseError:
            text = "Copy every part of the stamp as the answer shows it"
            return visit.page("replay.html", 400, **values, answer=None, state="", problems=[("observe_time", text)])
        answer = visit.visitor.client.replay_trust_score(self.marketplace, seller, stamp)
        return visit.page("replay.html", **values, answer=answer, state=ReplayState.Name(answer.state), problems=[])

    def end_caution(self, visit: Visit) -> Response:
        """End the form's case of a caution, by an entry with the reason. Raises Problem without a reason."""
        seller, case, actor = read_seller(visit), visit.form_value("case"), visit.visitor.actor
        decision = CaseChanged(case=case, state=CASE_STATE_ENDED, actor=actor, reason=require_reason(visit))
        entry = Entry(entry_id=new_entry_id(), seller=seller_name(self.marketplace, seller), case=decision)
        visit.visitor.client.append_entries(self.marketplace, [entry])
        return redirect(f"/sellers/{seller}")

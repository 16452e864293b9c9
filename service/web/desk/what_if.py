from collections.abc import Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import Response

from sellertrust.names import seller_name
from sellertrust.v1.answer_service_pb2 import Ingredient, ReplayState
from sellertrust.v1.entry_pb2 import Action, Entry
from sellertrust.v1.trust_score_service_pb2 import Stamp
from service.web.desk.acting import require_reason
from service.web.desk.effects import effect_of
from service.web.desk.seller_file import SUPPOSED, seller_of
from service.web.frame.rendering import redirect
from service.web.frame.visits import Problem, Visit

STAMP_FIELDS = ("observe_time", "known_time", "ledger_sequence", "model_digest", "policy_digest", "core_version")


class WhatIfPages:
    def __init__(self, marketplace: str) -> None:
        self._marketplace = marketplace

    def simulate(self, visit: Visit) -> Response:
        seller, violation, action = seller_of(visit), visit.query_value("violation"), visit.query_value("action")
        if action not in SUPPOSED or not violation:
            raise Problem(400, "Choose what to suppose", "Open the seller's file and follow a link beside a violation.")
        entry = Entry(seller=seller_name(self._marketplace, seller))
        entry.status.violation, entry.status.action = violation, Action.Value(f"ACTION_{action.upper()}")
        entry.status.actor, entry.status.reason = visit.visitor.actor, "a simulation"
        entry.status.ground = "a simulation" if action == "reinstate" else ""
        answer = visit.visitor.client.simulate_trust_score(self._marketplace, seller, [entry])
        return visit.page(
            "what_if.html",
            seller=seller,
            violation=violation,
            action=action,
            effect=effect_of(answer),
            before=answer.present,
            after=answer.simulated,
        )

    def replay(self, visit: Visit) -> Response:
        seller = seller_of(visit)
        given = {name: visit.query_value(name) for name in STAMP_FIELDS}
        shown: dict[str, Any] = {"seller": seller, "given": given, "ingredient": Ingredient.Name}
        if not any(given.values()):
            return visit.page("replay.html", **shown, answer=None, state="", problems=[])
        try:
            stamp = read_stamp(given)
        except ValueError:
            text = "Copy every part of the stamp as the answer shows it"
            return visit.page("replay.html", 400, **shown, answer=None, state="", problems=[("observe_time", text)])
        answer = visit.visitor.client.replay_trust_score(self._marketplace, seller, stamp)
        return visit.page("replay.html", **shown, answer=answer, state=ReplayState.Name(answer.state), problems=[])

    def end_caution(self, visit: Visit) -> Response:
        """Record the form's decision that a caution's suspicion is false; then show the seller's file."""
        seller, case, actor = seller_of(visit), visit.form_value("case"), visit.visitor.actor
        visit.visitor.client.end_case(self._marketplace, seller, case, actor=actor, reason=require_reason(visit))
        return redirect(f"/sellers/{seller}")


def read_stamp(fields: Mapping[str, str]) -> Stamp:
    """Return a stamp from texts by STAMP_FIELDS. Raises ValueError."""
    stamp = Stamp(
        ledger_sequence=int(fields["ledger_sequence"]),
        model_digest=fields["model_digest"],
        policy_digest=fields["policy_digest"],
        core_version=fields["core_version"],
    )
    for name in ("observe_time", "known_time"):
        time: Timestamp = getattr(stamp, name)
        time.FromJsonString(fields[name])
    return stamp

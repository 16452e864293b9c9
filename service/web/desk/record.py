from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import NamedTuple

from starlette.responses import Response

from sellertrust.v1.entry_pb2 import VIOLATION_STATUS_OVERTURNED, VIOLATION_STATUS_REDUCED
from service.web.desk.calls import READ_SECONDS, none_if_not_found, start_call
from service.web.desk.journal import Journal
from service.web.frame.visits import Visit

LEAST_CASES = 30
LATEST = 200
_Z = 1.6449
"""For a 90 % interval."""


class OverturnShare(NamedTuple):
    overturned: int
    cases: int
    percent: int
    low: int
    high: int


@dataclass(frozen=True)
class OwnRecordPages:
    marketplace: str
    journal: Journal

    def show(self, visit: Visit) -> Response:
        """Show the visitor's decisions, and the share of confirmations taken back, if they are LEAST_CASES or more."""
        decisions = self.journal.list_decisions(visit.visitor.actor)
        sent = [decision for decision in decisions if decision.state == "sent"]
        confirmed = [decision for decision in sent if decision.action == "confirm"][:LATEST]
        share = None
        if len(confirmed) >= LEAST_CASES:
            get = partial(visit.visitor.client.get_violation, self.marketplace, deadline_seconds=READ_SECONDS)
            calls = [start_call(partial(none_if_not_found, partial(get, decision.violation))) for decision in confirmed]
            violations = [violation for call in calls if (violation := call.result()) is not None]
            taken_back = (VIOLATION_STATUS_OVERTURNED, VIOLATION_STATUS_REDUCED)
            share = share_of(sum(violation.status in taken_back for violation in violations), len(violations))
        return visit.page("record.html", share=share, least=LEAST_CASES, cases=len(confirmed), decisions=decisions[:50])


def share_of(overturned: int, cases: int) -> OverturnShare:
    """Return a share with Wilson's interval: `share_of(3, 30)` is 10 %, between 4 and 23 %."""
    rate, z2 = overturned / cases, _Z * _Z
    middle = (rate + z2 / (2 * cases)) / (1 + z2 / cases)
    half = _Z / (1 + z2 / cases) * sqrt(rate * (1 - rate) / cases + z2 / (4 * cases * cases))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return OverturnShare(overturned, cases, *(round(100 * part) for part in (rate, low, high)))

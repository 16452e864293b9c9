from scoring.base.enums import Action, Harm, PayoutsChange, Source
from scoring.base.time import DAY
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import StatusChanged, ViolationReported
from scoring.entries.kinds.settlement import PayoutsChanged
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET


def run_of(
    ledger: Ledger, seller: str, day: int, stopped: int | None, violation_type: str = "order_fraud", name: str = ""
) -> str:
    """Record a confirmed violation and a stop of payouts; return the violation's id.

    Days are since 1970-01-01; both at noon.
    """
    name = name or f"v-{seller}-{day}"
    report = ViolationReported(violation_type, Harm.HIGH, Source.BRAND)
    confirmed = StatusChanged(name, Action.CONFIRM, "staff-7", "the orders were looked at")
    ledger.append(MARKET, [Entry(name, seller, report, day * DAY + DAY // 2), Entry(f"c-{name}", "", confirmed)])
    if stopped is not None:
        stop = PayoutsChanged(PayoutsChange.STOPPED, "staff-1", "orders were not kept")
        ledger.append(MARKET, [Entry(f"stop-{name}", seller, stop, stopped * DAY + DAY // 2)])
    return name

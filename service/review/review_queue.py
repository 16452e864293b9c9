from contextlib import suppress

from scoring.base.enums import Status
from scoring.base.errors import SellertrustError
from scoring.entries.violation_state import is_held_back_for_person
from service.ledger.queries.violations import MAX_LISTED, OpenViolation
from service.ledger.records import Cut
from service.ledger.store import Ledger
from service.review.priority import QueueItem, rank_items
from service.review.reliability import assess, probability_upheld

MAX_OPEN = MAX_LISTED - 1
"""The newest of safety, and as many others."""


def review_queue(ledger: Ledger, marketplace: str, cut: Cut, limit: int = MAX_OPEN) -> tuple[list[QueueItem], bool]:
    """Return (open violations, most urgent first; whether some were left out), as of the cut.

    It reads the `limit` newest of safety, and as many others.
    """
    newest_violations = [
        ledger.violations.list_open(marketplace, cut, limit + 1, is_safety=is_safety) for is_safety in (True, False)
    ]
    waiting = [violation for newest in newest_violations for violation in newest[:limit]]
    names = {violation.notifier for violation in waiting if violation.notifier}
    assessments = {
        name: assess(records) for name, records in ledger.notifiers.records_of_waiting(marketplace, cut, names).items()
    }
    orders = ledger.sellers.recent_orders(marketplace, cut, {violation.seller for violation in waiting})
    held_back = _find_held_back(ledger, marketplace, cut, waiting)
    items = [
        QueueItem(
            violation=violation.violation,
            sequence=violation.sequence,
            category=violation.category,
            severity=violation.severity,
            probability_upheld=probability_upheld(violation.source, assessments.get(violation.notifier or "")),
            recent_orders=orders.get(violation.seller, 0),
            held_back=violation.violation in held_back,
        )
        for violation in waiting
    ]
    return rank_items(items), any(len(newest) > limit for newest in newest_violations)


def read_queues(ledger: Ledger) -> None:
    """Read queues of 2 * MAX_OPEN cases together, so that their first readers wait less."""
    budget = 2 * MAX_OPEN
    with suppress(SellertrustError):
        for marketplace in ledger.sellers.list_marketplaces():
            with suppress(SellertrustError):
                budget -= len(review_queue(ledger, marketplace, ledger.cut())[0])
            if budget <= 0:
                return


def _find_held_back(ledger: Ledger, marketplace: str, cut: Cut, waiting: list[OpenViolation]) -> set[str]:
    names = [violation.violation for violation in waiting if violation.status is Status.UNDER_REVIEW]
    histories = ledger.violations.find_decisions(marketplace, cut.sequence, names)
    return {name for name, changes in histories.items() if is_held_back_for_person(changes)}

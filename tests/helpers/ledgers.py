"""Short reads of a ledger, as of now."""

from service.ledger.records import ViolationView
from service.ledger.seals.verifying import Verified
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET


def verify(ledger: Ledger, *checkpoints: tuple[int, bytes]) -> Verified:
    return ledger.seals.verify(checkpoints, lambda _done, _total: None)


def find_violation(ledger: Ledger, name: str = "v1") -> ViolationView:
    return ledger.violations.find(MARKET, name, ledger.cut())


def ids(ledger: Ledger) -> list[str]:
    return [recorded.entry.entry_id for recorded in ledger.entries.list(MARKET, ledger.cut(), limit=20_000)]

from scoring.base.frozen import frozen
from service.ledger.store import Ledger
from service.mechanism.places import SOURCE, TIME_SOURCE
from service.mechanism.refusals import Seller, read_refused_sellers


@frozen
class MechanismStatus:
    sequence: int
    """The ledger is certainly followed up to it."""
    ledger_sequence: int
    time: int | None
    """The last evaluation of every seller, in microseconds; None before the first."""
    refused: tuple[Seller, ...]
    """By marketplace and id."""
    open_cases: int
    overdue_cases: int


def read_status(ledger: Ledger) -> MechanismStatus:
    cut = ledger.cut()
    cases = ledger.cases.count_open(cut, cut.observe_time, ledger.sellers.list_marketplaces())
    followed = (ledger.positions.find(SOURCE) or 1) - 1
    return MechanismStatus(
        followed, cut.sequence, ledger.positions.find(TIME_SOURCE), tuple(read_refused_sellers(ledger)), *cases
    )

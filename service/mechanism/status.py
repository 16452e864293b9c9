"""The progress of the record of measures, read from the ledger, whichever process records."""

from dataclasses import dataclass

from service.ledger.store import Ledger
from service.mechanism.places import SOURCE, TIME_SOURCE
from service.mechanism.refusals import Seller, read_refused


@dataclass(frozen=True, slots=True)
class MechanismStatus:
    sequence: int
    """The ledger's sequence up to which it is certainly followed; a running worker is some entries further."""
    ledger_sequence: int
    """The ledger's last sequence."""
    time: int | None
    """The last midnight, policy move or beginning as of which every seller was evaluated, in microseconds; None before
    the first.
    """
    refused: tuple[Seller, ...]
    """Sellers whose measures are not recorded at present, by marketplace and id."""
    open_cases: int
    """Cases of cautions that wait for a person."""
    overdue_cases: int
    """Open cases after their deadline."""


def read_status(ledger: Ledger) -> MechanismStatus:
    cut = ledger.cut()
    cases = ledger.cases.count_open(cut, cut.observe_time)
    followed = (ledger.positions.find(SOURCE, 0) or 1) - 1
    return MechanismStatus(
        followed, cut.sequence, ledger.positions.find(TIME_SOURCE, 0), tuple(read_refused(ledger)), *cases
    )

"""How far the record of measures has come, read from the ledger: whoever records, in whichever process."""

from dataclasses import dataclass

from service.ledger.store import Ledger
from service.mechanism.places import SOURCE, TIME_SOURCE
from service.mechanism.refusals import Seller, read_refused


@dataclass(frozen=True, slots=True)
class MechanismStatus:
    """How far the record of measures has come."""

    sequence: int
    """The ledger's sequence up to which it is certain to be followed; a running worker has come farther by some entries."""
    ledger_sequence: int
    """The last of the ledger."""
    time: int | None
    """The last midnight, or move of the policy, as of which every seller was evaluated, or the beginning, in microseconds;
    None before the first.
    """
    refused: tuple[Seller, ...]
    """Sellers whose measures are not recorded at present, by marketplace and id."""
    open_cases: int
    """Cases of cautions that wait for a person."""
    overdue_cases: int
    """Those of them whose deadline has passed."""


def read_status(ledger: Ledger) -> MechanismStatus:
    """Return how far the record of a ledger's measures has come."""
    cut = ledger.cut()
    cases = ledger.cases.count_open(cut, cut.observe_time)
    followed = (ledger.positions.find(SOURCE, 0) or 1) - 1
    return MechanismStatus(
        followed, cut.sequence, ledger.positions.find(TIME_SOURCE, 0), tuple(read_refused(ledger)), *cases
    )

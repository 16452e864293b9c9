"""Sellers whose measures could not be recorded: each is left alone and tried again, while the record of all others goes on.

What was to be evaluated of such a seller is kept and made up for in order. That a seller is refused is kept beside the
entries, so that a restart tries it again and `sellertrust doctor` shows it.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

from service.ledger.records import Cut, Position
from service.ledger.store import Ledger

PREFIX = "mechanism:refused:"
"""Prefix of the source under which the ledger keeps a refused seller: its position is odd while the seller is refused."""

FIRST_RETRY_SECONDS = 10.0
LAST_RETRY_SECONDS = 3_600.0
"""Time until the first try after a refusal; it doubles from try to try, up to the last."""

MAX_REFUSED = 1_000
"""Sellers that may be refused at once: more are no trouble of single sellers, and nothing goes on."""

MAX_MISSED = 1_000
"""Evaluations of a refused seller that are made up for; of more the latest."""

Seller = tuple[str, str]
"""Marketplace and seller."""


class TooManyRefused(RuntimeError):
    """More sellers are refused than can be left alone: something is wrong with all of them."""


@dataclass(slots=True)
class Refused:
    """One seller whose measures are not recorded at present."""

    due: float
    """When it is tried again, by the steady clock, in seconds."""
    tries: int = 0
    missed: deque[Cut] = field(default_factory=lambda: deque(maxlen=MAX_MISSED))
    """The places in the ledger as of which it is still to be evaluated, in their order; none: as of the present."""


class Refusals:
    """The sellers that one worker leaves alone for a while."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: dict[Seller, Refused] | None = None
        self.count = 0
        """Refusals so far, tries again included."""

    def __len__(self) -> int:
        return len(self._held or ())

    def load(self) -> None:
        """Read which sellers the worker before left refused, once: they are due at once."""
        if self._held is None:
            self._held = {seller: Refused(0.0) for seller in read_refused(self._ledger)}

    def find(self, seller: Seller) -> Refused | None:
        """Return what is kept of a seller that is refused; None if it is not."""
        return None if self._held is None else self._held.get(seller)

    def add(self, seller: Seller, missed: Cut) -> Refused:
        """Note that a seller was refused as of a cut; TooManyRefused."""
        self.load()
        held = self._held or {}
        if seller not in held and len(held) >= MAX_REFUSED:
            raise TooManyRefused(f"the measures of more than {MAX_REFUSED:,} sellers were refused")
        found = held.setdefault(seller, Refused(0.0))
        self._held = held
        if not found.missed:
            found.missed.append(missed)
            self._mark(seller, is_refused=True)
        found.due = monotonic() + min(FIRST_RETRY_SECONDS * 2**found.tries, LAST_RETRY_SECONDS)
        found.tries += 1
        self.count += 1
        return found

    def list_due(self) -> list[tuple[Seller, Refused]]:
        """Return the sellers that are to be tried again now."""
        now = monotonic()
        return [(seller, found) for seller, found in (self._held or {}).items() if found.due <= now]

    def remove(self, seller: Seller) -> None:
        """Note that a seller is refused no more."""
        if self._held is not None and self._held.pop(seller, None) is not None:
            self._mark(seller, is_refused=False)

    def _mark(self, seller: Seller, *, is_refused: bool) -> None:
        source = name_refused(seller)
        number = self._ledger.positions.find(source, 0) or 0
        if (number % 2 == 1) is not is_refused:
            self._ledger.positions.advance(Position(source, 0, number + 1))


def name_refused(seller: Seller) -> str:
    """Return the source under which the ledger keeps whether a seller is refused."""
    return PREFIX + "/".join(seller)


def read_refused(ledger: Ledger) -> list[Seller]:
    """Return the sellers that stand refused, by marketplace and id."""
    found: Mapping[str, int] = ledger.positions.list(PREFIX)
    named = (name.partition("/") for name, number in found.items() if number % 2)
    return [(marketplace, seller) for marketplace, _, seller in named]

"""Sellers whose measures were refused: the worker retries each.

The ledger keeps the refusal for restarts and `sellertrust doctor`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

from service.ledger.records import Cut, Position
from service.ledger.store import Ledger

PREFIX = "mechanism:refused:"
"""Followed by the seller; an odd position means refused."""

FIRST_RETRY_SECONDS = 10.0
LAST_RETRY_SECONDS = 3_600.0
"""Between two tries; it doubles."""

MAX_REFUSED = 1_000

MAX_MISSED = 1_000
"""The latest ones, made up for in order."""

Seller = tuple[str, str]


class TooManyRefused(RuntimeError):
    """More than MAX_REFUSED: the fault concerns all."""


@dataclass(slots=True)
class Refusal:
    due: float
    """By the steady clock, in seconds."""
    tries: int = 0
    missed: deque[Cut] = field(default_factory=lambda: deque(maxlen=MAX_MISSED))
    """In order; empty: the present."""


class Refusals:
    """Sellers whose statements were refused, each with its next try."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._refusals: dict[Seller, Refusal] = {}
        self._is_loaded = False
        self.count = 0
        """Retries included."""

    def __len__(self) -> int:
        return len(self._refusals)

    def load(self) -> None:
        """Read once the sellers left refused: they are due at once."""
        if not self._is_loaded:
            self._refusals = {seller: Refusal(0.0) for seller in read_refused_sellers(self._ledger)}
            self._is_loaded = True

    def find(self, seller: Seller) -> Refusal | None:
        return self._refusals.get(seller)

    def add(self, seller: Seller, missed: Cut) -> None:
        """Note a refused seller, due after 10 s, then 20 s, up to an hour; after `load`. Raises TooManyRefused.

        `missed`: the cut that could not be stated. The worker notes later ones.
        """
        if seller not in self._refusals and len(self._refusals) >= MAX_REFUSED:
            raise TooManyRefused(f"the measures of more than {MAX_REFUSED:,} sellers were refused")
        refusal = self._refusals.setdefault(seller, Refusal(0.0))
        if not refusal.missed:
            refusal.missed.append(missed)
            self._mark(seller, is_refused=True)
        refusal.due = monotonic() + min(FIRST_RETRY_SECONDS * 2**refusal.tries, LAST_RETRY_SECONDS)
        refusal.tries += 1
        self.count += 1

    def list_due(self) -> list[tuple[Seller, Refusal]]:
        now = monotonic()
        return [(seller, refusal) for seller, refusal in self._refusals.items() if refusal.due <= now]

    def remove(self, seller: Seller) -> None:
        """Forget a refused seller, also in the ledger."""
        if self._refusals.pop(seller, None) is not None:
            self._mark(seller, is_refused=False)

    def _mark(self, seller: Seller, *, is_refused: bool) -> None:
        source = name_refusal_source(seller)
        number = self._ledger.positions.find(source) or 0
        if (number % 2 == 1) is not is_refused:  # odd means refused
            self._ledger.positions.advance(Position(source, 0, number + 1))


def name_refusal_source(seller: Seller) -> str:
    return PREFIX + "/".join(seller)


def read_refused_sellers(ledger: Ledger) -> list[Seller]:
    """Return the sellers whose position is odd: refused."""
    numbers: Mapping[str, int] = ledger.positions.list(PREFIX)
    parts = (name.partition("/") for name, number in numbers.items() if number % 2)
    return [(marketplace, seller) for marketplace, _, seller in parts]

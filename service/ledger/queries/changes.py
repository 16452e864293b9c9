from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import bindparam, select

from scoring.base.enums import Kind
from scoring.base.frozen import frozen
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.rows import PLACE
from service.ledger.database.tables import ENTRY, HERE, UP_TO_LAST, among_kinds, read_content

_E = ENTRY.c
_ALL = 2**62
_CHANGES = (
    select(_E.sequence, _E.marketplace, _E.seller, _E.kind, _E.record_time)
    .where(_E.sequence > bindparam("after"), UP_TO_LAST)
    .order_by(_E.sequence)
    .limit(bindparam("limit"))
)
_OF_SELLER = _CHANGES.where(HERE, _E.seller == bindparam("seller"))
_SEQUENCES_BY_RULE = select(_E.sequence).where(
    _E.sequence.between(bindparam("first"), bindparam("last")),
    among_kinds(Kind.MEASURE, Kind.CASE),
    read_content("rule").is_not(None),
)


class LedgerChange(NamedTuple):
    sequence: int
    marketplace: str
    seller: str
    kind: int
    record_time: int


@frozen
class ChangeQueries:
    clock: LedgerClock

    def list(self, after: int, last: int, limit: int) -> Sequence[LedgerChange]:
        """Return the next `limit` entries after `after` up to `last`, acts included."""
        return [LedgerChange(*row) for row in self.clock.database.rows(_CHANGES, after=after, last=last, limit=limit)]

    def find_sequences_by_rule(self, first: int, last: int) -> frozenset[int]:
        """Return the sequences, `first` to `last`, of measures and cases that a rule asked for."""
        return frozenset(
            sequence for (sequence,) in self.clock.database.rows(_SEQUENCES_BY_RULE, first=first, last=last)
        )

    def list_of_seller(self, marketplace: str, seller: str, after: int, last: int) -> Sequence[LedgerChange]:
        values = {"marketplace": marketplace, "seller": seller, "after": after, "last": last, "limit": _ALL}
        return [LedgerChange(*row) for row in self.clock.database.rows(_OF_SELLER, **values)]

    def listen(self, listener: Callable[[Sequence[LedgerChange]], None]) -> Callable[[], None]:
        """Call a listener with each append's changes after the commit; return a function that removes it.

        It misses other processes' appends.
        """

        def pass_on(rows: Sequence[Sequence[object]]) -> None:
            places = [PLACE[name] for name in LedgerChange._fields]
            listener([LedgerChange(*(row[place] for place in places)) for row in rows])  # type: ignore[arg-type]

        def stop() -> None:
            with suppress(ValueError):
                self.clock.database.listeners.remove(pass_on)

        self.clock.database.listeners.append(pass_on)
        return stop

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam, literal_column, select

from scoring.base.enums import Kind
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.expressions import member
from service.ledger.database.rows import PLACE
from service.ledger.database.tables import ENTRY

_E = ENTRY.c
_ALL = 2**62
_AFTER = (
    select(_E.sequence, _E.marketplace, _E.seller, _E.kind, _E.record_time)
    .where(_E.sequence > bindparam("after"), _E.sequence <= bindparam("last"))
    .order_by(_E.sequence)
    .limit(bindparam("limit"))
)
_OF_SELLER = _AFTER.where(_E.marketplace == bindparam("marketplace"), _E.seller == bindparam("seller"))
_BY_RULE = select(_E.sequence).where(
    _E.sequence.between(bindparam("first"), bindparam("last")),
    _E.kind.in_([int(Kind.MEASURE), int(Kind.CASE)]),
    member(_E.content, literal_column("'rule'")).is_not(None),
)


class Change(NamedTuple):
    sequence: int
    marketplace: str
    seller: str
    kind: int
    record_time: int = 0


@dataclass(frozen=True, slots=True)
class ChangeQueries:
    clock: LedgerClock

    def list(self, after: int, last: int, limit: int) -> Sequence[Change]:
        with self.clock.database.read() as connection:
            found = connection.execute(_AFTER, {"after": after, "last": last, "limit": limit})
            return [Change(*row) for row in found]

    def find_by_rule(self, first: int, last: int) -> frozenset[int]:
        with self.clock.database.read() as connection:
            return frozenset(connection.execute(_BY_RULE, {"first": first, "last": last}).scalars())

    def of_seller(self, marketplace: str, seller: str, after: int, last: int) -> Sequence[Change]:
        values = {"marketplace": marketplace, "seller": seller, "after": after, "last": last, "limit": _ALL}
        with self.clock.database.read() as connection:
            return [Change(*row) for row in connection.execute(_OF_SELLER, values)]

    def listen(self, listener: Callable[[Sequence[Change]], None]) -> Callable[[], None]:
        """Call a listener with each append's changes after the commit; return a function that removes it.

        It misses other processes' appends.
        """

        def hear(rows: Sequence[Sequence[object]]) -> None:
            places = [PLACE[name] for name in Change._fields]
            listener([Change(*(row[place] for place in places)) for row in rows])  # type: ignore[arg-type]

        def end() -> None:
            with suppress(ValueError):
                self.clock.database.listeners.remove(hear)

        self.clock.database.listeners.append(hear)
        return end

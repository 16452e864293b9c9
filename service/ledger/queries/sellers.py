from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Text, bindparam, func, select

from scoring.base.enums import Kind
from scoring.base.time import day_of
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.expressions import Texts, among, of_kind
from service.ledger.database.tables import ENTRY
from service.ledger.records import Cut

ORDER_DAYS = 30

_E = ENTRY.c
_NEXT_MARKETPLACE = select(func.min(_E.marketplace)).where(_E.marketplace > bindparam("after"))
_HERE = _E.marketplace == bindparam("marketplace")
_FIRST = select(func.min(_E.seller).label("seller")).where(_HERE, _E.seller > bindparam("after", type_=Text()))
_STEPS = _FIRST.cte("steps", recursive=True)
_NEXT = select(func.min(_E.seller)).where(_HERE, _E.seller > _STEPS.c.seller).scalar_subquery()
_STEPS = _STEPS.union_all(select(_NEXT).where(_STEPS.c.seller.is_not(None)))
_SELLERS = select(_STEPS.c.seller).where(_STEPS.c.seller.is_not(None)).limit(bindparam("limit"))
_DAYS = (
    select(
        _E.seller,
        _E.settled_orders,
        func.row_number()
        .over(
            partition_by=(_E.seller, _E.exposure_day, _E.product_category),
            order_by=_E.revision.desc(),
        )
        .label("place"),
    )
    .where(
        of_kind(Kind.EXPOSURE),
        _E.marketplace == bindparam("marketplace"),
        among(_E.seller, bindparam("names", type_=Texts())),
        _E.exposure_day >= bindparam("first_day"),
        _E.exposure_day < bindparam("day"),
        _E.sequence <= bindparam("last"),
        _E.report_time < bindparam("observe_time"),
    )
    .subquery()
)
_ORDERS = select(_DAYS.c.seller, func.sum(_DAYS.c.settled_orders)).where(_DAYS.c.place == 1).group_by(_DAYS.c.seller)


@dataclass(frozen=True, slots=True)
class SellerQueries:
    clock: LedgerClock

    def list_marketplaces(self) -> Sequence[str]:
        with self.clock.database.read() as connection:
            found: list[str] = []
            while (
                name := connection.execute(_NEXT_MARKETPLACE, {"after": found[-1] if found else ""}).scalar()
            ) is not None:
                found.append(name)
            return found

    def list(self, marketplace: str, after: str, limit: int) -> Sequence[str]:
        """Return the next `limit` sellers' ids after `after`, sorted by their bytes.

        Each has an entry, but perhaps none that scores read.
        """
        with self.clock.database.read() as connection:
            values = {"marketplace": marketplace, "after": after, "limit": limit}
            return [seller for (seller,) in connection.execute(_SELLERS, values)]

    def recent_orders(self, marketplace: str, cut: Cut, sellers: Iterable[str]) -> dict[str, int]:
        """Return the orders settled in the 30 days before the cut's day, by seller."""
        with self.clock.as_of(cut.sequence) as connection:
            day = day_of(cut.observe_time)
            values = {
                "marketplace": marketplace,
                "last": cut.sequence,
                "observe_time": cut.observe_time,
                "names": sorted(set(sellers)),
                "day": day,
                "first_day": day - ORDER_DAYS,
            }
            return {seller: int(orders) for seller, orders in connection.execute(_ORDERS, values)}

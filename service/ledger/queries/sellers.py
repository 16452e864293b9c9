from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, func, select

from scoring.base.enums import Kind
from scoring.base.frozen import frozen
from scoring.base.time import day_of
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import ENTRY, HERE, SELLERS, UP_TO_LAST, among, of_kind, select_distinct
from service.ledger.records import Cut

ORDER_DAYS = 30
MAX_MARKETPLACES = MAX_SELLERS = 2**31

_E = ENTRY.c
_MARKETPLACES = select_distinct(_E.marketplace)
_SELLERS = select_distinct(_E.seller, HERE)
COUNT_SELLERS = select(func.count()).select_from(_SELLERS.subquery())
_REVISIONS = (
    select(
        _E.seller,
        _E.settled_orders,
        func.row_number()
        .over(
            partition_by=(_E.seller, _E.exposure_day, _E.product_category),
            order_by=_E.revision.desc(),
        )
        .label("rank"),
    )
    .where(
        of_kind(Kind.EXPOSURE),
        HERE,
        among(_E.seller, SELLERS),
        _E.exposure_day >= bindparam("first_day"),
        _E.exposure_day < bindparam("day"),
        UP_TO_LAST,
        _E.report_time < bindparam("observe_time"),
    )
    .subquery()
)
_ORDERS = (
    select(_REVISIONS.c.seller, func.sum(_REVISIONS.c.settled_orders))
    .where(_REVISIONS.c.rank == 1)
    .group_by(_REVISIONS.c.seller)
)


@frozen
class SellerQueries:
    clock: LedgerClock

    def list_marketplaces(self) -> Sequence[str]:
        return [name for (name,) in self.clock.database.rows(_MARKETPLACES, after="", limit=MAX_MARKETPLACES)]

    def list(self, marketplace: str, after: str, limit: int) -> Sequence[str]:
        """Return the next `limit` sellers' ids after `after`, sorted by their bytes.

        Each has an entry, but perhaps none that scores read.
        """
        rows = self.clock.database.rows(_SELLERS, marketplace=marketplace, after=after, limit=limit)
        return [seller for (seller,) in rows]

    def recent_orders(self, marketplace: str, cut: Cut, sellers: Iterable[str]) -> dict[str, int]:
        """Return the orders settled in the ORDER_DAYS before the cut's day, by seller."""
        day = day_of(cut.observe_time)
        values = {"sellers": sorted(set(sellers)), "day": day, "first_day": day - ORDER_DAYS}
        rows = self.clock.rows_as_of(cut, _ORDERS, marketplace=marketplace, **values)
        return {seller: int(orders) for seller, orders in rows}

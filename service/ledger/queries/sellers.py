"""Which marketplaces and sellers are on record, a page at a time. Each is looked for behind the one before it.

An index of all entries would be walked whole by DISTINCT: 700 entries a seller where one look-up does.
"""

from sqlalchemy import Connection, Text, bindparam, func, select

from service.ledger.database.tables import ENTRY

_E = ENTRY.c
_NEXT_MARKETPLACE = select(func.min(_E.marketplace)).where(_E.marketplace > bindparam("after"))
_HERE = _E.marketplace == bindparam("marketplace")
_FIRST = select(func.min(_E.seller).label("seller")).where(_HERE, _E.seller > bindparam("after", type_=Text()))
_STEPS = _FIRST.cte("steps", recursive=True)
_NEXT = select(func.min(_E.seller)).where(_HERE, _E.seller > _STEPS.c.seller).scalar_subquery()
_STEPS = _STEPS.union_all(select(_NEXT).where(_STEPS.c.seller.is_not(None)))
_SELLERS = select(_STEPS.c.seller).where(_STEPS.c.seller.is_not(None)).limit(bindparam("limit"))


def marketplaces(connection: Connection) -> list[str]:
    """Return the ids of all marketplaces with entries, sorted by their bytes."""
    found: list[str] = []
    while (name := connection.execute(_NEXT_MARKETPLACE, {"after": found[-1] if found else ""}).scalar()) is not None:
        found.append(name)
    return found


def sellers_after(connection: Connection, marketplace: str, after: str, limit: int) -> list[str]:
    """Return the ids of the next `limit` sellers of a marketplace with entries, sorted by their bytes.

    Those after the id `after`; all have an entry, which no score may read.
    """
    values = {"marketplace": marketplace, "after": after, "limit": limit}
    return [seller for (seller,) in connection.execute(_SELLERS, values)]

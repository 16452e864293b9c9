"""What is on record of sellers that ran with the buyers' money, as a method of the ledger."""

from sqlalchemy import Connection, bindparam, select, text

from scoring.certificate.contradictions import RUN_TYPES, RunCase, Seen
from scoring.enums import Category, Kind, PayoutsChange, Status
from scoring.time import DAY
from service.ledger import reading
from service.ledger.expressions import Texts, among
from service.ledger.reads import Reads
from service.ledger.records import Cut, ViolationView
from service.ledger.sellers import marketplaces
from service.ledger.tables import ENTRY, ON_TERMS

MAX_NAMES = 5_000
"""Violations whose state is looked up at a time."""

_E = ENTRY.c
_REPORTS = select(_E.entry_id).where(
    _E.marketplace == bindparam("marketplace"),
    text("kind = 1"),
    _E.category.in_([int(Category.INTEGRITY), int(Category.SERVICE)]),
    _E.sequence <= bindparam("last"),
)
_CHANGES = (
    select(_E.seller, _E.occur_time, _E.status)
    .where(
        _E.marketplace == bindparam("marketplace"),
        among(_E.seller, bindparam("sellers", type_=Texts())),
        text(ON_TERMS),
        _E.kind == int(Kind.PAYOUTS),
        _E.sequence <= bindparam("last"),
    )
    .order_by(_E.occur_time, _E.sequence)
)
_STANDS = (Status.CONFIRMED, Status.APPEALED, Status.REDUCED)


class RunReads(Reads):
    """The part of the ledger that a loss certificate's assumptions are held against."""

    def seen_runs(self, cut: Cut) -> Seen:
        """Return what is on record of runs in all marketplaces, as of the cut: a case for each seller, and the counts."""
        cases: list[RunCase] = []
        confirmed = overturned = 0
        with self._reading(cut.sequence) as connection:
            for marketplace in marketplaces(connection):
                views = _violations(connection, marketplace, cut)
                overturned += sum(view.status is Status.OVERTURNED for view in views)
                standing = [view for view in views if view.status in _STANDS]
                confirmed += len(standing)
                cases += _cases(connection, marketplace, cut, standing)
        return Seen(tuple(cases), confirmed, overturned, cut.observe_time // DAY)


def _violations(connection: Connection, marketplace: str, cut: Cut) -> list[ViolationView]:
    """Return the violations of a marketplace that are cases of a run, as they stand."""
    names = connection.execute(_REPORTS, {"marketplace": marketplace, "last": cut.sequence}).scalars().all()
    found: list[ViolationView] = []
    for first in range(0, len(names), MAX_NAMES):
        views = reading.named_violations(connection, marketplace, names[first : first + MAX_NAMES], cut)
        found += [view for view in views.values() if view.violation_type in RUN_TYPES and view.seller]
    return found


def _cases(connection: Connection, marketplace: str, cut: Cut, standing: list[ViolationView]) -> list[RunCase]:
    """Return a case for each seller of these violations."""
    starts: dict[str, int] = {}
    for view in standing:
        day = view.occur_time // DAY
        starts[view.seller] = min(starts.get(view.seller, day), day)
    stops: dict[str, int | None] = {}
    bounds = {"marketplace": marketplace, "last": cut.sequence, "sellers": [*starts]}
    for seller, occur_time, change in connection.execute(_CHANGES, bounds) if starts else ():
        if change == PayoutsChange.RESUMED:
            stops[seller] = None
        elif stops.get(seller) is None:
            stops[seller] = occur_time // DAY
    return [RunCase(start, stops.get(seller)) for seller, start in starts.items()]

from collections.abc import Iterator
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Connection, and_, bindparam, exists, func, or_, select, text

from scoring.answers.report_figures import FigureTally, Period, ReportExposure, ReportRow, count
from scoring.base.enums import CorrectionKind, Kind, MeasureState
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.clock.mending import read_mended_times
from service.ledger.database.tables import ENTRY, EXPOSED, FOUND, HERE, ON_TERMS, among_kinds, of_kind

CHUNK = 10_000

_E, _LATER = ENTRY.c, ENTRY.alias("later").c
_ROW = select(*(_E[name] for name in ReportRow._fields))
_START: BindParameter[int] = bindparam("start", type_=BigInteger())
_END: BindParameter[int] = bindparam("end", type_=BigInteger())
_UP_TO_LAST = _E.sequence + 0 <= bindparam("last")
"""The sums keep databases on the partial indexes, away from the entries of other kinds."""
_IS_IN_PERIOD = and_(_E.occur_time >= _START, _E.occur_time < _END)
_INSPECTED_SELLERS = (
    select(_E.seller)
    .where(HERE, text(FOUND), _E.kind == int(Kind.INSPECTION), _IS_IN_PERIOD, _UP_TO_LAST)
    .correlate(None)
)
_CHANGED_VIOLATIONS = (
    select(_E.violation)
    .where(
        *(HERE, _E.violation.is_not(None), _UP_TO_LAST),
        or_(and_(_E.report_time >= _START, _E.report_time < _END), _IS_IN_PERIOD),
    )
    .correlate(None)
)
_CASES = _ROW.where(
    *(HERE, _UP_TO_LAST, _E.violation.is_not(None), _E.status.is_not(None)),
    among_kinds(Kind.VIOLATION, Kind.PRODUCT_VIOLATION, Kind.STATUS, Kind.ATTRIBUTION),
    or_(_E.violation.in_(_CHANGED_VIOLATIONS), _E.seller.in_(_INSPECTED_SELLERS)),
).order_by(_E.violation, _E.sequence)
"""The whole story of each violation that was reported or decided in the period, and of each seller inspected."""
_CORRECTIONS = _ROW.where(
    HERE, _E.target.is_not(None), among_kinds(Kind.CORRECTION), _E.status.is_not(None), _UP_TO_LAST
).order_by(_E.sequence + 0)
_MOVED_ENTRIES = (
    select(_E.target)
    .where(
        *(HERE, _E.target.is_not(None), _UP_TO_LAST),
        *(_E.kind == int(Kind.CORRECTION), _E.status == int(CorrectionKind.MOVED)),
    )
    .correlate(None)
)
_TERMS = _ROW.where(
    *(HERE, text(ON_TERMS), _UP_TO_LAST),
    or_(
        _E.kind == int(Kind.COMPLAINT_DECISION),
        and_(
            or_(
                of_kind(Kind.COMPLAINT),
                and_(of_kind(Kind.MEASURE), _E.status == int(MeasureState.IMPOSED)),
            ),
            or_(_IS_IN_PERIOD, _E.entry_id.in_(_MOVED_ENTRIES)),
        ),
    ),
).order_by(_E.sequence + 0)
_INSPECTIONS = _ROW.where(
    HERE, text(FOUND), of_kind(Kind.INSPECTION), _UP_TO_LAST, or_(_IS_IN_PERIOD, _E.entry_id.in_(_MOVED_ENTRIES))
).order_by(_E.sequence + 0)
_EXPOSED = select(func.count(_E.seller.distinct()), func.coalesce(func.sum(_E.settled_orders), 0)).where(
    *(HERE, text(f"entry.{EXPOSED}"), _E.settled_orders > 0, _UP_TO_LAST),
    *(_E.exposure_day >= bindparam("first_day"), _E.exposure_day < bindparam("end_day")),
    ~exists().where(
        *(_LATER.marketplace == _E.marketplace, text(f"later.{EXPOSED}"), _LATER.seller == _E.seller),
        *(_LATER.exposure_day == _E.exposure_day, _LATER.product_category == _E.product_category),
        *(_LATER.revision > _E.revision, _LATER.sequence <= bindparam("last")),
    ),
)


@frozen
class TransparencyQueries:
    clock: LedgerClock

    def tally(self, marketplace: str, period: Period, sequence: int) -> FigureTally:
        """Count the figures of a period from the entries up to a sequence.

        Memory grows with the period's violations, time with the marketplace's entries.
        """
        values = {"marketplace": marketplace, "last": sequence, "start": period.start, "end": period.end}
        days = {"first_day": period.start // DAY, "end_day": period.end // DAY}
        mendings = self.clock.list_mendings(sequence)
        with self.clock.database.snapshot() as connection, read_mended_times(connection, mendings):
            sellers, settled_orders = connection.execute(_EXPOSED, values | days).one()
            streams = [
                _stream_rows(connection, query, values) for query in (_CASES, _TERMS, _INSPECTIONS, _CORRECTIONS)
            ]
            return count(period, ReportExposure(sellers, int(settled_orders)), *streams)


def _stream_rows(connection: Connection, query: Any, values: dict[str, Any]) -> Iterator[ReportRow]:
    for rows in connection.execute(query, values, execution_options={"yield_per": CHUNK}).partitions():
        yield from map(ReportRow._make, rows)

"""What measures, caution and payouts rest on beside what scores read, as methods of the ledger: flow by day."""

import json
from typing import Any

from sqlalchemy import bindparam, select, text

from scoring.entries.field_types import fact_fields
from scoring.entries.flow import FlowDay
from scoring.entries.kinds.settlement import FlowStated
from service.ledger.reads import Reads
from service.ledger.records import Cut
from service.ledger.tables import ENTRY, FLOWING

_E = ENTRY.c
_FLOW = (
    select(_E.exposure_day, _E.product_category, _E.revision, _E.entry_id, _E.sequence, _E.content)
    .where(
        _E.marketplace == bindparam("marketplace"),
        _E.seller == bindparam("seller"),
        text(FLOWING),
        _E.exposure_day >= bindparam("first_day"),
        _E.occur_time < bindparam("observe_time"),
        _E.report_time < bindparam("observe_time"),
        _E.sequence <= bindparam("last"),
    )
    .order_by(_E.exposure_day, _E.product_category, _E.revision)
)
_IN_CONTENT = [field.name for field in fact_fields(FlowStated) if not field.column]


class TermsReads(Reads):
    """The part of the ledger that terms, and what is suspected, rest on."""

    def flow(self, marketplace: str, seller: str, cut: Cut, first_day: int) -> list[FlowDay]:
        """Return the flow of a seller from a UTC day on, as of the cut: one statement for each day and product category.

        By day (since 1970-01-01) and product category; the highest revision that was reported before `cut.observe_time`.
        """
        values = {
            "marketplace": marketplace,
            "seller": seller,
            "first_day": first_day,
            "observe_time": cut.observe_time,
            "last": cut.sequence,
        }
        with self._reading(cut.sequence) as connection:
            rows = connection.execute(_FLOW, values).all()
        latest = {
            (row.exposure_day, row.product_category): row for row in rows
        }  # the last one has the highest revision
        return [_flow_day_of(row) for row in latest.values()]


def _flow_day_of(row: Any) -> FlowDay:
    """Return a row's statement; its numbers are read without the readers of all fields, which take three times as long."""
    day, product_category, revision, entry_id, sequence, content = row
    stated: dict[str, Any] = json.loads(content)
    counts = {name: stated[name] for name in _IN_CONTENT if name in stated}
    return FlowDay(entry_id, sequence, FlowStated(day, product_category, revision, **counts))

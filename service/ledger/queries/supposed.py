"""Hypothetical entries as reads of the ledger would return them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scoring.base.enums import Kind, Source
from scoring.base.frozen import frozen
from scoring.entries.entry import entry_from_content
from scoring.entries.kinds.trade import FAILURES
from scoring.entries.violation_types import TYPE_NUMBERS
from scoring.features.columns import FactRow, SaleRow
from scoring.features.facts import COUNTING_KINDS
from service.ledger.database.tables import ENTRY
from service.ledger.queries.measures import TermStatement

_COLUMNS = FactRow._fields[:-4]
SALE_VALUES = ("currency", "value_minor", *FAILURES)


@frozen
class SupposedEntries:
    facts: Sequence[FactRow] = ()
    """All but exposure."""
    sales: Sequence[SaleRow] = ()
    """With `SALE_VALUES`, without the seller."""
    terms: Sequence[TermStatement] = ()


NOTHING_SUPPOSED = SupposedEntries()


def read_supposed(rows: Iterable[Sequence[Any]]) -> SupposedEntries:
    """Sort rows of the table of entries into exposure, other kinds for scores, and terms."""
    facts: list[FactRow] = []
    sales: list[SaleRow] = []
    terms: list[TermStatement] = []
    for values in rows:
        row = dict(zip(ENTRY.c.keys(), values, strict=True))
        content: Mapping[str, Any] = json.loads(row["content"])
        if row["kind"] == Kind.EXPOSURE:
            day = (row[name] for name in ("report_time", "exposure_day", "product_category", "revision"))
            counts = (row["settled_orders"], row["service_failures"])
            sales.append((*day, *counts, *map(content.get, SALE_VALUES)))
        elif row["kind"] in COUNTING_KINDS:
            source = None
            if row["kind"] in (Kind.VIOLATION, Kind.INSPECTION) and "source" in content:
                source = int(Source[content["source"].upper()])
            type_number = TYPE_NUMBERS.get(content.get("violation_type", ""))
            from_content = (source, type_number, content.get("attributes"), content.get("listing"))
            facts.append(FactRow._make((*(row[name] for name in _COLUMNS), *from_content)))
        else:
            fact = entry_from_content(row["entry_id"], row["content"]).fact
            terms.append(TermStatement(row["entry_id"], row["sequence"], row["occur_time"], fact, row["record_time"]))
    return SupposedEntries(facts, sales, terms)

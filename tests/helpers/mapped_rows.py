from collections.abc import Mapping, Sequence
from typing import Any

from scoring.base.canonical import JsonObject
from scoring.entries.entry import Entry
from service.ingest.mapping.cells import RowRejected
from service.ingest.mapping.rules import ForeignMapping, compile_mapping

VIOLATION: JsonObject = {
    "kind": "violation",
    "entry_id": "v-{case}",
    "seller": "{shop}",
    "occur_time": "{when}",
    "violation_type": "counterfeit_goods",
    "harm": "high",
    "source": "brand",
}


EXPOSURE: JsonObject = {"kind": "exposure", "entry_id": "x-{shop}-{day}", "seller": "{shop}", "day": "{day}"}


IDENTITY: JsonObject = {"kind": "identity", "entry_id": "i-{shop}", "seller": "{shop}", "occur_time": "{when}"}


ROW = {"case": "7", "shop": "s", "when": "2026-03-01T10:00:00Z", "day": "2026-03-01", "act": "confirm"}


def mapping(*rules: Mapping[str, Any]) -> ForeignMapping:
    return compile_mapping({"marketplace": "acme", "files": [{"path": "rows.csv", "entries": list(rules)}]})


def entries(rules: Sequence[Mapping[str, Any]], *rows: Mapping[str, str]) -> list[tuple[int, Entry | RowRejected]]:
    return list(mapping(*rules).files[0].entries(enumerate(rows, 2)))


def entry(rule: Mapping[str, Any], row: Mapping[str, str] = ROW) -> Entry:
    ((_, made),) = entries([rule], row)
    assert isinstance(made, Entry), made
    return made


def rejection(rule: Mapping[str, Any], row: Mapping[str, str] = ROW) -> str:
    ((line, made),) = entries([rule], row)
    assert isinstance(made, RowRejected), made
    assert line == 2
    return str(made)

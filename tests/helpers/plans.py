import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from sqlalchemy import Connection, Engine, event

Asked = list[tuple[str, Any]]


@contextmanager
def listening() -> Iterator[Asked]:
    asked: Asked = []

    def note(_: Any, __: Any, sql: str, values: Any, *___: Any) -> None:
        asked.append((sql, values))

    event.listen(Engine, "before_cursor_execute", note)
    yield asked
    event.remove(Engine, "before_cursor_execute", note)


def sqlite_faults(connection: Connection, sql: str, values: Any) -> tuple[list[str], Any]:
    plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
    whole = [step for step in plan if "TEMP B-TREE" in step or step.startswith("SCAN entry")]
    return ([] if "marketplace" not in sql else whole), plan


def postgresql_faults(connection: Connection, sql: str, values: Any) -> tuple[list[str], Any]:
    """Return generic plan nodes that read the whole table or filter rows out."""
    numbers = count(1)
    known = {name: f"${next(numbers)}" for name in values}
    numbered = re.sub(r"%\((\w+)\)s", lambda match: known[match[1]], sql)
    explained = connection.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {numbered}").scalar()
    plan: Any = json.loads(explained) if isinstance(explained, str) else explained
    faults = []
    for node in nodes(plan[0]["Plan"]):
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "entry":
            faults.append("reads the whole table")
        if re.search(r"\b(marketplace|violation|entry_id)\b", node.get("Filter", "")):
            faults.append(f"passes over rows: {node['Filter']}")
        if node["Node Type"] in {"Sort", "Incremental Sort"} and "LIMIT" in sql:
            faults.append("sorts what it should find in order")
    return faults, plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


FAULTS: dict[str, Callable[[Connection, str, Any], tuple[list[str], Any]]] = {
    "sqlite": sqlite_faults,
    "postgresql": postgresql_faults,
}

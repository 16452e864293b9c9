from typing import Any

from hypothesis import settings

from scoring.base.enums import Source, Status
from scoring.base.time import DAY
from scoring.entries.flow import FlowDay
from scoring.entries.kinds.settlement import FlowStated
from scoring.features.columns import FactRow
from scoring.policy.caution import CautionTable
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from tests.helpers.policies import data, shipped
from tests.helpers.worlds import TODAY, exposure, identity, violation

FEW = settings(max_examples=60, deadline=None)


GENERAL = shipped("general")


SOLD = [identity("i", TODAY - 600), exposure("x", TODAY - 300, 5_000), exposure("y", TODAY - 10, 50)]


WEIGHTS: dict[str, dict[str, int]] = {source.name.lower(): {"weight": 1, "at_most": 1} for source in Source}


def report(
    name: str, day: int, source: Source = Source.CUSTOMS, severity: int = 3, incident: str = "", category: int = 1
) -> FactRow:
    row = violation(name, day, category, severity, Status.ALLEGED, incident)
    return row._replace(source=int(source))


def caution_rule(name: str = "r", **parts: Any) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "id": name,
        "reference": "terms 10",
        "days": 3,
        "measures": [{"kind": "intake_cap", "new_listings": 0}],
    }
    return (
        stated | ({} if {"control", "burst", "jump"} & {*parts} else {"reports": {"weight": 100, "days": 14}}) | parts
    )


def policy_of(*rules: dict[str, Any], sources: dict[str, Any] | None = None, **parts: Any) -> Policy:
    table = {"decide_days": 1, "sources": WEIGHTS | (sources or {}), "rules": list(rules)} | parts
    return parse_policy(data(caution=table))


DISPUTED = {"of": "disputed", "share_ppm": 150_000, "orders": 20, "days": 7}


def flow(day: int, known: int | None = None, name: str = "", **counts: Any) -> FlowDay:
    fact = FlowStated(day, currency="EUR", **counts)
    first = name or f"f{day - TODAY}"
    return FlowDay(f"last-{first}", 0, fact, (day + 1) * DAY - 1 if known is None else known, first)


def table_of(**trigger: Any) -> CautionTable:
    stated = {"decide_days": 1, "sources": WEIGHTS, "rules": [caution_rule(**{"days": 5} | trigger)]}
    table = parse_policy(data(caution=stated, currency="EUR")).caution
    assert table is not None
    return table

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from scoring.base.canonical import JsonObject
from scoring.base.enums import ControlReason, Kind, Source, Status
from scoring.base.time import DAY
from scoring.caution.cautions import Caution
from scoring.entries.flow import FlowDay
from scoring.entries.kinds.settlement import FlowStated
from scoring.features.columns import FactRow
from scoring.policy.caution import CautionTable
from scoring.policy.policy import Policy
from scoring.policy.reading import parse_policy
from tests.helpers.answers import score
from tests.helpers.policies import data, shipped
from tests.helpers.worlds import NOW, TODAY, artifact, decision, exposure, identity, numbered, status, violation

FEW = settings(max_examples=60, deadline=None)


GENERAL = shipped("general")


SOLD = [identity("i", TODAY - 600), exposure("x", TODAY - 300, 5_000), exposure("y", TODAY - 10, 50)]


WEIGHTS: dict[str, dict[str, int]] = {source.name.lower(): {"weight": 1, "at_most": 1} for source in Source}


def report(
    name: str, day: int, source: Source = Source.CUSTOMS, severity: int = 3, incident: str = "", category: int = 1
) -> FactRow:
    row = violation(name, day, category, severity, Status.ALLEGED, incident)
    return row._replace(source=int(source))


def caution_rule(name: str = "r", **parts: Any) -> JsonObject:
    stated: JsonObject = {
        "id": name,
        "reference": "terms 10",
        "days": 3,
        "measures": [{"kind": "intake_cap", "new_listings": 0}],
    }
    return (
        stated | ({} if {"control", "burst", "jump"} & {*parts} else {"reports": {"weight": 100, "days": 14}}) | parts
    )


def policy_of(*rules: JsonObject, sources: JsonObject | None = None, **parts: Any) -> Policy:
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


def taken_over(name: str, day: int) -> FactRow:
    return decision(Kind.CONTROL, name, day, status=ControlReason.TAKEN_OVER)


def visible(day: int) -> int:
    return day * DAY + 2


def cautions(rows: list[FactRow], moment: int = NOW, policy: Policy = GENERAL) -> tuple[Caution, ...]:
    [answer] = score(numbered([*SOLD, *rows]), ["s"], moment, artifact(), policy)
    assert answer
    return answer.cautions


Seen = list[tuple[int, Source, int, int | None]]


SEEN: st.SearchStrategy[Seen] = st.lists(
    st.tuples(
        st.integers(TODAY - 190, TODAY),
        st.sampled_from([Source.CUSTOMS, Source.TEST_BUY, Source.BUYER, Source.PLATFORM_DETECTION]),
        st.integers(0, 6),
        st.none() | st.integers(0, 20),
    ),
    min_size=1,
    max_size=14,
)


BUSY = policy_of(
    caution_rule("few", days=5, reports={"weight": 100, "days": 20}),
    caution_rule("more", days=14, reports={"weight": 150, "days": 40}),
    caution_rule("hands", days=9, control=["taken_over"]),
    sources={
        "customs": {"weight": 60, "at_most": 400},
        "test_buy": {"weight": 100, "at_most": 400},
        "buyer": {"weight": 10, "at_most": 30},
        "platform_detection": {"weight": 50, "at_most": 80},
    },
)


def history(seen: Seen) -> list[FactRow]:
    rows = []
    for n, (day, source, incident, dismissed) in enumerate(seen):
        rows.append(report(f"r{n}", day, source, incident=f"incident-{incident}"))
        if dismissed is not None:
            rows.append(status(f"d{n}", f"r{n}", Status.DISMISSED, day + dismissed))
    return sorted(rows, key=lambda row: (row.report_time, row.entry_id))

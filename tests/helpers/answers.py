from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from scoring.base.enums import Kind
from scoring.base.time import DAY
from scoring.caution.cautions import NO_FLOWS, Caution, Flows, find_cautions
from scoring.entries.flow import FlowDay
from scoring.features.columns import NOTHING_OMITTED, FactRow, FactTable, OmittedAllegations, tabulate
from scoring.features.resolved import resolve_sellers
from scoring.measures.in_force import InForce, MeasureInputs
from scoring.measures.in_force import evaluate_measures as evaluate
from scoring.measures.record import MeasureStatement
from scoring.model.artifact import Artifact
from scoring.policy.caution import CautionTable
from scoring.policy.policy import Policy
from scoring.scores import score as scores
from scoring.scores.answer import Explanation, SellerScore
from service.ledger.records import Cut
from service.ledger.store import Ledger
from tests.helpers.builders import MARKET
from tests.helpers.worlds import NOW, artifact, numbered, policy

Check = Callable[[], None]


def answer(
    rows: Sequence[FactRow] | FactTable,
    sellers: Sequence[str],
    observe_time: int,
    artifact: Artifact | None,
    policy: Policy,
    check: Check = lambda: None,
    omitted: Mapping[str, OmittedAllegations] = NOTHING_OMITTED,
    flows: Flows = NO_FLOWS,
    *,
    looks_back: bool = False,
) -> scores.CoreAnswer:
    table = rows if isinstance(rows, FactTable) else tabulate(rows, sellers)
    known = resolve_sellers(sellers, table, observe_time, omitted)
    cautions = {} if policy.caution is None else find_cautions(known, policy.caution, flows, check)
    return scores.compute_answer(known, artifact, policy, cautions, check, looks_back=looks_back)


def score(
    rows: Sequence[FactRow] | FactTable,
    sellers: Sequence[str],
    observe_time: int,
    artifact: Artifact | None,
    policy: Policy,
    check: Check = lambda: None,
    omitted: Mapping[str, OmittedAllegations] = NOTHING_OMITTED,
    flows: Flows = NO_FLOWS,
) -> list[SellerScore | None]:
    return [*answer(rows, sellers, observe_time, artifact, policy, check, omitted, flows).scores]


def score_one(rows: Sequence[FactRow], observe_time: int = NOW) -> Any:
    return score(numbered([*rows]), ["s"], observe_time, artifact(), policy())[0]


def explain(
    rows: Sequence[FactRow] | FactTable,
    seller: str,
    observe_time: int,
    artifact: Artifact | None,
    policy: Policy,
    omitted: Mapping[str, OmittedAllegations] = NOTHING_OMITTED,
) -> Explanation | None:
    return scores.explain(answer(rows, [seller], observe_time, artifact, policy, omitted=omitted))


def evaluate_measures(
    rows: Sequence[FactRow],
    seller: str,
    observe_time: int,
    artifact: Artifact | None,
    policy: Policy,
    marketplace: str,
    settled_minor: Mapping[str, int] | None = None,
    statements: Sequence[MeasureStatement] = (),
    deposits_minor: Sequence[int] = (0,),
    flows: Flows = NO_FLOWS,
) -> InForce | None:
    table = with_values(rows, [seller], settled_minor or {}, policy.rule_book.currency)
    given = answer(table, [seller], observe_time, artifact, policy, flows=flows, looks_back=True)
    [found] = evaluate(given, marketplace, {seller: MeasureInputs(statements, deposits_minor)})
    return found


def with_values(
    rows: Sequence[FactRow], sellers: Sequence[str], settled_minor: Mapping[str, int], currency: str
) -> FactTable:
    sold = [row for row in rows if row.kind == Kind.EXPOSURE]
    values = {currency: [settled_minor.get(row.entry_id, 0) for row in sold]}
    return tabulate([row for row in rows if row.kind != Kind.EXPOSURE], sellers, [*map(sale_of, sold)], values)


def sale_of(row: FactRow) -> tuple[object, ...]:
    columns = (row.report_time, row.exposure_day, row.product_category, row.revision or 0)
    return row.seller, *columns, row.settled_orders or 0, row.service_failures or 0


def fact_rows(ledger: Ledger, *sellers: str, cut: Cut | None = None, marketplace: str = MARKET) -> list[FactRow]:
    """Return what scores read of sellers, exposure included, by seller and sequence (0 for exposure)."""
    table, _ = ledger.facts.table(marketplace, sellers, cut or ledger.cut())
    return sorted([*table.rows, *_exposure_rows(table, sellers)], key=attrgetter("seller", "sequence"))


def _exposure_rows(table: FactTable, sellers: Sequence[str]) -> Iterator[FactRow]:
    assert table.sales is not None
    names = ("case", "report_time", "day", "product", "revision", "orders", "failures")
    columns = (getattr(table.sales, name).tolist() for name in names)
    for case, report_time, day, product, *numbers in zip(*columns, strict=True):
        row = FactRow(0, "", sellers[case], Kind.EXPOSURE, day * DAY, report_time, exposure_day=day)
        counts = dict(zip(("revision", "settled_orders", "service_failures"), numbers, strict=True))
        yield row._replace(product_category=table.products[product], **counts)


def find_cautions_of_seller(
    rows: Sequence[FactRow],
    observe_time: int,
    stated: CautionTable,
    flow: Sequence[FlowDay] = (),
    check: Check = lambda: None,
) -> tuple[Caution, ...]:
    seller = rows[0].seller if rows else "s"
    known = resolve_sellers([seller], tabulate(rows, [seller]), observe_time)
    return find_cautions(known, stated, {seller: flow} if flow else NO_FLOWS, check).get(0, ())

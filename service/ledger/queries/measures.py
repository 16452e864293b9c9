import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, or_, select, text

from scoring.base.enums import NOTICE_STATES, Kind
from scoring.base.frozen import frozen
from scoring.entries.cases import PayoutStatement
from scoring.entries.field_types import fact_fields
from scoring.entries.flow import FlowDay, SupersededFlow
from scoring.entries.kinds.decisions import CaseChanged, MeasureChanged
from scoring.entries.kinds.settlement import DepositChanged, FlowStated, PayoutsChanged
from scoring.entries.kinds.table import Fact
from scoring.measures.record import CaseStatement, MeasureStatement, SellerTerms
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import (
    AS_OF_CUT,
    ENTRY,
    FLOWING,
    HERE,
    ON_TERMS,
    SELLERS,
    UP_TO_LAST,
    among,
    among_kinds,
    read_fact,
)
from service.ledger.records import Cut

_E = ENTRY.c
_OF_FLOW = (HERE, among(_E.seller, SELLERS), text(FLOWING), *AS_OF_CUT)
_FLOW_BY_DAY = (
    select(
        *(_E.seller, _E.exposure_day, _E.product_category, _E.revision, _E.entry_id, _E.sequence, _E.content),
        _E.report_time,
    )
    .where(*_OF_FLOW)
    .order_by(_E.seller, _E.exposure_day, _E.product_category, _E.revision)
)
_FLOW = _FLOW_BY_DAY.where(_E.exposure_day >= bindparam("first_day"))
_LAST_EARLIER_DAY = (
    select(_E.seller, func.max(_E.exposure_day).label("day"))
    .where(*_OF_FLOW, _E.exposure_day < bindparam("first_day"))
    .group_by(_E.seller)
    .subquery()
)
_FLOW_WITH_EARLIER = _FLOW_BY_DAY.outerjoin(_LAST_EARLIER_DAY, _LAST_EARLIER_DAY.c.seller == _E.seller).where(
    or_(_E.exposure_day >= bindparam("first_day"), _E.exposure_day == _LAST_EARLIER_DAY.c.day)
)
_OF_SELLERS = (HERE, among(_E.seller, SELLERS), text(ON_TERMS))
_ON_TERMS = (
    select(_E.seller, _E.kind, _E.entry_id, _E.sequence, _E.occur_time, _E.record_time, _E.content)
    .where(*_OF_SELLERS, UP_TO_LAST)
    .order_by(_E.marketplace, _E.seller, _E.sequence)
)
_STATED_SINCE = (
    select(_E.sequence)
    .where(*_OF_SELLERS, among_kinds(Kind.MEASURE, Kind.CASE), _E.sequence > bindparam("until"))
    .limit(1)
)
_TERM_KINDS = frozenset({Kind.MEASURE, Kind.DEPOSIT, Kind.PAYOUTS, Kind.CASE})
_COUNTS_IN_CONTENT = [field.name for field in fact_fields(FlowStated) if not field.column]


class TermStatement(NamedTuple):
    entry_id: str
    sequence: int
    occur_time: int
    fact: Fact
    record_time: int = 0


class RecordCondition(NamedTuple):
    """The condition under which the service states changes of measures and cases."""

    sellers: Sequence[str]
    until: int

    def holds(self, connection: Connection, marketplace: str) -> bool:
        """Return whether none of the sellers' measures or cases was stated after the sequence `until`."""
        values = {"marketplace": marketplace, "sellers": list(self.sellers), "until": self.until}
        return connection.execute(_STATED_SINCE, values).first() is None


@frozen
class MeasureQueries:
    clock: LedgerClock

    def read_seller_terms(self, marketplace: str, seller: str, cut: Cut) -> SellerTerms:
        return self.of_sellers(marketplace, [seller], cut)[seller]

    def of_sellers(
        self, marketplace: str, sellers: Sequence[str], cut: Cut, supposed: Sequence[TermStatement] = ()
    ) -> dict[str, SellerTerms]:
        """Return each seller's recorded terms as of the cut; empty ones for a seller without any.

        `supposed` statements count for every seller, also if their sequence is behind the cut's.
        """
        statements = self.list_stated(marketplace, sellers, cut.sequence)
        last_sequence = max([cut.sequence, *(statement.sequence for statement in supposed)])
        last = replace(cut, sequence=last_sequence)
        return {seller: select_terms([*stated, *supposed], last) for seller, stated in statements.items()}

    def list_stated(self, marketplace: str, sellers: Sequence[str], until: int) -> dict[str, list[TermStatement]]:
        """Return by seller, in order, the entries about measures, deposits, payouts and cases up to a sequence."""
        statements: dict[str, list[TermStatement]] = {seller: [] for seller in sellers}
        for row in self.clock.rows_up_to(until, _ON_TERMS, marketplace=marketplace, sellers=list(sellers)):
            if row.kind in _TERM_KINDS:
                statement = TermStatement(row.entry_id, row.sequence, row.occur_time, read_fact(row), row.record_time)
                statements[row.seller].append(statement)
        return statements

    def flows(
        self, marketplace: str, sellers: Sequence[str], cut: Cut, first_day: int, *, with_before: bool = False
    ) -> dict[str, list[FlowDay]]:
        """Return the sellers' flow (events of orders by day) from a UTC day on; sellers without flow are left out.

        One statement for each day (since 1970-01-01) and product category, in order: the highest revision reported
        before `cut.observe_time`. `with_before`, which is slower, adds the earlier revisions, and the last day stated
        before `first_day`.
        """
        query = _FLOW_WITH_EARLIER if with_before else _FLOW
        rows = self.clock.rows_as_of(cut, query, marketplace=marketplace, sellers=list(sellers), first_day=first_day)
        return group_flow_days(rows, with_before)


def group_flow_days(rows: Iterable[Any], with_before: bool) -> dict[str, list[FlowDay]]:
    """Return the flow by seller; `rows` come by seller, day, product category and revision."""
    flow: dict[str, list[FlowDay]] = {}
    for (seller, *_), revisions in groupby(rows, key=itemgetter(0, 1, 2)):
        flow.setdefault(seller, []).append(_resolve_revisions(list(revisions), with_before))
    return flow


def select_terms(statements: Iterable[TermStatement], cut: Cut) -> SellerTerms:
    """Return the records of a seller's terms that happened before `observe_time` and were recorded by the cut."""
    terms = SellerTerms([], [], [], [], [])
    for entry_id, sequence, occur_time, fact, record_time in statements:
        if sequence > cut.sequence or occur_time >= cut.observe_time:
            continue
        if isinstance(fact, MeasureChanged):
            statement = MeasureStatement(entry_id, sequence, occur_time, fact, record_time)
            (terms.notices if fact.state in NOTICE_STATES else terms.statements).append(statement)
        elif isinstance(fact, DepositChanged):
            terms.deposit_changes.append((occur_time, fact))
        elif isinstance(fact, PayoutsChanged | CaseChanged):
            terms.payout_statements.append(PayoutStatement(entry_id, occur_time, fact))
            if isinstance(fact, CaseChanged):
                terms.cases.append(CaseStatement(entry_id, occur_time, fact))
    return terms


def _resolve_revisions(revisions: Sequence[Any], with_before: bool) -> FlowDay:
    """Make a day's flow of its revisions, the highest last; `with_before` adds those that counted earlier."""
    last = revisions[-1]
    first = min(revisions, key=attrgetter("report_time"))
    before: list[SupersededFlow] = []
    if with_before and len(revisions) > 1:
        counted, *later = sorted(revisions, key=attrgetter("report_time", "revision"))
        for row in later:
            if row.revision > counted.revision:
                before.append(SupersededFlow(row.report_time + 1, _read_flow(counted)))
                counted = row
    return FlowDay(last.entry_id, last.sequence, _read_flow(last), first.report_time, first.entry_id, tuple(before))


def _read_flow(row: Any) -> FlowStated:
    content: dict[str, Any] = json.loads(row.content)
    counts = {name: content[name] for name in _COUNTS_IN_CONTENT if name in content}
    return FlowStated(row.exposure_day, row.product_category, row.revision, **counts)

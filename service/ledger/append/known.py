from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Select, Text, bindparam

from scoring.base.enums import Kind
from scoring.entries.derivation import INDEPENDENT_KINDS, VIOLATION_KINDS
from scoring.entries.derivation_context import CorrectionTarget, DerivationContext, Listing, ProductReport
from scoring.entries.entry import PreparedEntry, entry_from_content
from scoring.entries.incidents import derived_id
from scoring.entries.kinds.conduct import (
    AttributionStated,
    IncidentChanged,
    ProductListed,
    ProductViolationReported,
    RemediationDone,
    StatusChanged,
)
from scoring.entries.kinds.decisions import CaseChanged, EntryCorrected, MeasureChanged
from scoring.entries.violation_state import TimedDecision, ViolationState
from service.ledger.append.accounts import load_accounts, load_cases, load_contests
from service.ledger.database.rows import require_known
from service.ledger.database.tables import (
    BY_TARGET,
    BY_VIOLATION,
    ENTRY,
    HERE,
    NAMED,
    OF_SELLERS,
    RECORDED,
    RowReader,
    among_kinds,
    of_kind,
    only,
    read_fact,
)
from service.ledger.queries.violations import fold_states

CHUNK = 5_000
"""The most sellers that one append reaches by an entry: it keeps the lock short."""

_E = ENTRY.c
_ABOUT_OF_SELLERS = BY_VIOLATION.where(OF_SELLERS)
_WAITING = BY_VIOLATION.where(of_kind(Kind.STATUS), _E.status.is_(None))
CHANGES = BY_VIOLATION.where(among_kinds(Kind.STATUS), _E.status.is_not(None))
_REPORTS = BY_TARGET.where(among_kinds(Kind.PRODUCT_VIOLATION))
_NEXT_ABOUT_TARGET = (
    RECORDED.where(
        HERE,
        _E.target.is_not(None),
        only(_E.target, bindparam("target", type_=Text())),
        _E.kind == bindparam("kind"),
        _E.sequence > bindparam("after"),
    )
    .order_by(_E.target, _E.sequence)
    .limit(bindparam("limit"))
)
_FACTS_ABOUT_VIOLATIONS = (StatusChanged, AttributionStated, RemediationDone, IncidentChanged)


class KnownContext(DerivationContext):
    """The recorded state that a batch refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.unfinished: dict[str, int] = {}
        """The last loaded sequence of its consequences, by the id of a product's violation or of a decision."""


def load_known(reader: RowReader, unrecorded: Sequence[PreparedEntry]) -> KnownContext:
    """Load what `unrecorded` refers to, with at most CHUNK consequences of an entry; note the rest as `unfinished`."""
    context = KnownContext()
    entries = [
        item.entry for item in unrecorded if item.kind not in INDEPENDENT_KINDS and item.kind is not Kind.VIOLATION
    ]
    facts = [entry.fact for entry in entries]
    violations = {f.violation for f in facts if isinstance(f, _FACTS_ABOUT_VIOLATIONS) and f.violation}
    violations |= {name for f in facts if isinstance(f, MeasureChanged | CaseChanged) for name in f.violations}
    reports = {item.entry.entry_id for item in unrecorded if item.kind in VIOLATION_KINDS}
    context.corrected_ids = {f.entry for f in facts if isinstance(f, EntryCorrected)}
    decided = {f.violation for f in facts if isinstance(f, StatusChanged)}
    context.waiting_decisions = load_decisions(reader, _WAITING, decided | reports)
    sellers = {"" if isinstance(entry.fact, StatusChanged) else entry.seller for entry in entries}
    context.states = load_states(reader, violations, sellers)
    context.awaited_ids = {*violations, *context.waiting_decisions}
    if not entries:  # reports and independent kinds refer to nothing more
        return context
    context.awaited_ids |= {item.entry.entry_id for item in unrecorded if item.kind is Kind.PRODUCT_VIOLATION}
    _load_reports_of_listed(reader, context, unrecorded)
    _load_consequences(reader, context, unrecorded)
    _load_corrected(reader, context)
    load_accounts(reader, context, unrecorded)
    load_contests(reader, context, unrecorded)
    load_cases(reader, context, unrecorded)
    return context


def _load_consequences(reader: RowReader, context: KnownContext, unrecorded: Sequence[PreparedEntry]) -> None:
    """Add the listings of recalled products, and the violations that decisions about products concern."""
    unfinished: dict[str, int] = {}
    for item in unrecorded:
        fact = item.entry.fact
        if isinstance(fact, ProductViolationReported):
            if fact.product not in context.listings:
                context.listings[fact.product], unfinished[fact.product] = load_listings(reader, fact.product)
            if unfinished[fact.product]:
                context.unfinished[item.entry.entry_id] = unfinished[fact.product]
        elif isinstance(fact, StatusChanged) and _is_of_product(context, fact.violation):
            if fact.violation not in unfinished:
                context.product_decisions |= load_decisions(reader, CHANGES, [fact.violation])
                unfinished[fact.violation] = load_derived_violations(reader, context, fact.violation)
            if unfinished[fact.violation]:
                context.unfinished[item.entry.entry_id] = unfinished[fact.violation]


def _is_of_product(context: DerivationContext, violation: str) -> bool:
    state = context.states.get(violation)
    return state is not None and state.kind is Kind.PRODUCT_VIOLATION


def _load_reports_of_listed(reader: RowReader, context: KnownContext, unrecorded: Sequence[PreparedEntry]) -> None:
    """Add the reports about newly listed products, with their decisions and the violations derived for the sellers."""
    listed = [
        (item.entry.seller, item.entry.fact.product)
        for item in unrecorded
        if isinstance(item.entry.fact, ProductListed)
    ]
    products = {product for _, product in listed}
    for row in reader.rows(_REPORTS, products):
        report = ProductReport(row.entry_id, row.occur_time, row.report_time, read_fact(row))
        context.reports.setdefault(row.target, []).append(report)
    pairs = [(report, seller) for seller, product in listed for report in context.reports.get(product, ())]
    load_sellers_with_violation(reader, context, pairs)
    context.product_decisions |= load_decisions(reader, CHANGES, {report.entry_id for report, _ in pairs})


def load_sellers_with_violation(
    reader: RowReader, context: DerivationContext, pairs: Iterable[tuple[ProductReport, str]]
) -> None:
    """Add the recorded violations that product reports brought these sellers; `pairs`: (report, seller)."""
    derived = {derived_id(report.entry_id, seller): (report.entry_id, seller) for report, seller in pairs}
    for row in reader.rows(NAMED, derived):
        report_id, seller = derived[row.entry_id]
        context.derived_violations.setdefault(report_id, {})[seller] = row.entry_id


def load_listings(reader: RowReader, product: str, after: int = 0) -> tuple[list[Listing], int]:
    """Return the next CHUNK listings, and the last one's sequence (0 at the end)."""
    rows = _read_next(reader, product, Kind.PRODUCT, after)
    listings = [Listing(row.seller, row.occur_time, row.report_time, read_fact(row)) for row in rows[:CHUNK]]
    return listings, rows[CHUNK - 1].sequence if len(rows) > CHUNK else 0


def load_derived_violations(reader: RowReader, context: DerivationContext, report: str, after: int = 0) -> int:
    """Add the next CHUNK violations derived from a product's report; return the last sequence (0 at the end)."""
    rows = _read_next(reader, report, Kind.VIOLATION, after)
    derived_violations = {row.seller: row.entry_id for row in rows[:CHUNK]}
    context.derived_violations.setdefault(report, {}).update(derived_violations)
    context.states |= load_states(reader, derived_violations.values())
    return rows[CHUNK - 1].sequence if len(rows) > CHUNK else 0


def load_states(
    reader: RowReader, names: Collection[str], sellers: Collection[str] = ("",)
) -> dict[str, ViolationState]:
    """Return recorded violations' states by id; of all sellers if "" is among `sellers`."""
    if "" in sellers:
        return fold_states(reader.rows(BY_VIOLATION, names))
    return fold_states(reader.rows(_ABOUT_OF_SELLERS, names, sellers=list(sellers)))


def load_decisions(reader: RowReader, query: Select[Any], names: Collection[str]) -> dict[str, list[TimedDecision]]:
    """Return the decisions that a query of RECORDED selects, by violation, in order."""
    decisions: dict[str, list[TimedDecision]] = {}
    for row in reader.rows(query, names):
        decision = TimedDecision(row.entry_id, row.seller, row.occur_time, row.report_time, read_fact(row))
        decisions.setdefault(row.violation, []).append(decision)
    return decisions


def _load_corrected(reader: RowReader, context: DerivationContext) -> None:
    for row in reader.rows(NAMED, context.corrected_ids):
        require_known(row.kind, row.sequence)
        entry = entry_from_content(row.entry_id, row.content)
        context.correction_targets[row.entry_id] = CorrectionTarget(Kind(row.kind), row.seller, row.report_time, entry)


def _read_next(reader: RowReader, target: str, kind: Kind, after: int) -> Sequence[Any]:
    """Return the next CHUNK + 1 entries of a kind about a target, beyond the sequence `after`."""
    return reader.rows(_NEXT_ABOUT_TARGET, [target], target=target, kind=int(kind), after=after, limit=CHUNK + 1)

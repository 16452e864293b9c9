from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Select, Text, bindparam, select

from scoring.base.enums import Kind, Severity, Status
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
from scoring.entries.violation_state import RecordedChange, TimedDecision, ViolationState
from service.ledger.append.accounts import load_accounts, load_cases, load_contests
from service.ledger.database.expressions import HERE, OF_SELLERS, among, of_kind, only
from service.ledger.database.row_reader import RowReader, read_fact
from service.ledger.database.rows import require_known
from service.ledger.database.tables import ENTRY

CHUNK = 5_000
"""The most sellers that one append reaches by an entry: it keeps the lock short."""

_E = ENTRY.c
_ABOUT = (
    select(
        *(
            _E.violation,
            _E.entry_id,
            _E.kind,
            _E.seller,
            _E.severity,
            _E.status,
            _E.target,
            _E.occur_time,
            _E.report_time,
        )
    )
    .where(
        HERE,
        among(_E.violation),
    )
    .order_by(_E.violation, _E.sequence)
)
_ABOUT_OF_SELLERS = _ABOUT.where(OF_SELLERS)
_DECIDED = select(_E.violation, _E.entry_id, _E.seller, _E.occur_time, _E.report_time, _E.content)
_WAITING = _DECIDED.where(HERE, of_kind(Kind.STATUS), _E.status.is_(None), among(_E.violation)).order_by(
    _E.violation, _E.sequence
)
CHANGES = _DECIDED.where(
    HERE,
    among(_E.violation),
    _E.kind == int(Kind.STATUS),
    _E.status.is_not(None),
).order_by(_E.violation, _E.sequence)
_TARGETED = select(_E.target, _E.sequence, _E.entry_id, _E.seller, _E.occur_time, _E.report_time, _E.content)
_REPORTS = _TARGETED.where(HERE, among(_E.target), _E.kind == int(Kind.PRODUCT_VIOLATION)).order_by(
    _E.target, _E.sequence
)
_NEXT_OF_TARGET = (
    _TARGETED.where(
        HERE,
        _E.target.is_not(None),
        only(_E.target, bindparam("target", type_=Text())),
        _E.kind == bindparam("kind"),
        _E.sequence > bindparam("after"),
    )
    .order_by(_E.target, _E.sequence)
    .limit(bindparam("limit"))
)
_NAMED = select(_E.entry_id, _E.kind, _E.seller, _E.report_time, _E.content, _E.sequence).where(
    HERE, among(_E.entry_id)
)


class KnownContext(DerivationContext):
    """The recorded state that a batch refers to.

    `unfinished`: the last listing's or violation's sequence loaded, by the id of a product's violation or of a
    decision.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unfinished: dict[str, int] = {}


def load_known(reader: RowReader, fresh: Sequence[PreparedEntry]) -> KnownContext:
    """Load all records that deriving needs, but at most CHUNK consequences of an entry; note the rest as `unfinished`."""
    met = KnownContext()
    entries = [item.entry for item in fresh if item.kind not in INDEPENDENT_KINDS and item.kind is not Kind.VIOLATION]
    facts = [entry.fact for entry in entries]
    about = {f.violation for f in facts if isinstance(f, _ABOUT_VIOLATION) and f.violation}
    about |= {name for f in facts if isinstance(f, MeasureChanged | CaseChanged) for name in f.violations}
    reports = {item.entry.entry_id for item in fresh if item.kind in VIOLATION_KINDS}
    met.corrected_ids = {f.entry for f in facts if isinstance(f, EntryCorrected)}
    decided = {f.violation for f in facts if isinstance(f, StatusChanged)}
    met.waiting_decisions = load_decisions(reader, _WAITING, decided | reports)
    sellers = {"" if isinstance(entry.fact, StatusChanged) else entry.seller for entry in entries}
    met.states = load_states(reader, about, sellers)
    met.awaited_ids = {*about, *met.waiting_decisions}
    met.awaited_ids |= {item.entry.entry_id for item in fresh if item.kind is Kind.PRODUCT_VIOLATION}
    _load_reports_of_listed(reader, met, fresh)
    rest: dict[str, int] = {}
    for item in fresh:
        fact = item.entry.fact
        if isinstance(fact, ProductViolationReported):
            if fact.product not in met.listings:
                met.listings[fact.product], rest[fact.product] = load_listings(reader, fact.product)
            if rest[fact.product]:
                met.unfinished[item.entry.entry_id] = rest[fact.product]
        elif isinstance(fact, StatusChanged) and _is_of_product(met, fact.violation):
            if fact.violation not in rest:
                met.product_decisions |= load_decisions(reader, CHANGES, [fact.violation])
                rest[fact.violation] = load_reached(reader, met, fact.violation)
            if rest[fact.violation]:
                met.unfinished[item.entry.entry_id] = rest[fact.violation]
    if met.corrected_ids:
        _load_corrected(reader, met)
    load_accounts(reader, met, fresh)
    load_contests(reader, met, fresh)
    load_cases(reader, met, fresh)
    return met


_ABOUT_VIOLATION = (StatusChanged, AttributionStated, RemediationDone, IncidentChanged)


def _is_of_product(met: DerivationContext, violation: str) -> bool:
    state = met.states.get(violation)
    return state is not None and state.kind is Kind.PRODUCT_VIOLATION


def _load_reports_of_listed(reader: RowReader, met: KnownContext, fresh: Sequence[PreparedEntry]) -> None:
    listed = [
        (item.entry.seller, item.entry.fact.product) for item in fresh if isinstance(item.entry.fact, ProductListed)
    ]
    products = {product for _, product in listed}
    for row in reader.rows(_REPORTS, products):
        report = ProductReport(row.entry_id, row.occur_time, row.report_time, read_fact(row))
        met.reports.setdefault(row.target, []).append(report)
    pairs = [(report, seller) for seller, product in listed for report in met.reports.get(product, ())]
    load_reached_sellers(reader, met, pairs)
    met.product_decisions |= load_decisions(reader, CHANGES, {report.entry_id for report, _ in pairs})


def load_reached_sellers(reader: RowReader, met: DerivationContext, pairs: Iterable[tuple[ProductReport, str]]) -> None:
    ids = {derived_id(report.entry_id, seller): (report.entry_id, seller) for report, seller in pairs}
    for row in reader.rows(_NAMED, ids):
        report, seller = ids[row.entry_id]
        met.derived_violations.setdefault(report, {})[seller] = row.entry_id


def load_listings(reader: RowReader, product: str, after: int = 0, limit: int = CHUNK) -> tuple[list[Listing], int]:
    """Return the next `limit` listings of a product, and the last sequence (0 at the end)."""
    rows = _next_of(reader, product, Kind.PRODUCT, after, limit + 1)
    found = [Listing(row.seller, row.occur_time, row.report_time, read_fact(row)) for row in rows[:limit]]
    return found, rows[limit - 1].sequence if len(rows) > limit else 0


def load_reached(reader: RowReader, met: DerivationContext, report: str, after: int = 0, limit: int = CHUNK) -> int:
    """Add to `met` the next `limit` violations derived from a product's report; return the last sequence (0 at the
    end).
    """
    rows = _next_of(reader, report, Kind.VIOLATION, after, limit + 1)
    derived_violations = {row.seller: row.entry_id for row in rows[:limit]}
    met.derived_violations.setdefault(report, {}).update(derived_violations)
    met.states |= load_states(reader, derived_violations.values())
    return rows[limit - 1].sequence if len(rows) > limit else 0


def load_states(
    reader: RowReader, names: Collection[str], sellers: Collection[str] = ("",)
) -> dict[str, ViolationState]:
    """Return the state of recorded violations by id; of all sellers if `sellers` is empty."""
    query, more = (_ABOUT, {}) if "" in sellers else (_ABOUT_OF_SELLERS, {"sellers": list(sellers)})
    found: dict[str, ViolationState] = {}
    for name, entry_id, kind, seller, severity, status, target, occur, report in reader.rows(query, names, **more):
        if kind in VIOLATION_KINDS:
            found[name] = ViolationState(seller, Kind(kind), Status(status), Severity(severity), report)
        elif name in found and status is not None:
            found[name] = found[name].apply(
                RecordedChange(Kind(kind), entry_id, status, severity, target, occur, report)
            )
    return found


def load_decisions(reader: RowReader, query: Select[Any], names: Collection[str]) -> dict[str, list[TimedDecision]]:
    found: dict[str, list[TimedDecision]] = {}
    for row in reader.rows(query, names):
        decision = TimedDecision(row.entry_id, row.seller, row.occur_time, row.report_time, read_fact(row))
        found.setdefault(row.violation, []).append(decision)
    return found


def _load_corrected(reader: RowReader, met: DerivationContext) -> None:
    for entry_id, kind, seller, report_time, content, sequence in reader.rows(_NAMED, met.corrected_ids):
        require_known(kind, sequence)
        entry = entry_from_content(entry_id, content)
        met.correction_targets[entry_id] = CorrectionTarget(Kind(kind), seller, report_time, entry)


def _next_of(reader: RowReader, target: str, kind: Kind, after: int, limit: int) -> Sequence[Any]:
    return reader.rows(_NEXT_OF_TARGET, [target], target=target, kind=int(kind), after=after, limit=limit)

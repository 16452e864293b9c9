from collections.abc import Collection, Iterable, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Select, Text, bindparam, select

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
from service.ledger.append.accounts import load_accounts, load_cases, load_contests, read_rows
from service.ledger.database.expressions import Texts, among, of_kind, of_sellers, only
from service.ledger.database.rows import require_known
from service.ledger.database.tables import ENTRY

CHUNK = 5_000
"""The most sellers that one append reaches by an entry: it keeps the lock short."""

_E = ENTRY.c
_HERE = _E.marketplace == bindparam("marketplace")
_NAMES = bindparam("names", type_=Texts())
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
        _HERE,
        _E.violation.is_not(None),
        among(_E.violation, _NAMES),
    )
    .order_by(_E.violation, _E.sequence)
)
_ABOUT_OF_SELLERS = _ABOUT.where(of_sellers(_E.seller))
_DECIDED = select(_E.violation, _E.entry_id, _E.seller, _E.occur_time, _E.report_time, _E.content)
_WAITING = _DECIDED.where(_HERE, of_kind(Kind.STATUS), _E.status.is_(None), among(_E.violation, _NAMES)).order_by(
    _E.violation, _E.sequence
)
_CHANGES = _DECIDED.where(
    _HERE,
    _E.violation.is_not(None),
    among(_E.violation, _NAMES),
    _E.kind == int(Kind.STATUS),
    _E.status.is_not(None),
).order_by(_E.violation, _E.sequence)
_TARGETED = select(_E.target, _E.sequence, _E.entry_id, _E.seller, _E.occur_time, _E.report_time, _E.content)
_REPORTS = _TARGETED.where(
    _HERE, _E.target.is_not(None), among(_E.target, _NAMES), _E.kind == int(Kind.PRODUCT_VIOLATION)
).order_by(_E.target, _E.sequence)
_NEXT_OF_TARGET = (
    _TARGETED.where(
        _HERE,
        _E.target.is_not(None),
        only(_E.target, bindparam("target", type_=Text())),
        _E.kind == bindparam("kind"),
        _E.sequence > bindparam("after"),
    )
    .order_by(_E.target, _E.sequence)
    .limit(bindparam("limit"))
)
_NAMED = select(_E.entry_id, _E.kind, _E.seller, _E.report_time, _E.content, _E.sequence).where(
    _HERE, among(_E.entry_id, _NAMES)
)


class KnownContext(DerivationContext):
    """The recorded state that a batch refers to.

    `unfinished`: the last listing's or violation's sequence loaded, by the id of a product's violation or of a
    decision.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unfinished: dict[str, int] = {}


def load_known(connection: Connection, marketplace: str, fresh: Sequence[PreparedEntry]) -> KnownContext:
    """Load all records that deriving needs, but at most CHUNK consequences of an entry; note the rest as `unfinished`."""
    met = KnownContext()
    entries = [item.entry for item in fresh if item.kind not in INDEPENDENT_KINDS and item.kind is not Kind.VIOLATION]
    facts = [entry.fact for entry in entries]
    about = {f.violation for f in facts if isinstance(f, _ABOUT_VIOLATION) and f.violation}
    about |= {name for f in facts if isinstance(f, MeasureChanged | CaseChanged) for name in f.violations}
    reports = {item.entry.entry_id for item in fresh if item.kind in VIOLATION_KINDS}
    met.corrected_ids = {f.entry for f in facts if isinstance(f, EntryCorrected)}
    decided = {f.violation for f in facts if isinstance(f, StatusChanged)}
    met.waiting_decisions = load_decisions(connection, _WAITING, marketplace, decided | reports)
    sellers = {"" if isinstance(entry.fact, StatusChanged) else entry.seller for entry in entries}
    met.states = load_states(connection, marketplace, about, sellers)
    met.awaited_ids = {*about, *met.waiting_decisions}
    met.awaited_ids |= {item.entry.entry_id for item in fresh if item.kind is Kind.PRODUCT_VIOLATION}
    _load_reports_of_listed(connection, marketplace, met, fresh)
    rest: dict[str, int] = {}
    for item in fresh:
        fact = item.entry.fact
        if isinstance(fact, ProductViolationReported):
            if fact.product not in met.listings:
                met.listings[fact.product], rest[fact.product] = load_listings(connection, marketplace, fact.product)
            if rest[fact.product]:
                met.unfinished[item.entry.entry_id] = rest[fact.product]
        elif isinstance(fact, StatusChanged) and _is_of_product(met, fact.violation):
            if fact.violation not in rest:
                met.product_decisions |= load_changes(connection, marketplace, [fact.violation])
                rest[fact.violation] = load_reached(connection, marketplace, met, fact.violation)
            if rest[fact.violation]:
                met.unfinished[item.entry.entry_id] = rest[fact.violation]
    if met.corrected_ids:
        _load_corrected(connection, marketplace, met)
    load_accounts(connection, marketplace, met, fresh)
    load_contests(connection, marketplace, met, fresh)
    load_cases(connection, marketplace, met, fresh)
    return met


_ABOUT_VIOLATION = (StatusChanged, AttributionStated, RemediationDone, IncidentChanged)


def _is_of_product(met: DerivationContext, violation: str) -> bool:
    state = met.states.get(violation)
    return state is not None and state.kind is Kind.PRODUCT_VIOLATION


def _load_reports_of_listed(
    connection: Connection, marketplace: str, met: KnownContext, fresh: Sequence[PreparedEntry]
) -> None:
    listed = [
        (item.entry.seller, item.entry.fact.product) for item in fresh if isinstance(item.entry.fact, ProductListed)
    ]
    products = {product for _, product in listed}
    for row in read_rows(connection, _REPORTS, marketplace, products):
        fact = cast(ProductViolationReported, entry_from_content(row.entry_id, row.content).fact)
        report = ProductReport(row.entry_id, row.occur_time, row.report_time, fact)
        met.reports.setdefault(row.target, []).append(report)
    pairs = [(report, seller) for seller, product in listed for report in met.reports.get(product, ())]
    load_reached_sellers(connection, marketplace, met, pairs)
    met.product_decisions |= load_decisions(connection, _CHANGES, marketplace, {report.entry_id for report, _ in pairs})


def load_reached_sellers(
    connection: Connection, marketplace: str, met: DerivationContext, pairs: Iterable[tuple[ProductReport, str]]
) -> None:
    ids = {derived_id(report.entry_id, seller): (report.entry_id, seller) for report, seller in pairs}
    for row in read_rows(connection, _NAMED, marketplace, ids):
        report, seller = ids[row.entry_id]
        met.derived_violations.setdefault(report, {})[seller] = row.entry_id


def load_listings(
    connection: Connection, marketplace: str, product: str, after: int = 0, limit: int = CHUNK
) -> tuple[list[Listing], int]:
    """Return the next `limit` listings of a product, and the last sequence (0 at the end)."""
    rows = _next_of(connection, marketplace, product, Kind.PRODUCT, after, limit + 1)
    found = [
        Listing(
            *(row.seller, row.occur_time, row.report_time),
            cast(ProductListed, entry_from_content(row.entry_id, row.content).fact),
        )
        for row in rows[:limit]
    ]
    return found, rows[limit - 1].sequence if len(rows) > limit else 0


def load_reached(
    connection: Connection, marketplace: str, met: DerivationContext, report: str, after: int = 0, limit: int = CHUNK
) -> int:
    """Add to `met` the next `limit` violations derived from a product's report; return the last sequence (0 at the
    end).
    """
    rows = _next_of(connection, marketplace, report, Kind.VIOLATION, after, limit + 1)
    derived_violations = {row.seller: row.entry_id for row in rows[:limit]}
    met.derived_violations.setdefault(report, {}).update(derived_violations)
    met.states |= load_states(connection, marketplace, derived_violations.values())
    return rows[limit - 1].sequence if len(rows) > limit else 0


def load_changes(connection: Connection, marketplace: str, names: Collection[str]) -> dict[str, list[TimedDecision]]:
    return load_decisions(connection, _CHANGES, marketplace, names)


def load_states(
    connection: Connection, marketplace: str, names: Collection[str], sellers: Collection[str] = ("",)
) -> dict[str, ViolationState]:
    """Return the state of recorded violations by id; of all sellers if `sellers` is empty."""
    query, more = (_ABOUT, {}) if "" in sellers else (_ABOUT_OF_SELLERS, {"sellers": list(sellers)})
    found: dict[str, ViolationState] = {}
    for name, entry_id, kind, seller, severity, status, target, occur, report in read_rows(
        connection, query, marketplace, names, **more
    ):
        if kind in VIOLATION_KINDS:
            found[name] = ViolationState(seller, Kind(kind), Status(status), Severity(severity), report)
        elif name in found and status is not None:
            found[name] = found[name].apply(
                RecordedChange(Kind(kind), entry_id, status, severity, target, occur, report)
            )
    return found


def load_decisions(
    connection: Connection, query: Select[Any], marketplace: str, names: Collection[str]
) -> dict[str, list[TimedDecision]]:
    found: dict[str, list[TimedDecision]] = {}
    for name, entry_id, seller, occur, report, content in read_rows(connection, query, marketplace, names):
        fact = cast(StatusChanged, entry_from_content(entry_id, content).fact)
        found.setdefault(name, []).append(TimedDecision(entry_id, seller, occur, report, fact))
    return found


def _load_corrected(connection: Connection, marketplace: str, met: DerivationContext) -> None:
    for entry_id, kind, seller, report_time, content, sequence in read_rows(
        connection, _NAMED, marketplace, met.corrected_ids
    ):
        require_known(kind, sequence)
        entry = entry_from_content(entry_id, content)
        met.correction_targets[entry_id] = CorrectionTarget(Kind(kind), seller, report_time, entry)


def _next_of(
    connection: Connection, marketplace: str, target: str, kind: Kind, after: int, limit: int
) -> Sequence[Any]:
    values = {"marketplace": marketplace, "target": target, "kind": int(kind), "after": after, "limit": limit}
    return connection.execute(_NEXT_OF_TARGET, values).all()

from collections.abc import Collection, Sequence

from scoring.base.enums import Action, Attribution, Kind
from scoring.base.errors import PermissionDenied
from scoring.entries.entry import PreparedEntry
from scoring.entries.incidents import DERIVED_ID_PREFIX
from scoring.entries.kinds.conduct import AttributionStated, IncidentChanged, StatusChanged
from scoring.entries.kinds.decisions import EntryCorrected
from scoring.entries.kinds.table import Fact
from service.call_context import LOCAL_CALLER, current_call, is_answering
from service.ledger.database.tables import ENTRY, HERE, NAMED, RECORDED, RowReader, among, among_kinds

_E = ENTRY.c
_OTHERS_DECIDE = frozenset({Action.CONFIRM, Action.DISMISS, Action.REDUCE, Action.OVERTURN, Action.REINSTATE})
"""A notifier may withdraw, and anyone may ask for a review or an appeal."""
_REPORTS = frozenset({Kind.VIOLATION, Kind.PRODUCT_VIOLATION})
_DECIDING = frozenset({Kind.STATUS, Kind.ATTRIBUTION, Kind.INCIDENT, Kind.CORRECTION})
_DERIVED_FROM = frozenset({Kind.PRODUCT_VIOLATION, Kind.PRODUCT})

_STATED = NAMED.where(among_kinds(*sorted(_REPORTS)))
_WAITING = RECORDED.where(HERE, among(_E.violation), among_kinds(Kind.STATUS), _E.status.is_(None))


def needs_own_report_check(batch: Sequence[PreparedEntry]) -> bool:
    """Return whether a known caller, not `local`, decides anything in the batch."""
    return current_call().caller not in {"", LOCAL_CALLER} and any(item.kind in _DECIDING for item in batch)


def refuse_own_reports(reader: RowReader, batch: Sequence[PreparedEntry]) -> None:
    """Raise PermissionDenied if the caller decides its own report, or reports what it decided.

    A violation derived from a product's report belongs to that report's author; before it is recorded, no one may
    decide it. The caller `local`, and use without a server, are
    exempt; a server's call without a known caller is rejected.
    """
    caller, own_names = current_call().caller, current_call().own_names
    if caller == LOCAL_CALLER or not (caller or is_answering()):
        return
    if not caller:
        raise PermissionDenied("nobody is known to call, so nothing is appended")
    decided = {name: index for index, item in enumerate(batch) if (name := _name_decided(item.entry.fact))}
    reported = {item.entry.entry_id: index for index, item in enumerate(batch) if item.kind in _REPORTS}
    own_violations = decided.keys() & reported.keys()
    own_reports, recorded = _find_own_reports(reader, decided, own_names)
    own_violations |= own_reports
    if any(item.kind in _DERIVED_FROM for item in batch):
        own_violations |= {name for name in decided.keys() - recorded if name.startswith(DERIVED_ID_PREFIX)}
    waiting = reader.rows(_WAITING, reported)
    own_violations |= {row.violation for row in waiting if _is_own(own_names, row.principal)}
    if own_violations:
        index = min((decided | reported)[name] for name in own_violations)
        text = "nobody decides its own report: let another caller decide, or withdraw it"
        raise PermissionDenied(text, {"right": "decide"}, ("entries", index))


def _name_decided(fact: Fact) -> str:
    match fact:
        case StatusChanged() if fact.action in _OTHERS_DECIDE:
            return fact.violation
        case AttributionStated() if fact.outcome is not Attribution.CONTESTED:
            return fact.violation
        case IncidentChanged():
            return fact.violation
        case EntryCorrected():
            return fact.entry
    return ""


def _find_own_reports(
    reader: RowReader, names: Collection[str], own_names: frozenset[str]
) -> tuple[set[str], set[str]]:
    """Return the caller's own reports among the named, and those recorded.

    A derived violation has the reporter of the product's.
    """
    rows = reader.rows(_STATED, names)
    origins = {row.entry_id: row.target for row in rows if row.target is not None}
    products = {row.entry_id for row in reader.rows(_STATED, {*origins.values()}) if _is_own(own_names, row.principal)}
    own_reports = {row.entry_id for row in rows if _is_own(own_names, row.principal) or row.target in products}
    return own_reports, {row.entry_id for row in rows}


def _is_own(own_names: frozenset[str], principal: str | None) -> bool:
    return principal is not None and not own_names.isdisjoint(principal.split())

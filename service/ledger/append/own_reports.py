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
_DECISIVE_ACTIONS = frozenset({Action.CONFIRM, Action.DISMISS, Action.REDUCE, Action.OVERTURN, Action.REINSTATE})
"""A notifier may withdraw, and anyone may ask for a review or an appeal."""
_REPORT_KINDS = frozenset({Kind.VIOLATION, Kind.PRODUCT_VIOLATION})
_DECISION_KINDS = frozenset({Kind.STATUS, Kind.ATTRIBUTION, Kind.INCIDENT, Kind.CORRECTION})
_DERIVING_KINDS = frozenset({Kind.PRODUCT_VIOLATION, Kind.PRODUCT})

_REPORTS_BY_ID = NAMED.where(among_kinds(*sorted(_REPORT_KINDS)))
_WAITING_DECISIONS = RECORDED.where(HERE, among(_E.violation), among_kinds(Kind.STATUS), _E.status.is_(None))


def needs_own_report_check(batch: Sequence[PreparedEntry]) -> bool:
    return current_call().caller not in {"", LOCAL_CALLER} and any(item.kind in _DECISION_KINDS for item in batch)


def refuse_own_reports(reader: RowReader, batch: Sequence[PreparedEntry]) -> None:
    """Raise PermissionDenied if the caller decides its own report, or reports what it decided.

    A violation derived from a product's report belongs to that report's author; before it is recorded, no one may
    decide it. Exempt: the caller `local`, and use without a server. A server rejects an unknown caller.
    """
    caller, own_names = current_call().caller, current_call().own_names
    if caller == LOCAL_CALLER or not (caller or is_answering()):
        return
    if not caller:
        raise PermissionDenied("nobody is known to call, so nothing is appended")
    decided = {name: index for index, item in enumerate(batch) if (name := _find_decided_entry(item.entry.fact))}
    reported = {item.entry.entry_id: index for index, item in enumerate(batch) if item.kind in _REPORT_KINDS}
    own_violations = decided.keys() & reported.keys()
    own_reports, recorded = _find_own_reports(reader, decided, own_names)
    own_violations |= own_reports
    if any(item.kind in _DERIVING_KINDS for item in batch):
        own_violations |= {name for name in decided.keys() - recorded if name.startswith(DERIVED_ID_PREFIX)}
    waiting = reader.rows(_WAITING_DECISIONS, reported)
    own_violations |= {row.violation for row in waiting if _is_own(own_names, row.principal)}
    if own_violations:
        index = min((decided | reported)[name] for name in own_violations)
        text = "nobody decides its own report: let another caller decide, or withdraw it"
        raise PermissionDenied(text, {"right": "decide"}, ("entries", index))


def _find_decided_entry(fact: Fact) -> str:
    """Return the id of the entry that a fact decides; "" unless its reporter is barred from that."""
    match fact:
        case StatusChanged() if fact.action in _DECISIVE_ACTIONS:
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
    """Return (the caller's own reports, all recorded ones) among the named."""
    reports = reader.rows(_REPORTS_BY_ID, names)
    product_reports = reader.rows(_REPORTS_BY_ID, {row.target for row in reports if row.target is not None})
    own_product_reports = {row.entry_id for row in product_reports if _is_own(own_names, row.principal)}
    own_reports = {
        row.entry_id for row in reports if _is_own(own_names, row.principal) or row.target in own_product_reports
    }
    return own_reports, {row.entry_id for row in reports}


def _is_own(own_names: frozenset[str], principal: str | None) -> bool:
    return principal is not None and not own_names.isdisjoint(principal.split())

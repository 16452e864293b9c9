"""Nobody decides its own report: whom a batch's decisions and reports would let judge what the same caller stated."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, select

from scoring.entries.entry import PreparedEntry
from scoring.entries.kinds.conduct import StatusChanged
from scoring.enums import Action, Kind
from scoring.errors import PermissionDenied
from service.call_context import LOCAL_CALLER, current_call
from service.ledger.expressions import Texts, among
from service.ledger.tables import ENTRY

_E = ENTRY.c
_OTHERS_DECIDE = frozenset({Action.CONFIRM, Action.DISMISS, Action.REDUCE, Action.OVERTURN, Action.REINSTATE})
"""Actions that are somebody else's; a notifier may withdraw, and anybody may ask for a review or an appeal."""
_REPORTS = frozenset({Kind.VIOLATION, Kind.PRODUCT_VIOLATION})

_STATED = select(_E.entry_id, _E.principal, _E.target).where(
    _E.marketplace == bindparam("marketplace"),
    among(_E.entry_id, bindparam("names", type_=Texts())),
    _E.kind.in_([int(kind) for kind in sorted(_REPORTS)]),
)
_WAITING = select(_E.violation, _E.principal).where(
    _E.marketplace == bindparam("marketplace"),
    among(_E.violation, bindparam("names", type_=Texts())),
    _E.kind == int(Kind.STATUS),
    _E.status.is_(None),
)


def refuse_own(connection: Connection, marketplace: str, batch: Sequence[PreparedEntry]) -> None:
    """Refuse a batch, by PermissionDenied, if its caller decides about what it reported, or reports what it decided.

    A violation that was derived from a report of a product is the report's. `local`, and who calls no server, may do both.
    """
    caller = current_call().caller
    if caller in {"", LOCAL_CALLER}:
        return
    decided = {
        item.entry.fact.violation: index
        for index, item in enumerate(batch)
        if isinstance(item.entry.fact, StatusChanged) and item.entry.fact.action in _OTHERS_DECIDE
    }
    reported = {item.entry.entry_id: index for index, item in enumerate(batch) if item.kind in _REPORTS}
    own = decided.keys() & reported.keys()
    if decided:
        own |= _own_reports(connection, marketplace, [*decided], caller)
    if reported:
        rows = connection.execute(_WAITING, {"marketplace": marketplace, "names": [*reported]}).all()
        own |= {violation for violation, principal in rows if _is_same(caller, principal)}
    if own:
        index = min((decided | reported)[name] for name in own)
        text = "nobody decides its own report: let another caller decide, or withdraw it"
        raise PermissionDenied(text, {"right": "decide"}, ("entries", index))


def _own_reports(connection: Connection, marketplace: str, names: Sequence[str], caller: str) -> set[str]:
    """Return those of the named violations that the caller reported, or whose product it reported."""
    rows = connection.execute(_STATED, {"marketplace": marketplace, "names": names}).all()
    origins: Mapping[str, str] = {name: target for name, _, target in rows if target is not None}
    own = {name for name, principal, _ in rows if _is_same(caller, principal)}
    if origins:
        found = connection.execute(_STATED, {"marketplace": marketplace, "names": sorted({*origins.values()})}).all()
        products = {name for name, principal, _ in found if _is_same(caller, principal)}
        own |= {name for name, origin in origins.items() if origin in products}
    return own


def _is_same(caller: str, principal: str | None) -> bool:
    """Return whether two callers share a principal."""
    return principal is not None and not {*caller.split()}.isdisjoint(principal.split())

"""The rights that a request asks for over marketplaces, sellers and entries."""

from collections.abc import Callable
from typing import Any

from scoring.base.enums import Kind, Source
from scoring.base.errors import InvalidInput, invalid
from scoring.entries.field_types import MAX_ID
from scoring.entries.kinds.table import KIND_BY_WORD
from sellertrust.v1 import entry_pb2
from service.access.decision import NeededRight
from service.access.rights import BOUND, METHODS, RIGHT_OF_AUDIENCE, RIGHT_OF_KIND, MethodRow, Right, Scope
from service.contract.fields import prefix_violations
from service.contract.resource_names import (
    Item,
    parse_marketplace,
    parse_notifier,
    parse_parent,
    parse_proposal,
    parse_seller,
    parse_violation,
    seller_of,
)

PROPOSABLE = {
    "promote_model": "ModelService/PromoteModel",
    "decide_violations": "ReviewService/DecideViolations",
    "append_entries": "LedgerService/AppendEntries",
    "commit_policy": "PolicyService/CommitPolicy",
    "export_case": "NetworkService/ExportCase",
}

_NAME_PARSERS: dict[Scope, Callable[[str, str], Item]] = {
    Scope.VIOLATION: parse_violation,
    Scope.DECISION: parse_violation,
    Scope.NOTIFIER: parse_notifier,
    Scope.PROPOSAL: parse_proposal,
}
_SCOPES_OF_SELLER = {Scope.SELLER, Scope.MEASURES, Scope.AUDIENCE, Scope.ERASED, Scope.EVERY_SELLER}

_LINK = Kind.LINK.word
_PRIVILEGED_FACTS = {
    key for key, kind in KIND_BY_WORD.items() if RIGHT_OF_KIND.get(kind) in BOUND
}  # `require_rows` names a missing kind
_SOURCE_NAMES = {int(source): source.word for source in Source}


def list_needed_rights(row: MethodRow, request: Any) -> list[NeededRight]:
    """Return the rights that a request needs, each over the server, a marketplace or a seller; at least one.

    Raises InvalidInput for a malformed name of a place, as the method itself does.
    """
    right = row.right
    if row.scope is Scope.PROPOSED:
        proposed = list_rights_of_proposed(request)
        return [NeededRight(right, proposed[0].marketplace), *proposed]
    if row.scope is Scope.AUDIENCE:
        if not 0 <= request.audience < len(RIGHT_OF_AUDIENCE):
            raise invalid("audience", "is unknown; use one of Audience")
        right = RIGHT_OF_AUDIENCE[request.audience]
    marketplace, seller = _find_place(row.scope, request)
    needed_right = NeededRight(right, marketplace, seller)
    needed = [needed_right]
    match row.scope:
        case Scope.ENTRIES:
            needed = _list_rights_to_append(marketplace, request.entries) or needed
        case Scope.SELLERS:
            names = dict.fromkeys(request.sellers) or ("",)
            needed = [needed_right._replace(seller=_find_seller_id(name, marketplace)) for name in names]
        case Scope.DECISION | Scope.ERASED:
            needed = [needed_right._replace(entry_id=request.entry_id or None, action=row.action or None)]
        case Scope.MARKETPLACE if right is Right.BULK_DECIDE:
            needed = [needed_right._replace(action=action_name(request.action))]
        case Scope.MEASURES if request.policy:  # otherwise its rules could be probed seller by seller
            needed.append(NeededRight(Right.READ_POLICIES))
    return needed


def _find_place(scope: Scope, request: Any) -> tuple[str, str | None]:
    if scope in _NAME_PARSERS:
        return _NAME_PARSERS[scope](request.name, "name").marketplace, None
    if scope is Scope.PARENT:
        return parse_parent(request.parent, "parent")
    if scope in _SCOPES_OF_SELLER:
        seller = parse_seller(request.seller, "seller")
        return seller.marketplace, None if scope is Scope.EVERY_SELLER else seller.item
    if scope is Scope.SERVER or (scope is Scope.PROPOSALS and not request.parent):
        return "", None
    return parse_marketplace(request.parent, "parent"), None


def split_seller_name(request: Any) -> tuple[str, str]:
    """Return the ids of marketplace and seller in a request's `seller`; ("", "") if it names none.

    The gate's short way, before `list_needed_rights`: their characters are not checked yet.
    """
    parts = request.seller.split("/", 4)
    if len(parts) != 4 or parts[0] != "marketplaces" or parts[2] != "sellers" or len(parts[1]) > MAX_ID:
        return "", ""
    return parts[1], parts[3]


def list_rights_of_proposed(request: Any) -> list[NeededRight]:
    """Return everything that the request in a proposal asks for.

    Raises InvalidInput for malformed fields, by path, or for a missing request.
    """
    field = request.WhichOneof("request")
    if field is None:
        raise invalid("request", f"is required: one of {', '.join(PROPOSABLE)}")
    with prefix_violations(field):
        return list_needed_rights(METHODS[PROPOSABLE[field]], getattr(request, field))


def _list_rights_to_append(marketplace: str, entries: Any) -> list[NeededRight]:
    rights = [find_right_to_append(marketplace, entry) for entry in entries]
    rights_over_linked_sellers = [
        right._replace(seller=entry.link.other or None)
        for right, entry in zip(rights, entries, strict=True)
        if right.kind == _LINK and not entry.link.identifier
    ]
    return rights + rights_over_linked_sellers


def has_privileged(entries: Any) -> bool:
    return not _PRIVILEGED_FACTS.isdisjoint(entry.WhichOneof("fact") for entry in entries)


def find_right_to_append(marketplace: str, entry: entry_pb2.Entry) -> NeededRight:
    """Return the right to append an entry, with seller, kind, source and notifier.

    A decision names a violation, not a seller, so it needs the right on all sellers; so does an unreadable seller.
    """
    key = entry.WhichOneof("fact") or ""
    kind = KIND_BY_WORD.get(key)
    fact: Any = getattr(entry, key) if key else entry
    names = fact.DESCRIPTOR.fields_by_name if key else {}
    right = Right.APPEND if kind is None else RIGHT_OF_KIND[kind]
    decides = right is Right.DECIDE
    return NeededRight(
        right=right,
        marketplace=marketplace,
        seller=None if decides else _find_seller_id(entry.seller, marketplace),
        kind=key or "*",
        source=_SOURCE_NAMES.get(fact.source, "*") if "source" in names else None,
        notifier=(fact.notifier or "*") if "notifier" in names else None,
        entry_id=entry.entry_id,
        action=(action_name(fact.action) if "action" in names else key) if decides else None,
    )


def _find_seller_id(name: str, marketplace: str) -> str | None:
    """Return the seller's id, or None (every seller) for a name that is invalid or of another marketplace."""
    try:
        return seller_of(name, marketplace, "seller")
    except InvalidInput:
        return None


def action_name(number: int) -> str:
    """Return an action's name in grants, such as `confirm`; `*` if unset or unknown."""
    names = entry_pb2.Action.DESCRIPTOR.values_by_number
    return names[number].name.removeprefix("ACTION_").lower() if number in names and number else "*"

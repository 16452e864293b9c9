"""Resource names are parsed only here.

An id is 1 to 128 characters of `[A-Za-z0-9._~:-]`. The parsers look nothing up and raise InvalidInput, naming `field`,
for another form or an ill-formed id.
"""

from typing import NamedTuple

from scoring.base.errors import FieldPath, InvalidInput, invalid
from scoring.entries.field_types import ID_FORM, is_id
from sellertrust.names import marketplace_name
from service.registry.moves import is_digest

MARKETPLACE_FORM = "marketplaces/{marketplace}"
SELLER_FORM = "marketplaces/{marketplace}/sellers/{seller}"


class Item(NamedTuple):
    """`marketplaces/{marketplace}/COLLECTION/{item}`."""

    marketplace: str
    item: str


class Parent(NamedTuple):
    marketplace: str
    seller: str | None


def parse_marketplace(name: str, field: str | FieldPath) -> str:
    """Parse `marketplaces/M` into M; like all parsers here, raises InvalidInput about `field`."""
    return _parse_top(name, field, "marketplaces", MARKETPLACE_FORM)


def parse_model(name: str, field: str | FieldPath) -> str:
    """Parse `models/X` into X: an alias, a digest or the beginning of one."""
    return _parse_top(name, field, "models", "models/{model}")


def parse_policy_name(name: str, field: str | FieldPath) -> str:
    """Parse `policies/X` into X: `head`, a digest or the beginning of one."""
    return _parse_top(name, field, "policies", "policies/{policy}")


def parse_policy_digest(name: str, field: str | FieldPath) -> str:
    """Parse `policies/X` into X, a whole digest: a shorter name may mean another policy later."""
    digest = parse_policy_name(name, field)
    if not is_digest(digest):
        raise invalid(field, "must be policies/{digest} with the whole digest, 64 digits")
    return digest


def parse_seller(name: str, field: str | FieldPath) -> Item:
    """Parse `marketplaces/M/sellers/S` into (M, S)."""
    return _parse_item(name, field, "sellers", SELLER_FORM)


def parse_violation(name: str, field: str | FieldPath) -> Item:
    """Parse `marketplaces/M/violations/V` into (M, V)."""
    return _parse_item(name, field, "violations", "marketplaces/{marketplace}/violations/{violation}")


def parse_notifier(name: str, field: str | FieldPath) -> Item:
    """Parse `marketplaces/M/notifiers/N` into (M, N)."""
    return _parse_item(name, field, "notifiers", "marketplaces/{marketplace}/notifiers/{notifier}")


def parse_proposal(name: str, field: str | FieldPath) -> Item:
    """Parse a proposal's name; the marketplace of `proposals/P` is ""."""
    form = "marketplaces/{marketplace}/proposals/{proposal} or proposals/{proposal}"
    if name.startswith("proposals/"):
        return Item("", _parse_top(name, field, "proposals", form))
    return _parse_item(name, field, "proposals", form)


def parse_parent(name: str, field: str | FieldPath) -> Parent:
    """Parse `marketplaces/M` into (M, None), a seller's name into (M, S)."""
    form = f"{MARKETPLACE_FORM} or {SELLER_FORM}"
    if "/sellers/" in name:
        return Parent(*_parse_item(name, field, "sellers", form))
    return Parent(_parse_top(name, field, "marketplaces", form), None)


def seller_of(name: str, marketplace: str, field: str | FieldPath) -> str:
    """Parse a seller's name into its id. Raises InvalidInput also if it is empty or not in `marketplace`."""
    if not name:
        raise invalid(field, f"is required: {SELLER_FORM}")
    parsed = parse_seller(name, field)
    if parsed.marketplace != marketplace:
        raise invalid(field, f"must be in the parent, {marketplace_name(marketplace)}")
    return parsed.item


def _parse_top(name: str, field: str | FieldPath, collection: str, form: str) -> str:
    collection_found, _, item = name.partition("/")
    if collection_found == collection and is_id(item):
        return item
    raise _malformed_name(field, form)


def _parse_item(name: str, field: str | FieldPath, collection: str, form: str) -> Item:
    match name.split("/"):
        case ["marketplaces", marketplace, found, item] if found == collection and is_id(marketplace) and is_id(item):
            return Item(marketplace, item)
    raise _malformed_name(field, form)


def _malformed_name(field: str | FieldPath, form: str) -> InvalidInput:
    return invalid(field, f"must be {form}, each id {ID_FORM}")

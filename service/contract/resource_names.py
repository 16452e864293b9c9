"""Resource names are made and parsed only here.

`marketplaces/{marketplace}`, and below it `/sellers/{seller}`, `/violations/{violation}`, `/notifiers/{notifier}` and
`/proposals/{proposal}`; `models/{model}`, `policies/{policy}` and `proposals/{proposal}`. An id is 1 to 128 characters
of `[A-Za-z0-9._~:-]`. The parsers look nothing up and raise InvalidInput, naming `field`, for another form or an
ill-formed id.
"""

from typing import NamedTuple

from scoring.base.errors import FieldPath, InvalidInput, invalid
from scoring.entries.field_types import ID_FORM, is_id
from service.registry.moves import is_digest

MARKETPLACE_FORM = "marketplaces/{marketplace}"
SELLER_FORM = "marketplaces/{marketplace}/sellers/{seller}"
VIOLATION_FORM = "marketplaces/{marketplace}/violations/{violation}"
MODEL_FORM = "models/{model}"
POLICY_FORM = "policies/{policy}"
NOTIFIER_FORM = "marketplaces/{marketplace}/notifiers/{notifier}"
PROPOSAL_FORM = "marketplaces/{marketplace}/proposals/{proposal} or proposals/{proposal}"


class SellerName(NamedTuple):
    """`marketplaces/{marketplace}/sellers/{seller}`."""

    marketplace: str
    seller: str


class ViolationName(NamedTuple):
    """`marketplaces/{marketplace}/violations/{violation}`."""

    marketplace: str
    violation: str


class NotifierName(NamedTuple):
    """`marketplaces/{marketplace}/notifiers/{notifier}`."""

    marketplace: str
    notifier: str


class ProposalName(NamedTuple):
    """`marketplaces/{marketplace}/proposals/{proposal}` or `proposals/{proposal}`."""

    marketplace: str
    proposal: str


class Parent(NamedTuple):
    marketplace: str
    seller: str | None


def marketplace_name(marketplace: str) -> str:
    return f"marketplaces/{marketplace}"


def seller_name(marketplace: str, seller: str) -> str:
    """Return `seller_name("m", "s") == "marketplaces/m/sellers/s"`."""
    return f"marketplaces/{marketplace}/sellers/{seller}"


def violation_name(marketplace: str, violation: str) -> str:
    return f"marketplaces/{marketplace}/violations/{violation}"


def parse_marketplace(name: str, field: str | FieldPath) -> str:
    match name.split("/"):
        case ["marketplaces", marketplace] if is_id(marketplace):
            return marketplace
    raise _wrong(field, MARKETPLACE_FORM)


def parse_seller(name: str, field: str | FieldPath) -> SellerName:
    match name.split("/"):
        case ["marketplaces", marketplace, "sellers", seller] if is_id(marketplace) and is_id(seller):
            return SellerName(marketplace, seller)
    raise _wrong(field, SELLER_FORM)


def parse_violation(name: str, field: str | FieldPath) -> ViolationName:
    match name.split("/"):
        case ["marketplaces", marketplace, "violations", violation] if is_id(marketplace) and is_id(violation):
            return ViolationName(marketplace, violation)
    raise _wrong(field, VIOLATION_FORM)


def parse_parent(name: str, field: str | FieldPath) -> Parent:
    match name.split("/"):
        case ["marketplaces", marketplace] if is_id(marketplace):
            return Parent(marketplace, None)
        case ["marketplaces", marketplace, "sellers", seller] if is_id(marketplace) and is_id(seller):
            return Parent(marketplace, seller)
    raise _wrong(field, f"{MARKETPLACE_FORM} or {SELLER_FORM}")


def notifier_name(marketplace: str, notifier: str) -> str:
    return f"marketplaces/{marketplace}/notifiers/{notifier}"


def parse_notifier(name: str, field: str | FieldPath) -> NotifierName:
    match name.split("/"):
        case ["marketplaces", marketplace, "notifiers", notifier] if is_id(marketplace) and is_id(notifier):
            return NotifierName(marketplace, notifier)
    raise _wrong(field, NOTIFIER_FORM)


def proposal_name(marketplace: str, proposal: str) -> str:
    """Return a proposal's name; `proposals/p` if `marketplace` is "", for all of them."""
    return f"{marketplace_name(marketplace)}/proposals/{proposal}" if marketplace else f"proposals/{proposal}"


def parse_proposal(name: str, field: str | FieldPath) -> ProposalName:
    """Parse a proposal's name; the marketplace of `proposals/P` is ""."""
    match name.split("/"):
        case ["marketplaces", marketplace, "proposals", proposal] if is_id(marketplace) and is_id(proposal):
            return ProposalName(marketplace, proposal)
        case ["proposals", proposal] if is_id(proposal):
            return ProposalName("", proposal)
    raise _wrong(field, PROPOSAL_FORM)


def model_name(model: str) -> str:
    return f"models/{model}"


def parse_model(name: str, field: str | FieldPath) -> str:
    """Parse `models/X` into X: an alias, a digest or the beginning of one."""
    match name.split("/"):
        case ["models", model] if is_id(model):
            return model
    raise _wrong(field, MODEL_FORM)


def policy_name(policy: str) -> str:
    return f"policies/{policy}"


def parse_policy_name(name: str, field: str | FieldPath) -> str:
    """Parse `policies/X` into X: `head`, a digest or the beginning of one."""
    match name.split("/"):
        case ["policies", policy] if is_id(policy):
            return policy
    raise _wrong(field, POLICY_FORM)


def parse_policy_digest(name: str, field: str | FieldPath) -> str:
    """Parse `policies/X` into X, a whole digest: a shorter name may mean another policy later."""
    found = parse_policy_name(name, field)
    if not is_digest(found):
        raise invalid(field, "must be policies/{digest} with the whole digest, 64 digits")
    return found


def seller_of(name: str, marketplace: str, field: str | FieldPath) -> str:
    """Parse a seller's name into its id. Raises InvalidInput also if it is empty or not in `marketplace`."""
    if not name:
        raise invalid(field, f"is required: {SELLER_FORM}")
    found = parse_seller(name, field)
    if found.marketplace != marketplace:
        raise invalid(field, f"must be in the parent, {marketplace_name(marketplace)}")
    return found.seller


def _wrong(field: str | FieldPath, form: str) -> InvalidInput:
    return invalid(field, f"must be {form}, each id {ID_FORM}")

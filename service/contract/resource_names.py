"""Resource names: the one place that takes them apart and puts them together.

`marketplaces/{marketplace}`, and below it `/sellers/{seller}`, `/violations/{violation}`, `/notifiers/{notifier}` and
`/proposals/{proposal}`; `models/{model}`, `policies/{policy}` and
`proposals/{proposal}`; each id is 1 to 128 characters of `[A-Za-z0-9._~:-]`.
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
    """A seller: `marketplaces/{marketplace}/sellers/{seller}`."""

    marketplace: str
    seller: str


class ViolationName(NamedTuple):
    """A violation: `marketplaces/{marketplace}/violations/{violation}`."""

    marketplace: str
    violation: str


class NotifierName(NamedTuple):
    """A notifier: `marketplaces/{marketplace}/notifiers/{notifier}`."""

    marketplace: str
    notifier: str


class ProposalName(NamedTuple):
    """A proposal: `marketplaces/{marketplace}/proposals/{proposal}` or `proposals/{proposal}`."""

    marketplace: str
    """The marketplace's id; empty for what concerns all of them."""
    proposal: str


class Parent(NamedTuple):
    """What is listed: all of a marketplace, or what concerns one seller of it."""

    marketplace: str
    """The marketplace's id."""
    seller: str | None
    """The seller's id; None for all of the marketplace."""


def marketplace_name(marketplace: str) -> str:
    """Return the name of a marketplace: `marketplace_name("m") == "marketplaces/m"`."""
    return f"marketplaces/{marketplace}"


def seller_name(marketplace: str, seller: str) -> str:
    """Return the name of a seller: `seller_name("m", "s") == "marketplaces/m/sellers/s"`."""
    return f"marketplaces/{marketplace}/sellers/{seller}"


def violation_name(marketplace: str, violation: str) -> str:
    """Return the name of a violation.

    `violation_name("m", "v") == "marketplaces/m/violations/v"`.
    """
    return f"marketplaces/{marketplace}/violations/{violation}"


def parse_marketplace(name: str, field: str | FieldPath) -> str:
    """Parse `marketplaces/M` into the marketplace's id.

    InvalidInput, naming `field`, if `name` has another form or the id is ill-formed.
    """
    match name.split("/"):
        case ["marketplaces", marketplace] if is_id(marketplace):
            return marketplace
    raise _wrong(field, MARKETPLACE_FORM)


def parse_seller(name: str, field: str | FieldPath) -> SellerName:
    """Parse `marketplaces/M/sellers/S` into the ids of marketplace and seller.

    InvalidInput, naming `field`, if `name` has another form or an id is ill-formed. Nothing is looked up.
    """
    match name.split("/"):
        case ["marketplaces", marketplace, "sellers", seller] if is_id(marketplace) and is_id(seller):
            return SellerName(marketplace, seller)
    raise _wrong(field, SELLER_FORM)


def parse_violation(name: str, field: str | FieldPath) -> ViolationName:
    """Parse `marketplaces/M/violations/V` into the ids of the marketplace and the violation.

    InvalidInput, naming `field`, if `name` has another form or an id is ill-formed. Nothing is looked up.
    """
    match name.split("/"):
        case ["marketplaces", marketplace, "violations", violation] if is_id(marketplace) and is_id(violation):
            return ViolationName(marketplace, violation)
    raise _wrong(field, VIOLATION_FORM)


def parse_parent(name: str, field: str | FieldPath) -> Parent:
    """Parse the name of a marketplace, or of one of its sellers, into their ids.

    The seller is None for a marketplace. InvalidInput, naming `field`, for any other form.
    """
    match name.split("/"):
        case ["marketplaces", marketplace] if is_id(marketplace):
            return Parent(marketplace, None)
        case ["marketplaces", marketplace, "sellers", seller] if is_id(marketplace) and is_id(seller):
            return Parent(marketplace, seller)
    raise _wrong(field, f"{MARKETPLACE_FORM} or {SELLER_FORM}")


def notifier_name(marketplace: str, notifier: str) -> str:
    """Return the name of a notifier: `notifier_name("m", "n") == "marketplaces/m/notifiers/n"`."""
    return f"marketplaces/{marketplace}/notifiers/{notifier}"


def parse_notifier(name: str, field: str | FieldPath) -> NotifierName:
    """Parse `marketplaces/M/notifiers/N` into the ids of marketplace and notifier.

    InvalidInput, naming `field`, if `name` has another form or an id is ill-formed. Nothing is looked up.
    """
    match name.split("/"):
        case ["marketplaces", marketplace, "notifiers", notifier] if is_id(marketplace) and is_id(notifier):
            return NotifierName(marketplace, notifier)
    raise _wrong(field, NOTIFIER_FORM)


def proposal_name(marketplace: str, proposal: str) -> str:
    """Return the name of a proposal: `proposal_name("m", "p") == "marketplaces/m/proposals/p"`.

    `proposals/p` if `marketplace` is "": it concerns all of them.
    """
    return f"{marketplace_name(marketplace)}/proposals/{proposal}" if marketplace else f"proposals/{proposal}"


def parse_proposal(name: str, field: str | FieldPath) -> ProposalName:
    """Parse `marketplaces/M/proposals/P` or `proposals/P` into the ids M and P.

    The marketplace of the latter is "". InvalidInput, naming `field`, for any other form.
    """
    match name.split("/"):
        case ["marketplaces", marketplace, "proposals", proposal] if is_id(marketplace) and is_id(proposal):
            return ProposalName(marketplace, proposal)
        case ["proposals", proposal] if is_id(proposal):
            return ProposalName("", proposal)
    raise _wrong(field, PROPOSAL_FORM)


def model_name(model: str) -> str:
    """Return the name of a model by its digest or alias: `model_name("d") == "models/d"`."""
    return f"models/{model}"


def parse_model(name: str, field: str | FieldPath) -> str:
    """Parse `models/X` into X: an alias, a digest or the beginning of one.

    InvalidInput, naming `field`, if `name` has another form. Nothing is looked up.
    """
    match name.split("/"):
        case ["models", model] if is_id(model):
            return model
    raise _wrong(field, MODEL_FORM)


def policy_name(policy: str) -> str:
    """Return the name of a policy by its digest: `policy_name("d") == "policies/d"`."""
    return f"policies/{policy}"


def parse_policy_name(name: str, field: str | FieldPath) -> str:
    """Parse `policies/X` into X: `head`, a digest or the beginning of one.

    InvalidInput, naming `field`, if `name` has another form. Nothing is looked up.
    """
    match name.split("/"):
        case ["policies", policy] if is_id(policy):
            return policy
    raise _wrong(field, POLICY_FORM)


def parse_policy_digest(name: str, field: str | FieldPath) -> str:
    """Parse `policies/X` into X, which must be a whole digest: a shorter name may stand for another policy by then.

    InvalidInput, naming `field`, if it is not.
    """
    found = parse_policy_name(name, field)
    if not is_digest(found):
        raise invalid(field, "must be policies/{digest} with the whole digest, 64 digits")
    return found


def seller_of(name: str, marketplace: str, field: str | FieldPath) -> str:
    """Parse the name of a seller that must be in `marketplace` into the seller's id.

    InvalidInput, naming `field`, if it is empty, has another form or is of another marketplace.
    """
    if not name:
        raise invalid(field, f"is required: {SELLER_FORM}")
    found = parse_seller(name, field)
    if found.marketplace != marketplace:
        raise invalid(field, f"must be in the parent, {marketplace_name(marketplace)}")
    return found.seller


def _wrong(field: str | FieldPath, form: str) -> InvalidInput:
    return invalid(field, f"must be {form}, each id {ID_FORM}")

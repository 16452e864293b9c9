"""Facts about who a seller is."""

from collections.abc import Mapping
from dataclasses import dataclass

from scoring.base.enums import BusinessModel, ControlReason, IdentityLevel, LinkState, Source
from scoring.entries.field_types import ATTRIBUTES, COUNTRY, FLAG, ID, IDS, optional, required
from scoring.entries.kinds.common import actor_field, reason_field, word_field


@dataclass(frozen=True, slots=True)
class IdentityVerified:
    """The verified level of a seller's identity, and attributes that a study may declare as features."""

    level: IdentityLevel = word_field(1, IdentityLevel, "The verified level of identity. Required.", "identity_level")
    country: str = optional(2, COUNTRY, "ISO 3166-1 alpha-2 country of establishment.")
    attributes: Mapping[str, str] = optional(
        3,
        ATTRIBUTES,
        "Attributes for studies, and identifiers by which imports match sellers: at most 64, keys "
        "`[a-z][a-z0-9_]{0,62}`, values of at most 128 characters. Not sealed: an erasure leaves them. "
        "They must not name a person; those of a sole trader may be personal data.",
    )


@dataclass(frozen=True, slots=True)
class ProfileStated:
    """The seller's business model, product categories and country."""

    business_model: BusinessModel = word_field(1, BusinessModel, "The role in which the seller sells. Required.")
    product_categories: tuple[str, ...] = optional(2, IDS, "The product categories sold, at most 100.")
    country: str = optional(3, COUNTRY, "ISO 3166-1 alpha-2 country of shipment.")


@dataclass(frozen=True, slots=True)
class OperatorStated:
    """The legal entity behind the account, the same on every marketplace."""

    operator: str = required(1, ID, "The entity, a pseudonym of its registration. Required.", column="target")
    source: Source = word_field(2, Source, "The source that established it. Required.")
    identifier_verified: bool = optional(3, FLAG, "True if established by a verified identifier, not a name.")


@dataclass(frozen=True, slots=True)
class ControlChanged:
    """Another party took over the account. Earlier sales no longer count; violations stay."""

    cause: ControlReason = word_field(1, ControlReason, "The cause: sold or taken over. Required.", "status")
    actor: str = actor_field(2)
    reason: str = reason_field(3)


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """A link between two sellers was observed, contested or severed.

    The last statement about the two sellers counts.
    """

    other: str = required(1, ID, "The other seller of the marketplace. Required.", column="target")
    state: LinkState = word_field(2, LinkState, "The state of the link. Required.", "status")
    basis: str = required(
        3,
        ID,
        "The basis of the link, such as `shared_payout_account`. Required.",
        missing_text="must say what the link rests on",
    )
    actor: str = actor_field(4)
    reason: str = reason_field(5)

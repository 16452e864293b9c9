"""Facts about who a seller is."""

from collections.abc import Mapping

from scoring.base.enums import BusinessModel, ControlReason, IdentityLevel, LinkKind, LinkState, Source
from scoring.base.frozen import frozen
from scoring.entries.field_types import (
    ATTRIBUTES,
    COUNTRY,
    FLAG,
    ID,
    IDS,
    TIME,
    count,
    optional,
    pattern,
    required,
    word,
)
from scoring.entries.kinds.common import actor_field, reason_field, word_field


@frozen
class IdentityVerified:
    """The verified level of a seller's identity, and attributes that a study may declare as features."""

    level: IdentityLevel = word_field(1, IdentityLevel, "The verified level of identity. Required.", "identity_level")
    country: str = optional(2, COUNTRY, "ISO 3166-1 alpha-2 country of establishment.")
    attributes: Mapping[str, str] = optional(
        3,
        ATTRIBUTES,
        "Attributes for studies, and identifiers that let imports match sellers: at most 64, keys "
        "`[a-z][a-z0-9_]{0,62}`, values of at most 128 characters. Not sealed: an erasure leaves them. "
        "They must not name a person. A sole trader's identifiers may be personal data.",
    )


@frozen
class ProfileStated:
    """The seller's business model, product categories and country."""

    business_model: BusinessModel = word_field(1, BusinessModel, "The role in which the seller sells. Required.")
    product_categories: tuple[str, ...] = optional(2, IDS, "The product categories sold, at most 100.")
    country: str = optional(3, COUNTRY, "ISO 3166-1 alpha-2 country of shipment.")


@frozen
class OperatorStated:
    """The legal entity behind the account, the same on every marketplace."""

    operator: str = required(1, ID, "The entity, a pseudonym of its registration. Required.", column="target")
    source: Source = word_field(2, Source, "The source that established it. Required.")
    identifier_verified: bool = optional(3, FLAG, "True if established by a verified identifier, not a name.")


@frozen
class ControlChanged:
    """Another party took over the account."""

    cause: ControlReason = word_field(1, ControlReason, "The cause: sold or taken over. Required.", "status")
    actor: str = actor_field(2)
    reason: str = reason_field(3)


MAX_LINK_DAYS = 1_830

KEYED_DIGEST = pattern(
    "[0-9a-f]{64}",
    "must be the keyed digest of the identifier, 64 lower-case hexadecimal digits, and never the identifier itself: "
    "`sellertrust network digest` makes it",
)


@frozen
class LinkChanged:
    """A seller's link to an identifier, or to another seller, was observed, contested, confirmed or severed.

    The last statement about the seller and the identifier, or the other seller, counts. Two sellers with one identifier
    are linked. Only links with a `link_kind` have an effect. A seller's erasure ends its links.
    """

    state: LinkState = word_field(2, LinkState, "The state of the link. Required.", "status")
    basis: str = required(
        3,
        ID,
        "The basis of the link, such as `shared_payout_account`; no identifier. Required.",
        missing_text="must say what the link rests on",
    )
    actor: str = actor_field(4)
    reason: str = reason_field(5)
    other: str = optional(
        1, ID, "The other seller of the marketplace. Required without an `identifier`, else empty.", column="target"
    )
    link_kind: LinkKind | None = optional(6, word(LinkKind), "The kind of link. Required with an `identifier`.")
    identifier: str = optional(
        7,
        KEYED_DIGEST,
        "The keyed digest of the identifier, by `sellertrust network digest`. Never the identifier.",
        column="target",
    )
    source: Source | None = optional(8, word(Source), "The observer.")
    strength_ppm: int = optional(
        9,
        count(1_000_000),
        "The source's certainty, in parts per million. The measured precision of the kind bounds it. Default 0: "
        "equal to that precision.",
    )
    until: int | None = optional(
        10, TIME, "When the link ends by itself, at most 1,830 days from its begin. Default: not.", column="until_time"
    )
    verified: bool = optional(
        11,
        FLAG,
        "True if the source saw the seller control it, such as by a payout that arrived. Only verified links "
        "link sellers, so a false statement gains nothing.",
    )

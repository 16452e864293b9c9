"""Facts about a seller's conduct: violations, decisions about them, and incidents."""

from scoring.base.enums import Action, Attribution, Harm, IncidentChange, Severity, Source
from scoring.base.frozen import frozen
from scoring.entries.field_types import FLAG, ID, IDS, SHA256, optional, required, text, word
from scoring.entries.kinds.common import (
    EVIDENCE,
    EVIDENCE_HASH,
    FINAL,
    GROUND,
    GROUND_TEXT,
    ORDERS,
    SOURCE_TEXT,
    UNITS,
    URI,
    VALUE,
    actor_field,
    currency_field,
    ground_field,
    product_category_field,
    reason_field,
    word_field,
)


@frozen
class ViolationReported:
    """A report of a breach.

    It is alleged until confirmed. An authority's final act, matched by a verified identifier, is confirmed on arrival.
    """

    violation_type: str = required(
        1, text(128), "Key of the table of violation types, such as `counterfeit_goods`. Required."
    )
    harm: Harm = word_field(
        2,
        Harm,
        "The actual or possible harm. Required.",
    )
    source: Source = word_field(3, Source, SOURCE_TEXT)
    incident: str = optional(
        4,
        ID,
        "The incident. All its violations have one effect. Default: one incident for one notifier's "
        "reports about the same right and listing in one week (Monday to Sunday, UTC); else the "
        "violation's own `entry_id`.",
    )
    notifier: str = optional(5, ID, "The notifier, a pseudonym.", column="notifier")
    final: bool = optional(6, FLAG, FINAL)
    identifier_verified: bool = optional(
        7, FLAG, "True if the source matched the seller by a verified identifier (licence, tax number), not a name."
    )
    listing: str = optional(8, ID, "The listing concerned.")
    product_category: str = product_category_field(9)
    more_listings: tuple[str, ...] = optional(10, IDS, "Further listings, at most 100.")
    orders: int = optional(11, ORDERS, "Orders concerned.")
    units: int = optional(
        12,
        UNITS,
        "Distinct units concerned; adjudicated if confirmed on arrival. An incident's adjudicated units "
        "raise its severity (10 by one step, 1,000 by two, at most to critical).",
        column="units",
    )
    amount_minor: int = optional(13, VALUE, "The value concerned.")
    currency: str = currency_field(14)
    brand: str = optional(15, ID, "The brand concerned.")
    right: str = optional(16, ID, "The registration number of the right.")
    ground: str = ground_field(17)
    automated: bool = optional(18, FLAG, "True if detected by automated means.")
    product: str = optional(19, ID, "The product concerned.")
    batch: str = optional(20, ID, "The batch of the product.")
    evidence_uri: str = optional(21, URI, EVIDENCE)
    evidence_sha256: str = optional(22, SHA256, EVIDENCE_HASH)
    trusted_flagger: bool = optional(
        23,
        FLAG,
        "True if the notifier is a trusted flagger by the Digital Services Act, which statements of reasons state.",
    )


@frozen
class StatusChanged:
    """A change of a violation's status, with its actor and reason.

    The status decides which actions are allowed (docs/reference/lifecycle.md). Others fail with FAILED_PRECONDITION and
    `LIFECYCLE_FORBIDS`, which names the allowed actions. A change of an unrecorded violation stays pending if it names
    the seller (see `Entry.pending`).
    """

    violation: str = required(
        1,
        ID,
        "The violation's id. Required.",
        column="violation",
        missing_text="must name the violation by the entry_id of its report",
    )
    action: Action = word_field(2, Action, "The action taken. Required.")
    actor: str = actor_field(3)
    reason: str = reason_field(4)
    severity: Severity | None = optional(
        5, word(Severity), "The new severity, a lower one. Only, and required, for ACTION_REDUCE.", column="severity"
    )
    ground: str = optional(6, GROUND, f"{GROUND_TEXT} Required for ACTION_REINSTATE: the legal order.")
    units: int = optional(
        7,
        UNITS,
        "Distinct units adjudicated; only to confirm or reinstate, not of a product's violation. The "
        "last stated number counts, so fewer units may raise points. Default 0: as before.",
        column="units",
    )
    held_back: bool = optional(
        8, FLAG, "True if a bulk decision's random sample left it to a person. Only for ACTION_REVIEW."
    )


@frozen
class AttributionStated:
    """A statement about whether the goods of a violation were this seller's.

    The last statement counts. An accepted one may be rejected later; contesting it fails with FAILED_PRECONDITION and
    `LIFECYCLE_FORBIDS`.
    """

    violation: str = required(
        1,
        ID,
        "The violation's id. Required.",
        column="violation",
        missing_text="must name the violation by its entry_id",
    )
    outcome: Attribution = word_field(
        2,
        Attribution,
        "Contested, then accepted (not the seller's goods) or rejected (the seller's goods). Required.",
        "status",
    )
    actor: str = actor_field(3)
    reason: str = reason_field(4)
    ground: str = ground_field(5)


@frozen
class IncidentChanged:
    """Incidents of one seller were merged, or a violation was split off into another incident."""

    change: IncidentChange = word_field(1, IncidentChange, "Merged or split. Required.", "status")
    into: str = required(
        2,
        ID,
        "The remaining incident, or the violation's new one. Required.",
        column="target",
        missing_text="is required",
    )
    actor: str = actor_field(3)
    reason: str = reason_field(4)
    incident: str = optional(5, ID, "The merged incident. Only, and required, to merge.", column="incident")
    violation: str = optional(6, ID, "The violation split off. Only, and required, to split.", column="violation")


@frozen
class ProductListed:
    """A seller offered a product."""

    product: str = required(1, ID, "The product (an id such as a GTIN). Required.", column="target")
    batch: str = optional(2, ID, "The batch; empty: any.")
    supplier: str = optional(3, ID, "The supplier, a pseudonym.")
    listing: str = optional(4, ID, "The listing.")
    product_category: str = product_category_field(5)


@frozen
class ProductViolationReported:
    """A breach of a product or batch, for all its sellers.

    The ledger derives a violation for each. Decisions also apply to each, until a person decides about the derived one.
    """

    violation_type: str = required(1, text(128), "Key of the table of violation types. Required.")
    harm: Harm = word_field(2, Harm, "The actual or possible harm. Required.")
    source: Source = word_field(3, Source, SOURCE_TEXT)
    product: str = required(4, ID, "The product (an id). Required.", column="target")
    batch: str = optional(5, ID, "The batch; empty: every one.")
    supplier: str = optional(6, ID, "Only goods of this supplier; empty: of all.")
    notifier: str = optional(7, ID, "The notifier, a pseudonym.", column="notifier")
    final: bool = optional(8, FLAG, FINAL)
    identifier_verified: bool = optional(9, FLAG, "True if matched by a verified identifier.")
    product_category: str = product_category_field(10)
    ground: str = ground_field(11)
    evidence_uri: str = optional(
        12, URI, "The place of the evidence. Sealed. Names no seller or person: erasures leave it."
    )
    evidence_sha256: str = optional(13, SHA256, EVIDENCE_HASH)


@frozen
class RemediationDone:
    """The seller's remedy of a violation."""

    violation: str = required(
        1,
        ID,
        "The violation's id. Required.",
        column="violation",
        missing_text="must name the violation by its entry_id",
    )
    remedy: str = required(
        2, ID, "The remedy, such as `refund` or `recall`. Required.", missing_text="must say what was done"
    )
    units: int = optional(3, UNITS, "Units remedied.")
    amount_minor: int = optional(4, VALUE, "The cost.")
    currency: str = currency_field(5)
    evidence_uri: str = optional(6, URI, EVIDENCE)
    evidence_sha256: str = optional(7, SHA256, EVIDENCE_HASH)

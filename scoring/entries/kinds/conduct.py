"""Facts about a seller's conduct: violations, decisions about them, and incidents."""

from dataclasses import dataclass

from scoring.base.enums import Action, Attribution, Harm, IncidentChange, Severity, Source
from scoring.entries.field_types import CURRENCY, FLAG, ID, ID_FORM, IDS, SHA256, fact_field, text, word
from scoring.entries.kinds.common import (
    ACTOR,
    ACTOR_MISSING,
    CURRENCY_TEXT,
    EVIDENCE,
    EVIDENCE_HASH,
    FINAL,
    GROUND,
    GROUND_TEXT,
    ORDERS,
    PRODUCT_CATEGORY,
    REASON,
    REASON_MISSING,
    REASON_TEXT,
    SOURCE_TEXT,
    UNITS,
    URI,
    VALUE,
    word_field,
)


@dataclass(frozen=True, slots=True)
class ViolationReported:
    """A report of a breach.

    It is alleged until confirmed. An authority's final act, matched by a verified identifier, is confirmed on arrival.
    """

    violation_type: str = fact_field(
        1,
        text(128),
        "Key of the table of violation types, such as `counterfeit_goods`. Required.",
    )
    harm: Harm = word_field(
        2,
        Harm,
        "The actual or possible harm. Required.",
    )
    source: Source = word_field(3, Source, SOURCE_TEXT)
    incident: str = fact_field(
        4,
        ID,
        "The incident. All its violations have one effect. Default: one incident for one notifier's "
        "reports about the same right and listing in one week (Monday to Sunday, UTC); else the "
        "violation's own `entry_id`.",
        default="",
    )
    notifier: str = fact_field(5, ID, "The notifier, a pseudonym.", default="", column="notifier")
    final: bool = fact_field(6, FLAG, FINAL, default=False)
    identifier_verified: bool = fact_field(
        7,
        FLAG,
        "True if the source matched the seller by a verified identifier (licence, tax number), not a name.",
        default=False,
    )
    listing: str = fact_field(8, ID, "The listing concerned.", default="")
    product_category: str = fact_field(9, ID, PRODUCT_CATEGORY, default="")
    more_listings: tuple[str, ...] = fact_field(10, IDS, "Further listings, at most 100.", default=())
    orders: int = fact_field(11, ORDERS, "Orders concerned.", default=0)
    units: int = fact_field(
        12,
        UNITS,
        "Distinct units concerned; adjudicated if confirmed on arrival. An incident's adjudicated units "
        "raise its severity (10 by one step, 1,000 by two, at most to critical).",
        default=0,
        column="units",
    )
    amount_minor: int = fact_field(13, VALUE, "The value concerned.", default=0)
    currency: str = fact_field(14, CURRENCY, CURRENCY_TEXT, default="")
    brand: str = fact_field(15, ID, "The brand concerned.", default="")
    right: str = fact_field(16, ID, "The registration number of the right.", default="")
    ground: str = fact_field(17, GROUND, GROUND_TEXT, default="")
    automated: bool = fact_field(18, FLAG, "True if detected by automated means.", default=False)
    product: str = fact_field(19, ID, "The product concerned.", default="")
    batch: str = fact_field(20, ID, "The batch of the product.", default="")
    evidence_uri: str = fact_field(21, URI, EVIDENCE, default="")
    evidence_sha256: str = fact_field(22, SHA256, EVIDENCE_HASH, default="")


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """A change of a violation's status, with its actor and reason.

    Allowed: alleged -> under review -> confirmed or dismissed; alleged or under review -> withdrawn; dismissed -> under
    review again; confirmed or reduced -> appealed -> confirmed, reduced or overturned; confirmed or reduced ->
    overturned; dismissed or overturned -> reinstated by a legal order. Else FAILED_PRECONDITION with
    `LIFECYCLE_FORBIDS`, which names the allowed actions. A change of an unrecorded violation stays pending if it names
    the seller, until the report or an earlier decision arrives. After a valid later decision it is never applied.
    """

    violation: str = fact_field(
        1,
        ID,
        "The violation's id. Required.",
        column="violation",
        missing_text="must name the violation by the entry_id of its report",
    )
    action: Action = word_field(2, Action, "The action taken. Required.")
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    severity: Severity | None = fact_field(
        5,
        word(Severity),
        "The new severity, a lower one. Only, and required, for ACTION_REDUCE.",
        default=None,
        column="severity",
    )
    ground: str = fact_field(6, GROUND, f"{GROUND_TEXT} Required for ACTION_REINSTATE: the legal order.", default="")
    units: int = fact_field(
        7,
        UNITS,
        "Distinct units adjudicated; only to confirm or reinstate, not of a product's violation. The "
        "last stated number counts, so fewer units may raise points. Default 0: as before.",
        default=0,
        column="units",
    )
    held_back: bool = fact_field(
        8,
        FLAG,
        "True if a bulk decision's random sample left it to a person. Only for ACTION_REVIEW.",
        default=False,
    )


@dataclass(frozen=True, slots=True)
class AttributionStated:
    """A statement about whether the goods of a violation were this seller's.

    The last statement counts. An accepted one may be rejected later; contesting it fails with FAILED_PRECONDITION and
    `LIFECYCLE_FORBIDS`.
    """

    violation: str = fact_field(
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
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    ground: str = fact_field(5, GROUND, GROUND_TEXT, default="")


@dataclass(frozen=True, slots=True)
class IncidentChanged:
    """Incidents of one seller were merged, or a violation was split off into another incident."""

    change: IncidentChange = word_field(1, IncidentChange, "Merged or split. Required.", "status")
    into: str = fact_field(
        2,
        ID,
        "The remaining incident, or the violation's new one. Required.",
        column="target",
        missing_text="is required",
    )
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    incident: str = fact_field(
        5,
        ID,
        "The merged incident. Only, and required, to merge.",
        default="",
        column="incident",
    )
    violation: str = fact_field(
        6, ID, "The violation split off. Only, and required, to split.", default="", column="violation"
    )


@dataclass(frozen=True, slots=True)
class ProductListed:
    """A seller offered a product. Safety facts about it reach the seller."""

    product: str = fact_field(
        1, ID, "The product (an id such as a GTIN). Required.", column="target", missing_text=f"must be {ID_FORM}"
    )
    batch: str = fact_field(2, ID, "The batch; empty: any.", default="")
    supplier: str = fact_field(3, ID, "The supplier, a pseudonym.", default="")
    listing: str = fact_field(4, ID, "The listing.", default="")
    product_category: str = fact_field(5, ID, PRODUCT_CATEGORY, default="")


@dataclass(frozen=True, slots=True)
class ProductViolationReported:
    """A breach of a product or batch, for all its sellers.

    The ledger derives a violation for each. Decisions also apply to each, until a person decides about the derived one.
    """

    violation_type: str = fact_field(1, text(128), "Key of the table of violation types. Required.")
    harm: Harm = word_field(2, Harm, "The actual or possible harm. Required.")
    source: Source = word_field(3, Source, SOURCE_TEXT)
    product: str = fact_field(
        4, ID, "The product (an id). Required.", column="target", missing_text=f"must be {ID_FORM}"
    )
    batch: str = fact_field(5, ID, "The batch; empty: every one.", default="")
    supplier: str = fact_field(6, ID, "Only goods of this supplier; empty: of all.", default="")
    notifier: str = fact_field(7, ID, "The notifier, a pseudonym.", default="", column="notifier")
    final: bool = fact_field(8, FLAG, FINAL, default=False)
    identifier_verified: bool = fact_field(9, FLAG, "True if matched by a verified identifier.", default=False)
    product_category: str = fact_field(10, ID, PRODUCT_CATEGORY, default="")
    ground: str = fact_field(11, GROUND, GROUND_TEXT, default="")
    evidence_uri: str = fact_field(
        12, URI, "The place of the evidence. Sealed. Names no seller or person: erasures leave it.", default=""
    )
    evidence_sha256: str = fact_field(13, SHA256, EVIDENCE_HASH, default="")


@dataclass(frozen=True, slots=True)
class RemediationDone:
    """The seller's remedy of a violation."""

    violation: str = fact_field(
        1,
        ID,
        "The violation's id. Required.",
        column="violation",
        missing_text="must name the violation by its entry_id",
    )
    remedy: str = fact_field(
        2, ID, "The remedy, such as `refund` or `recall`. Required.", missing_text="must say what was done"
    )
    units: int = fact_field(3, UNITS, "Units remedied.", default=0)
    amount_minor: int = fact_field(4, VALUE, "The cost.", default=0)
    currency: str = fact_field(5, CURRENCY, CURRENCY_TEXT, default="")
    evidence_uri: str = fact_field(6, URI, EVIDENCE, default="")
    evidence_sha256: str = fact_field(7, SHA256, EVIDENCE_HASH, default="")

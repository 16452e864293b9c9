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
        "Key of the table of violation types, for example `counterfeit_goods`; `sellertrust violation types` lists them."
        " Required.",
    )
    harm: Harm = word_field(
        2,
        Harm,
        "The actual or possible harm. With the type and the source it decides the severity. Required.",
    )
    source: Source = word_field(3, Source, SOURCE_TEXT)
    incident: str = fact_field(
        4,
        ID,
        "The incident of the violation: all violations of one incident have one effect. Default: reports of one notifier"
        " about the same right and listing in one week (Monday to Sunday, UTC) are one incident; else the violation's own"
        " `entry_id`.",
        default="",
    )
    notifier: str = fact_field(5, ID, "The notifier (a pseudonym). Optional.", default="", column="notifier")
    final: bool = fact_field(6, FLAG, FINAL, default=False)
    identifier_verified: bool = fact_field(
        7,
        FLAG,
        "True if the source matched the seller by a verified identifier (licence, tax number), not by a name. Default"
        " false.",
        default=False,
    )
    listing: str = fact_field(8, ID, "The listing concerned. Optional.", default="")
    product_category: str = fact_field(9, ID, PRODUCT_CATEGORY, default="")
    more_listings: tuple[str, ...] = fact_field(
        10, IDS, "Further listings concerned, at most 100. Optional.", default=()
    )
    orders: int = fact_field(11, ORDERS, "Orders concerned, 0 to 100,000,000. Default 0: not stated.", default=0)
    units: int = fact_field(
        12,
        UNITS,
        "Distinct units concerned, 0 to 10,000,000,000. Default 0: not stated. Units of a report that is confirmed on"
        " arrival are adjudicated. The adjudicated units of an incident together raise its severity (10 units by one step,"
        " 1,000 by two, never beyond critical).",
        default=0,
        column="units",
    )
    amount_minor: int = fact_field(
        13, VALUE, "Value concerned in minor units of `currency` (cents), 0 to 10^15. Default 0.", default=0
    )
    currency: str = fact_field(14, CURRENCY, CURRENCY_TEXT, default="")
    brand: str = fact_field(15, ID, "The brand concerned (an id). Optional.", default="")
    right: str = fact_field(16, ID, "The right infringed: a registration number (an id). Optional.", default="")
    ground: str = fact_field(17, GROUND, GROUND_TEXT, default="")
    automated: bool = fact_field(18, FLAG, "True if it was detected by automated means. Default false.", default=False)
    product: str = fact_field(19, ID, "The product concerned (an id). Optional.", default="")
    batch: str = fact_field(20, ID, "The batch of the product (an id). Optional.", default="")
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
        "The violation's id: the `entry_id` under which it was reported. Required.",
        column="violation",
        missing_text="must name the violation by the entry_id of its report",
    )
    action: Action = word_field(2, Action, "The action taken. Required.")
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    severity: Severity | None = fact_field(
        5,
        word(Severity),
        "The new severity, lower than the present one. Required for ACTION_REDUCE, rejected otherwise.",
        default=None,
        column="severity",
    )
    ground: str = fact_field(
        6, GROUND, GROUND_TEXT[:-9] + "Required for ACTION_REINSTATE: the legal order.", default=""
    )
    units: int = fact_field(
        7,
        UNITS,
        "Distinct units adjudicated by this decision, 0 to 10,000,000,000; only to confirm or reinstate. The last stated"
        " number counts, so the right number corrects a mistaken one. To confirm an appealed violation with fewer units is"
        " therefore a reduction, and may raise points. An appeal or an overturn keeps the number: a violation reinstated"
        " without units has its earlier units. Rejected for a violation of a product. Default 0: as before. See"
        " `ViolationReported.units`.",
        default=0,
        column="units",
    )
    held_back: bool = fact_field(
        8,
        FLAG,
        "True if a bulk decision left this violation to a person, as part of its random sample. Only for ACTION_REVIEW."
        " Default false.",
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
        "The incident that remains, or the new incident of the violation. Required.",
        column="target",
        missing_text="is required",
    )
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    incident: str = fact_field(
        5,
        ID,
        "The incident that is merged into the other. Required to merge, rejected to split.",
        default="",
        column="incident",
    )
    violation: str = fact_field(
        6, ID, "The violation that is split off. Required to split, rejected to merge.", default="", column="violation"
    )


@dataclass(frozen=True, slots=True)
class ProductListed:
    """A seller offered a product. Safety facts about it reach the seller."""

    product: str = fact_field(
        1, ID, "The product (an id such as a GTIN). Required.", column="target", missing_text=f"must be {ID_FORM}"
    )
    batch: str = fact_field(2, ID, "The batch. Default empty: any.", default="")
    supplier: str = fact_field(3, ID, "The supplier (a pseudonym). Optional.", default="")
    listing: str = fact_field(4, ID, "The listing. Optional.", default="")
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
    batch: str = fact_field(5, ID, "The batch. Default empty: every batch.", default="")
    supplier: str = fact_field(6, ID, "Only goods of this supplier. Default empty: of every supplier.", default="")
    notifier: str = fact_field(7, ID, "The notifier (a pseudonym). Optional.", default="", column="notifier")
    final: bool = fact_field(8, FLAG, FINAL, default=False)
    identifier_verified: bool = fact_field(
        9, FLAG, "True if the product was matched by a verified identifier. Default false.", default=False
    )
    product_category: str = fact_field(10, ID, PRODUCT_CATEGORY, default="")
    ground: str = fact_field(11, GROUND, GROUND_TEXT, default="")
    evidence_uri: str = fact_field(
        12, URI, f"{EVIDENCE} Must not name a seller or a person: the erasure of a seller leaves it.", default=""
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
    units: int = fact_field(3, UNITS, "Units remedied, 0 to 10,000,000,000. Default 0.", default=0)
    amount_minor: int = fact_field(
        4, VALUE, "The cost, in minor units of `currency`, 0 to 10^15. Default 0.", default=0
    )
    currency: str = fact_field(5, CURRENCY, CURRENCY_TEXT, default="")
    evidence_uri: str = fact_field(6, URI, EVIDENCE, default="")
    evidence_sha256: str = fact_field(7, SHA256, EVIDENCE_HASH, default="")

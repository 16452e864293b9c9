"""Facts about what a seller did: violations, decisions about them, and incidents."""

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
    """A breach that somebody reported. It is alleged until it is confirmed, except that a final act of an authority
    (court, police, customs, patent office, market or quality regulator) that was matched to the seller by a verified
    identifier is confirmed on arrival.
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
        "How bad the outcome was or could have been. With the type and the source it decides the severity. Required.",
    )
    source: Source = word_field(3, Source, SOURCE_TEXT)
    incident: str = fact_field(
        4,
        ID,
        "The event it belongs to: violations of one incident have one effect. Default: reports of one notifier about the"
        " same right and listing in one week (Monday to Sunday, UTC) are one incident; else the violation's own `entry_id`.",
        default="",
    )
    notifier: str = fact_field(5, ID, "Who reported it (a pseudonym). Optional.", default="", column="notifier")
    final: bool = fact_field(6, FLAG, FINAL, default=False)
    identifier_verified: bool = fact_field(
        7,
        FLAG,
        "Whether the source matched the seller by a verified identifier (licence, tax number), not by a name. Default"
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
        "Distinct units concerned, 0 to 10,000,000,000. Default 0: not stated. Those of a report that is confirmed on"
        " arrival are adjudicated: together with those of its incident they raise the incident's severity (10 units by"
        " one step, 1,000 by two, never beyond critical).",
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
    automated: bool = fact_field(18, FLAG, "Whether it was detected by automated means. Default false.", default=False)
    product: str = fact_field(19, ID, "The product concerned (an id). Optional.", default="")
    batch: str = fact_field(20, ID, "The batch of the product (an id). Optional.", default="")
    evidence_uri: str = fact_field(21, URI, EVIDENCE, default="")
    evidence_sha256: str = fact_field(22, SHA256, EVIDENCE_HASH, default="")


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """A change of a violation's status, by somebody, for a reason. What may follow what is the lifecycle: alleged ->
    under review -> confirmed or dismissed; alleged or under review -> withdrawn; dismissed -> under review again;
    confirmed or reduced -> appealed -> confirmed, reduced or overturned; confirmed or reduced -> overturned; dismissed
    or overturned -> reinstated by a legal order. A change that the lifecycle forbids is refused with
    FAILED_PRECONDITION and the reason `LIFECYCLE_FORBIDS`, naming the actions that are allowed. About a violation that
    is not on record it is kept as pending if it names the seller: it resolves when the report arrives, or after a
    decision that happened no later than it, and never once a decision that happened later stands.
    """

    violation: str = fact_field(
        1,
        ID,
        "The violation's id: the `entry_id` under which it was reported. Required.",
        column="violation",
        missing_text="must name the violation by the entry_id of its report",
    )
    action: Action = word_field(2, Action, "What was done. Required.")
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    severity: Severity | None = fact_field(
        5,
        word(Severity),
        "The severity that remains, lower than the present one. Required for ACTION_REDUCE, refused otherwise.",
        default=None,
        column="severity",
    )
    ground: str = fact_field(
        6, GROUND, GROUND_TEXT[:-9] + "Required for ACTION_REINSTATE: the legal order.", default=""
    )
    units: int = fact_field(
        7,
        UNITS,
        "Distinct units adjudicated by this decision, 0 to 10,000,000,000; only to confirm or reinstate. The last number"
        " stated counts, so that a mistaken one is taken back by stating the right one: to confirm an appealed violation"
        " with fewer units is then a reduction, and may raise points. What an appeal or an overturn follows stays stated:"
        " reinstated without units it has those of before. Refused for a violation of a product. Default 0: as before."
        " See `ViolationReported.units`.",
        default=0,
        column="units",
    )
    held_back: bool = fact_field(
        8,
        FLAG,
        "Whether a bulk decision left this violation to a person, as part of its random sample. Only for ACTION_REVIEW."
        " Default false.",
        default=False,
    )


@dataclass(frozen=True, slots=True)
class AttributionStated:
    """Whether the goods of a violation were this seller's. The last statement counts; what is accepted may be rejected
    after all, but contesting it again is refused with FAILED_PRECONDITION and the reason `LIFECYCLE_FORBIDS`.
    """

    violation: str = fact_field(
        1,
        ID,
        "The violation's id. Required.",
        column="violation",
        missing_text="must name the violation by its entry_id",
    )
    outcome: Attribution = word_field(
        2, Attribution, "Contested, and then accepted (they were not) or rejected (they were). Required.", "status"
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
        "The incident that remains, or that the violation goes to. Required.",
        column="target",
        missing_text="is required",
    )
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    incident: str = fact_field(
        5,
        ID,
        "The incident that is merged into the other. Required to merge, refused to split.",
        default="",
        column="incident",
    )
    violation: str = fact_field(
        6, ID, "The violation that is split off. Required to split, refused to merge.", default="", column="violation"
    )


@dataclass(frozen=True, slots=True)
class ProductListed:
    """A seller offered a product; safety facts about the product and batch reach it."""

    product: str = fact_field(
        1, ID, "The product (an id such as a GTIN). Required.", column="target", missing_text=f"must be {ID_FORM}"
    )
    batch: str = fact_field(2, ID, "The batch. Default empty: any.", default="")
    supplier: str = fact_field(3, ID, "Who supplied it (a pseudonym). Optional.", default="")
    listing: str = fact_field(4, ID, "The listing. Optional.", default="")
    product_category: str = fact_field(5, ID, PRODUCT_CATEGORY, default="")


@dataclass(frozen=True, slots=True)
class ProductViolationReported:
    """A breach of a product or batch, whoever sells it: each seller who listed it gets a violation derived from it. What is
    decided about it is decided about each of these, until somebody decides about one of them by itself.
    """

    violation_type: str = fact_field(1, text(128), "Key of the table of violation types. Required.")
    harm: Harm = word_field(2, Harm, "How bad the outcome was or could have been. Required.")
    source: Source = word_field(3, Source, SOURCE_TEXT)
    product: str = fact_field(
        4, ID, "The product (an id). Required.", column="target", missing_text=f"must be {ID_FORM}"
    )
    batch: str = fact_field(5, ID, "The batch. Default empty: every batch.", default="")
    supplier: str = fact_field(6, ID, "Only goods of this supplier. Default empty: of every one.", default="")
    notifier: str = fact_field(7, ID, "Who reported it (a pseudonym). Optional.", default="", column="notifier")
    final: bool = fact_field(8, FLAG, FINAL, default=False)
    identifier_verified: bool = fact_field(
        9, FLAG, "Whether the product was matched by a verified identifier. Default false.", default=False
    )
    product_category: str = fact_field(10, ID, PRODUCT_CATEGORY, default="")
    ground: str = fact_field(11, GROUND, GROUND_TEXT, default="")
    evidence_uri: str = fact_field(
        12, URI, f"{EVIDENCE} Must not name a seller or a person: erasing a seller leaves it.", default=""
    )
    evidence_sha256: str = fact_field(13, SHA256, EVIDENCE_HASH, default="")


@dataclass(frozen=True, slots=True)
class RemediationDone:
    """What a seller did to put a violation right."""

    violation: str = fact_field(
        1,
        ID,
        "The violation's id. Required.",
        column="violation",
        missing_text="must name the violation by its entry_id",
    )
    remedy: str = fact_field(
        2, ID, "What was done, such as `refund` or `recall`. Required.", missing_text="must say what was done"
    )
    units: int = fact_field(3, UNITS, "Units put right, 0 to 10,000,000,000. Default 0.", default=0)
    amount_minor: int = fact_field(
        4, VALUE, "What it cost, in minor units of `currency`, 0 to 10^15. Default 0.", default=0
    )
    currency: str = fact_field(5, CURRENCY, CURRENCY_TEXT, default="")
    evidence_uri: str = fact_field(6, URI, EVIDENCE, default="")
    evidence_sha256: str = fact_field(7, SHA256, EVIDENCE_HASH, default="")

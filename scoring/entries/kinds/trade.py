"""Facts about a seller's sales, and the findings of buyers and inspectors."""

from collections.abc import Mapping
from dataclasses import dataclass

from scoring.base.enums import DisputeOutcome, InspectionMethod, InspectionResult, Source
from scoring.entries.field_types import ATTRIBUTES, CURRENCY, DAY, ID, SHA256, count, fact_field
from scoring.entries.kinds.common import (
    ACTOR,
    ACTOR_MISSING,
    CURRENCY_TEXT,
    EVIDENCE,
    EVIDENCE_HASH,
    GROUND,
    GROUND_TEXT,
    MAX_REVISION,
    ORDERS,
    PRODUCT_CATEGORY,
    UNITS,
    URI,
    VALUE,
    word_field,
)


@dataclass(frozen=True, slots=True)
class ExposureStated:
    """The settled orders of one seller on one UTC day in one product category.

    Settled: delivered and past the claim window, with or without a breach. The highest `revision` of a day counts, from
    the next day on.
    """

    day: int = fact_field(1, DAY, "The UTC day as `YYYY-MM-DD`, not in the future. Required.", column="exposure_day")
    settled_orders: int = fact_field(
        4,
        ORDERS,
        "Settled orders, at least each failure count below.",
        column="settled_orders",
    )
    product_category: str = fact_field(
        2,
        ID,
        "The product category; empty: everything.",
        default="",
        column="product_category",
    )
    revision: int = fact_field(
        3,
        count(MAX_REVISION, proto="int32"),
        "Number of this statement: the highest of a day and product category counts, 0 to 1,000,000. "
        "None is stated twice.",
        default=0,
        column="revision",
    )
    units: int = fact_field(5, UNITS, "Units in these orders.", default=0)
    value_minor: int = fact_field(6, VALUE, "Value of these orders.", default=0)
    currency: str = fact_field(7, CURRENCY, "ISO 4217 code. Required with a value.", default="")
    cancelled: int = fact_field(
        8,
        ORDERS,
        "Orders cancelled by the seller, a service failure like the next three.",
        default=0,
    )
    late: int = fact_field(9, ORDERS, "Orders handed over late.", default=0)
    returned: int = fact_field(10, ORDERS, "Orders returned for a defect.", default=0)
    not_received: int = fact_field(11, ORDERS, "Orders paid for and not received.", default=0)
    value_in_claim_window_minor: int = fact_field(12, VALUE, "Value paid out inside its claim window.", default=0)
    value_held_minor: int = fact_field(13, VALUE, "Value held back at the day's end.", default=0)

    @property
    def service_failures(self) -> int:
        """Return the orders with a service failure: the sum of the four counts, at most all settled orders."""
        return min(self.cancelled + self.late + self.returned + self.not_received, self.settled_orders)


@dataclass(frozen=True, slots=True)
class RatingGiven:
    """A buyer's rating of an order."""

    stars: int = fact_field(
        1, count(5, minimum=1), "One (bad) to five (good). Required.", missing_text="must be 1 to 5"
    )
    order: str = fact_field(2, ID, "The order rated, a pseudonym.", default="")
    listing: str = fact_field(3, ID, "The listing rated.", default="")
    product_category: str = fact_field(4, ID, PRODUCT_CATEGORY, default="")


@dataclass(frozen=True, slots=True)
class DisputeResolved:
    """A dispute between a buyer and the seller was resolved."""

    outcome: DisputeOutcome = word_field(1, DisputeOutcome, "The party that won. Required.", "status")
    actor: str = fact_field(2, ID, ACTOR, missing_text=ACTOR_MISSING)
    order: str = fact_field(3, ID, "The order disputed, a pseudonym.", default="")
    amount_minor: int = fact_field(4, VALUE, "The amount returned to the buyer.", default=0)
    currency: str = fact_field(5, CURRENCY, CURRENCY_TEXT, default="")
    product_category: str = fact_field(6, ID, PRODUCT_CATEGORY, default="")
    ground: str = fact_field(7, GROUND, GROUND_TEXT, default="")


@dataclass(frozen=True, slots=True)
class InspectionDone:
    """An inspection or a test buy, passed or failed. A breach that it found is reported as a separate violation."""

    result: InspectionResult = word_field(1, InspectionResult, "The result. Required.", "status")
    method: InspectionMethod = word_field(2, InspectionMethod, "The method. Required.")
    source: Source = word_field(3, Source, "The inspecting source. Required.")
    selection_probability_ppm: int = fact_field(
        4,
        count(1_000_000),
        "Probability of the seller's random selection, in parts per million; 0: not random, or unknown.",
        default=0,
    )
    product: str = fact_field(5, ID, "The product inspected.", default="")
    batch: str = fact_field(6, ID, "The batch of the product.", default="")
    listing: str = fact_field(7, ID, "The listing inspected.", default="")
    product_category: str = fact_field(8, ID, PRODUCT_CATEGORY, default="")
    incident: str = fact_field(9, ID, "The incident of its violations.", default="")
    evidence_uri: str = fact_field(10, URI, EVIDENCE, default="")
    evidence_sha256: str = fact_field(11, SHA256, EVIDENCE_HASH, default="")
    inspector: str = fact_field(
        12,
        ID,
        "The inspector, a pseudonym. Context for training; no answer depends on it.",
        default="",
    )
    attributes: Mapping[str, str] = fact_field(
        13,
        ATTRIBUTES,
        "Circumstances that a study may declare as context: at most 64, keys `[a-z][a-z0-9_]{0,62}`, "
        "values of at most 128 characters. Never personal data.",
        default=dict,
    )

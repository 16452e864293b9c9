"""Facts about a seller's sales, and the findings of buyers and inspectors."""

from collections.abc import Mapping

from scoring.base.enums import DisputeOutcome, InspectionMethod, InspectionResult, Source
from scoring.base.frozen import frozen
from scoring.entries.field_types import ATTRIBUTES, CURRENCY, DAY, ID, SHA256, count, optional, required
from scoring.entries.kinds.common import (
    EVIDENCE,
    EVIDENCE_HASH,
    MAX_REVISION,
    ORDERS,
    UNITS,
    URI,
    VALUE,
    actor_field,
    currency_field,
    ground_field,
    product_category_field,
    word_field,
)

SERVICE_FAILURES = ("cancelled", "late", "not_received", "returned")
FAILURES = (*SERVICE_FAILURES, "claims")
"""The counts of `ExposureStated` that a rate may ask about."""


@frozen
class ExposureStated:
    """The settled orders of one seller on one UTC day in one product category.

    Settled: delivered and past the claim window, with or without a breach. The highest `revision` of a day counts, from
    the next day on.
    """

    day: int = required(1, DAY, "The UTC day as `YYYY-MM-DD`, not in the future. Required.", column="exposure_day")
    settled_orders: int = required(
        4, ORDERS, "Settled orders, at least each failure count below.", column="settled_orders"
    )
    product_category: str = optional(2, ID, "The product category; empty: everything.", column="product_category")
    revision: int = optional(
        3,
        count(MAX_REVISION, proto="int32"),
        "Number of this statement: the highest of a day and product category counts, 0 to 1,000,000. "
        "None is stated twice.",
        column="revision",
    )
    units: int = optional(5, UNITS, "Units in these orders.")
    value_minor: int = optional(6, VALUE, "Value of these orders.")
    currency: str = optional(7, CURRENCY, "ISO 4217 code. Required with a value.")
    cancelled: int = optional(8, ORDERS, "Orders cancelled by the seller, a service failure like the next three.")
    late: int = optional(9, ORDERS, "Orders handed over late.")
    returned: int = optional(10, ORDERS, "Orders returned for a defect.")
    not_received: int = optional(11, ORDERS, "Orders paid for and not received.")
    value_in_claim_window_minor: int = optional(12, VALUE, "Value paid out inside its claim window.")
    value_held_minor: int = optional(13, VALUE, "Value held back at the day's end.")
    claims: int = optional(14, ORDERS, "Orders with a granted claim or a chargeback. Only policies read it.")

    @property
    def service_failures(self) -> int:
        """Return the day's orders cancelled, late, not received or returned, at most all settled orders."""
        return min(self.cancelled + self.late + self.not_received + self.returned, self.settled_orders)


@frozen
class RatingGiven:
    """A buyer's rating of an order."""

    stars: int = required(1, count(5, minimum=1), "One (bad) to five (good). Required.")
    order: str = optional(2, ID, "The order rated, a pseudonym.")
    listing: str = optional(3, ID, "The listing rated.")
    product_category: str = product_category_field(4)


@frozen
class DisputeResolved:
    """A dispute between a buyer and the seller was resolved."""

    outcome: DisputeOutcome = word_field(1, DisputeOutcome, "The party that won. Required.", "status")
    actor: str = actor_field(2)
    order: str = optional(3, ID, "The order disputed, a pseudonym.")
    amount_minor: int = optional(4, VALUE, "The amount returned to the buyer.")
    currency: str = currency_field(5)
    product_category: str = product_category_field(6)
    ground: str = ground_field(7)


@frozen
class InspectionDone:
    """An inspection or a test buy, passed or failed. A breach that it found is reported as a separate violation."""

    result: InspectionResult = word_field(1, InspectionResult, "The result. Required.", "status")
    method: InspectionMethod = word_field(2, InspectionMethod, "The method. Required.")
    source: Source = word_field(3, Source, "The inspecting source. Required.")
    selection_probability_ppm: int = optional(
        4,
        count(1_000_000),
        "Probability of the seller's random selection, in parts per million; 0: not random, or unknown.",
    )
    product: str = optional(5, ID, "The product inspected.")
    batch: str = optional(6, ID, "The batch of the product.")
    listing: str = optional(7, ID, "The listing inspected.")
    product_category: str = product_category_field(8)
    incident: str = optional(9, ID, "The incident of its violations.")
    evidence_uri: str = optional(10, URI, EVIDENCE)
    evidence_sha256: str = optional(11, SHA256, EVIDENCE_HASH)
    inspector: str = optional(12, ID, "The inspector, a pseudonym. Context for training; no answer depends on it.")
    attributes: Mapping[str, str] = optional(
        13,
        ATTRIBUTES,
        "Circumstances that a study may declare as context: at most 64, keys `[a-z][a-z0-9_]{0,62}`, "
        "values of at most 128 characters. Never personal data.",
    )

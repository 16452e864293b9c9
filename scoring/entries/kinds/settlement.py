"""Facts about money on its way to a seller, and about measures that a seller contests. No score depends on them."""

from dataclasses import dataclass
from typing import Any

from scoring.base.enums import ClaimChange, ComplaintOutcome, DepositChange, PayoutsChange
from scoring.entries.field_types import CURRENCY, DAY, ID, ID_FORM, count, fact_field
from scoring.entries.kinds.common import (
    ACTOR,
    ACTOR_MISSING,
    GROUND,
    GROUND_TEXT,
    MAX_REVISION,
    ORDERS,
    PRODUCT_CATEGORY,
    REASON,
    REASON_MISSING,
    REASON_TEXT,
    SUM,
    SUM_CURRENCY,
    SUM_TEXT,
    VALUE,
    word_field,
)

_CURRENCY_MISSING = "must be an ISO 4217 code such as CNY"


def _orders(number: int, text: str) -> Any:
    return fact_field(number, ORDERS, f"{text} on the day, 0 to 100,000,000. Default 0.", default=0)


def _value(number: int, text: str) -> Any:
    return fact_field(number, VALUE, f"{text}, in minor units of `currency` (cents), 0 to 10^15. Default 0.", default=0)


@dataclass(frozen=True, slots=True)
class FlowStated:
    """What happened to the orders of one seller on one UTC day in one product category, as soon as it happened: each count
    is of what happened on that day, to orders of whichever day. Exposure states the settled orders, weeks later. A day stated
    twice counts by its highest `revision`, so that the day that still runs can be stated anew each hour.
    """

    day: int = fact_field(1, DAY, "The UTC day as `YYYY-MM-DD`, not in the future. Required.", column="exposure_day")
    product_category: str = fact_field(
        2,
        ID,
        "What was sold, in the marketplace's own words (an id). Default empty: everything.",
        default="",
        column="product_category",
    )
    revision: int = fact_field(
        3,
        count(MAX_REVISION, proto="int32"),
        "Number of this statement of the day, 0 to 1,000,000; the highest one counts. The same day, product category and"
        " revision cannot be stated by two entries. Default 0.",
        default=0,
        column="revision",
    )
    currency: str = fact_field(
        4, CURRENCY, "ISO 4217 code of the values, such as `CNY`. Required if there is a value.", default=""
    )
    captured_orders: int = _orders(5, "Orders whose payment was captured")
    captured_minor: int = _value(6, "Their value")
    shipped_orders: int = _orders(7, "Orders handed over to a carrier")
    shipped_minor: int = _value(8, "Their value")
    delivered_orders: int = _orders(9, "Orders that reached their buyers")
    delivered_minor: int = _value(10, "Their value")
    disputed_orders: int = _orders(11, "Orders about which a dispute was opened")
    disputed_minor: int = _value(12, "The value in dispute")
    refunded_orders: int = _orders(13, "Orders of which something was refunded")
    refunded_minor: int = _value(14, "What was refunded")
    charged_back_orders: int = _orders(15, "Orders charged back by the buyer's bank")
    charged_back_minor: int = _value(16, "What was charged back")
    paid_out_orders: int = _orders(17, "Orders of which something was paid out to the seller")
    paid_out_minor: int = _value(18, "What was paid out")


@dataclass(frozen=True, slots=True)
class DepositChanged:
    """Money was placed as a seller's deposit, drawn from it for a claim, or returned to the seller. All of a seller's deposit
    is in one currency. No more is drawn or returned than is there, and no more is drawn for a claim than was paid for it
    and is not recovered yet: otherwise the entry is refused with FAILED_PRECONDITION and the reason `BALANCE_FORBIDS`.
    """

    change: DepositChange = word_field(1, DepositChange, "Placed, drawn or returned. Required.", "status")
    amount_minor: int = fact_field(2, SUM, SUM_TEXT)
    currency: str = fact_field(3, CURRENCY, SUM_CURRENCY, missing_text=_CURRENCY_MISSING)
    actor: str = fact_field(4, ID, ACTOR, missing_text=ACTOR_MISSING)
    claim: str = fact_field(
        5,
        ID,
        "The adjudicated claim that it is drawn for. Required for DEPOSIT_CHANGE_DRAWN, refused otherwise.",
        default="",
        column="target",
    )
    ground: str = fact_field(6, GROUND, GROUND_TEXT, default="")


@dataclass(frozen=True, slots=True)
class PayoutsChanged:
    """Payouts to a seller were stopped, or go on. A stop opens a case (`case`) and ends by itself after 30 days, unless a
    person confirms the case by violations, or extends it. While a stop stands another one changes nothing; after one that
    nobody decided another one is refused with FAILED_PRECONDITION and the reason `LIFECYCLE_FORBIDS`.
    """

    change: PayoutsChange = word_field(1, PayoutsChange, "Stopped or resumed. Required.", "status")
    actor: str = fact_field(2, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(3, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    ground: str = fact_field(4, GROUND, GROUND_TEXT, default="")


@dataclass(frozen=True, slots=True)
class ClaimChanged:
    """A buyer's adjudicated claim was paid by the marketplace, or recovered from the seller otherwise than by its deposit. A
    claim may be paid and recovered in parts, all in one currency; more than was paid is not recovered: otherwise the entry is
    refused with FAILED_PRECONDITION and the reason `BALANCE_FORBIDS`.
    """

    claim: str = fact_field(
        1,
        ID,
        "The claim's id, the caller's own. Required. Another seller's claim of the same id is another claim.",
        column="target",
        missing_text=f"must be {ID_FORM}",
    )
    change: ClaimChange = word_field(2, ClaimChange, "Paid or recovered. Required.", "status")
    amount_minor: int = fact_field(3, SUM, SUM_TEXT)
    currency: str = fact_field(4, CURRENCY, SUM_CURRENCY, missing_text=_CURRENCY_MISSING)
    actor: str = fact_field(5, ID, ACTOR, missing_text=ACTOR_MISSING)
    order: str = fact_field(6, ID, "The order concerned (a pseudonym). Optional.", default="")
    product_category: str = fact_field(7, ID, PRODUCT_CATEGORY, default="")
    ground: str = fact_field(8, GROUND, GROUND_TEXT, default="")


@dataclass(frozen=True, slots=True)
class ComplaintFiled:
    """A seller contests a measure, within six months (184 days). They count from when the last statement about the measure
    was recorded, or from when the measure begins if that is later. The complaint's id is the `entry_id`. About a measure that
    is not on record it is refused with NOT_FOUND and the reason `MEASURE_NOT_FOUND`; if it is too late, with
    FAILED_PRECONDITION and the reason `CONTEST_FORBIDS`.
    """

    measure: str = fact_field(
        1,
        ID,
        "The measure contested, by its id. Required.",
        column="target",
        missing_text="must name the measure by its id",
    )
    reason: str = fact_field(
        2,
        REASON,
        "What the seller says, in 1 to 500 characters. Required. Sealed.",
        missing_text=REASON_MISSING,
    )


@dataclass(frozen=True, slots=True)
class ComplaintDecided:
    """A complaint about a measure was decided, once, by a person who neither imposed nor changed the measure nor confirmed a
    violation that it rests on: otherwise it is refused with FAILED_PRECONDITION and the reason `CONTEST_FORBIDS`. Upheld, the
    measure is lifted by an entry that follows from this one.
    """

    complaint: str = fact_field(
        1,
        ID,
        "The `entry_id` of the complaint. Required.",
        column="target",
        missing_text="must name the complaint by its entry_id",
    )
    outcome: ComplaintOutcome = word_field(2, ComplaintOutcome, "Upheld or rejected. Required.", "status")
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    ground: str = fact_field(5, GROUND, GROUND_TEXT, default="")

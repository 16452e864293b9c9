"""Facts about payments and contested measures. No score depends on them."""

from typing import Any

from scoring.base.enums import ClaimChange, ComplaintOutcome, DepositChange, PayoutsChange
from scoring.base.frozen import frozen
from scoring.entries.field_types import CURRENCY, DAY, FLAG, ID, count, optional, required
from scoring.entries.kinds.common import (
    MAX_REVISION,
    ORDERS,
    REASON,
    REASON_MISSING,
    SUM,
    SUM_CURRENCY,
    SUM_TEXT,
    VALUE,
    actor_field,
    ground_field,
    product_category_field,
    reason_field,
    word_field,
)


def _orders(number: int, text: str) -> Any:
    return optional(number, ORDERS, f"{text} on the day.")


def _value(number: int, text: str) -> Any:
    return optional(number, VALUE, f"{text}.")


@frozen
class FlowStated:
    """The events of one UTC day in one seller's orders of one product category, stated without delay.

    Counts are of that day's events, in orders of any day. The highest `revision` of a day counts, so today can be
    stated each hour.
    """

    day: int = required(1, DAY, "The UTC day as `YYYY-MM-DD`, not in the future. Required.", column="exposure_day")
    product_category: str = optional(2, ID, "The product category; empty: everything.", column="product_category")
    revision: int = optional(
        3,
        count(MAX_REVISION, proto="int32"),
        "Number of this statement: the highest of a day and product category counts, 0 to 1,000,000. "
        "None is stated twice.",
        column="revision",
    )
    currency: str = optional(4, CURRENCY, "ISO 4217 code. Required with a value.")
    captured_orders: int = _orders(5, "Orders captured")
    captured_minor: int = _value(6, "Their value")
    shipped_orders: int = _orders(7, "Orders handed to a carrier")
    shipped_minor: int = _value(8, "Their value")
    delivered_orders: int = _orders(9, "Orders that reached their buyers")
    delivered_minor: int = _value(10, "Their value")
    disputed_orders: int = _orders(11, "Orders with a new dispute")
    disputed_minor: int = _value(12, "Value in dispute")
    refunded_orders: int = _orders(13, "Orders with a refund")
    refunded_minor: int = _value(14, "Amount refunded")
    charged_back_orders: int = _orders(15, "Orders charged back")
    charged_back_minor: int = _value(16, "Amount charged back")
    paid_out_orders: int = _orders(17, "Orders with a payout")
    paid_out_minor: int = _value(18, "Amount paid out")


@frozen
class DepositChanged:
    """Money was placed as a seller's deposit, drawn from it for a claim, or returned to the seller.

    All in one currency. A change beyond the balance, or beyond the claim's unrecovered amount, fails with
    FAILED_PRECONDITION and `BALANCE_FORBIDS`.
    """

    change: DepositChange = word_field(1, DepositChange, "Placed, drawn or returned. Required.", "status")
    amount_minor: int = required(2, SUM, SUM_TEXT)
    currency: str = required(3, CURRENCY, SUM_CURRENCY)
    actor: str = actor_field(4)
    claim: str = optional(
        5, ID, "The adjudicated claim. Only, and required, for DEPOSIT_CHANGE_DRAWN.", column="target"
    )
    ground: str = ground_field(6)


@frozen
class PayoutsChanged:
    """Payouts to a seller were stopped or resumed.

    A stop opens a case (`case`) and ends after 30 days, unless a person confirms the case by violations or extends it.
    A stop during a stop changes nothing. While the case of an ended stop is undecided, another stop fails with
    FAILED_PRECONDITION and `LIFECYCLE_FORBIDS`.
    """

    change: PayoutsChange = word_field(1, PayoutsChange, "Stopped or resumed. Required.", "status")
    actor: str = actor_field(2)
    reason: str = reason_field(3)
    ground: str = ground_field(4)


@frozen
class ClaimChanged:
    """The marketplace paid a buyer's adjudicated claim, or recovered it from the seller outside the deposit.

    Parts are allowed, in one currency. Recoveries beyond payments fail with FAILED_PRECONDITION and `BALANCE_FORBIDS`.
    """

    claim: str = required(1, ID, "The claim's id, the caller's own, unique per seller. Required.", column="target")
    change: ClaimChange = word_field(2, ClaimChange, "Paid or recovered. Required.", "status")
    amount_minor: int = required(3, SUM, SUM_TEXT)
    currency: str = required(4, CURRENCY, SUM_CURRENCY)
    actor: str = actor_field(5)
    order: str = optional(6, ID, "The order concerned, a pseudonym.")
    product_category: str = product_category_field(7)
    ground: str = ground_field(8)


@frozen
class ComplaintFiled:
    """A seller contests a measure, within six months (184 days).

    The time runs from the record of its last statement, or from its begin if later. The complaint's id is the
    `entry_id`. Fails with NOT_FOUND and `MEASURE_NOT_FOUND`, or too late with FAILED_PRECONDITION and
    `CONTEST_FORBIDS`.
    """

    measure: str = required(
        1, ID, "The measure's id. Required.", column="target", missing_text="must name the measure by its id"
    )
    reason: str = required(2, REASON, "The seller's statement. Required. Sealed.", missing_text=REASON_MISSING)
    plan: bool = optional(
        3, FLAG, "True if it states a plan of action, at any time. A complaint that is upheld accepts the plan."
    )
    filed_by: str = optional(4, ID, "The person who files it for the seller, a pseudonym: another one decides.")


@frozen
class ComplaintDecided:
    """A person decided a complaint about a measure.

    Only once, and not by a person who filed it, imposed or changed the measure or confirmed its violations; else
    FAILED_PRECONDITION with `CONTEST_FORBIDS`.
    """

    complaint: str = required(
        1,
        ID,
        "The `entry_id` of the complaint. Required.",
        column="target",
        missing_text="must name the complaint by its entry_id",
    )
    outcome: ComplaintOutcome = word_field(2, ComplaintOutcome, "Upheld or rejected. Required.", "status")
    actor: str = actor_field(3)
    reason: str = reason_field(4)
    ground: str = ground_field(5)

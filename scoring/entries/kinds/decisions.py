"""Facts about the marketplace's decisions and about earlier entries."""

from dataclasses import dataclass

from scoring.base.enums import CaseState, CorrectionKind, MeasureKind, MeasureState, Tier
from scoring.entries.field_types import CURRENCY, ID, ID_FORM, IDS, SHA256, TIME, count, fact_field
from scoring.entries.kinds.common import (
    ACTOR,
    ACTOR_MISSING,
    CURRENCY_TEXT,
    GROUND,
    GROUND_TEXT,
    REASON,
    REASON_MISSING,
    REASON_TEXT,
    VALUE,
    word_field,
)

MAX_DAYS = 100_000
MAX_LISTINGS = 1_000_000_000
_BY_SERVICE = "Only the service states it; empty in a person's statement."
RULE_MEASURE_PREFIX = "rule~"
"""Prefix of the ids of measures of a policy's rules. A caller may lift one, or take the lifting back."""


@dataclass(frozen=True, slots=True)
class MeasureChanged:
    """A measure against a seller was imposed, updated or lifted.

    The service records measures of rules itself (`rule` is set), with ids from `rule~`. One that a person lifted stays
    lifted until one of its violations is confirmed later, it begins again, or a person states MEASURE_STATE_IMPOSED.
    """

    measure: str = fact_field(
        1, ID, "The measure's id, the caller's own. Required.", column="target", missing_text=f"must be {ID_FORM}"
    )
    measure_kind: MeasureKind = word_field(2, MeasureKind, "The kind of measure. Required.")
    state: MeasureState = word_field(3, MeasureState, "Imposed, updated or lifted. Required.", "status")
    actor: str = fact_field(7, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(8, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    until: int | None = fact_field(
        4,
        TIME,
        "The time at which it ends by itself. Default: it ends when it is lifted.",
        default=None,
        column="until_time",
    )
    amount_minor: int = fact_field(
        5, VALUE, "Deposit, amount held or value cap, in minor units of `currency`, 0 to 10^15. Default 0.", default=0
    )
    currency: str = fact_field(6, CURRENCY, CURRENCY_TEXT, default="")
    ground: str = fact_field(9, GROUND, GROUND_TEXT, default="")
    violations: tuple[str, ...] = fact_field(
        10,
        IDS,
        "The violations it rests on, at most 100 ids. Required for a suspension, and then confirmed.",
        default=(),
    )
    rule: str = fact_field(11, ID, f"The rule of the policy that asks for it. {_BY_SERVICE}", default="")
    policy: str = fact_field(12, SHA256, f"The digest of the policy. {_BY_SERVICE}", default="")
    at_sequence: int = fact_field(
        13, count(2**62), f"The ledger's sequence that it follows from. {_BY_SERVICE}", default=0
    )
    since: int | None = fact_field(
        14, TIME, "The begin. Default: at the statement, or more than 180 days before it.", default=None
    )
    days: int = fact_field(
        15, count(MAX_DAYS), "Days of a hold, a reserve or a suspension; 0 for one without an end.", default=0
    )
    ppm: int = fact_field(16, count(1_000_000), "The share of a rolling reserve, in parts per million.", default=0)
    listings: int = fact_field(17, count(MAX_LISTINGS), "Listings of a listing cap or an intake cap.", default=0)
    product_category: str = fact_field(
        18, ID, "The product category of a cap; empty for all categories together.", default=""
    )


@dataclass(frozen=True, slots=True)
class CaseChanged:
    """A caution or a stop of payouts opened a case, or a person decided the case.

    A case is decided once. Confirming it needs confirmed violations. Ending it ends the caution or stop for good on the
    same facts. The service opens cases, and withdraws that of a caution that ended early (`rule` is set). A stop's case
    is `payouts~` and its `entry_id`; until decided, a person may extend it on new facts. Fails with NOT_FOUND and
    `CASE_NOT_FOUND` if no such case can exist, with FAILED_PRECONDITION and `LIFECYCLE_FORBIDS` if it is decided.
    """

    case: str = fact_field(
        1,
        ID,
        "The case, as in Caution. Required.",
        column="target",
        missing_text="must name the case, as a caution does",
    )
    state: CaseState = word_field(
        2,
        CaseState,
        "The new state. A person states CASE_STATE_CONFIRMED, CASE_STATE_ENDED or, for a stop of payouts,"
        " CASE_STATE_EXTENDED. Required.",
        "status",
    )
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    ground: str = fact_field(5, GROUND, GROUND_TEXT, default="")
    violations: tuple[str, ...] = fact_field(
        6,
        IDS,
        "The violations that confirm the case, at most 100 ids. Required for CASE_STATE_CONFIRMED, rejected otherwise.",
        default=(),
    )
    rule: str = fact_field(7, ID, f"The rule of caution. {_BY_SERVICE}", default="")
    decide_by: int | None = fact_field(
        8,
        TIME,
        "The time by which a person is to decide. The service states it. A person states it to extend a stop: later than"
        " before, and at most 180 days after the stop, unless `authority_order` is stated.",
        default=None,
        column="until_time",
    )
    caution_end: int | None = fact_field(
        9, TIME, f"The time at which the caution ends by itself. {_BY_SERVICE}", default=None
    )
    rests_on: tuple[str, ...] = fact_field(
        10,
        IDS,
        "The entries that the caution rests on; if more than 100, the latest. The service states them. To extend a stop, a"
        " person states the new facts: entries about the seller recorded since the stop or its last extension.",
        default=(),
    )
    policy: str = fact_field(11, SHA256, f"The digest of the policy. {_BY_SERVICE}", default="")
    at_sequence: int = fact_field(
        12, count(2**62), f"The ledger's sequence that it follows from. {_BY_SERVICE}", default=0
    )
    authority_order: str = fact_field(
        13,
        GROUND,
        "An authority's order for a stop of more than 180 days, in at most 200 characters. Optional.",
        default="",
    )


@dataclass(frozen=True, slots=True)
class OverrideImposed:
    """A person sets a seller's tier until a time. A later override replaces it; a correction can void it."""

    tier: Tier = word_field(1, Tier, "The tier until then. Required.", "status")
    until: int = fact_field(
        2,
        TIME,
        "The end; at most 366 days after now. Required.",
        column="until_time",
        missing_text="must say when it ends",
    )
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    ground: str = fact_field(5, GROUND, GROUND_TEXT, default="")


@dataclass(frozen=True, slots=True)
class EntryCorrected:
    """An earlier entry happened at another time, or should not have been stated.

    The last correction of an entry counts.
    """

    entry: str = fact_field(
        1,
        ID,
        "The `entry_id` corrected. Required.",
        column="target",
        missing_text="must name the entry by its entry_id",
    )
    correction: CorrectionKind = word_field(
        2,
        CorrectionKind,
        "Moved to another time, or void. A violation cannot be void: overturn it. Exposure cannot be corrected: state it"
        " again with a higher revision. Status changes, attributions, corrections, erasures, listings and violations of"
        " products cannot be corrected. But the derived violations of products may be moved, and an attribution may be"
        " rejected. Required.",
        "status",
    )
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    moved_to: int | None = fact_field(
        5,
        TIME,
        "The right time, not in the future; for a violation not later than its `report_time`. A violation moved into another"
        " week goes to that week's incident, unless a merge or a split named its present incident. Required to move,"
        " rejected to void.",
        default=None,
    )


@dataclass(frozen=True, slots=True)
class SellerErased:
    """The seller's sealed texts were erased. Only `sellertrust ledger erase` appends it."""

    actor: str = fact_field(1, ID, ACTOR, missing_text=ACTOR_MISSING)
    ground: str = fact_field(2, GROUND, GROUND_TEXT, default="")


@dataclass(frozen=True, slots=True)
class ClockMended:
    """Record times ran ahead: from which entry on, and by how much.

    Without these, it confirms a clock after a long rest. Only `sellertrust ledger mend-clock` appends it, once for all
    marketplaces.
    """

    actor: str = fact_field(1, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(2, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    first_sequence: int = fact_field(
        3,
        count(2**62),
        "The first entry with a record time ahead; all later entries up to this one are ahead too. Default 0: none.",
        default=0,
    )
    ahead_micros: int = fact_field(
        4, count(10**16), "Microseconds by which record times ran ahead. Default 0.", default=0
    )

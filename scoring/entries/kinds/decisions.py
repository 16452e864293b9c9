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
        "When it ends by itself. Default: when lifted.",
        default=None,
        column="until_time",
    )
    amount_minor: int = fact_field(5, VALUE, "Deposit, amount held or value cap.", default=0)
    currency: str = fact_field(6, CURRENCY, CURRENCY_TEXT, default="")
    ground: str = fact_field(9, GROUND, GROUND_TEXT, default="")
    violations: tuple[str, ...] = fact_field(
        10,
        IDS,
        "The violations it rests on, at most 100. Required for a suspension, and then confirmed.",
        default=(),
    )
    rule: str = fact_field(11, ID, "The policy's rule. Only by the service.", default="")
    policy: str = fact_field(12, SHA256, "The policy's digest. Only by the service.", default="")
    at_sequence: int = fact_field(13, count(2**62), "The ledger's sequence behind it. Only by the service.", default=0)
    since: int | None = fact_field(
        14, TIME, "The begin. Default: the statement, or over 180 days before.", default=None
    )
    days: int = fact_field(15, count(MAX_DAYS), "Days of a hold, a reserve or a suspension; 0: no end.", default=0)
    ppm: int = fact_field(16, count(1_000_000), "A rolling reserve's share, in parts per million.", default=0)
    listings: int = fact_field(17, count(MAX_LISTINGS), "Listings of a listing or intake cap.", default=0)
    product_category: str = fact_field(18, ID, "Of a cap; empty: all categories together.", default="")


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
        "The new state. A person states CASE_STATE_CONFIRMED, CASE_STATE_ENDED or, for a stop, "
        "CASE_STATE_EXTENDED. Required.",
        "status",
    )
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    ground: str = fact_field(5, GROUND, GROUND_TEXT, default="")
    violations: tuple[str, ...] = fact_field(
        6,
        IDS,
        "The confirming violations, at most 100. Only, and required, for CASE_STATE_CONFIRMED.",
        default=(),
    )
    rule: str = fact_field(7, ID, "The rule of caution. Only by the service.", default="")
    decide_by: int | None = fact_field(
        8,
        TIME,
        "When a person must have decided. By the service, or to extend a stop: later than before, at "
        "most 180 days after the stop without `authority_order`.",
        default=None,
        column="until_time",
    )
    caution_end: int | None = fact_field(9, TIME, "When the caution ends by itself. Only by the service.", default=None)
    rests_on: tuple[str, ...] = fact_field(
        10,
        IDS,
        "Entries behind the caution, at most the latest 100. By the service; to extend a stop, the new "
        "facts: entries about the seller since the stop or its last extension.",
        default=(),
    )
    policy: str = fact_field(11, SHA256, "The policy's digest. Only by the service.", default="")
    at_sequence: int = fact_field(12, count(2**62), "The ledger's sequence behind it. Only by the service.", default=0)
    authority_order: str = fact_field(
        13,
        GROUND,
        "An authority's order for a stop of over 180 days, at most 200 characters.",
        default="",
    )


@dataclass(frozen=True, slots=True)
class OverrideImposed:
    """A person sets a seller's tier until a time. A later override replaces it; a correction can void it."""

    tier: Tier = word_field(1, Tier, "The tier until then. Required.", "status")
    until: int = fact_field(
        2,
        TIME,
        "The end, at most 366 days from now. Required.",
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
        "Moved to another time, or void. A violation is never void: overturn it. Exposure is stated "
        "again. Status changes, attributions, corrections, erasures, listings and violations of products "
        "cannot be corrected; but a product's derived violations may be moved, and an attribution "
        "rejected. Required.",
        "status",
    )
    actor: str = fact_field(3, ID, ACTOR, missing_text=ACTOR_MISSING)
    reason: str = fact_field(4, REASON, REASON_TEXT, missing_text=REASON_MISSING)
    moved_to: int | None = fact_field(
        5,
        TIME,
        "The right time, not in the future; of a violation at most its `report_time`. A violation moved "
        "to another week joins that week's incident, unless a merge or split named its present one. "
        "Only, and required, to move.",
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
        "The first entry ahead; later ones up to this entry are, too. 0: none.",
        default=0,
    )
    ahead_micros: int = fact_field(4, count(10**16), "Microseconds that record times ran ahead.", default=0)

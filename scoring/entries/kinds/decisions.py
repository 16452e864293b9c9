"""Facts about the marketplace's decisions and about earlier entries."""

from scoring.base.enums import CaseState, CorrectionKind, MeasureKind, MeasureState, Tier
from scoring.base.frozen import frozen
from scoring.entries.field_types import ID, IDS, SHA256, TIME, count, optional, required
from scoring.entries.kinds.common import (
    GROUND,
    VALUE,
    actor_field,
    currency_field,
    ground_field,
    reason_field,
    word_field,
)

MAX_DAYS = 100_000
MAX_LISTINGS = 1_000_000_000
RULE_MEASURE_PREFIX = "rule~"
"""Prefix of the ids of measures of a policy's rules. A caller may lift one, or take the lifting back."""


@frozen
class MeasureChanged:
    """A measure against a seller was imposed, updated or lifted, or the letter about it was sent or barred.

    The service records measures of rules itself (`rule` is set), with ids from `rule~`. One that a person lifted stays
    lifted until one of its violations is confirmed later, it begins again, or a person states MEASURE_STATE_IMPOSED.
    """

    measure: str = required(1, ID, "The measure's id, the caller's own. Required.", column="target")
    measure_kind: MeasureKind = word_field(2, MeasureKind, "The kind of measure. Required.")
    state: MeasureState = word_field(3, MeasureState, "The new state. Required.", "status")
    actor: str = actor_field(7)
    reason: str = reason_field(8)
    until: int | None = optional(4, TIME, "The end of the measure or bar. Default: when lifted.", column="until_time")
    amount_minor: int = optional(5, VALUE, "Deposit, amount held, value cap or least limit.")
    currency: str = currency_field(6)
    ground: str = ground_field(9)
    violations: tuple[str, ...] = optional(
        10, IDS, "The violations it rests on, at most 100. Required for a suspension, and then confirmed."
    )
    rule: str = optional(11, ID, "The policy's rule. Only by the service.")
    policy: str = optional(12, SHA256, "The policy's digest. Only by the service.")
    at_sequence: int = optional(13, count(2**62), "The ledger's sequence behind it. Only by the service.")
    since: int | None = optional(14, TIME, "The begin. Default: the statement, or over 180 days before.")
    days: int = optional(15, count(MAX_DAYS), "Days of a hold, a reserve, a suspension or a rule's deposit; 0: no end.")
    ppm: int = optional(16, count(1_000_000), "Parts per million of a reserve, a limit or a rule's deposit.")
    listings: int = optional(17, count(MAX_LISTINGS), "Listings of a listing or intake cap.")
    product_category: str = optional(18, ID, "Only for a cap; empty: all categories together.")
    at_most_minor: int = optional(19, VALUE, "The largest limit on the sum paid out on young orders.")
    approver: str = optional(
        20,
        ID,
        "The second person behind a bar, not the actor. Only, and required with a `ground`, for "
        "MEASURE_STATE_NOTICE_BARRED.",
    )


@frozen
class CaseChanged:
    """A caution, a stop of payouts or a link opened a case, or a person decided the case.

    A case is decided once. A stop's case is `payouts~` and its `entry_id`; until decided, a person may extend it on new
    facts. Fails with NOT_FOUND and `CASE_NOT_FOUND` if no such case can exist, with FAILED_PRECONDITION and
    `LIFECYCLE_FORBIDS` if it is decided.
    """

    case: str = required(
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
    actor: str = actor_field(3)
    reason: str = reason_field(4)
    ground: str = ground_field(5)
    violations: tuple[str, ...] = optional(
        6, IDS, "The confirming violations, at most 100. Only, and required, for CASE_STATE_CONFIRMED."
    )
    rule: str = optional(7, ID, "The rule of caution. Only by the service.")
    decide_by: int | None = optional(
        8,
        TIME,
        "When a person must have decided. By the service, or to extend a stop: later than before, at "
        "most 180 days after the stop without `authority_order`.",
        column="until_time",
    )
    caution_end: int | None = optional(9, TIME, "When the caution ends by itself. Only by the service.")
    rests_on: tuple[str, ...] = optional(
        10,
        IDS,
        "Entries behind the caution, at most the latest 100. By the service; to extend a stop, the new "
        "facts: entries about the seller since the stop or its last extension.",
    )
    policy: str = optional(11, SHA256, "The policy's digest. Only by the service.")
    at_sequence: int = optional(12, count(2**62), "The ledger's sequence behind it. Only by the service.")
    authority_order: str = optional(
        13, GROUND, "An authority's order for a stop of over 180 days, at most 200 characters."
    )
    strength_ppm: int = optional(
        14, count(1_000_000), "The strength of a link's path, for a case about a link. Only by the ledger."
    )
    link_kinds: tuple[str, ...] = optional(
        15, IDS, "The kinds of link on the path to the violator, one a hop. Only by the ledger."
    )
    accounts: int = optional(
        16,
        count(2**31),
        "If the violator is suspended: the accounts linked to it, this one included. Only by the ledger.",
    )


@frozen
class OverrideImposed:
    """A person sets a seller's tier until a time. A later override replaces it; a correction can void it."""

    tier: Tier = word_field(1, Tier, "The tier until then. Required.", "status")
    until: int = required(
        2,
        TIME,
        "The end, at most 366 days from now. Required.",
        column="until_time",
        missing_text="must say when it ends",
    )
    actor: str = actor_field(3)
    reason: str = reason_field(4)
    ground: str = ground_field(5)


@frozen
class EntryCorrected:
    """An earlier entry happened at another time, or should not have been stated.

    The last correction of an entry counts.
    """

    entry: str = required(
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
    actor: str = actor_field(3)
    reason: str = reason_field(4)
    moved_to: int | None = optional(
        5,
        TIME,
        "The right time, not in the future; of a violation at most its `report_time`. A violation moved "
        "to another week joins that week's incident, unless a merge or split named its present one. "
        "Only, and required, to move.",
    )


@frozen
class SellerErased:
    """The seller's sealed texts were erased. Only `sellertrust ledger erase` appends it."""

    actor: str = actor_field(1)
    ground: str = ground_field(2)


@frozen
class ClockMended:
    """Record times ran ahead: from which entry on, and by how much.

    Without these, it confirms a clock after a long rest. Only `sellertrust ledger mend-clock` appends it, once for all
    marketplaces.
    """

    actor: str = actor_field(1)
    reason: str = reason_field(2)
    first_sequence: int = optional(
        3, count(2**62), "The first entry ahead; later ones up to this entry are, too. 0: none."
    )
    ahead_micros: int = optional(4, count(10**16), "Microseconds that record times ran ahead.")

"""Facts about what the marketplace decided, and about earlier entries."""

from dataclasses import dataclass

from scoring.entries.field_types import CURRENCY, ID, ID_FORM, IDS, TIME, count, stated
from scoring.entries.kinds.common import (
    ACTOR,
    CURRENCY_TEXT,
    GROUND,
    GROUND_TEXT,
    REASON,
    REASON_TEXT,
    VALUE,
    WHO,
    WHY,
    word_of,
)
from scoring.enums import CorrectionKind, MeasureKind, MeasureState, Tier


@dataclass(frozen=True, slots=True)
class MeasureChanged:
    """A measure against a seller was imposed or lifted. That it has expired is derived from `until`, never stored."""

    measure: str = stated(
        1, ID, "The measure's id, the caller's own. Required.", column="target", needed=f"must be {ID_FORM}"
    )
    measure_kind: MeasureKind = word_of(2, MeasureKind, "What it is. Required.")
    state: MeasureState = word_of(3, MeasureState, "Imposed or lifted. Required.", "status")
    actor: str = stated(7, ID, ACTOR, needed=WHO)
    reason: str = stated(8, REASON, REASON_TEXT, needed=WHY)
    until: int | None = stated(
        4, TIME, "When it ends by itself. Default: when it is lifted.", default=None, column="until_time"
    )
    amount_minor: int = stated(
        5, VALUE, "Deposit or amount held, in minor units of `currency`, 0 to 10^15. Default 0.", default=0
    )
    currency: str = stated(6, CURRENCY, CURRENCY_TEXT, default="")
    ground: str = stated(9, GROUND, GROUND_TEXT, default="")
    violations: tuple[str, ...] = stated(
        10, IDS, "The violations it rests on, at most 100 ids. Required for a suspension: confirmed ones.", default=()
    )


@dataclass(frozen=True, slots=True)
class OverrideImposed:
    """A person sets a seller's tier until a time. A later override replaces it; a correction can void it."""

    tier: Tier = word_of(1, Tier, "The tier in the meantime. Required.", "status")
    until: int = stated(
        2,
        TIME,
        "When it ends; at most 366 days after now. Required.",
        column="until_time",
        needed="must say when it ends",
    )
    actor: str = stated(3, ID, ACTOR, needed=WHO)
    reason: str = stated(4, REASON, REASON_TEXT, needed=WHY)
    ground: str = stated(5, GROUND, GROUND_TEXT, default="")


@dataclass(frozen=True, slots=True)
class EntryCorrected:
    """An earlier entry happened at another time, or should not have been stated. The last correction of it counts."""

    entry: str = stated(
        1, ID, "The `entry_id` corrected. Required.", column="target", needed="must name the entry by its entry_id"
    )
    correction: CorrectionKind = word_of(
        2,
        CorrectionKind,
        "Moved to another time, or void. Violations are never void but overturned; exposure is stated again with a higher"
        " revision; status changes, attributions, corrections, erasures, listings and violations of products stand, but the"
        " violations derived of these may be moved, and an attribution may be rejected. Required.",
        "status",
    )
    actor: str = stated(3, ID, ACTOR, needed=WHO)
    reason: str = stated(4, REASON, REASON_TEXT, needed=WHY)
    moved_to: int | None = stated(
        5,
        TIME,
        "When it happened, not in the future; of a violation not later than its `report_time`. Moved into another week it"
        " goes to that week's incident, unless its present one was named in a merge or a split. Required to move, refused"
        " to void.",
        default=None,
    )


@dataclass(frozen=True, slots=True)
class SellerErased:
    """The seller's sealed texts were erased. Appended by `sellertrust ledger erase` alone."""

    actor: str = stated(1, ID, ACTOR, needed=WHO)
    ground: str = stated(2, GROUND, GROUND_TEXT, default="")


@dataclass(frozen=True, slots=True)
class ClockMended:
    """Record times ran ahead, from an entry on and by how much; or a clock is right after a long rest. Appended by
    `sellertrust ledger mend-clock` alone, in one marketplace for all.
    """

    actor: str = stated(1, ID, ACTOR, needed=WHO)
    reason: str = stated(2, REASON, REASON_TEXT, needed=WHY)
    first_sequence: int = stated(
        3,
        count(2**62),
        "The first entry whose record time ran ahead; all after it, up to this one, did too. Default 0: none did.",
        default=0,
    )
    ahead_micros: int = stated(4, count(10**16), "By how many microseconds it ran ahead. Default 0.", default=0)

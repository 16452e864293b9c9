"""The enumerations, with the contract's numbers."""

from enum import IntEnum


class WordEnum(IntEnum):
    @property
    def word(self) -> str:
        """Return the name as content and files state it, such as `under_review`."""
        return self.name.lower()


class Kind(WordEnum):
    VIOLATION = 1
    STATUS = 2
    EXPOSURE = 3
    IDENTITY = 4
    ATTRIBUTION = 5
    RATING = 6
    DISPUTE = 7
    INSPECTION = 8
    PROFILE = 9
    OPERATOR = 10
    CONTROL = 11
    PRODUCT = 12
    PRODUCT_VIOLATION = 13
    LINK = 14
    REMEDIATION = 15
    MEASURE = 16
    OVERRIDE = 17
    INCIDENT = 18
    CORRECTION = 19
    ERASURE = 20
    CLOCK = 21
    FLOW = 22
    DEPOSIT = 23
    PAYOUTS = 24
    CLAIM = 25
    COMPLAINT = 26
    COMPLAINT_DECISION = 27
    CASE = 28


class Harm(WordEnum):
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    EXTREME = 4


class Severity(WordEnum):
    MINOR = 1
    MODERATE = 2
    MAJOR = 3
    CRITICAL = 4


class Category(WordEnum):
    COUNTERFEIT = 1
    IP = 2
    SAFETY = 3
    QUALITY = 4
    RESTRICTED = 5
    INTEGRITY = 6
    SERVICE = 7
    DISCLOSURE = 8


class Source(WordEnum):
    COURT = 1
    POLICE = 2
    CUSTOMS = 3
    PATENT_OFFICE = 4
    MARKET_REGULATOR = 5
    QUALITY_REGULATOR = 6
    TEST_BUY = 7
    RANDOM_AUDIT = 8
    BRAND = 9
    PLATFORM_DETECTION = 10
    BUYER = 11
    PARTNER = 12


AUTHORITIES = frozenset(
    {
        Source.COURT,
        Source.POLICE,
        Source.CUSTOMS,
        Source.PATENT_OFFICE,
        Source.MARKET_REGULATOR,
        Source.QUALITY_REGULATOR,
    }
)
"""Sources whose final acts confirm a violation on arrival."""


INSPECTORS = AUTHORITIES | {Source.TEST_BUY, Source.RANDOM_AUDIT}
"""Sources whose inspections count: sellers cannot order them, and competitors are excluded."""


class Action(WordEnum):
    REVIEW = 1
    CONFIRM = 2
    DISMISS = 3
    WITHDRAW = 4
    APPEAL = 5
    REDUCE = 6
    OVERTURN = 7
    REINSTATE = 8


class Status(WordEnum):
    ALLEGED = 1
    UNDER_REVIEW = 2
    CONFIRMED = 3
    DISMISSED = 4
    WITHDRAWN = 5
    APPEALED = 6
    REDUCED = 7
    OVERTURNED = 8


class Attribution(WordEnum):
    CONTESTED = 1
    ACCEPTED = 2
    REJECTED = 3


class DisputeOutcome(WordEnum):
    BUYER = 1
    SELLER = 2
    SHARED = 3


class InspectionMethod(WordEnum):
    TEST_BUY = 1
    SITE_VISIT = 2
    LABORATORY = 3
    DOCUMENTS = 4


class InspectionResult(WordEnum):
    PASSED = 1
    FAILED = 2


class BusinessModel(WordEnum):
    OWN_BRAND = 1
    RESELLER = 2
    THIRD_PARTY_SUPPLIER = 3
    PRIVATE_SELLER = 4


class ControlReason(WordEnum):
    SOLD = 1
    TAKEN_OVER = 2


class LinkState(WordEnum):
    OBSERVED = 1
    CONTESTED = 2
    SEVERED = 3
    CONFIRMED = 4


class LinkKind(WordEnum):
    BANK_ACCOUNT = 1
    PAYOUT = 2
    DEVICE = 3
    ADDRESS = 4
    OWNER = 5
    SUPPLIER = 6
    OPENED_AFTER_BAN = 7
    LOGISTICS = 8
    SOFTWARE = 9
    BUSINESS_CENTRE = 10


SHARED_BY_NATURE = frozenset({LinkKind.LOGISTICS, LinkKind.SOFTWARE, LinkKind.BUSINESS_CENTRE})
"""Many sellers share them: they link nobody."""


class MeasureKind(WordEnum):
    DEPOSIT = 1
    SETTLEMENT_HOLD = 2
    LISTING_CAP = 3
    SUSPENSION = 4
    ROLLING_RESERVE = 5
    VALUE_CAP = 6
    INTAKE_CAP = 7
    MANUAL_REVIEW = 8
    WAIVER = 9
    DELIVERY_HOLD = 10
    PAID_AHEAD_LIMIT = 11
    SEARCH_DEMOTION = 12
    CAMPAIGN_EXCLUSION = 13


GRAVEST_FIRST: tuple[int, ...] = (
    *(MeasureKind.SUSPENSION, MeasureKind.SETTLEMENT_HOLD, MeasureKind.DELIVERY_HOLD, MeasureKind.ROLLING_RESERVE),
    *(MeasureKind.PAID_AHEAD_LIMIT, MeasureKind.DEPOSIT, MeasureKind.VALUE_CAP),
)
"""A shop that is closed, then its money, then all other kinds."""


def rank_gravity(kind: int) -> int:
    return GRAVEST_FIRST.index(kind) if kind in GRAVEST_FIRST else len(GRAVEST_FIRST)


class DeliverySource(WordEnum):
    CARRIER = 1
    PLATFORM_LABEL = 2
    BUYER = 3
    SELLER = 4


class CautionSignal(WordEnum):
    REPORTS = 1
    CONTROL = 2
    UNDELIVERED = 3
    DISPUTED = 4
    VALUE_JUMP = 5


class MeasureState(WordEnum):
    IMPOSED = 1
    LIFTED = 2
    UPDATED = 3
    NOTICE_SENT = 4
    NOTICE_BARRED = 5


NOTICE_STATES = frozenset({MeasureState.NOTICE_SENT, MeasureState.NOTICE_BARRED})
"""They tell of the letter about a measure, and change no measure."""

UNIMPOSING_STATES = NOTICE_STATES | {MeasureState.LIFTED}
"""They impose nothing, so they name no violations and need no second person."""


class CaseState(WordEnum):
    OPENED = 1
    CONFIRMED = 2
    ENDED = 3
    WITHDRAWN = 4
    EXTENDED = 5


class DepositChange(WordEnum):
    PLACED = 1
    DRAWN = 2
    RETURNED = 3


class PayoutsChange(WordEnum):
    STOPPED = 1
    RESUMED = 2


class ClaimChange(WordEnum):
    PAID = 1
    RECOVERED = 2


class ComplaintOutcome(WordEnum):
    UPHELD = 1
    REJECTED = 2


class IncidentChange(WordEnum):
    MERGED = 1
    SPLIT = 2


class CorrectionKind(WordEnum):
    MOVED = 1
    VOID = 2


class IdentityLevel(WordEnum):
    NONE = 1
    BASIC = 2
    BUSINESS = 3
    ENHANCED = 4


class ScoreState(WordEnum):
    RATED = 1
    UNRATED = 2
    UNKNOWN = 3


class FreshnessState(WordEnum):
    """The state of an answer against the ledger's present content."""

    FRESH = 1
    STALE = 2
    UNKNOWN = 3


class Audience(WordEnum):
    SELLER = 1
    STAFF = 2
    REGULATOR = 3
    CHECKOUT = 4


class Automation(WordEnum):
    NONE = 1
    PARTIAL = 2
    FULL = 3


class ReplayState(WordEnum):
    SAME = 1
    REPEATED = 2
    DIFFERS = 3


class Ingredient(WordEnum):
    ENTRIES = 1
    DAY = 2
    MODEL = 3
    POLICY = 4
    CORE = 5


class TransparencyUnit(WordEnum):
    COUNT = 1
    HOURS = 2
    SHARE = 3


class ShownState(WordEnum):
    EXACT = 1
    AT_LEAST = 2
    """The sum of the months that are shown; a month below `LEAST` is left out."""
    HIDDEN = 3
    """From 1 to 4."""


class Tier(WordEnum):
    UNRATED = 1
    PROBATION = 2
    STANDARD = 3
    TRUSTED = 4
    EXEMPLARY = 5


RATED_TIERS = (Tier.PROBATION, Tier.STANDARD, Tier.TRUSTED, Tier.EXEMPLARY)
"""Tiers of sellers that have points, the lowest first."""

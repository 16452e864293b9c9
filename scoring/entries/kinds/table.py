"""The table of the kinds of entries: the fields of each, and its effect; `entry.proto` is generated from it.

A kind has the number of its `Kind`; its field in the contract's `Entry` has that number + 6.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from scoring.base.enums import Kind
from scoring.base.frozen import frozen
from scoring.entries.field_types import FactField, fact_fields
from scoring.entries.kinds.account import ControlChanged, IdentityVerified, LinkChanged, OperatorStated, ProfileStated
from scoring.entries.kinds.conduct import (
    AttributionStated,
    IncidentChanged,
    ProductListed,
    ProductViolationReported,
    RemediationDone,
    StatusChanged,
    ViolationReported,
)
from scoring.entries.kinds.decisions import (
    CaseChanged,
    ClockMended,
    EntryCorrected,
    MeasureChanged,
    OverrideImposed,
    SellerErased,
)
from scoring.entries.kinds.settlement import (
    ClaimChanged,
    ComplaintDecided,
    ComplaintFiled,
    DepositChanged,
    FlowStated,
    PayoutsChanged,
)
from scoring.entries.kinds.trade import DisputeResolved, ExposureStated, InspectionDone, RatingGiven

Fact = (
    ViolationReported
    | StatusChanged
    | ExposureStated
    | IdentityVerified
    | AttributionStated
    | RatingGiven
    | DisputeResolved
    | InspectionDone
    | ProfileStated
    | OperatorStated
    | ControlChanged
    | ProductListed
    | ProductViolationReported
    | LinkChanged
    | RemediationDone
    | MeasureChanged
    | OverrideImposed
    | IncidentChanged
    | EntryCorrected
    | SellerErased
    | ClockMended
    | FlowStated
    | DepositChanged
    | PayoutsChanged
    | ClaimChanged
    | ComplaintFiled
    | ComplaintDecided
    | CaseChanged
)


class Need(Enum):
    REQUIRED = "required"
    OPTIONAL = "optional"
    REFUSED = "refused"


@frozen
class KindRow:
    kind: Kind
    fact: type
    seller: Need
    occur_time: Need
    effect: str

    @property
    def fields(self) -> tuple[FactField, ...]:
        return fact_fields(self.fact)


_MUST, _MAY, _NOT = Need.REQUIRED, Need.OPTIONAL, Need.REFUSED
_ROWS = (
    KindRow(Kind.VIOLATION, ViolationReported, _MUST, _MUST, "counts once it is confirmed"),
    KindRow(Kind.STATUS, StatusChanged, _MAY, _MAY, "decides whether a violation counts, and how much"),
    KindRow(Kind.EXPOSURE, ExposureStated, _MUST, _NOT, "the base for the rate of violations"),
    KindRow(Kind.IDENTITY, IdentityVerified, _MUST, _MUST, "level, tenure and attributes"),
    KindRow(Kind.ATTRIBUTION, AttributionStated, _MAY, _MAY, "accepted: the violation counts as if never reported"),
    KindRow(Kind.RATING, RatingGiven, _MUST, _MUST, "recorded only: ratings can be bought"),
    KindRow(Kind.DISPUTE, DisputeResolved, _MUST, _MUST, "decided for the buyer: counts if a study asks for it"),
    KindRow(
        Kind.INSPECTION,
        InspectionDone,
        _MUST,
        _MUST,
        "of an authority, a test buy or a random audit: a failed one counts, a passed one makes up for failed ones",
    ),
    KindRow(Kind.PROFILE, ProfileStated, _MUST, _MUST, "recorded only"),
    KindRow(Kind.OPERATOR, OperatorStated, _MUST, _MUST, "recorded only"),
    KindRow(Kind.CONTROL, ControlChanged, _MUST, _MUST, "earlier exposure and tenure stop counting, violations stay"),
    KindRow(Kind.PRODUCT, ProductListed, _MUST, _MUST, "violations of the product reach the seller"),
    KindRow(Kind.PRODUCT_VIOLATION, ProductViolationReported, _NOT, _MUST, "a violation for each seller who listed it"),
    KindRow(
        Kind.LINK,
        LinkChanged,
        _MUST,
        _MAY,
        "none: a link to a confirmed violator opens a case, which a policy may ask about",
    ),
    KindRow(Kind.REMEDIATION, RemediationDone, _MUST, _MAY, "recorded only"),
    KindRow(Kind.MEASURE, MeasureChanged, _MUST, _MAY, "recorded only"),
    KindRow(Kind.OVERRIDE, OverrideImposed, _MUST, _MAY, "sets the tier until it ends"),
    KindRow(Kind.INCIDENT, IncidentChanged, _MUST, _MAY, "decides which violations have one effect together"),
    KindRow(Kind.CORRECTION, EntryCorrected, _MAY, _NOT, "moves an entry in time, or voids it"),
    KindRow(Kind.ERASURE, SellerErased, _MUST, _NOT, "sealed texts are gone; counting facts stay"),
    KindRow(Kind.CLOCK, ClockMended, _NOT, _NOT, "record times that ran ahead are read as the right times"),
    KindRow(Kind.FLOW, FlowStated, _MUST, _NOT, "none"),
    KindRow(Kind.DEPOSIT, DepositChanged, _MUST, _MAY, "none: it lowers the deposit still to be placed"),
    KindRow(Kind.PAYOUTS, PayoutsChanged, _MUST, _MAY, "none"),
    KindRow(Kind.CLAIM, ClaimChanged, _MUST, _MAY, "none"),
    KindRow(Kind.COMPLAINT, ComplaintFiled, _MUST, _MAY, "none"),
    KindRow(Kind.COMPLAINT_DECISION, ComplaintDecided, _MUST, _MAY, "none: upheld, it lifts the measure"),
    KindRow(Kind.CASE, CaseChanged, _MUST, _MAY, "none: ended, it ends the caution"),
)
KINDS: Mapping[Kind, KindRow] = MappingProxyType({row.kind: row for row in _ROWS})

BY_COMMAND = frozenset({Kind.ERASURE, Kind.CLOCK})
"""Kinds that only the operator's commands append."""

KIND_OF: Mapping[type, Kind] = MappingProxyType({row.fact: kind for kind, row in KINDS.items()})

KIND_BY_WORD: Mapping[str, Kind] = MappingProxyType({kind.word: kind for kind in KINDS})
"""The word is also the fact's field in the contract."""

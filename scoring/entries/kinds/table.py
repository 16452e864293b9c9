"""The table of the kinds of entries: the fields of each, and its effect; `entry.proto` is generated from it.

A kind has the number of its `Kind`; its field in the contract's `Entry` has that number + 6.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from scoring.base.enums import Kind
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


@dataclass(frozen=True, slots=True)
class KindRow:
    fact: type
    key: str
    """The fact's field in the contract, and the kind in content and files."""
    seller: Need
    occur_time: Need
    effect: str

    @property
    def fields(self) -> tuple[FactField, ...]:
        return fact_fields(self.fact)


_MUST, _MAY, _NOT = Need.REQUIRED, Need.OPTIONAL, Need.REFUSED
KINDS: Mapping[Kind, KindRow] = MappingProxyType(
    {
        Kind.VIOLATION: KindRow(ViolationReported, "violation", _MUST, _MUST, "counts once it is confirmed"),
        Kind.STATUS: KindRow(StatusChanged, "status", _MAY, _MAY, "decides whether a violation counts, and how much"),
        Kind.EXPOSURE: KindRow(ExposureStated, "exposure", _MUST, _NOT, "the base for the rate of violations"),
        Kind.IDENTITY: KindRow(IdentityVerified, "identity", _MUST, _MUST, "level, tenure and attributes"),
        Kind.ATTRIBUTION: KindRow(
            AttributionStated, "attribution", _MAY, _MAY, "accepted: the violation counts as if never reported"
        ),
        Kind.RATING: KindRow(RatingGiven, "rating", _MUST, _MUST, "recorded only: ratings can be bought"),
        Kind.DISPUTE: KindRow(
            DisputeResolved, "dispute", _MUST, _MUST, "decided for the buyer: counts if a study asks for it"
        ),
        Kind.INSPECTION: KindRow(
            InspectionDone,
            "inspection",
            _MUST,
            _MUST,
            "of an authority, a test buy or a random audit: a failed one counts, a passed one makes up for failed ones",
        ),
        Kind.PROFILE: KindRow(ProfileStated, "profile", _MUST, _MUST, "recorded only"),
        Kind.OPERATOR: KindRow(OperatorStated, "operator", _MUST, _MUST, "recorded only"),
        Kind.CONTROL: KindRow(
            ControlChanged, "control", _MUST, _MUST, "earlier exposure and tenure stop counting, violations stay"
        ),
        Kind.PRODUCT: KindRow(ProductListed, "product", _MUST, _MUST, "violations of the product reach the seller"),
        Kind.PRODUCT_VIOLATION: KindRow(
            ProductViolationReported, "product_violation", _NOT, _MUST, "a violation for each seller who listed it"
        ),
        Kind.LINK: KindRow(LinkChanged, "link", _MUST, _MAY, "recorded only"),
        Kind.REMEDIATION: KindRow(RemediationDone, "remediation", _MUST, _MAY, "recorded only"),
        Kind.MEASURE: KindRow(MeasureChanged, "measure", _MUST, _MAY, "recorded only"),
        Kind.OVERRIDE: KindRow(OverrideImposed, "override", _MUST, _MAY, "sets the tier until it ends"),
        Kind.INCIDENT: KindRow(
            IncidentChanged, "incident", _MUST, _MAY, "decides which violations have one effect together"
        ),
        Kind.CORRECTION: KindRow(EntryCorrected, "correction", _MAY, _NOT, "moves an entry in time, or voids it"),
        Kind.ERASURE: KindRow(SellerErased, "erasure", _MUST, _NOT, "sealed texts are gone; counting facts stay"),
        Kind.CLOCK: KindRow(
            ClockMended, "clock", _NOT, _NOT, "record times that ran ahead are read as the right times"
        ),
        Kind.FLOW: KindRow(FlowStated, "flow", _MUST, _NOT, "none"),
        Kind.DEPOSIT: KindRow(DepositChanged, "deposit", _MUST, _MAY, "none: it lowers the deposit still to be placed"),
        Kind.PAYOUTS: KindRow(PayoutsChanged, "payouts", _MUST, _MAY, "none"),
        Kind.CLAIM: KindRow(ClaimChanged, "claim", _MUST, _MAY, "none"),
        Kind.COMPLAINT: KindRow(ComplaintFiled, "complaint", _MUST, _MAY, "none"),
        Kind.COMPLAINT_DECISION: KindRow(
            ComplaintDecided, "complaint_decision", _MUST, _MAY, "none: upheld, it lifts the measure"
        ),
        Kind.CASE: KindRow(CaseChanged, "case", _MUST, _MAY, "none: ended, it ends the caution"),
    }
)

BY_COMMAND = frozenset({Kind.ERASURE, Kind.CLOCK})
"""Kinds that only the operator's commands append."""

KIND_OF: Mapping[type, Kind] = MappingProxyType({row.fact: kind for kind, row in KINDS.items()})

FIELD_OF: Mapping[Kind, str] = MappingProxyType({kind: row.key for kind, row in KINDS.items()})
"""The fact's field in the contract, by kind."""

__all__ = [
    "BY_COMMAND",
    "FIELD_OF",
    "KINDS",
    "KIND_OF",
    "AttributionStated",
    "CaseChanged",
    "ClaimChanged",
    "ClockMended",
    "ComplaintDecided",
    "ComplaintFiled",
    "ControlChanged",
    "DepositChanged",
    "DisputeResolved",
    "EntryCorrected",
    "ExposureStated",
    "Fact",
    "FlowStated",
    "IdentityVerified",
    "IncidentChanged",
    "InspectionDone",
    "KindRow",
    "LinkChanged",
    "MeasureChanged",
    "Need",
    "OperatorStated",
    "OverrideImposed",
    "PayoutsChanged",
    "ProductListed",
    "ProductViolationReported",
    "ProfileStated",
    "RatingGiven",
    "RemediationDone",
    "SellerErased",
    "StatusChanged",
    "ViolationReported",
]

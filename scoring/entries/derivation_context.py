"""Recorded data about a batch, loaded by the ledger and read by derivation."""

from dataclasses import dataclass, field
from typing import NamedTuple

from scoring.base.enums import Kind
from scoring.entries.accounts import ClaimBalance, DepositAccount
from scoring.entries.cases import Cases
from scoring.entries.contests import Contests
from scoring.entries.entry import Entry
from scoring.entries.kinds.conduct import ProductListed, ProductViolationReported
from scoring.entries.violation_state import TimedDecision, ViolationState


class Listing(NamedTuple):
    seller: str
    occur_time: int
    report_time: int
    fact: ProductListed


class ProductReport(NamedTuple):
    entry_id: str
    occur_time: int
    report_time: int
    fact: ProductViolationReported

    def concerns(self, listing: Listing) -> bool:
        """Return whether the report reaches this listing: batch and supplier are equal, or one of them states none."""
        pairs = ((self.fact.batch, listing.fact.batch), (self.fact.supplier, listing.fact.supplier))
        return all(not mine or not theirs or mine == theirs for mine, theirs in pairs)


class CorrectionTarget(NamedTuple):
    kind: Kind
    seller: str
    report_time: int
    entry: Entry


@dataclass(slots=True)
class DerivationContext:
    states: dict[str, ViolationState] = field(default_factory=dict)
    """The batch's violations, and those derived from them."""
    waiting_decisions: dict[str, list[TimedDecision]] = field(default_factory=dict)
    """By violation, those appended before it, applied or not."""
    listings: dict[str, list[Listing]] = field(default_factory=dict)
    reports: dict[str, list[ProductReport]] = field(default_factory=dict)
    product_decisions: dict[str, list[TimedDecision]] = field(default_factory=dict)
    derived_violations: dict[str, dict[str, str]] = field(default_factory=dict)
    """By violation of a product and by seller, the id of the derived violation."""
    correction_targets: dict[str, CorrectionTarget] = field(default_factory=dict)
    awaited_ids: set[str] = field(default_factory=set)
    """Violations with a pending decision, or with an entry in the batch."""
    corrected_ids: set[str] = field(default_factory=set)
    deposits: dict[str, DepositAccount] = field(default_factory=dict)
    claims: dict[tuple[str, str], ClaimBalance] = field(default_factory=dict)
    contests: Contests = field(default_factory=Contests)
    cases: Cases = field(default_factory=Cases)

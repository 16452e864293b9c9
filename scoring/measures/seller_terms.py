from collections.abc import Mapping
from typing import NamedTuple

from scoring.entries.cases import OnPayouts
from scoring.entries.kinds.settlement import DepositChanged
from scoring.measures.case_record import CaseStatement
from scoring.measures.record import MeasureLift, MeasureStatement, find_lifts


class SellerTerms(NamedTuple):
    statements: list[MeasureStatement]
    on_payouts: list[OnPayouts]
    cases: list[CaseStatement]
    deposit_changes: list[tuple[int, DepositChanged]]
    notices: list[MeasureStatement]
    """That a letter about a measure was sent or barred."""

    @property
    def lifts(self) -> Mapping[str, MeasureLift]:
        """Return, by measure, the measures of rules that a person lifted."""
        return find_lifts(self.statements)

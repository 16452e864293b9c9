from enum import IntEnum

import numpy as np

from scoring.base.arrays import Ints
from scoring.base.enums import INSPECTORS, DisputeOutcome, InspectionResult, Kind, Source
from scoring.base.frozen import frozen
from scoring.base.time import DAY
from scoring.features.columns import EntryColumns

FINDING_KINDS = frozenset({Kind.INSPECTION, Kind.DISPUTE})
_IS_HEARD = np.isin(np.arange(max(Source) + 1), sorted(INSPECTORS))


class FindingKind(IntEnum):
    INSPECTION_PASSED = 1
    INSPECTION_FAILED = 2
    DISPUTE_LOST = 3


@frozen
class Findings:
    """n findings by case, each column of shape (n,)."""

    case: Ints
    day: Ints
    finding: Ints
    """The number of its `FindingKind`."""
    row: Ints

    def take(self, index: slice) -> "Findings":
        return Findings(self.case[index], self.day[index], self.finding[index], self.row[index])


def list_findings(entries: EntryColumns, controlled: Ints | None = None) -> Findings:
    """Return, by case, the inspections of INSPECTORS, passed or failed, and the disputes that the seller lost.

    `controlled`: the day of each case's last change of control, in days since 1970. A pass before it does not count.
    """
    day = entries.occur_time // DAY
    if not len(day):
        return Findings(day, day, day, day)
    inspected = (entries.kind == Kind.INSPECTION) & _IS_HEARD[entries.source]
    passed = inspected & (entries.status == InspectionResult.PASSED)
    if controlled is not None:
        passed &= day >= controlled[entries.case]
    failed = inspected & (entries.status == InspectionResult.FAILED)
    lost = (entries.kind == Kind.DISPUTE) & (entries.status == DisputeOutcome.BUYER)
    finding = (
        passed * FindingKind.INSPECTION_PASSED
        + failed * FindingKind.INSPECTION_FAILED
        + lost * FindingKind.DISPUTE_LOST
    )
    rows = np.flatnonzero(finding)
    rows = rows[np.argsort(entries.case[rows], kind="stable")]
    return Findings(entries.case[rows], day[rows], finding[rows].astype(np.int64), entries.row[rows])

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from scoring.base.enums import Attribution, Source, Status
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.expressions import HERE, among, select_distinct
from service.ledger.database.tables import ENTRY
from service.ledger.queries.violations import ATTRIBUTION, SOURCE, STATUS, VISIBLE
from service.ledger.records import Cut, Record, find_outcome

_E = ENTRY.c
_REPORTS = (
    select(
        _E.notifier,
        SOURCE.label("source"),
        STATUS.label("status"),
        ATTRIBUTION.label("attribution"),
    )
    .where(among(_E.notifier), *VISIBLE)
    .subquery()
)
_COUNTS = select(*_REPORTS.c, func.count()).group_by(*_REPORTS.c)
_NOTIFIERS = select_distinct(_E.notifier, HERE, _E.notifier.is_not(None))


@dataclass(frozen=True, slots=True)
class NotifierQueries:
    clock: LedgerClock

    def records(self, marketplace: str, cut: Cut, names: Collection[str]) -> dict[str, dict[Source, Record]]:
        """Return the number of reports per outcome, by notifier, then source."""
        found: dict[str, dict[Source, dict[str, int]]] = {}
        rows = self.clock.rows_as_of(cut, _COUNTS, marketplace=marketplace, names=list(names)) if names else ()
        for notifier, source, status, attribution, count in rows:
            outcome = find_outcome(Status(status), Attribution(attribution) if attribution else None).name.lower()
            counts = found.setdefault(notifier, {}).setdefault(Source[source.upper()], {})
            counts[outcome] = counts.get(outcome, 0) + count
        return {
            notifier: {source: Record(**counts) for source, counts in sources.items()}
            for notifier, sources in found.items()
        }

    def list(self, marketplace: str, after: str, count: int) -> Sequence[str]:
        """Return up to `count` notifiers' ids after `after`, ascending; "" is before all."""
        found = self.clock.database.rows(_NOTIFIERS, marketplace=marketplace, after=after, limit=count)
        return [notifier for (notifier,) in found]

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select, text

from scoring.base.enums import Attribution, Source, Status
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.expressions import Texts, among
from service.ledger.database.tables import ENTRY
from service.ledger.queries.violations import ATTRIBUTION, SOURCE, STATUS, VISIBLE, bounds_of
from service.ledger.records import Cut, Record, find_outcome

_E = ENTRY.c
_REPORTS = (
    select(
        _E.notifier,
        SOURCE.label("source"),
        STATUS.label("status"),
        ATTRIBUTION.label("attribution"),
    )
    .where(_E.notifier.is_not(None), among(_E.notifier, bindparam("names", type_=Texts())), *VISIBLE)
    .subquery()
)
_COUNTS = select(*_REPORTS.c, func.count()).group_by(*_REPORTS.c)
_NOTIFIERS = text("""
    WITH RECURSIVE following(notifier) AS (
        SELECT min(notifier) FROM entry
            WHERE marketplace = :marketplace AND notifier IS NOT NULL AND notifier > :after
        UNION ALL
        SELECT (SELECT min(entry.notifier) FROM entry
            WHERE entry.marketplace = :marketplace AND entry.notifier IS NOT NULL
                AND entry.notifier > following.notifier)
        FROM following WHERE following.notifier IS NOT NULL
    )
    SELECT notifier FROM following WHERE notifier IS NOT NULL LIMIT :count
""")


@dataclass(frozen=True, slots=True)
class NotifierQueries:
    clock: LedgerClock

    def records(self, marketplace: str, cut: Cut, names: Collection[str]) -> dict[str, dict[Source, Record]]:
        """Return the number of reports per outcome, by notifier, then source."""
        with self.clock.as_of(cut.sequence) as connection:
            found: dict[str, dict[Source, dict[str, int]]] = {}
            values = bounds_of(marketplace, cut) | {"names": list(names)}
            rows: Sequence[Any] = connection.execute(_COUNTS, values).all() if names else ()
            for notifier, source, status, attribution, count in rows:
                outcome = find_outcome(Status(status), Attribution(attribution) if attribution else None).name.lower()
                counts = found.setdefault(notifier, {}).setdefault(Source[source.upper()], {})
                counts[outcome] = counts.get(outcome, 0) + count
            return {
                notifier: {source: Record(**counts) for source, counts in sources.items()}
                for notifier, sources in found.items()
            }

    def list(self, marketplace: str, after: str, count: int) -> Sequence[str]:
        """Return up to `count` notifiers' ids after `after`, ascending; "" comes first."""
        with self.clock.database.read() as connection:
            values = {"marketplace": marketplace, "after": after, "count": count}
            return list(connection.execute(_NOTIFIERS, values).scalars())

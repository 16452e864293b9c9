from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from scoring.base.enums import Attribution, Source, Status
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import AS_OF_CUT, ENTRY, HERE, ONLY_HERE, RowReader, among, select_distinct
from service.ledger.queries.violations import ATTRIBUTION, CHANGED, SOURCE, STATUS
from service.ledger.queries.waiting import ALL, KeptValue
from service.ledger.records import Cut, Record, find_outcome

_E = ENTRY.c
Counts = dict[str, Counter[tuple[str, int, int]]]
"""Reports by notifier, then by source, status and attribution."""


def _count(*conditions: ColumnElement[bool]) -> Select[Any]:
    outcome = SOURCE.label("source"), STATUS.label("status"), ATTRIBUTION.label("attribution")
    # With a limit SQLite computes the outcome of a report once, not also for GROUP BY.
    reports = select(_E.notifier, *outcome).where(*conditions, *AS_OF_CUT).limit(ALL).subquery()
    return select(*reports.c, func.count()).group_by(*reports.c)


_COUNTS = _count(ONLY_HERE, among(_E.notifier))
_COUNTS_OF_VIOLATIONS = _count(HERE, among(_E.entry_id), _E.notifier.is_not(None))
_NOTIFIERS = select_distinct(_E.notifier, HERE, _E.notifier.is_not(None))


class NotifierQueries:
    def __init__(self, clock: LedgerClock) -> None:
        self.clock = clock
        self._waiting: KeptValue[Counts] = KeptValue(clock, lambda _: {}, CHANGED, _COUNTS_OF_VIOLATIONS, _recount)

    def records(self, marketplace: str, cut: Cut, names: Collection[str]) -> dict[str, dict[Source, Record]]:
        """Return the number of reports per outcome, by notifier, then source."""
        with self.clock.open_reader(marketplace, cut) as reader:
            return _list_records({}, reader, names)

    def records_of_waiting(self, marketplace: str, cut: Cut, names: Collection[str]) -> dict[str, dict[Source, Record]]:
        """Return `records`; it keeps those of the same names for the next call."""
        return self._waiting.use(marketplace, cut, lambda kept, reader: _list_records(kept, reader, names))

    def list(self, marketplace: str, after: str, count: int) -> Sequence[str]:
        """Return up to `count` notifiers' ids after `after`, ascending; "" is before all."""
        found = self.clock.database.rows(_NOTIFIERS, marketplace=marketplace, after=after, limit=count)
        return [notifier for (notifier,) in found]


def _list_records(kept: Counts, reader: RowReader, names: Collection[str]) -> dict[str, dict[Source, Record]]:
    """Return the records of these names, and keep no other ones."""
    for name in kept.keys() - names:
        del kept[name]
    missing = [name for name in names if name not in kept]
    kept |= {name: Counter() for name in missing}
    _recount(kept, (), reader.rows(_COUNTS, missing))
    found: dict[str, dict[Source, Record]] = {}
    for notifier, counts in kept.items():
        outcomes: dict[Source, dict[str, int]] = {}
        for reported, number in counts.items():
            if number:
                source, outcome = _outcome_of(*reported)
                numbers = outcomes.setdefault(source, {})
                numbers[outcome] = numbers.get(outcome, 0) + number
        if outcomes:
            found[notifier] = {source: Record(**numbers) for source, numbers in outcomes.items()}
    return found


@cache
def _outcome_of(source: str, status: int, attribution: int) -> tuple[Source, str]:
    outcome = find_outcome(Status(status), Attribution(attribution) if attribution else None)
    return Source[source.upper()], outcome.name.lower()


def _recount(kept: Counts, former: Sequence[Any], now: Sequence[Any]) -> bool:
    for rows, sign in ((former, -1), (now, 1)):
        for notifier, *outcome, number in rows:
            if notifier in kept:
                kept[notifier][tuple(outcome)] += sign * number
    return True

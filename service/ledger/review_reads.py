"""What people decide from, as methods of the ledger: notifiers, open violations, histories. Each is bounded by a cut."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from scoring.entries.violation_state import RecordedChange
from scoring.enums import Source
from service.ledger import notifiers, reading
from service.ledger.database import Database
from service.ledger.notifiers import OpenViolation, SelectedReport, Selection
from service.ledger.records import Cut, Record, ViolationView


class ReviewReads:
    """The part of the ledger that review reads."""

    _database: Database

    if TYPE_CHECKING:

        def _reading(self, sequence: int) -> AbstractContextManager[Connection]: ...

    def notifier_records(
        self, marketplace: str, cut: Cut, names: Collection[str]
    ) -> Mapping[str, Mapping[Source, Record]]:
        """Return what became of these notifiers' reports, by source; those without a report as of the cut are left out."""
        with self._reading(cut.sequence) as connection:
            return notifiers.records(connection, marketplace, cut, names)

    def notifiers(self, marketplace: str, after: str, count: int) -> list[str]:
        """Return the first `count` notifiers of a marketplace whose id comes after `after`, by id."""
        with self._database.read() as connection:
            return notifiers.notifiers(connection, marketplace, after, count)

    def named_violations(self, marketplace: str, names: Collection[str], cut: Cut) -> dict[str, ViolationView]:
        """Return those of the named violations that were reported as of the cut, by id."""
        with self._reading(cut.sequence) as connection:
            return reading.named_violations(connection, marketplace, names, cut)

    def open_violations(self, marketplace: str, cut: Cut, count: int, *, is_safety: bool) -> list[OpenViolation]:
        """Return the `count` newest violations that wait for a decision: those of the category safety, or all others."""
        with self._reading(cut.sequence) as connection:
            return notifiers.open_violations(connection, marketplace, cut, count, is_safety=is_safety)

    def histories(self, marketplace: str, sequence: int, names: Collection[str]) -> dict[str, list[RecordedChange]]:
        """Return the decisions about these violations up to a sequence, in their order."""
        with self._database.read() as connection:
            return notifiers.decision_histories(connection, marketplace, sequence, names)

    def recent_orders(self, marketplace: str, cut: Cut, sellers: Iterable[str]) -> dict[str, int]:
        """Return the orders that each seller settled in the last 30 days before the cut's day; 0 is left out."""
        with self._reading(cut.sequence) as connection:
            return notifiers.recent_orders(connection, marketplace, cut, sellers)

    def selected(
        self, marketplace: str, cut: Cut, selection: Selection, after: int, count: int
    ) -> list[SelectedReport]:
        """Return the first `count` reports that a selection names, after a sequence."""
        with self._reading(cut.sequence) as connection:
            return notifiers.select_reports(connection, marketplace, cut, selection, after, count)

    def reached(self, marketplace: str, sequence: int, names: Collection[str]) -> dict[str, list[str]]:
        """Return the violations of sellers derived from these violations of products, up to a sequence."""
        with self._database.read() as connection:
            return notifiers.find_derived_violations(connection, marketplace, sequence, names)

    def ends_of_ids(self, marketplace: str, first: str, end: str) -> list[str]:
        """Return the first and the last id of the marketplace's entries from `first` to before `end`; none if none."""
        with self._database.read() as connection:
            return notifiers.find_first_and_last_id(connection, marketplace, first, end)

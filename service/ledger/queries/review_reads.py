"""What people decide from, as methods of the ledger: notifiers, open violations, histories. Each is bounded by a cut."""

from collections.abc import Collection, Iterable, Mapping

from scoring.entries.violation_state import RecordedChange
from scoring.enums import Source
from service.ledger.queries import notifiers, reading
from service.ledger.queries.notifiers import OpenViolation, SelectedReport, Selection
from service.ledger.queries.reads import Reads
from service.ledger.records import Cut, Record, ViolationView


class ReviewReads(Reads):
    """The part of the ledger that review reads."""

    def notifier_records(
        self, marketplace: str, cut: Cut, names: Collection[str]
    ) -> Mapping[str, Mapping[Source, Record]]:
        """Return how many reports of each notifier came to which outcome: by notifier, then source.

        As of the cut; notifiers without a report by then are left out.
        """
        with self._reading(cut.sequence) as connection:
            return notifiers.records(connection, marketplace, cut, names)

    def notifiers(self, marketplace: str, after: str, count: int) -> list[str]:
        """Return the ids of up to `count` notifiers of a marketplace that come after `after`.

        In ascending order.
        """
        with self._database.read() as connection:
            return notifiers.notifier_ids(connection, marketplace, after, count)

    def named_violations(self, marketplace: str, names: Collection[str], cut: Cut) -> dict[str, ViolationView]:
        """Return those of the named violations that were reported as of the cut, by id."""
        with self._reading(cut.sequence) as connection:
            return reading.named_violations(connection, marketplace, names, cut)

    def open_violations(self, marketplace: str, cut: Cut, count: int, *, is_safety: bool) -> list[OpenViolation]:
        """Return the `count` newest violations that wait for a decision, newest first.

        As of the cut: those of the category safety if `is_safety`, else all others.
        """
        with self._reading(cut.sequence) as connection:
            return notifiers.open_violations(connection, marketplace, cut, count, is_safety=is_safety)

    def histories(self, marketplace: str, sequence: int, names: Collection[str]) -> dict[str, list[RecordedChange]]:
        """Return a list of the decisions about each of these violations, by the violation's id.

        Up to a sequence, in their order; violations without a decision are left out.
        """
        with self._database.read() as connection:
            return notifiers.decision_histories(connection, marketplace, sequence, names)

    def recent_orders(self, marketplace: str, cut: Cut, sellers: Iterable[str]) -> dict[str, int]:
        """Return the orders settled in the 30 days before the cut's day, by seller, as of the cut.

        Sellers without any are left out.
        """
        with self._reading(cut.sequence) as connection:
            return notifiers.recent_orders(connection, marketplace, cut, sellers)

    def selected(
        self, marketplace: str, cut: Cut, selection: Selection, after: int, count: int
    ) -> list[SelectedReport]:
        """Return the first `count` reports after a sequence that meet all conditions of a selection.

        As of the cut, by sequence.
        """
        with self._reading(cut.sequence) as connection:
            return notifiers.select_reports(connection, marketplace, cut, selection, after, count)

    def reached(self, marketplace: str, sequence: int, names: Collection[str]) -> dict[str, list[str]]:
        """Return the ids of sellers' violations derived from each of these products' violations.

        By the id of the latter, up to a sequence; those without any are left out.
        """
        with self._database.read() as connection:
            return notifiers.find_derived_violations(connection, marketplace, sequence, names)

    def ends_of_ids(self, marketplace: str, first: str, end: str) -> list[str]:
        """Return [first id, last id] of the marketplace's entries with `first` <= id < `end`.

        Empty if there is none.
        """
        with self._database.read() as connection:
            return notifiers.find_first_and_last_id(connection, marketplace, first, end)

"""What scores and matches rest on, as methods of the ledger: sellers' rows, and their identities in force."""

from collections.abc import Iterator, Sequence
from typing import Any

from scoring.features.columns import FactRow, FactTable, Omitted
from service.ledger.queries import reading
from service.ledger.queries.identities import STEP, StatedMatch, in_force, rows_between, stated_matches
from service.ledger.queries.measures import TermsReads
from service.ledger.queries.sellers import marketplaces, sellers_after
from service.ledger.records import Cut, Identity


class FactReads(TermsReads):
    """The part of the ledger that scoring, and imports that look for a row's seller, read."""

    def marketplaces(self) -> list[str]:
        """Return the ids of all marketplaces with entries, sorted by their bytes."""
        with self._database.read() as connection:
            return marketplaces(connection)

    def sellers_after(self, marketplace: str, after: str, limit: int) -> list[str]:
        """Return the ids of the next `limit` sellers of a marketplace with entries, those after the id `after`.

        Sorted by their bytes; with `""` from the first on.
        """
        with self._database.read() as connection:
            return sellers_after(connection, marketplace, after, limit)

    def fact_counts(self, marketplace: str, sellers: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return (rows, rows that allege a violation) that `fact_rows` would give, by seller.

        Sellers without rows are left out.
        """
        with self._database.read() as connection:
            return reading.fact_counts(connection, marketplace, sellers)

    def fact_rows(self, marketplace: str, sellers: Sequence[str], sequence: int) -> list[FactRow]:
        """Return the sellers' entries up to `sequence` of the kinds that scores depend on.

        Sorted by (seller, sequence).
        """
        with self._reading(sequence) as connection:
            return reading.fact_rows(connection, marketplace, sellers, sequence)

    def facts_of_seller(self, marketplace: str, seller: str, cut: Cut, limit: int) -> tuple[list[FactRow], Omitted]:
        """Return the rows of one seller that a score depends on, with at most `limit` allegations.

        Those by inspectors stay, then those that the platform detected, of each the gravest; the second value counts
        those left out, all of which are open as of the cut: whatever a decision, a correction or a split names is among
        the rows.
        """
        with self._reading(cut.sequence) as connection:
            return reading.facts_of_seller(connection, marketplace, seller, cut, limit)

    def fact_table(
        self, marketplace: str, sellers: Sequence[str], cut: Cut, limit: int
    ) -> tuple[FactTable, dict[str, Omitted]]:
        """Return (entries of sellers as a score reads them, what is left out by seller).

        Up to the cut. Of one seller at most `limit` allegations are read, and the others counted, as by
        `facts_of_seller`; of several all are read.
        """
        with self._reading(cut.sequence) as connection:
            return reading.fact_table(connection, marketplace, sellers, cut, limit)

    def settled_values(self, marketplace: str, seller: str, cut: Cut, currency: str) -> dict[str, int]:
        """Return the value of each exposure entry of a seller in a currency, by entry id.

        As of the cut; entries that state none in this currency are left out.
        """
        with self._reading(cut.sequence) as connection:
            return reading.settled_values(connection, marketplace, seller, cut.sequence, currency)

    def valued_sales(self, marketplace: str, sellers: Sequence[str], cut: Cut, currency: str) -> list[tuple[Any, ...]]:
        """Return the exposure of sellers, with values in a currency in place of orders, for `FactTable.with_sales`.

        As of the cut; what states none in this currency has the value 0.
        """
        with self._reading(cut.sequence) as connection:
            return reading.valued_sales(connection, marketplace, sellers, cut.sequence, currency)

    def identities(self, marketplace: str, cut: Cut) -> Iterator[Identity]:
        """Yield the identity in force of every seller that has one, as of the cut."""

        def rows() -> Iterator[Any]:
            for after in range(0, cut.sequence, STEP):
                with self._reading(cut.sequence) as connection:
                    found = rows_between(connection, marketplace, after, min(after + STEP, cut.sequence))
                yield from found

        return in_force(rows(), cut)

    def stated_matches(self, marketplace: str, ids: Sequence[str]) -> dict[str, StatedMatch]:
        """Return, by entry id, the seller of each entry and whether its identifier was verified.

        Entries that are not on record, or of no seller, are left out; verified is None for kinds that do not state it.
        """
        with self._database.read() as connection:
            return stated_matches(connection, marketplace, ids)

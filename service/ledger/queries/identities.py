import json
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import select

from scoring.base.enums import CorrectionKind, IdentityLevel, Kind
from scoring.base.frozen import frozen
from scoring.entries.kinds.table import KINDS
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import ENTRY, HERE, NAMED, UP_TO_LAST, among_kinds
from service.ledger.records import Cut, IdentityInForce

_E = ENTRY.c
_IDENTITIES = (
    select(
        *(_E.sequence, _E.kind, _E.seller, _E.entry_id, _E.occur_time, _E.report_time),
        *(_E.identity_level, _E.target, _E.status, _E.content),
    )
    .where(HERE, UP_TO_LAST, among_kinds(Kind.IDENTITY, Kind.CORRECTION))
    .order_by(_E.sequence)
)
_HAS_VERIFIED = frozenset(
    kind for kind, row in KINDS.items() if any(field.name == "identifier_verified" for field in row.fields)
)


class IdentifierMatch(NamedTuple):
    seller: str
    verified: bool | None


@frozen
class IdentityQueries:
    clock: LedgerClock

    def in_force(self, marketplace: str, cut: Cut) -> Iterator[IdentityInForce]:
        """Yield each seller's latest identity by occur time, after corrections, then by sequence."""
        rows = self.clock.rows_as_of(cut, _IDENTITIES, marketplace=marketplace)
        corrections = {row.target: row for row in rows if row.kind == Kind.CORRECTION}
        latest: dict[str, tuple[int, int, Any]] = {}
        for row in rows:
            correction = corrections.get(row.entry_id)
            is_void = correction is not None and correction.status == CorrectionKind.VOID
            if row.kind != Kind.IDENTITY or is_void:
                continue
            occur_time = row.occur_time if correction is None else correction.occur_time
            if max(occur_time, row.report_time) < cut.observe_time:
                identity = (occur_time, row.sequence, row)
                latest[row.seller] = max(latest.get(row.seller, identity), identity, key=itemgetter(0, 1))
        for seller, (_, _, row) in latest.items():
            yield IdentityInForce(
                seller, IdentityLevel(row.identity_level), json.loads(row.content).get("attributes", {})
            )

    def stated_by(self, marketplace: str, ids: Sequence[str]) -> dict[str, IdentifierMatch]:
        """Return, by recorded id, its seller and whether its identifier was verified (None if the kind lacks it)."""
        return {
            row.entry_id: IdentifierMatch(
                row.seller,
                json.loads(row.content).get("identifier_verified", False) if row.kind in _HAS_VERIFIED else None,
            )
            for row in self.clock.database.rows(NAMED, marketplace=marketplace, names=ids)
            if row.seller
        }

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import and_, bindparam, case, exists, func, or_, select, text

from scoring.entries.cases import OPEN_STATES
from scoring.entries.entry import entry_from_content
from scoring.entries.kinds.decisions import CaseChanged
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import CASES, ENTRY
from service.ledger.records import Cut

_E, _LATER = ENTRY.c, ENTRY.alias("later").c
_IS_OVER = exists().where(
    and_(
        _LATER.marketplace == _E.marketplace,
        _LATER.target.is_not(None),
        _LATER.target == _E.target,
        _LATER.seller == _E.seller,
        _LATER.kind == _E.kind,
        _LATER.sequence > _E.sequence,
        _LATER.sequence <= bindparam("last"),
        _LATER.occur_time < bindparam("observe_time"),
    )
)
_IS_OPEN = (
    text(f"entry.{CASES}"),
    or_(*(_E.status == int(state) for state in sorted(OPEN_STATES))),
    _E.sequence <= bindparam("last"),
    _E.occur_time < bindparam("observe_time"),
    ~_IS_OVER,
)
_OPEN = (
    select(_E.seller, _E.entry_id, _E.occur_time, _E.content)
    .where(_E.marketplace == bindparam("marketplace"), *_IS_OPEN)
    .order_by(_E.until_time, _E.sequence)
    .limit(bindparam("limit"))
)
_COUNTS = select(func.count(), func.count(case((_E.until_time <= bindparam("now"), 1)))).where(*_IS_OPEN)
_COUNTS_HERE = _COUNTS.where(_E.marketplace == bindparam("marketplace"))


@dataclass(frozen=True, slots=True)
class OpenCase:
    seller: str
    case: str
    rule: str
    opened_time: int
    decide_by: int
    caution_end: int
    rests_on: Sequence[str]
    """Ids of entries; the latest ones, if very many."""


@dataclass(frozen=True, slots=True)
class CaseQueries:
    clock: LedgerClock

    def list_open(self, marketplace: str, cut: Cut, limit: int) -> list[OpenCase]:
        """Return the first `limit` open cases of a marketplace, by their deadline."""
        values = {"marketplace": marketplace, "last": cut.sequence, "observe_time": cut.observe_time, "limit": limit}
        with self.clock.as_of(cut.sequence) as connection:
            rows = connection.execute(_OPEN, values).all()
        return [_case_of(*row) for row in rows]

    def count_open(self, cut: Cut, now: int, marketplace: str | None = None) -> tuple[int, int]:
        """Return (open cases, those overdue at `now`, in microseconds)."""
        values = {"last": cut.sequence, "observe_time": cut.observe_time, "now": now}
        with self.clock.as_of(cut.sequence) as connection:
            if marketplace is None:
                found = connection.execute(_COUNTS, values).one()
            else:
                found = connection.execute(_COUNTS_HERE, values | {"marketplace": marketplace}).one()
        return int(found[0]), int(found[1])


def _case_of(seller: str, entry_id: str, occur_time: int, content: str) -> OpenCase:
    fact = cast(CaseChanged, entry_from_content(entry_id, content).fact)
    rule, decide_by = fact.rule or fact.case.partition("~")[0], fact.decide_by or 0
    return OpenCase(seller, fact.case, rule, occur_time, decide_by, fact.caution_end or decide_by, fact.rests_on)

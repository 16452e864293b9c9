from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, exists, func, or_, select, text

from scoring.base.frozen import frozen
from scoring.entries.cases import OPEN_STATES
from scoring.entries.kinds.decisions import CaseChanged
from service.ledger.clock.ledger_clock import LedgerClock
from service.ledger.database.tables import BEYOND, CASES, ENTRY, HERE, NAMED, UP_TO_LAST, among, read_fact
from service.ledger.queries.waiting import ALL, WaitingList
from service.ledger.records import Cut

_E, _LATER = ENTRY.c, ENTRY.alias("later").c
_HAS_LATER_STATEMENT = exists().where(
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
_DEADLINE = func.coalesce(_E.until_time, 0)
_OPEN = select(_DEADLINE, _E.sequence, _E.entry_id).where(
    *(HERE, text(f"entry.{CASES}"), UP_TO_LAST, _E.occur_time < bindparam("observe_time")),
    or_(*(_E.status == int(state) for state in sorted(OPEN_STATES))),
    ~_HAS_LATER_STATEMENT,
)
_IN_ORDER = _OPEN.order_by(_DEADLINE, _E.sequence).limit(bindparam("limit"))
_CHANGED = select(_E.target).where(*BEYOND, text(f"entry.{CASES}"))


@frozen
class OpenCase:
    seller: str
    case: str
    rule: str
    opened_time: int
    decide_by: int
    caution_end: int
    rests_on: Sequence[str]
    """Ids of entries; the latest ones, if very many."""


class CaseQueries:
    def __init__(self, clock: LedgerClock) -> None:
        self._clock = clock
        self._open = WaitingList(clock, _IN_ORDER, _OPEN.where(among(_E.target)), _CHANGED)

    def list_open(self, marketplace: str, cut: Cut, limit: int) -> list[OpenCase]:
        """Return the first `limit` cases that wait for a person at the cut, by their deadline."""
        ids = [entry_id for *_, entry_id in self._open.read(marketplace, cut)[:limit]]
        with self._clock.open_reader(marketplace, cut) as reader:
            rows = {row.entry_id: row for row in reader.rows(NAMED, ids)}
        return [_parse_open_case(rows[entry_id]) for entry_id in ids]

    def count_open(self, cut: Cut, now: int, marketplaces: Iterable[str]) -> tuple[int, int]:
        """Return (open cases, those overdue at `now`, in microseconds)."""
        lists = [self._open.read(marketplace, cut) for marketplace in marketplaces]
        return sum(map(len, lists)), sum(bisect_right(rows, (now, ALL)) for rows in lists)


def _parse_open_case(row: Any) -> OpenCase:
    fact: CaseChanged = read_fact(row)
    # an extension by a person states neither rule nor caution_end
    rule, decide_by = fact.rule or fact.case.partition("~")[0], fact.decide_by or 0
    caution_end = fact.caution_end or decide_by
    return OpenCase(row.seller, fact.case, rule, row.occur_time, decide_by, caution_end, fact.rests_on)

"""Corrections of record times that ran ahead: entries of the kind `clock`.

Such an entry covers those from `first_sequence` up to itself, and never reaches behind an earlier correction. No row
changes: a cut that knows the entry reads the corrected times, an earlier cut the old ones.

Example: a clock ten years ahead recorded 2036-03-01T00:00:05; the corrected time is 2026-03-01T00:00:05.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    event,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.sql.visitors import replacement_traverse

from scoring.base.enums import Kind
from scoring.base.errors import invalid
from scoring.base.time import format_time
from scoring.entries.kinds.decisions import ClockMended
from service.ledger.database.tables import ENTRY, of_kind, read_fact

_E = ENTRY.c
LATEST = select(func.max(_E.sequence)).where(of_kind(Kind.CLOCK))

_MENDINGS = (
    select(_E.sequence, _E.record_time, _E.entry_id, _E.content).where(of_kind(Kind.CLOCK)).order_by(_E.sequence)
)
_RECORD_TIME = select(_E.record_time).where(_E.sequence == bindparam("sequence"))
_LAST_BEFORE = (
    select(_E.sequence, _E.record_time)
    # The sum keeps a database from walking along the sequences.
    .where(_E.record_time < bindparam("known_time"), (_E.sequence + 0).between(bindparam("first"), bindparam("last")))
    .order_by(_E.record_time.desc(), _E.sequence.desc())
    .limit(1)
)
_NO_END = 2**62


class Mending(NamedTuple):
    """Times in microseconds."""

    first: int
    last: int
    ahead: int
    stated_time: int
    """When the mending was recorded."""
    wrong_times: tuple[int, int]
    """The first and last record time before the correction."""


class Mendings(NamedTuple):
    through: int = 0
    all: tuple[Mending, ...] = ()


def load_mendings(connection: Connection) -> Mendings:
    """Return the recorded corrections of record times, oldest first, unless they only vouch for the clock."""
    mendings, through = [], 0
    for row in connection.execute(_MENDINGS).all():
        fact: ClockMended = read_fact(row)
        through = row.sequence
        if fact.ahead_micros:
            first, last = fact.first_sequence, through - 1
            mendings.append(
                Mending(first, last, fact.ahead_micros, row.record_time, read_record_times(connection, first, last))
            )
    return Mendings(through, tuple(mendings))


def require_mendable(connection: Connection, mendings: Mendings, mended: ClockMended, last: int, now: int) -> None:
    """Raise InvalidInput unless the mending's entries ran ahead and keep their order.

    `mended.first_sequence` must be after all mended entries and not after `last`. Its corrected time must stay after
    the entry's before it, and not after `now` (microseconds).
    """
    first, ahead = mended.first_sequence, mended.ahead_micros
    if not mendings.through < first <= last:
        raise invalid(
            ("clock", "first_sequence"),
            f"must be an entry after {mendings.through}, up to where it was mended before, and not after {last}, the last",
        )
    recorded, before = read_record_times(connection, first, first - 1)
    if not before < recorded - ahead <= now:
        raise invalid(
            ("clock", "ahead_micros"),
            f"must leave the entry {first}, recorded at {format_time(recorded)}, after the one before it, recorded at"
            f" {format_time(before)}, and not after now, {format_time(now)}",
        )


def find_last_before(connection: Connection, mendings: Mendings, known_time: int) -> tuple[int, int]:
    """Return (sequence, record time) of the last entry recorded before `known_time`; (0, 0) without one.

    It uses corrected times. A `known_time` that the wrong clock itself gave is compared with uncorrected ones.
    """
    for mending in mendings.all:
        begin, end = mending.wrong_times
        if begin < known_time <= end + 1:
            return _find_last_in_span(connection, known_time, mending.first, mending.last)
    for first, last, ahead in _list_spans(mendings.all):
        if first > 1 and _read_record_time(connection, first) - ahead >= known_time:
            continue  # otherwise the search would walk along every entry before the stretch
        sequence, record_time = _find_last_in_span(connection, known_time + ahead, first, last)
        if sequence:
            return sequence, record_time - ahead
    return 0, 0


def mend_statement(statement: Any, mendings: Sequence[Mending]) -> Any:
    """Return the query with corrected times in place of recorded ones.

    Record times between a mending's `first` and `last` go back by its `ahead`. Occur and report times of those entries
    become the corrected record time if they equal the recorded one or lie after `stated_time`.
    """
    columns: dict[str, ColumnElement[Any]] = {column.name: column for column in _E}
    for mending in mendings:
        recorded = columns["record_time"]
        corrected = recorded - literal(mending.ahead, BigInteger())
        is_covered = and_(_E.sequence >= mending.first, _E.sequence <= mending.last)
        for name in ("occur_time", "report_time"):
            wrong = or_(columns[name] == recorded, columns[name] > mending.stated_time)
            columns[name] = case((and_(is_covered, wrong), corrected), else_=columns[name])
        columns["record_time"] = case((is_covered, corrected), else_=recorded)
    mended = select(*(column.label(name) for name, column in columns.items())).subquery("entry").c

    def mended_column(element: Any, **_: Any) -> Any:
        return mended[element.name] if isinstance(element, Column) and element.table is ENTRY else None

    return replacement_traverse(statement, {}, mended_column)


@contextmanager
def read_mended_times(connection: Connection, mendings: Sequence[Mending]) -> Iterator[None]:
    """Have the connection read corrected record times within the block; stored rows stay."""
    if not mendings:
        yield
        return

    def mend(_conn: Any, statement: Any, several_values: Any, values: Any, _options: Any) -> tuple[Any, Any, Any]:
        return mend_statement(statement, mendings), several_values, values

    event.listen(connection, "before_execute", mend, retval=True)
    try:
        yield
    finally:
        event.remove(connection, "before_execute", mend)


def _list_spans(mendings: Sequence[Mending]) -> Iterator[tuple[int, int, int]]:
    """Yield spans of sequences, newest first: (first, last, by how many microseconds its times ran ahead)."""
    end = _NO_END
    for mending in reversed(mendings):
        yield mending.last + 1, end, 0
        yield mending.first, mending.last, mending.ahead
        end = mending.first - 1
    yield 1, end, 0


def _find_last_in_span(connection: Connection, known_time: int, first: int, last: int) -> tuple[int, int]:
    row = connection.execute(_LAST_BEFORE, {"known_time": known_time, "first": first, "last": last}).first()
    return (0, 0) if row is None else (row[0], row[1])


def read_record_times(connection: Connection, first: int, last: int) -> tuple[int, int]:
    """Return the uncorrected record times of two sequences, in microseconds; 0 for a missing one."""
    return _read_record_time(connection, first), _read_record_time(connection, last)


def _read_record_time(connection: Connection, sequence: int) -> int:
    return int(connection.execute(_RECORD_TIME, {"sequence": sequence}).scalar() or 0)
